//! Writes one frame.

use bytes::Bytes;

use super::escape::{Escaping, Part};
use super::{Command, Frame, Version};

/// A frame being written: headers in the order of the calls, then the body.
///
/// `content-length` is the encoder's own: written whenever the body is not empty, whatever the headers say.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    escaping: Escaping,
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
        Self { out, escaping: Escaping::of(command, version) }
    }

    /// A whole frame, in memory of just its size unless something in it is escaped.
    pub fn frame<'a>(
        version: Version,
        command: Command,
        headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        body: &[u8],
    ) -> Bytes {
        let written = headers.clone().filter(|(name, _)| is_written(name));
        let lines: usize = written.map(|(name, value)| name.len() + value.len() + 2).sum();
        let room = command.as_str().len() + 1 + lines + size_of_end(body);
        let mut frame = Self::with_capacity(version, command, room);
        headers.for_each(|(name, value)| frame.header(name, value));
        frame.body(body)
    }

    /// A header without a name is left out: it can't be said, and clients give up at a line that begins with a colon.
    pub fn header(&mut self, name: &str, value: &str) {
        if !is_written(name) {
            return;
        }
        self.escaping.append(&mut self.out, name, Part::Name);
        self.out.push(b':');
        self.escaping.append(&mut self.out, value, Part::Value);
        self.out.push(b'\n');
    }

    /// Ends a frame without a body.
    pub fn finish(self) -> Bytes {
        self.body(&[])
    }

    /// Ends the frame with that body.
    pub fn body(mut self, body: &[u8]) -> Bytes {
        self.out.reserve_exact(size_of_end(body));
        if !body.is_empty() {
            self.out.extend_from_slice(b"content-length:");
            push_decimal(&mut self.out, body.len());
            self.out.push(b'\n');
        }
        self.out.push(b'\n');
        self.out.extend_from_slice(body);
        self.out.push(0);
        Bytes::from(self.out)
    }
}

impl Frame {
    /// The bytes of this frame.
    pub fn encode(&self, version: Version) -> Bytes {
        Encoder::frame(version, self.command, self.headers.iter(), &self.body)
    }
}

fn is_written(name: &str) -> bool {
    !name.is_empty() && name != "content-length"
}

/// From the content-length line on.
fn size_of_end(body: &[u8]) -> usize {
    let length = body.len().checked_ilog10().map_or(0, |it| "content-length:\n".len() + it as usize + 1);
    length + 1 + body.len() + 1
}

/// Digits by hand, as the machinery of `write!` costs more than a whole header.
fn push_decimal(out: &mut Vec<u8>, number: usize) {
    let first = out.len();
    let mut rest = number;
    while out.len() == first || rest > 0 {
        out.push(b"0123456789"[rest % 10]);
        rest /= 10;
    }
    out[first..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, command: Command, headers: &[(&str, &str)], body: &[u8], expected: &str) {
        let bytes = Encoder::frame(version, command, headers.iter().copied(), body);
        assert_eq!(str::from_utf8(&bytes).unwrap(), expected);
    }

    #[test]
    fn f19_content_length_is_written_for_a_body_and_only_then() {
        let headers = [("content-length", "7"), ("a", "b")];
        check(Version::V1_2, Command::Send, &headers, b"", "SEND\na:b\n\n\0");
        check(Version::V1_2, Command::Send, &headers, b"hi", "SEND\na:b\ncontent-length:2\n\nhi\0");
        let long = "x".repeat(1_230);
        check(Version::V1_0, Command::Send, &[], long.as_bytes(), &format!("SEND\ncontent-length:1230\n\n{long}\0"));
    }

    #[test]
    fn f19_headers_are_escaped_as_the_version_can() {
        let headers = [("a:\\b", "c:\\d"), ("e\n", "\r\nf\n")];
        check(Version::V1_0, Command::Message, &headers, b"", "MESSAGE\na\\c\\b:c:\\d\ne\\n:\\r\\nf\\n\n\n\0");
        let escaped = "MESSAGE\na\\c\\\\b:c\\c\\\\d\ne\\n:\\r\\nf\\n\n\n\0";
        check(Version::V1_1, Command::Message, &headers, b"", escaped);
        check(Version::V1_2, Command::Message, &headers, b"", escaped);
    }

    #[test]
    fn f5_the_connecting_frames_are_not_escaped() {
        for version in Version::ALL {
            let connected = "CONNECTED\nserver:a:b\\c\n\n\0";
            check(version, Command::Connected, &[("server", "a:b\\c")], b"", connected);
        }
    }

    #[test]
    fn f19_what_can_not_be_said_does_not_break_the_frame() {
        let lost = "CONNECTED\na\u{FFFD}b:c\u{FFFD}\u{FFFD}d:\u{FFFD}\n\n\0";
        check(Version::V1_2, Command::Connected, &[("a:b", "c\r\nd:\0")], b"", lost);
        for version in Version::ALL {
            let headers = [("", "nameless"), ("a\0b", "\0c")];
            check(version, Command::Message, &headers, b"", "MESSAGE\na\u{FFFD}b:\u{FFFD}c\n\n\0");
        }
    }

    #[test]
    fn a_frame_without_escapes_takes_memory_of_just_its_size() {
        for length in [0, 1, 9, 10, 99, 100, 12_345] {
            let body = vec![b'x'; length];
            let headers = [("destination", "/topic/a"), ("content-length", "3")];
            let lines = headers[..1].iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
            let bytes = Encoder::frame(Version::V1_2, Command::Send, headers.into_iter(), &body);
            assert_eq!(bytes.len(), "SEND\n".len() + lines + size_of_end(&body));
        }
    }
}
