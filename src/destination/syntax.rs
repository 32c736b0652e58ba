//! How patterns are written: RabbitMQ's words between dots, or Spring's Ant paths.

use super::ant;

/// Which wildcards a pattern has, and what parts it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Syntax {
    /// `?`, `*`, `**` and `{name}` in paths between slashes, as [`ant`] has it.
    Ant,
    /// `*` and `#` among words between dots (D4).
    #[default]
    Words,
}

/// One part of a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step<'a> {
    /// Any number of parts.
    Any,
    /// A part in which some characters are open: [`ant::globs`] reads it.
    Glob(&'a str),
    /// Any one part.
    One,
    /// That very part.
    Word(&'a str),
}

impl Syntax {
    /// The parts of a pattern.
    pub fn steps(self, pattern: &str) -> impl Iterator<Item = Step<'_>> {
        self.parts(pattern).map(move |part| match self {
            Self::Ant => ant::step(part),
            Self::Words => match part {
                "*" => Step::One,
                "#" => Step::Any,
                word => Step::Word(word),
            },
        })
    }

    /// The parts of what a message is published to.
    pub fn parts(self, key: &str) -> std::str::Split<'_, char> {
        key.split(match self {
            Self::Ant => '/',
            Self::Words => '.',
        })
    }

    /// Whether anything but its own text matches.
    pub fn has_wildcards(self, pattern: &str) -> bool {
        match self {
            Self::Ant => ant::has_wildcards(pattern),
            Self::Words => self.parts(pattern).any(|word| word == "*" || word == "#"),
        }
    }
}
