//! Reads frames from a stream of bytes, however it is cut.
//!
//! ```text
//!            blank lines, NULs        header line
//!               ┌──────┐               ┌──────┐
//!               ▼      │  command      ▼      │  empty line
//!            Between ──┴─▶ Command ─▶ Headers ─┴───────────▶ Body ──▶ frame, Between
//! ```
//!
//! A line is read as soon as it is whole, so a mistake is told at once, also when the frame never ends.

use super::input::Input;
use super::limits::Peer;
use super::line::{command, content_length, push_header, whole_headers};
use super::{DecodeError, Frame, Headers, Limits, Version};

/// Turns bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// Once CONNECT was accepted; decides about escapes and about the limit of a frame.
    version: Option<Version>,
    input: Input,
    state: State,
}

#[derive(Debug)]
enum State {
    Between,
    Command,
    /// The frame as far as it was read.
    Headers(Frame),
    Body {
        frame: Frame,
        content_length: Option<usize>,
    },
    /// After an error nothing can be read any more.
    Failed {
        receipt: Option<Box<str>>,
    },
}

impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Self { limits, version: None, input: Input::default(), state: State::Between }
    }

    /// Reads what follows as frames of a session of that version, with the limits of a connected peer.
    ///
    /// A client may send its next frame without waiting for CONNECTED, so [`Decoder::next_frame`] is not called between
    /// a CONNECT and the answer to it.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        match self.state {
            State::Between | State::Command | State::Headers(_) | State::Body { .. } => self.input.feed(bytes),
            State::Failed { .. } => {}
        }
    }

    /// Bytes received and not yet returned as a frame.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// The `receipt` header of the frame that failed, if it had been read.
    pub fn failed_receipt(&self) -> Option<&str> {
        match &self.state {
            State::Failed { receipt } => receipt.as_deref(),
            State::Between | State::Command | State::Headers(_) | State::Body { .. } => None,
        }
    }

    /// The next whole frame, or `None` until more bytes are fed. An error repeats nothing: after it there is no frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let result = self.advance();
        if result.is_err() {
            let receipt = match &self.state {
                State::Headers(frame) | State::Body { frame, .. } => frame.header("receipt").map(Into::into),
                State::Between | State::Command | State::Failed { .. } => None,
            };
            self.state = State::Failed { receipt };
            self.input = Input::default();
        }
        self.input.release_if_empty();
        result
    }

    fn advance(&mut self) -> Result<Option<Frame>, DecodeError> {
        let peer = if self.version.is_some() { Peer::Connected } else { Peer::Stranger };
        let (of_headers, of_frame) = (self.limits.of_headers(peer), self.limits.of_frame(peer));
        loop {
            match &mut self.state {
                State::Between => {
                    if !self.input.skip_blank()? {
                        return Ok(None);
                    }
                    self.state = State::Command;
                }
                State::Command => {
                    let Some(line) = self.input.line(of_headers)? else { return Ok(None) };
                    let command = command(line)?;
                    let (count, bytes) = self.input.headers_ahead(of_headers);
                    let headers = Headers::with_capacity(count.min(self.limits.header_count_max), bytes);
                    self.state = State::Headers(Frame::new(command, headers));
                }
                State::Headers(frame) => {
                    let Some(line) = self.input.line(of_headers)? else { return Ok(None) };
                    if !line.is_empty() {
                        push_header(frame, line, self.version, self.limits.header_count_max)?;
                        continue;
                    }
                    let content_length = content_length(&frame.headers)?;
                    if content_length.is_some_and(|it| it > 0) && !frame.command.may_have_body() {
                        return Err(DecodeError::BodyNotAllowed(frame.command));
                    }
                    self.input.expect_body(content_length.unwrap_or(0), of_frame)?;
                    let frame = Frame::new(frame.command, whole_headers(frame, self.version));
                    self.state = State::Body { frame, content_length };
                }
                State::Body { frame, content_length } => {
                    let body = match content_length {
                        Some(length) => self.input.body_of(*length)?,
                        None if !frame.command.may_have_body() && self.input.body_start().is_some_and(|it| it != 0) => {
                            return Err(DecodeError::BodyNotAllowed(frame.command));
                        }
                        None => self.input.body_to_nul(of_frame)?,
                    };
                    let Some(body) = body else { return Ok(None) };
                    let frame = Frame { command: frame.command, headers: std::mem::take(&mut frame.headers), body };
                    self.state = State::Between;
                    return Ok(Some(frame));
                }
                State::Failed { .. } => return Ok(None),
            }
        }
    }
}
