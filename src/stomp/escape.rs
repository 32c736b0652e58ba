//! Escaping of header names and values (STOMP 1.2, Value Encoding).
//!
//! | frame | read | written |
//! |---|---|---|
//! | CONNECT, STOMP, CONNECTED | nothing | nothing |
//! | 1.0 | nothing | LF and CR, and the colon in names: 1.0 has no escapes, but a value must not end its own line |
//! | 1.1, 1.2 | `\n` `\r` `\c` `\\` | LF, CR, colon, backslash; 1.1 does not know `\r`, but a CR would be lost |
//!
//! What can't be written so, and would break the frame, is written as U+FFFD: NUL, and in frames without escapes LF, CR
//! and the colon of a name.

use std::borrow::Cow;

use super::{Command, Version};

/// Which half of a header line; the colons of a value may stay as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Name,
    Value,
}

/// Which bytes of a header are written as what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escaping {
    Full,
    LineEnds,
    None,
}

const UNWRITABLE: &str = "\u{FFFD}";

/// `None` if a backslash is followed by nothing, or by something else than `n`, `r`, `c` or a backslash.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\\');
    plain.push_str(parts.next().unwrap_or_default());
    while let Some(part) = parts.next() {
        let (c, rest) = match part.chars().next() {
            Some('n') => ('\n', &part[1..]),
            Some('r') => ('\r', &part[1..]),
            Some('c') => (':', &part[1..]),
            Some(_) => return None,
            // Between two backslashes.
            None => ('\\', parts.next()?),
        };
        plain.push(c);
        plain.push_str(rest);
    }
    Some(Cow::Owned(plain))
}

impl Escaping {
    pub(super) const fn of(command: Command, version: Version) -> Self {
        match version {
            _ if !command.is_escaped() => Self::None,
            Version::V1_0 => Self::LineEnds,
            Version::V1_1 | Version::V1_2 => Self::Full,
        }
    }

    /// Appends `text` so that a decoder reads it back, and never as anything but one name or value.
    pub(super) fn append(self, out: &mut Vec<u8>, text: &str, part: Part) {
        let bytes = text.as_bytes();
        // Without a branch per byte, this takes many bytes at a time; few headers have anything to escape.
        if !bytes.iter().fold(false, |found, byte| found | may_need_escape(*byte)) {
            out.extend_from_slice(bytes);
            return;
        }
        let mut copied = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(replacement) = self.replacement(*byte, part) {
                out.extend_from_slice(&bytes[copied..at]);
                out.extend_from_slice(replacement.as_bytes());
                copied = at + 1;
            }
        }
        out.extend_from_slice(&bytes[copied..]);
    }

    const fn replacement(self, byte: u8, part: Part) -> Option<&'static str> {
        match (self, byte, part) {
            (_, 0, _) | (Self::None, b'\n' | b'\r', _) | (Self::None, b':', Part::Name) => Some(UNWRITABLE),
            (Self::Full | Self::LineEnds, b'\n', _) => Some("\\n"),
            (Self::Full | Self::LineEnds, b'\r', _) => Some("\\r"),
            (Self::Full, b':', _) | (Self::LineEnds, b':', Part::Name) => Some("\\c"),
            (Self::Full, b'\\', _) => Some("\\\\"),
            (_, _, _) => None,
        }
    }
}

/// Whether any frame writes it as something else.
const fn may_need_escape(byte: u8) -> bool {
    matches!(byte, 0 | b'\n' | b'\r' | b':' | b'\\')
}
