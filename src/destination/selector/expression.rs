//! What a selector means: true, false, or unknown, as in SQL.

use std::cmp::Ordering;

use super::like::Like;
use super::value::{Operand, Value};

/// As deep as the parser lets it be.
#[derive(Debug)]
pub(super) enum Expression {
    All(Vec<Self>),
    Any(Vec<Self>),
    Compare(Operand, Comparison, Operand),
    IsNull(Operand),
    IsTrue(Operand),
    Like(Operand, Like),
    Not(Box<Self>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `==`
    Same,
    /// `!=`
    Different,
}

impl Expression {
    pub(super) fn evaluate<'a>(&'a self, header: &dyn Fn(&str) -> Option<&'a str>) -> Option<bool> {
        match self {
            Self::All(parts) => fold(parts, header, false),
            Self::Any(parts) => fold(parts, header, true),
            Self::Compare(left, comparison, right) => comparison.apply(left.value(header), right.value(header)),
            Self::IsNull(operand) => Some(matches!(operand.value(header), Value::Absent)),
            Self::IsTrue(operand) => operand.value(header).truth(),
            Self::Like(operand, like) => match operand.value(header) {
                Value::Text(text) => like.matches(text),
                Value::Absent | Value::Bool(_) | Value::Number(_) => None,
            },
            Self::Not(part) => part.evaluate(header).map(|it| !it),
        }
    }
}

/// AND and OR: one part that `decides` is enough, and without it one that is unknown makes all of it unknown.
fn fold<'a>(parts: &'a [Expression], header: &dyn Fn(&str) -> Option<&'a str>, decides: bool) -> Option<bool> {
    let mut outcome = Some(!decides);
    for part in parts {
        match part.evaluate(header) {
            Some(it) if it == decides => return Some(decides),
            Some(_) => (),
            None => outcome = None,
        }
    }
    outcome
}

impl Comparison {
    /// Whether it is about numbers alone.
    pub(super) const fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }

    fn apply(self, left: Value<'_>, right: Value<'_>) -> Option<bool> {
        match self {
            Self::Equal => left.equals(right),
            Self::NotEqual => left.equals(right).map(|it| !it),
            Self::Less => left.order(right).map(Ordering::is_lt),
            Self::LessOrEqual => left.order(right).map(Ordering::is_le),
            Self::Greater => left.order(right).map(Ordering::is_gt),
            Self::GreaterOrEqual => left.order(right).map(Ordering::is_ge),
            Self::Same => Some(left.is_same(right)),
            Self::Different => Some(!left.is_same(right)),
        }
    }
}
