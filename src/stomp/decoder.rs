//! Reads frames from a stream of bytes, however it is cut.
//!
//! ```text
//!            blank lines, NULs           header line
//!               ┌──────┐                 ┌──────┐
//!               ▼      │  command line   ▼      │   empty line
//!            Between ──┴──────────────▶ Headers ─┴─────────────▶ Body ──▶ frame, Between
//! ```
//!
//! Each line is taken from the buffer as soon as it is whole and each byte is looked at once, so the work is linear in
//! the bytes received and a limit is noticed as soon as it is passed, also when the frame never ends.

use bytes::{Buf, Bytes, BytesMut};

use super::escape::unescape;
use super::{Command, DecodeError, Frame, Headers, Limits, Version};

/// Larger bodies are split off the buffer instead of copied; smaller ones would pin more than they hold.
const COPIED_BODY_MAX: usize = 16 * 1024;

/// How much of a faulty line an error quotes, in bytes.
const QUOTED_MAX: usize = 64;

/// Turns bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// Once CONNECT was accepted; decides about escapes and about the limit of a frame.
    version: Option<Version>,
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that were searched and do not hold what ends the current part.
    searched: usize,
    /// Bytes of the current frame that have left the buffer.
    taken: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Between,
    Headers(Head),
    Body {
        head: Head,
        content_length: Option<usize>,
    },
    /// After an error nothing can be read any more.
    Failed {
        receipt: Option<Box<str>>,
    },
}

#[derive(Debug)]
struct Head {
    command: Command,
    headers: Headers,
    bytes: usize,
}

impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Self { limits, version: None, buffer: BytesMut::new(), searched: 0, taken: 0, state: State::Between }
    }

    /// Reads what follows as frames of a session of that version, with the limits of a connected peer.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes received and not yet returned as a frame.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The `receipt` header of the frame that failed, if it had been read.
    pub fn failed_receipt(&self) -> Option<&str> {
        match &self.state {
            State::Failed { receipt } => receipt.as_deref(),
            State::Between | State::Headers(_) | State::Body { .. } => None,
        }
    }

    /// The next whole frame, or `None` until more bytes are fed. An error repeats nothing: after it there is no frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let result = self.advance();
        if result.is_err() {
            let receipt = match &self.state {
                State::Headers(head) | State::Body { head, .. } => head.headers.get("receipt").map(Into::into),
                State::Between | State::Failed { .. } => None,
            };
            self.state = State::Failed { receipt };
            self.buffer = BytesMut::new();
        } else if self.buffer.is_empty() {
            // An idle session keeps no buffer.
            self.buffer = BytesMut::new();
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            match std::mem::replace(&mut self.state, State::Between) {
                State::Between => {
                    if !self.skip_blank()? {
                        return Ok(None);
                    }
                    let Some(line) = self.line()? else { return Ok(None) };
                    let command = Command::parse(&line).ok_or_else(|| unknown_command(&line))?;
                    self.state = State::Headers(Head { command, headers: Headers::new(), bytes: 0 });
                }
                State::Headers(head) => {
                    self.state = State::Headers(head);
                    let Some(line) = self.line()? else { return Ok(None) };
                    self.header_line(&line)?;
                }
                State::Body { head, content_length } => {
                    self.state = State::Body { head, content_length };
                    return self.body();
                }
                failed @ State::Failed { .. } => {
                    self.state = failed;
                    self.buffer.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// Between frames: line ends (heart-beats, what some clients send after a frame) and stray NULs mean nothing.
    ///
    /// Says whether a frame has begun.
    fn skip_blank(&mut self) -> Result<bool, DecodeError> {
        self.taken = 0;
        if self.searched > 0 {
            return Ok(true);
        }
        loop {
            match (self.buffer.first(), self.buffer.get(1)) {
                (Some(b'\n' | 0), _) => self.buffer.advance(1),
                (Some(b'\r'), Some(b'\n')) => self.buffer.advance(2),
                (Some(b'\r'), Some(_)) => return Err(DecodeError::BareCarriageReturn),
                (Some(b'\r') | None, _) => return Ok(false),
                (Some(_), _) => return Ok(true),
            }
        }
    }

    /// Takes the next line without its end, or remembers how far it was searched.
    fn line(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
            if memchr::memchr(0, &self.buffer[self.searched..]).is_some() {
                return Err(DecodeError::NulInHeaders);
            }
            self.searched = self.buffer.len();
            self.check_head_size(self.buffer.len())?;
            self.check_frame_size(self.taken + self.buffer.len())?;
            return Ok(None);
        };
        let with_end = self.searched + at + 1;
        self.searched = 0;
        self.check_head_size(with_end)?;
        self.taken += with_end;
        self.check_frame_size(self.taken)?;
        let mut line = self.buffer.split_to(with_end).freeze();
        line.truncate(with_end - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        match memchr::memchr2(b'\r', 0, &line) {
            Some(at) if line[at] == 0 => Err(DecodeError::NulInHeaders),
            Some(_) => Err(DecodeError::BareCarriageReturn),
            None => Ok(Some(line)),
        }
    }

    fn header_line(&mut self, line: &[u8]) -> Result<(), DecodeError> {
        let State::Headers(head) = &mut self.state else { return Ok(()) };
        if line.is_empty() {
            let content_length = content_length(&head.headers)?;
            if let Some(length) = content_length {
                let whole = self.taken.saturating_add(length).saturating_add(1);
                self.check_frame_size(whole)?;
                // All of a large body at once, rather than by doubling; the limit above bounds it.
                self.buffer.reserve((length + 1).saturating_sub(self.buffer.len()));
            }
            if let State::Headers(head) = std::mem::replace(&mut self.state, State::Between) {
                self.state = State::Body { head, content_length };
            }
            return Ok(());
        }
        head.bytes += line.len() + 1;
        if head.headers.len() == self.limits.header_count_max {
            return Err(DecodeError::TooManyHeaders { max: self.limits.header_count_max });
        }
        let line = std::str::from_utf8(line).map_err(|_| DecodeError::NotUtf8)?;
        let (name, value) = match line.split_once(':') {
            Some((name, value)) if !name.is_empty() => (name, value),
            Some(_) | None => return Err(DecodeError::BadHeader(quoted(line))),
        };
        match self.version {
            Some(Version::V1_1 | Version::V1_2) if head.command.is_escaped() => {
                let plain = |text| unescape(text).map_err(|_| DecodeError::BadEscape(quoted(line)));
                head.headers.push(&plain(name)?, &plain(value)?);
            }
            // STOMP 1.0 has no escapes, and its examples put a blank after the colon.
            Some(Version::V1_0) => head.headers.push(name, value.trim_start_matches(' ')),
            Some(Version::V1_1 | Version::V1_2) | None => head.headers.push(name, value),
        }
        Ok(())
    }

    fn body(&mut self) -> Result<Option<Frame>, DecodeError> {
        let State::Body { head, content_length } = &self.state else { return Ok(None) };
        let length = match content_length {
            Some(length) if self.buffer.len() <= *length => return Ok(None),
            Some(length) if self.buffer[*length] != 0 => {
                return Err(DecodeError::NotTerminated { content_length: *length });
            }
            Some(length) => *length,
            None => match memchr::memchr(0, &self.buffer[self.searched..]) {
                Some(at) => self.searched + at,
                None => {
                    self.searched = self.buffer.len();
                    self.check_frame_size(self.taken + self.buffer.len())?;
                    return Ok(None);
                }
            },
        };
        self.check_frame_size(self.taken + length + 1)?;
        if length > 0 && !head.command.may_have_body() {
            return Err(DecodeError::BodyNotAllowed(head.command));
        }
        self.searched = 0;
        let body = if length <= COPIED_BODY_MAX {
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            body
        } else {
            self.buffer.split_to(length).freeze()
        };
        self.buffer.advance(1);
        let State::Body { head, .. } = std::mem::replace(&mut self.state, State::Between) else { return Ok(None) };
        Ok(Some(Frame { command: head.command, headers: head.headers, body }))
    }

    /// `line` is the bytes of the current line so far; those of the command count as well, since they too can be endless.
    fn check_head_size(&self, line: usize) -> Result<(), DecodeError> {
        let before = match &self.state {
            State::Headers(head) => head.bytes,
            State::Between | State::Body { .. } | State::Failed { .. } => 0,
        };
        let max = self.limits.header_bytes_max;
        if before + line > max { Err(DecodeError::HeadersTooLarge { max }) } else { Ok(()) }
    }

    fn check_frame_size(&self, size: usize) -> Result<(), DecodeError> {
        let before_connect = self.version.is_none();
        let max = if before_connect { self.limits.frame_bytes_max_before_connect } else { self.limits.frame_bytes_max };
        if size > max { Err(DecodeError::FrameTooLarge { max, before_connect }) } else { Ok(()) }
    }
}

fn content_length(headers: &Headers) -> Result<Option<usize>, DecodeError> {
    let Some(text) = headers.get("content-length") else { return Ok(None) };
    let digits = text.trim();
    let bad = || DecodeError::BadContentLength(quoted(text));
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(bad());
    }
    digits.parse().map(Some).map_err(|_| bad())
}

fn unknown_command(line: &[u8]) -> DecodeError {
    match std::str::from_utf8(line) {
        Ok(text) => DecodeError::UnknownCommand(quoted(text)),
        Err(_) => DecodeError::NotUtf8,
    }
}

/// Enough of a client's own text to recognise it by.
fn quoted(text: &str) -> String {
    let mut end = text.len().min(QUOTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
