//! What is wrong with a configuration: where it was read, what it is, what would be right.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The file or the environment variable.
    pub origin: String,
    /// Dotted path of the key; empty when the whole source is at fault.
    pub key: String,
    pub problem: String,
}

/// Everything that is wrong with one configuration; never empty.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if self.key.is_empty() { f.write_str(&self.problem) } else { write!(f, "{} {}", self.key, self.problem) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault{}:", self.0.len(), if self.0.len() == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}
