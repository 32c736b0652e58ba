//! Values of a selector, and how they compare.

use std::cmp::Ordering;

/// Whole numbers are compared as such, so that long ones are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Real(f64),
}

/// What a selector names, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Bool(bool),
    Header(Box<str>),
    Null,
    Number(Number),
    Text(Box<str>),
}

/// What it is for one message. A header is always text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Absent,
    Bool(bool),
    Number(Number),
    Text(&'a str),
}

impl Number {
    /// Digits with a sign, a fraction or an exponent; no blanks, infinities or names.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let first = text.trim_start_matches(['-', '+']).bytes().next()?;
        if !first.is_ascii_digit() && first != b'.' {
            return None;
        }
        let real = || text.parse().ok().filter(|it: &f64| it.is_finite()).map(Self::Real);
        text.parse().ok().map(Self::Whole).or_else(real)
    }

    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.real().partial_cmp(&b.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "beside a fraction, as in every language")]
            Self::Whole(it) => it as f64,
            Self::Real(it) => it,
        }
    }
}

impl Operand {
    pub(super) fn value<'a>(&'a self, header: &dyn Fn(&str) -> Option<&'a str>) -> Value<'a> {
        match self {
            Self::Bool(it) => Value::Bool(*it),
            Self::Header(name) => header(name).map_or(Value::Absent, Value::Text),
            Self::Null => Value::Absent,
            Self::Number(it) => Value::Number(*it),
            Self::Text(it) => Value::Text(it),
        }
    }
}

impl Value<'_> {
    /// `None` if one is absent, or they are of different kinds.
    pub(super) fn equals(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a == b),
            (Self::Bool(_), _) | (_, Self::Bool(_)) => Some(self.truth()? == other.truth()?),
            (Self::Number(_), _) | (_, Self::Number(_)) => self.order(other).map(Ordering::is_eq),
            (Self::Absent, _) | (_, Self::Absent) => None,
        }
    }

    /// The same, with an absent header for a value like others.
    pub(super) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => true,
            (a, b) => a.equals(b) == Some(true),
        }
    }

    /// Of numbers.
    pub(super) fn order(self, other: Self) -> Option<Ordering> {
        self.number()?.order(other.number()?)
    }

    pub(super) fn truth(self) -> Option<bool> {
        match self {
            Self::Bool(it) => Some(it),
            Self::Text("true") => Some(true),
            Self::Text("false") => Some(false),
            Self::Absent | Self::Number(_) | Self::Text(_) => None,
        }
    }

    fn number(self) -> Option<Number> {
        match self {
            Self::Number(it) => Some(it),
            Self::Text(it) => Number::parse(it),
            Self::Absent | Self::Bool(_) => None,
        }
    }
}
