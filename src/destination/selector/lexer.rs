//! The words and signs of a selector.

use super::SelectorError;
use super::value::Number;

/// A piece of the text, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The first character has number 1.
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    End,
    Number(Number),
    /// Operators and brackets; which one is in the text of the token.
    Sign,
    /// Between quotes, with doubled ones for one.
    Text(Box<str>),
    /// A keyword or a name.
    Word,
}

/// Longer ones first.
const SIGNS: [&str; 17] = ["==", "!=", "<>", "<=", ">=", "&&", "||", "=", "<", ">", "!", "(", ")", "[", "]", ",", "."];

/// What of a token an error shows.
const SHOWN_CHARS_MAX: usize = 20;

#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, at: 1 }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, SelectorError> {
        let blanks = self.rest.len() - self.rest.trim_start().len();
        self.take(blanks);
        let Some(first) = self.rest.chars().next() else { return Ok(self.token(Kind::End, 0)) };
        if matches!(first, '\'' | '"') {
            return self.quoted(first);
        }
        if is_name_start(first) {
            let length = self.rest.find(|it| !is_name(it)).unwrap_or(self.rest.len());
            return Ok(self.token(Kind::Word, length));
        }
        let is_number = first.is_ascii_digit() || matches!(first, '-' | '+' | '.');
        if let Some((number, length)) = is_number.then(|| number(self.rest)).flatten() {
            return Ok(self.token(Kind::Number(number), length));
        }
        match SIGNS.iter().find(|it| self.rest.starts_with(**it)) {
            Some(sign) => Ok(self.token(Kind::Sign, sign.len())),
            None => {
                let length = first.len_utf8();
                let unknown = self.token(Kind::Sign, length);
                Err(unknown.unexpected("a header, a value or an operator"))
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token<'a>, SelectorError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, char)) = chars.next() {
            if char != quote {
                text.push(char);
            } else if chars.next_if(|(_, it)| *it == quote).is_some() {
                text.push(quote);
            } else {
                return Ok(self.token(Kind::Text(text.into()), at + 1));
            }
        }
        let open = self.token(Kind::Sign, self.rest.len());
        Err(open.unexpected("a closing quote"))
    }

    fn token(&mut self, kind: Kind, length: usize) -> Token<'a> {
        let at = self.at;
        Token { kind, text: self.take(length), at }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }
}

impl Token<'_> {
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// Keywords in capitals or not.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn unexpected(&self, expected: &'static str) -> SelectorError {
        let mut shown: String = self.text.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < self.text.len() {
            shown.push_str("..");
        }
        let found = if self.kind == Kind::End { "its end".to_owned() } else { format!("`{shown}`") };
        SelectorError::Unexpected { at: self.at, expected, found }
    }
}

/// Names of headers have hyphens, and nothing here subtracts.
fn is_name(char: char) -> bool {
    is_name_start(char) || char.is_ascii_digit() || char == '-'
}

fn is_name_start(char: char) -> bool {
    char.is_alphabetic() || char == '_' || char == '$'
}

/// A number at the beginning of the text, and its length.
fn number(text: &str) -> Option<(Number, usize)> {
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = sign + digits(sign);
    if text[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let signed = end + 1 + usize::from(text[end + 1..].starts_with(['-', '+']));
        if digits(signed) > 0 {
            end = signed + digits(signed);
        }
    }
    let is_whole_word = !text[end..].starts_with(is_name);
    Number::parse(&text[..end]).filter(|_| is_whole_word).map(|it| (it, end))
}
