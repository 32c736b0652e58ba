//! Why a frame was not handled: what the client is told, and what the log says beyond that.

use bytes::Bytes;

use crate::stomp::Headers;

/// One call that came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    pub cause: Cause,
    /// For the client.
    pub text: String,
    /// For operators alone: it may name hosts.
    pub detail: String,
    /// What the handler said, if that is for the client.
    body: Option<Box<(Headers, Bytes)>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The handler has a fault, or what it said makes no sense.
    Failed,
    /// A bound of the gateway.
    Limit,
    /// No route is for such a frame.
    Missing,
    /// The handler does not want it.
    Refused,
    TimedOut,
    Unavailable,
}

impl Failure {
    pub(super) fn new(cause: Cause, detail: String) -> Self {
        let text = match cause {
            Cause::Failed => "The handler failed",
            Cause::Limit => "A limit of handlers was passed",
            Cause::Missing => "No handler",
            Cause::Refused => "The handler refused this",
            Cause::TimedOut => "The handler did not answer in time",
            Cause::Unavailable => "The handler can't be reached",
        };
        Self { cause, text: text.to_owned(), detail, body: None }
    }

    pub(super) fn told(self, text: String) -> Self {
        Self { text, ..self }
    }

    pub(super) fn with_body(self, headers: Headers, body: Bytes) -> Self {
        Self { body: Some(Box::new((headers, body))), ..self }
    }

    /// As the message that a client gets in place of an answer.
    pub(super) fn message(&self) -> (Headers, Bytes) {
        let own = || {
            let headers = Headers::from_iter([("content-type", "text/plain")]);
            (headers, Bytes::copy_from_slice(self.text.as_bytes()))
        };
        self.body.as_deref().cloned().unwrap_or_else(own)
    }
}
