//! Frames for those who can carry nothing but text.

use bytes::Bytes;

/// The frame as it is, or if its body is not UTF-8, one with U+FFFD for what is not and the length that it then has.
pub fn text_only(frame: Bytes) -> Result<Bytes, Bytes> {
    if std::str::from_utf8(&frame).is_ok() {
        return Ok(frame);
    }
    let head_end = memchr::memmem::find(&frame, b"\n\n").map_or(0, |it| it + 1);
    let (head, rest) = frame.split_at(head_end);
    // It begins with the second line end, and ends with a NUL.
    let rest = String::from_utf8_lossy(rest);
    let body_bytes = rest.len().saturating_sub(2);
    let mut text = Vec::with_capacity(head.len() + rest.len() + 8);
    for line in head.split_inclusive(|it| *it == b'\n') {
        if line.starts_with(b"content-length:") {
            text.extend_from_slice(format!("content-length:{body_bytes}\n").as_bytes());
        } else {
            text.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
        }
    }
    text.extend_from_slice(rest.as_bytes());
    Err(text.into())
}

/// Whether these are bytes as a script prints them, `67,79,78,..`: what becomes of binary data that a client hands to a
/// connection for text.
pub fn is_printed_bytes(text: &[u8]) -> bool {
    let mut numbers = text.split(|it| *it == b',');
    let is_byte = |it: &[u8]| {
        it.len() <= 3 && std::str::from_utf8(it).is_ok_and(|it| it.parse::<u8>().is_ok() && !it.starts_with('+'))
    };
    text.contains(&b',') && numbers.all(is_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_bytes_that_were_printed_are_known() {
        assert!(is_printed_bytes(b"67,79,78,78,69,67,84,10") && is_printed_bytes(b"10,0"));
        for text in [&b"CONNECT\n"[..], b"", b"\n", b"67", b"67,", b"67,300", b"67, 68", b"67,+1"] {
            assert!(!is_printed_bytes(text), "{text:?}");
        }
    }

    #[test]
    fn t5_a_body_that_is_no_text_gets_replacements_and_the_length_that_it_then_has() {
        let frame = Bytes::from_static(b"MESSAGE\nk:\xc3\xa9\ncontent-length:4\n\n\xffa\n\n\0");
        let expected = "MESSAGE\nk:é\ncontent-length:6\n\n\u{fffd}a\n\n\0";
        assert_eq!(text_only(frame).unwrap_err(), expected);
    }

    #[test]
    fn t5_text_stays_as_it_is() {
        for text in ["\n", "MESSAGE\ncontent-length:2\n\né\0"] {
            assert_eq!(text_only(Bytes::from_static(text.as_bytes())).unwrap(), text);
        }
    }
}
