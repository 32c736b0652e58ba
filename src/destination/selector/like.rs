//! LIKE: `%` is any text, `_` any one character, and what follows the escape character is itself.

/// A pattern of LIKE.
#[derive(Debug, PartialEq)]
pub(super) struct Like(Box<[Piece]>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Char(char),
    Many,
    One,
}

/// A longer text is unknown to LIKE: what a comparison costs grows with the pattern times the text.
const TEXT_BYTES_MAX: usize = 256;

impl Like {
    /// `None` if the escape character stands before nothing.
    pub(super) fn new(pattern: &str, escape: Option<char>) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            pieces.push(match char {
                it if Some(it) == escape => Piece::Char(chars.next()?),
                '%' if pieces.last() == Some(&Piece::Many) => continue,
                '%' => Piece::Many,
                '_' => Piece::One,
                it => Piece::Char(it),
            });
        }
        Some(Self(pieces.into()))
    }

    /// Each `%` takes as little as what follows it lets it. Only the last one has to be tried again: what comes before
    /// it has matched as early as it could.
    pub(super) fn matches(&self, text: &str) -> Option<bool> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (mut at, mut rest) = (0, text.chars());
        // Where to go on when a piece does not match: after the last `%`, with one more character taken by it.
        let mut again = None;
        loop {
            let mut after = rest.clone();
            let char = after.next();
            match (self.0.get(at), char) {
                (Some(Piece::Many), _) => {
                    at += 1;
                    again = Some((at, rest.clone()));
                    continue;
                }
                (None, None) => return Some(true),
                (Some(Piece::One), Some(_)) => (at, rest) = (at + 1, after),
                (Some(Piece::Char(it)), Some(char)) if *it == char => (at, rest) = (at + 1, after),
                (_, None) => return Some(false),
                (_, Some(_)) => {
                    let Some((start, taken)) = &mut again else { return Some(false) };
                    taken.next();
                    (at, rest) = (*start, taken.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn like(pattern: &str, text: &str) -> bool {
        Like::new(pattern, Some('!')).unwrap().matches(text).unwrap()
    }

    #[test]
    fn percent_is_any_text_and_underscore_one_character() {
        for (pattern, text) in [
            ("", ""),
            ("%", ""),
            ("%", "abc"),
            ("a%", "a"),
            ("a%c", "abcbc"),
            ("%b%", "abc"),
            ("_", "ä"),
            ("a_c%", "abcd"),
            ("!%", "%"),
            ("!!!_", "!_"),
        ] {
            assert!(like(pattern, text), "{pattern} and {text}");
        }
        for (pattern, text) in
            [("", "a"), ("_", ""), ("_", "ab"), ("a%c", "abcb"), ("a", "A"), ("!%", "a"), ("!_", "a")]
        {
            assert!(!like(pattern, text), "{pattern} and {text}");
        }
    }

    #[test]
    fn an_escape_character_stands_before_another_one() {
        assert_eq!(Like::new("a!", Some('!')), None);
        assert!(Like::new("a!", None).is_some());
    }

    #[test]
    fn a_text_of_one_byte_too_many_is_unknown() {
        let like = Like::new("%", None).unwrap();
        assert_eq!(like.matches(&"a".repeat(256)), Some(true));
        assert_eq!(like.matches(&"a".repeat(257)), None);
    }

    /// The definition.
    fn plain(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['%', rest @ ..], _) => plain(rest, text) || (!text.is_empty() && plain(pattern, &text[1..])),
            (['_', rest @ ..], [_, text @ ..]) => plain(rest, text),
            ([char, rest @ ..], [first, text @ ..]) => char == first && plain(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab%_]{0,8}", text in "[ab]{0,10}") {
            let chars = |it: &str| it.chars().collect::<Vec<_>>();
            let found = Like::new(&pattern, None).unwrap().matches(&text);
            prop_assert_eq!(found, Some(plain(&chars(&pattern), &chars(&text))));
        }
    }
}
