//! Writes one frame.

use bytes::Bytes;

use super::escape::{Part, escape_into};
use super::{Command, Frame, Version};

/// A frame being written: headers in the order of the calls, then the body.
///
/// `content-length` is the encoder's own: written whenever the body is not empty, whatever the headers say.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    version: Version,
    is_escaped: bool,
}

impl Encoder {
    pub fn new(version: Version, command: Command) -> Self {
        Self::with_capacity(version, command, 128)
    }

    /// `room` is the expected size of the frame in bytes.
    pub fn with_capacity(version: Version, command: Command, room: usize) -> Self {
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(command.as_str().as_bytes());
        out.push(b'\n');
        Self { out, version, is_escaped: command.is_escaped() }
    }

    pub fn header(&mut self, name: &str, value: &str) {
        if name == "content-length" {
            return;
        }
        if self.is_escaped {
            escape_into(&mut self.out, name, self.version, Part::Name);
            self.out.push(b':');
            escape_into(&mut self.out, value, self.version, Part::Value);
        } else {
            // Without escapes, only what could end the line early has to go.
            let kept = |it: &u8| !matches!(it, b'\n' | b'\r');
            self.out.extend(name.bytes().filter(kept).filter(|it| *it != b':'));
            self.out.push(b':');
            self.out.extend(value.bytes().filter(kept));
        }
        self.out.push(b'\n');
    }

    /// Ends a frame without a body.
    pub fn finish(self) -> Bytes {
        self.body(&[])
    }

    /// Ends the frame with that body.
    pub fn body(mut self, body: &[u8]) -> Bytes {
        if !body.is_empty() {
            self.out.extend_from_slice(b"content-length:");
            self.out.extend_from_slice(body.len().to_string().as_bytes());
            self.out.push(b'\n');
        }
        self.out.reserve_exact(body.len() + 2);
        self.out.push(b'\n');
        self.out.extend_from_slice(body);
        self.out.push(0);
        Bytes::from(self.out)
    }
}

impl Frame {
    /// The bytes of this frame.
    pub fn encode(&self, version: Version) -> Bytes {
        let room = 32 + 2 * self.headers.size() + self.body.len();
        let mut frame = Encoder::with_capacity(version, self.command, room);
        for (name, value) in self.headers.iter() {
            frame.header(name, value);
        }
        frame.body(&self.body)
    }
}
