//! A frame as a value.

use bytes::Bytes;

use super::{Command, Headers};

/// Command, headers and body; unescaped, without its terminator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub command: Command,
    pub headers: Headers,
    pub body: Bytes,
}

impl Frame {
    pub fn new(command: Command, headers: Headers) -> Self {
        Self { command, headers, body: Bytes::new() }
    }

    /// The first value of that header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}
