//! Which paths a route answers: Ant patterns without regular expressions, and which of two is the more specific one.

use std::cmp::Reverse;
use std::fmt;

/// What parts the words of a path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Separator {
    /// Spring's `AntPathMatcher(".")`: `/app/orders.7`.
    Dot,
    #[default]
    Slash,
}

/// The path of `/app/orders/{id}`: words as they are, `{name}` for any word, `*` for any word without a name, `**` for
/// any number of words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: Box<str>,
    words: Vec<Word>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Word {
    Any,
    Literal(Box<str>),
    Rest,
    Variable(Box<str>),
}

/// The smaller one is the more specific one, as Spring compares them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Specificity {
    is_catch_all: bool,
    wildcards: usize,
    length: Reverse<usize>,
    any: usize,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    #[error("it has to begin with /app/")]
    Elsewhere,
    #[error("{0:?} is no word of a pattern: a word has no wildcard, or is {{name}}, * or **")]
    Malformed(String),
    #[error("{0} is there twice")]
    Repeated(String),
    #[error("{{{0}}} is no name: it has letters, digits, - and _")]
    Unnamed(String),
}

/// The values of the variables of a pattern, in their order.
pub(super) type Variables = Vec<(Box<str>, Box<str>)>;

pub const PREFIX: &str = "/app";

impl Separator {
    fn split(self, path: &str) -> impl Iterator<Item = &str> {
        let at = match self {
            Self::Dot => '.',
            Self::Slash => '/',
        };
        path.strip_prefix('/').unwrap_or(path).split(at)
    }
}

impl Pattern {
    /// `text` is a whole destination.
    pub fn parse(text: &str, separator: Separator) -> Result<Self, PatternError> {
        let path = text.strip_prefix(PREFIX).filter(|it| it.len() > 1 && it.starts_with('/'));
        let path = path.ok_or(PatternError::Elsewhere)?;
        let words = separator.split(path).map(Word::parse).collect::<Result<Vec<_>, _>>()?;
        let pattern = Self { text: text.into(), words };
        let mut names: Vec<_> = pattern.variables().collect();
        names.sort_unstable();
        match names.windows(2).find(|it| it[0] == it[1]) {
            Some(repeated) => Err(PatternError::Repeated(format!("{{{}}}", repeated[0]))),
            None if pattern.words.iter().filter(|it| **it == Word::Rest).count() > 1 => {
                Err(PatternError::Repeated("**".to_owned()))
            }
            None => Ok(pattern),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter_map(|it| if let Word::Variable(name) = it { Some(&**name) } else { None })
    }

    /// Whether both match the same paths, whatever their variables are called.
    pub fn is_like(&self, other: &Self) -> bool {
        let shape = |it: &Word| match it {
            Word::Variable(_) => Word::Any,
            Word::Any | Word::Literal(_) | Word::Rest => it.clone(),
        };
        self.words.len() == other.words.len()
            && self.words.iter().zip(&other.words).all(|(one, other)| shape(one) == shape(other))
    }

    pub fn specificity(&self) -> Specificity {
        let count = |kind: fn(&Word) -> bool| self.words.iter().filter(|it| kind(it)).count();
        let any = count(|it| matches!(it, Word::Any));
        let variables = count(|it| matches!(it, Word::Variable(_)));
        let rests = count(|it| matches!(it, Word::Rest));
        let length = self.words.iter().map(|it| it.length() + 1).sum();
        let is_catch_all = matches!(&*self.words, [Word::Rest]);
        Specificity { is_catch_all, wildcards: variables + any + 2 * rests, length: Reverse(length), any }
    }

    /// The variables of a path that it matches.
    pub fn variables_of(&self, path: &str, separator: Separator) -> Option<Variables> {
        let given: Vec<_> = separator.split(path).collect();
        let rest = self.words.iter().position(|it| *it == Word::Rest);
        let (front, back) = match rest {
            Some(at) => (&self.words[..at], &self.words[at + 1..]),
            None => (&*self.words, &[][..]),
        };
        let back_at = given.len().checked_sub(back.len()).filter(|it| front.len() <= *it)?;
        if rest.is_none() && front.len() != given.len() {
            return None;
        }
        let mut variables = Vec::new();
        for (word, given) in front.iter().zip(&given).chain(back.iter().zip(&given[back_at..])) {
            match word {
                Word::Literal(literal) if **literal != **given => return None,
                Word::Any | Word::Variable(_) if given.is_empty() => return None,
                Word::Variable(name) => variables.push((name.clone(), (*given).into())),
                Word::Any | Word::Literal(_) | Word::Rest => {}
            }
        }
        Some(variables)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Word {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let name = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        match (text, name) {
            ("*", _) => Ok(Self::Any),
            ("**", _) => Ok(Self::Rest),
            (_, Some(name)) if is_name(name) => Ok(Self::Variable(name.into())),
            (_, Some(name)) => Err(PatternError::Unnamed(name.to_owned())),
            _ if text.is_empty() || text.contains(['*', '{', '}', '?']) => {
                Err(PatternError::Malformed(text.to_owned()))
            }
            _ => Ok(Self::Literal(text.into())),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Any | Self::Variable(_) => 1,
            Self::Literal(literal) => literal.len(),
            Self::Rest => 2,
        }
    }
}

/// One that a header and a template can hold.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, Separator::Slash).unwrap()
    }

    fn check(text: &str, path: &str, expected: Option<&str>) {
        let found = pattern(text).variables_of(path, Separator::Slash);
        let shown = found.map(|it| it.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>());
        assert_eq!(shown.as_deref().map(str::trim_end), expected, "{text} against {path}");
    }

    #[test]
    fn words_variables_and_wildcards_match_whole_words() {
        check("/app/simple", "/simple", Some(""));
        check("/app/simple", "/simple/", None);
        check("/app/simple", "/simples", None);
        check("/app/orders/{id}", "/orders/7", Some("id=7"));
        check("/app/orders/{id}", "/orders/", None);
        check("/app/orders/{id}", "/orders/7/lines", None);
        check("/app/{a}/{b}/x", "/1/2.5/x", Some("a=1 b=2.5"));
        check("/app/orders/*", "/orders/7", Some(""));
        check("/app/orders/**", "/orders", Some(""));
        check("/app/orders/**", "/orders/7/lines/1", Some(""));
        check("/app/**/lines/{n}", "/orders/7/lines/1", Some("n=1"));
        check("/app/**/lines/{n}", "/lines/1", Some("n=1"));
        check("/app/{first}/**/{last}", "/a/b/c/d", Some("first=a last=d"));
        check("/app/{first}/**/{last}", "/a", None);
        check("/app/**", "/", Some(""));
    }

    #[test]
    fn dots_part_words_when_that_is_the_separator() {
        let pattern = Pattern::parse("/app/orders.{id}.*", Separator::Dot).unwrap();
        let found = pattern.variables_of("/orders.7.lines", Separator::Dot).unwrap();
        assert_eq!(found, [("id".into(), "7".into())]);
        assert_eq!(pattern.variables_of("/orders/7/lines", Separator::Dot), None);
    }

    #[test]
    fn the_more_specific_pattern_goes_first() {
        let texts = ["/app/**", "/app/a/**", "/app/*/b", "/app/{x}/b", "/app/a/{x}/ccc", "/app/a/b", "/app/aaa/{x}"];
        let mut patterns: Vec<_> = texts.map(pattern).into();
        patterns.sort_by_key(Pattern::specificity);
        let sorted: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
        let expected = ["/app/a/b", "/app/a/{x}/ccc", "/app/aaa/{x}", "/app/{x}/b", "/app/*/b", "/app/a/**", "/app/**"];
        assert_eq!(sorted, expected);
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let refused = |text| Pattern::parse(text, Separator::Slash).unwrap_err().to_string();
        assert_eq!(refused("/topic/a"), "it has to begin with /app/");
        assert_eq!(refused("/app"), "it has to begin with /app/");
        assert_eq!(refused("/app/"), "it has to begin with /app/");
        assert!(refused("/app/a*").starts_with("\"a*\" is no word of a pattern"));
        assert!(refused("/app/a//b").starts_with("\"\" is no word of a pattern"));
        assert_eq!(refused("/app/{a}/{a}"), "{a} is there twice");
        assert_eq!(refused("/app/**/a/**"), "** is there twice");
        assert!(refused("/app/{a:[0-9]+}").starts_with("{a:[0-9]+} is no name"));
    }

    #[test]
    fn patterns_are_alike_if_only_their_names_differ() {
        assert!(pattern("/app/{a}/x").is_like(&pattern("/app/*/x")));
        assert!(!pattern("/app/{a}/x").is_like(&pattern("/app/{a}/y")));
        assert!(!pattern("/app/a/**").is_like(&pattern("/app/a/*")));
    }
}
