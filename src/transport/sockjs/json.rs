//! Reads what clients of SockJS send: a JSON array of strings.
//!
//! The strings are read as bytes, since half of a surrogate pair may end one of them and the other half begin the next.

use std::collections::VecDeque;

use bytes::Bytes;

/// Why nothing of it is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// No JSON, or an array that holds something else than strings (S45).
    Broken,
    /// JSON, but no array (S68).
    NoArray,
}

/// Messages of one array, in their order.
#[derive(Debug, Default)]
pub(super) struct Messages {
    text: Bytes,
    /// Of those that are left, in bytes.
    lengths: VecDeque<u32>,
}

/// Reads the arrays of one session.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// First half of a pair that a message ended with (T4).
    high: Option<u16>,
}

/// Arrays and objects within each other.
const DEPTH_MAX: usize = 32;

impl Reader {
    /// With a fault nothing is taken, so the next array is read as if this one had not been there.
    pub(super) fn array(&mut self, text: &[u8]) -> Result<Messages, Fault> {
        self.read(text, false)
    }

    /// A single string is one message (S46).
    pub(super) fn array_or_string(&mut self, text: &[u8]) -> Result<Messages, Fault> {
        self.read(text, true)
    }

    fn read(&mut self, text: &[u8], may_be_string: bool) -> Result<Messages, Fault> {
        let mut cursor = Cursor::new(text)?;
        let mut strings = Strings { high: self.high, text: Vec::new(), lengths: VecDeque::new() };
        if cursor.takes(b'[') {
            if !cursor.takes(b']') {
                cursor.separated(b']', |cursor| strings.read(cursor))?;
            }
        } else if may_be_string && cursor.peek() == Some(b'"') {
            strings.read(&mut cursor)?;
        } else {
            cursor.value(0)?;
            return Err(cursor.end().err().unwrap_or(Fault::NoArray));
        }
        cursor.end()?;
        self.high = strings.high;
        Ok(Messages { text: strings.text.into(), lengths: strings.lengths })
    }
}

impl Iterator for Messages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let length = self.lengths.pop_front()?;
        Some(self.text.split_to(length as usize))
    }
}

/// What is being read.
struct Strings {
    high: Option<u16>,
    text: Vec<u8>,
    lengths: VecDeque<u32>,
}

impl Strings {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let begin = self.text.len();
        cursor.string(&mut |part| match part {
            Part::Plain(text) => {
                self.complete();
                self.text.extend_from_slice(text);
            }
            Part::Unit(unit) => self.unit(unit),
        })?;
        self.lengths.push_back(u32::try_from(self.text.len() - begin).map_err(|_| Fault::Broken)?);
        Ok(())
    }

    /// A lone half is no error (S44).
    fn unit(&mut self, unit: u16) {
        const LONE: char = char::REPLACEMENT_CHARACTER;
        if let (Some(high), 0xDC00..0xE000) = (self.high, unit) {
            self.high = None;
            char::decode_utf16([high, unit]).for_each(|it| self.push(it.unwrap_or(LONE)));
            return;
        }
        self.complete();
        match unit {
            0xD800..0xDC00 => self.high = Some(unit),
            _ => self.push(char::from_u32(unit.into()).unwrap_or(LONE)),
        }
    }

    /// What was begun has no second half.
    fn complete(&mut self) {
        if self.high.take().is_some() {
            self.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn push(&mut self, c: char) {
        self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Of a string.
enum Part<'a> {
    Plain(&'a [u8]),
    /// What was escaped, as UTF-16.
    Unit(u16),
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8]) -> Result<Self, Fault> {
        std::str::from_utf8(text).map_err(|_| Fault::Broken)?;
        Ok(Self { rest: text })
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let blanks = self.rest.iter().take_while(|it| b" \t\r\n".contains(it)).count();
        self.rest = &self.rest[blanks..];
        self.rest.first().copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.rest = &self.rest[usize::from(is_there)..];
        is_there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.takes(byte) { Ok(()) } else { Err(Fault::Broken) }
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { Err(Fault::Broken) }
    }

    /// At least one item, and what closes the list.
    fn separated(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            item(self)?;
            if !self.takes(b',') {
                return self.expect(close);
            }
        }
    }

    fn string(&mut self, take: &mut dyn FnMut(Part<'a>)) -> Result<(), Fault> {
        self.expect(b'"')?;
        loop {
            let is_plain = |it: &&u8| !matches!(**it, b'"' | b'\\' | ..b' ');
            let (plain, rest) = self.rest.split_at(self.rest.iter().take_while(is_plain).count());
            if !plain.is_empty() {
                take(Part::Plain(plain));
            }
            let (special, rest) = rest.split_first().ok_or(Fault::Broken)?;
            self.rest = rest;
            match special {
                b'"' => return Ok(()),
                b'\\' => take(Part::Unit(self.escaped()?)),
                _ => return Err(Fault::Broken),
            }
        }
    }

    fn escaped(&mut self) -> Result<u16, Fault> {
        let (kind, rest) = self.rest.split_first().ok_or(Fault::Broken)?;
        self.rest = rest;
        Ok(match kind {
            b'"' | b'\\' | b'/' => u16::from(*kind),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let (digits, rest) = self.rest.split_at_checked(4).ok_or(Fault::Broken)?;
                self.rest = rest;
                let digit = |unit: u16, it: &u8| Some(unit << 4 | char::from(*it).to_digit(16)? as u16);
                digits.iter().try_fold(0, digit).ok_or(Fault::Broken)?
            }
            _ => return Err(Fault::Broken),
        })
    }

    /// Any value, which is passed over.
    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek().filter(|_| depth < DEPTH_MAX) {
            Some(b'"') => self.string(&mut |_| ()),
            Some(b'[') => {
                self.expect(b'[')?;
                if self.takes(b']') { Ok(()) } else { self.separated(b']', |it| it.value(depth + 1)) }
            }
            Some(b'{') => {
                self.expect(b'{')?;
                if self.takes(b'}') { Ok(()) } else { self.separated(b'}', |it| it.member(depth)) }
            }
            Some(_) => self.word(),
            None => Err(Fault::Broken),
        }
    }

    fn member(&mut self, depth: usize) -> Result<(), Fault> {
        self.peek();
        self.string(&mut |_| ())?;
        self.expect(b':')?;
        self.value(depth + 1)
    }

    /// A number, or a name.
    fn word(&mut self) -> Result<(), Fault> {
        let is_of_word = |it: &&u8| it.is_ascii_alphanumeric() || b"+-.".contains(it);
        let (word, rest) = self.rest.split_at(self.rest.iter().take_while(is_of_word).count());
        self.rest = rest;
        let is_number = || {
            let begins = word.first().is_some_and(|it| it.is_ascii_digit() || *it == b'-');
            begins && std::str::from_utf8(word).is_ok_and(|it| it.parse::<f64>().is_ok_and(f64::is_finite))
        };
        if [&b"true"[..], b"false", b"null"].contains(&word) || is_number() { Ok(()) } else { Err(Fault::Broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sockjs::{Quoted, quote};

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<String>, Fault> {
        let messages = Reader::default().array(text.as_ref())?;
        Ok(messages.map(|it| String::from_utf8(it.to_vec()).unwrap()).collect())
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(read(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn s43_every_escape_and_every_character_is_taken() {
        check("[]", &[]);
        check(" [ \"a\" ,\t\"\"\r\n, \"b\" ] ", &["a", "", "b"]);
        check(r#"["\"\\\/\b\f\n\r\t\u0000\u00e9\u20AC\ud83d\ude00"]"#, &["\"\\/\u{8}\u{c}\n\r\t\0é€😀"]);
        check("[\"é€😀\u{fffe}\u{ffff}\u{7f}\u{2028}\"]", &["é€😀\u{fffe}\u{ffff}\u{7f}\u{2028}"]);
    }

    #[test]
    fn s44_half_of_a_pair_becomes_the_replacement_character() {
        check(r#"["\ud83dx","x\ude00","\ud83d\ud83d\ude00"]"#, &["\u{fffd}x", "x\u{fffd}", "\u{fffd}😀"]);
        check(r#"["\ud83d\u0041"]"#, &["\u{fffd}A"]);
    }

    #[test]
    fn t4_a_pair_that_is_cut_between_two_messages_is_joined() {
        check(r#"["a\ud83d","\ude00b"]"#, &["a", "😀b"]);
        check(r#"["a\ud83d","b"]"#, &["a", "\u{fffd}b"]);
        let mut reader = Reader::default();
        let mut text = |body: &str| -> Vec<u8> { reader.array(body.as_bytes()).unwrap().flatten().collect() };
        assert_eq!([text(r#"["a\ud83d"]"#), text("[]"), text(r#"["\ude00b"]"#)].concat(), "a😀b".as_bytes());
    }

    #[test]
    fn t4_a_broken_body_leaves_a_cut_pair_as_it_was() {
        let mut reader = Reader::default();
        assert_eq!(reader.array(br#"["\ud83d"]"#).unwrap().next().unwrap(), "");
        assert_eq!(reader.array(br#"["x",1]"#).unwrap_err(), Fault::Broken);
        assert_eq!(reader.array(br#"["\ude00"]"#).unwrap().next().unwrap(), "😀");
    }

    #[test]
    fn s45_an_array_with_anything_but_strings_is_broken_as_a_whole() {
        for text in ["[1]", r#"["a",1]"#, r#"["a",null]"#, r#"[["a"]]"#, r#"["a",{}]"#] {
            assert_eq!(read(text), Err(Fault::Broken), "{text}");
        }
    }

    #[test]
    fn s68_what_is_no_json_is_broken_and_json_that_is_no_array_is_told_apart() {
        let broken = [
            "",
            " ",
            "[",
            "[\"x",
            "[\"x\"",
            "[\"x\",]",
            "[,]",
            "[\"x\"]]",
            "x",
            "[\"\\x\"]",
            "[\"\\u12\"]",
            "[\"\n\"]",
            "{",
            "{\"a\"}",
            "{a:1}",
            "tru",
            "1x",
            "[\"a\" \"b\"]",
            "\"",
            "\"\\",
            "inf",
            "nan",
            "{} {}",
        ];
        for text in broken {
            assert_eq!(read(text), Err(Fault::Broken), "{text}");
        }
        assert_eq!(read(b"[\"\xff\"]"), Err(Fault::Broken));
        assert_eq!(read("[".repeat(100_000)), Err(Fault::Broken));
        assert_eq!(read(format!("{{\"a\":{}", "[".repeat(100_000))), Err(Fault::Broken));
        for text in ["null", "true", " 1 ", "-1.5e3", "\"a\"", "{}", r#"{"a":[1,{"b":"c"}],"d":null}"#] {
            assert_eq!(read(text), Err(Fault::NoArray), "{text}");
        }
    }

    #[test]
    fn s46_over_websocket_a_single_string_is_a_message() {
        let mut reader = Reader::default();
        assert_eq!(reader.array_or_string(b" \"a\" ").unwrap().collect::<Vec<_>>(), ["a"]);
        assert_eq!(reader.array_or_string(b"[\"b\"]").unwrap().collect::<Vec<_>>(), ["b"]);
        assert_eq!(reader.array_or_string(b"\"a").unwrap_err(), Fault::Broken);
        assert_eq!(reader.array_or_string(b"{}").unwrap_err(), Fault::NoArray);
    }

    proptest::proptest! {
        /// Whatever is quoted is read as it was, wherever the text is cut between its UTF-16 units.
        #[test]
        fn t4_any_text_in_any_pieces_is_read_as_it_was(
            text: String,
            cuts in proptest::collection::vec(0..20_usize, 1..9),
        ) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let (mut rest, mut read, mut reader) = (&units[..], Vec::new(), Reader::default());
            for cut in cuts.iter().cycle().take(units.len() + cuts.len()) {
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                rest = more;
                let escaped: String = piece.iter().map(|it| format!("\\u{it:04x}")).collect();
                read.extend(reader.array(format!("[\"{escaped}\"]").as_bytes()).unwrap().flatten());
            }
            let escaped: String = rest.iter().map(|it| format!("\\u{it:04x}")).collect();
            read.extend(reader.array(format!("[\"{escaped}\"]").as_bytes()).unwrap().flatten());
            proptest::prop_assert_eq!(String::from_utf8(read).unwrap(), text.clone());

            let mut quoted = b"[".to_vec();
            quote(&mut quoted, text.as_bytes(), Quoted::Script);
            quoted.push(b']');
            let whole: Vec<u8> = Reader::default().array(&quoted).unwrap().flatten().collect();
            proptest::prop_assert_eq!(String::from_utf8(whole).unwrap(), text);
        }
    }
}
