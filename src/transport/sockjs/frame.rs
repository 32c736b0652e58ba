//! The frames of SockJS: `o`, `h`, `a["..."]`, `c[code,"reason"]`.

use std::collections::VecDeque;

use bytes::Bytes;

/// The session exists (S36).
pub(super) const OPEN: Bytes = Bytes::from_static(b"o");

/// The connection lives (S37).
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b"h");

/// Messages that wait to be written, as arrays that are complete but for their last bracket.
#[derive(Debug)]
pub(super) struct Arrays {
    /// Bytes of one array, unless a single message is larger.
    bytes_max: usize,
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Arrays {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, waiting: VecDeque::new(), bytes: 0 }
    }

    /// What is not UTF-8 becomes U+FFFD.
    pub(super) fn push(&mut self, message: &[u8]) {
        let bytes_max = self.bytes_max;
        match self.waiting.back_mut().filter(|it| it.len() + message.len() <= bytes_max) {
            Some(array) => {
                let before = array.len();
                array.push(b',');
                quote(array, message, Quoted::Text);
                self.bytes += array.len() - before;
            }
            None => {
                let mut array = Vec::with_capacity(message.len() + 8);
                array.extend_from_slice(b"a[");
                quote(&mut array, message, Quoted::Text);
                self.bytes += array.len();
                self.waiting.push_back(array);
            }
        }
    }

    /// A frame of what has waited longest.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let mut array = self.waiting.pop_front()?;
        self.bytes -= array.len();
        array.push(b']');
        Some(array.into())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is inside a JSON string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quoted {
    Text,
    /// Text within a script of a page, which a `<` could end.
    Script,
}

/// The end of a session, and why.
pub(super) fn close(code: u16, reason: &str) -> Bytes {
    let mut frame = format!("c[{code},").into_bytes();
    quote(&mut frame, reason.as_bytes(), Quoted::Text);
    frame.push(b']');
    frame.into()
}

/// Adds a JSON string (S40, S41). What is not UTF-8 becomes U+FFFD.
pub fn quote(out: &mut Vec<u8>, text: &[u8], kind: Quoted) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        quote_valid(out, chunk.valid(), kind);
        if !chunk.invalid().is_empty() {
            escape(out, char::REPLACEMENT_CHARACTER);
        }
    }
    out.push(b'"');
}

fn quote_valid(out: &mut Vec<u8>, text: &str, kind: Quoted) {
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        if must_be_escaped(c) || (c == '<' && kind == Quoted::Script) {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            escape(out, c);
            copied = at + c.len_utf8();
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

const fn must_be_escaped(c: char) -> bool {
    matches!(
        c,
        '"' | '\\'
            | ..' '
            | '\u{200c}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..
    )
}

fn escape(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        _ => {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            return units.for_each(|it| out.extend_from_slice(format!("\\u{it:04x}").as_bytes()));
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: impl AsRef<[u8]>, kind: Quoted) -> String {
        let mut out = Vec::new();
        quote(&mut out, text.as_ref(), kind);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn s40_s42_quotes_backslashes_and_controls_are_escaped_and_slashes_are_not() {
        assert_eq!(quoted("  \0\n\r ", Quoted::Text), r#""  \u0000\n\r ""#);
        assert_eq!(quoted("\"\\/\u{8}\u{c}\t\u{1f}\u{7f}<", Quoted::Text), "\"\\\"\\\\/\\b\\f\\t\\u001f\u{7f}<\"");
    }

    #[test]
    fn s41_what_browsers_stumble_over_is_escaped_and_all_else_is_plain() {
        for (first, last) in [(0x200c, 0x200f), (0x2028, 0x202f), (0x2060, 0x206f), (0xfff0, 0xffff)] {
            for code in first..=last {
                let c = char::from_u32(code).unwrap();
                assert_eq!(quoted(c.to_string(), Quoted::Text), format!("\"\\u{code:04x}\""));
            }
            for code in [first - 1, last + 1].into_iter().filter(|it| *it < 0x10000) {
                let c = char::from_u32(code).unwrap();
                assert_eq!(quoted(c.to_string(), Quoted::Text), format!("\"{c}\""));
            }
        }
        assert_eq!(quoted("é😀\u{10ffff}", Quoted::Text), "\"é\\ud83d\\ude00\\udbff\\udfff\"");
    }

    #[test]
    fn s75_in_a_script_nothing_can_end_it() {
        assert_eq!(quoted("</script>", Quoted::Script), "\"\\u003c/script>\"");
    }

    #[test]
    fn what_is_no_text_becomes_the_replacement_character() {
        assert_eq!(quoted(b"a\xff\xc3b\xe2\x82", Quoted::Text), r#""a\ufffd\ufffdb\ufffd""#);
    }

    #[test]
    fn s39_a_close_is_a_code_and_a_quoted_reason() {
        assert_eq!(close(3000, "Go away!"), r#"c[3000,"Go away!"]"#);
        assert_eq!(close(4500, "a \"b\""), r#"c[4500,"a \"b\""]"#);
    }

    #[test]
    fn s38_all_that_waits_goes_into_one_array() {
        let mut arrays = Arrays::new(1000);
        assert_eq!((arrays.pop(), arrays.bytes()), (None, 0));
        ["x", "y", "\""].iter().for_each(|it| arrays.push(it.as_bytes()));
        assert_eq!(arrays.bytes(), r#"a["x","y","\"""#.len());
        assert_eq!(arrays.pop().unwrap(), r#"a["x","y","\""]"#);
        assert_eq!((arrays.pop(), arrays.bytes()), (None, 0));
    }

    #[test]
    fn t1_an_array_is_bounded_and_a_message_is_never_cut() {
        let mut arrays = Arrays::new(10);
        ["1234", "56", "7890", "a long message of its own", ""].iter().for_each(|it| arrays.push(it.as_bytes()));
        let frames: Vec<_> = std::iter::from_fn(|| arrays.pop()).collect();
        assert_eq!(frames, [r#"a["1234","56"]"#, r#"a["7890"]"#, r#"a["a long message of its own"]"#, r#"a[""]"#]);
        assert_eq!(arrays.bytes(), 0);
    }
}
