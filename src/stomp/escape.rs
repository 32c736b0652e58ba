//! Escaping of header names and values (STOMP 1.2, Value Encoding).
//!
//! | version | read | written |
//! |---|---|---|
//! | 1.0 | nothing | LF and CR, and the colon in names: 1.0 has no escapes, but a value must not end its own line |
//! | 1.1 | `\n` `\r` `\c` `\\` | LF, colon, backslash, and CR for the same reason |
//! | 1.2 | `\n` `\r` `\c` `\\` | LF, CR, colon, backslash |

use std::borrow::Cow;

use super::Version;

/// Which half of a header line; STOMP 1.0 leaves the colons of a value as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Name,
    Value,
}

/// A backslash that is followed by nothing, or by something else than `n`, `r`, `c` or a backslash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadEscape;

pub(super) fn unescape(text: &str) -> Result<Cow<'_, str>, BadEscape> {
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut plain = String::with_capacity(text.len());
    plain.push_str(&text[..first]);
    let mut rest = text[first..].chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('c') => ':',
                Some('\\') => '\\',
                Some(_) | None => return Err(BadEscape),
            },
            plain => plain,
        };
        plain.push(c);
    }
    Ok(Cow::Owned(plain))
}

/// Appends `text` so that a decoder of that version reads it back.
pub(super) fn escape_into(out: &mut Vec<u8>, text: &str, version: Version, part: Part) {
    for &byte in text.as_bytes() {
        match (byte, version, part) {
            (b'\n', _, _) => out.extend_from_slice(b"\\n"),
            (b'\r', _, _) => out.extend_from_slice(b"\\r"),
            (b':', Version::V1_0, Part::Value) => out.push(b':'),
            (b':', _, _) => out.extend_from_slice(b"\\c"),
            (b'\\', Version::V1_1 | Version::V1_2, _) => out.extend_from_slice(b"\\\\"),
            (byte, _, _) => out.push(byte),
        }
    }
}
