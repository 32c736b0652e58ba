//! Ant patterns, as subscriptions to Spring's simple broker have them, over whole destinations (`/topic/a/*`).
//!
//! `?` is one character, `*` any number of them within a segment, `**` as a segment any number of segments, `{name}`
//! the same as `*`. `{name:IBM|MSFT}`, with or without parentheses, is one of these words. Other regular expressions
//! are refused. Everything else is itself, and case counts.

use super::Step;

/// `**` in a pattern. Each takes any number of segments, so several would find a message at many places at once.
const PATHS_MAX: usize = 2;

/// `*` and `{name}` beside other characters of a segment, for the same reason.
const STARS_MAX: usize = 2;

/// Characters of a segment from its first `*` on, of which none is `?`. So few places of a word can be meant by many
/// patterns at once: what stands between stars is text, and a text ends at a given character or does not.
const AFTER_STAR_MAX: usize = 64;

/// Ways to read one segment: the product of its alternatives.
const READINGS_MAX: usize = 16;

/// Why a pattern is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AntError {
    #[error("'{0}' has a '{{' without its '}}': a variable is a name in braces within one segment, as in {{name}}")]
    Open(String),
    #[error(
        "'{{{0}}}' is a regular expression, and those are not taken: write {{name}}, or words between bars, as in \
         {{name:IBM|MSFT}}"
    )]
    Regex(String),
    #[error("A pattern to subscribe to has at most {max} {what}, not {count}")]
    Wildcards { what: &'static str, count: usize, max: usize },
    #[error("'{0}' has '?' behind '*' or {{name}}: within one segment '?' has to come first")]
    Order(String),
    #[error("A segment with alternatives can be read in at most {READINGS_MAX} ways, and '{0}' in more")]
    Readings(String),
}

/// What a segment is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece<'a> {
    Char(&'a str),
    /// `?`
    One,
    /// `*`, `{name}`
    Any,
    /// `{name:a|b}`
    OneOf(Vec<&'a str>),
}

impl Piece<'_> {
    fn length(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Char(_) | Self::One => 1,
            Self::OneOf(words) => words.iter().map(|it| it.chars().count()).max().unwrap_or(0),
        }
    }
}

/// Whether anything but its own text matches, as Spring decides it.
pub(super) fn has_wildcards(pattern: &str) -> bool {
    let has_variable = |it: &str| it.split_once('{').is_some_and(|(_, rest)| rest.contains('}'));
    pattern.contains(['*', '?']) || has_variable(pattern)
}

/// Whether a subscription to that pattern can be had.
pub fn check(pattern: &str) -> Result<(), AntError> {
    if !has_wildcards(pattern) {
        return Ok(());
    }
    let mut paths = 0;
    for segment in pattern.split('/') {
        let pieces = pieces(segment)?;
        match step(segment) {
            Step::Any => paths += 1,
            Step::Glob(_) => check_glob(segment, &pieces)?,
            Step::One | Step::Word(_) => (),
        }
    }
    at_most("times '**'", paths, PATHS_MAX)
}

fn check_glob(segment: &str, pieces: &[Piece<'_>]) -> Result<(), AntError> {
    let first_star = pieces.iter().position(|it| *it == Piece::Any).unwrap_or(pieces.len());
    let after = &pieces[first_star..];
    at_most("times '*' in a segment", after.iter().filter(|it| **it == Piece::Any).count(), STARS_MAX)?;
    at_most("characters behind '*' in a segment", after.iter().map(Piece::length).sum(), AFTER_STAR_MAX)?;
    if after.contains(&Piece::One) {
        return Err(AntError::Order(segment.to_owned()));
    }
    if readings(pieces) > READINGS_MAX { Err(AntError::Readings(segment.to_owned())) } else { Ok(()) }
}

/// What a segment of a checked pattern is.
pub(super) fn step(segment: &str) -> Step<'_> {
    match segment {
        "**" => Step::Any,
        "*" => Step::One,
        _ if !has_wildcards(segment) => Step::Word(segment),
        _ if pieces(segment).is_ok_and(|it| it == [Piece::Any]) => Step::One,
        _ => Step::Glob(segment),
    }
}

/// Each way to read a [`Step::Glob`], in steps of characters. Nothing, if the segment was refused.
pub fn globs(segment: &str) -> Vec<Vec<Step<'_>>> {
    let mut readings = vec![Vec::new()];
    for piece in pieces(segment).unwrap_or_default() {
        let step = match piece {
            Piece::Char(text) => Step::Word(text),
            Piece::One => Step::One,
            Piece::Any => Step::Any,
            Piece::OneOf(words) => {
                readings = readings.iter().flat_map(|it| words.iter().map(|word| longer(it, word))).collect();
                continue;
            }
        };
        readings.iter_mut().for_each(|it| it.push(step));
    }
    readings
}

fn longer<'a>(reading: &[Step<'a>], word: &'a str) -> Vec<Step<'a>> {
    reading.iter().copied().chain(characters(word).map(Step::Word)).collect()
}

/// A text by its characters.
pub fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, it)| &text[at..at + it.len_utf8()])
}

fn pieces(segment: &str) -> Result<Vec<Piece<'_>>, AntError> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some(first) = characters(rest).next() {
        rest = &rest[first.len()..];
        let piece = match first {
            "?" => Piece::One,
            "*" => Piece::Any,
            "{" => {
                let (variable, after) = rest.split_once('}').ok_or_else(|| AntError::Open(segment.to_owned()))?;
                rest = after;
                variable_piece(variable)?
            }
            other => Piece::Char(other),
        };
        // Several in a row take no more than one does.
        if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

/// What stands between braces.
fn variable_piece(variable: &str) -> Result<Piece<'_>, AntError> {
    let refused = || AntError::Regex(variable.to_owned());
    let Some((_, expression)) = variable.split_once(':') else {
        return if variable.contains('{') { Err(refused()) } else { Ok(Piece::Any) };
    };
    let words = expression.strip_prefix('(').and_then(|it| it.strip_suffix(')')).unwrap_or(expression);
    if words.contains(|it: char| "\\^$.?*+()[]{".contains(it)) {
        return Err(refused());
    }
    let mut words: Vec<_> = words.split('|').collect();
    words.sort_unstable();
    words.dedup();
    Ok(Piece::OneOf(words))
}

fn readings(pieces: &[Piece<'_>]) -> usize {
    pieces.iter().fold(1, |ways, it| if let Piece::OneOf(words) = it { ways.saturating_mul(words.len()) } else { ways })
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), AntError> {
    if count <= max { Ok(()) } else { Err(AntError::Wildcards { what, count, max }) }
}

#[cfg(test)]
mod tests;
