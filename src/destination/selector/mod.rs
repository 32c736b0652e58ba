//! Selectors: a condition on the headers of a message, in the SUBSCRIBE of who wants only some of them.
//!
//! One grammar takes the subset of SQL-92 that JMS has and the part of Spring's expressions that is used for this:
//!
//! ```text
//! or         = and { (OR | "||") and }
//! and        = not { (AND | "&&") not }
//! not        = { NOT | "!" } primary
//! primary    = "(" or ")" | value [ comparison ]
//! comparison = operator value | IS [NOT] NULL | [NOT] LIKE text [ESCAPE text]
//!            | [NOT] BETWEEN value AND value | [NOT] IN "(" value { "," value } ")"
//! operator   = "=" "<>" "<" "<=" ">" ">=" | "==" "!=" eq ne lt le gt ge
//! value      = 'text' | "text" | number | TRUE | FALSE | NULL | header
//! header     = name | headers "." name | headers "[" text "]"
//! ```
//!
//! A header that is absent makes a comparison unknown, as in SQL, and what is unknown is not delivered. `==` and `!=`
//! are Spring's: they take an absent header for `null` and are never unknown.

mod expression;
mod lexer;
mod like;
mod parser;
mod value;

use std::hash::{Hash, Hasher};

use expression::Expression;

/// A checked selector. Compared by its text.
#[derive(Debug)]
pub struct Selector {
    text: Box<str>,
    expression: Expression,
}

/// Why a text is no selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SelectorError {
    #[error("The selector is nested more than {DEPTH_MAX} deep at character {at}: use fewer parentheses")]
    Deep { at: usize },
    #[error("The selector is wrong at character {at}: {expected} is expected here, not {found}")]
    Unexpected { at: usize, expected: &'static str, found: String },
}

/// Parentheses and negations within each other.
const DEPTH_MAX: usize = 32;

impl Selector {
    /// The time it takes grows with the length of the text alone, so whoever calls this has to bound it.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let expression = parser::parse(text)?;
        Ok(Self { text: text.into(), expression })
    }

    /// Whether the condition is true; not if it is unknown. `header` says what a header of the message holds.
    pub fn matches<'a>(&'a self, header: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        self.expression.evaluate(header) == Some(true)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selector {}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests;
