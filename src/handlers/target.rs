//! What passes between the gateway and a target, whichever way it goes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::request::Metadata;
use super::settings::Target;
use super::web::Web;
use crate::stomp::Headers;

/// One attempt at a call.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub metadata: Metadata,
    pub content_type: Option<Box<str>>,
    pub body: Bytes,
    /// The words of the path, with dots between them.
    pub routing_key: Box<str>,
    /// The same for each attempt.
    pub delivery: Box<str>,
    /// What is left of the time for the call.
    pub timeout: Duration,
    pub wants: Wants,
}

/// Whether somebody waits for what the target says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wants {
    Answer,
    Nothing,
}

/// What a target said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// Of HTTP, and in its sense everywhere.
    pub status: u16,
    /// Names in lower case.
    pub headers: Headers,
    pub body: Bytes,
}

impl Response {
    /// All is well, and there is nothing to say.
    pub fn nothing() -> Self {
        Self { status: 204, headers: Headers::new(), body: Bytes::new() }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unanswered {
    #[error("the answer is larger than {max} bytes (app.response_bytes_max)")]
    TooLarge { max: usize },
    /// It may be there in a moment.
    #[error("{0}")]
    Unreachable(String),
    #[error("nobody consumes what is sent there")]
    Unroutable,
    /// It can't be said over that way.
    #[error("{0}")]
    Unsendable(String),
}

/// The port to whoever carries calls over AMQP.
pub trait Rpc: Debug + Send + Sync {
    /// Resolves with the answer, at once if nobody listens, and when the time is over in any case.
    fn call(&self, exchange: &str, outgoing: Outgoing) -> BoxFuture<'static, Result<Response, Unanswered>>;
}

/// The ways to targets.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) web: Web,
    /// There is one if a target needs it.
    pub(super) rpc: Option<Arc<dyn Rpc>>,
}

impl Ways {
    pub(super) async fn send(&self, target: &Target, outgoing: Outgoing) -> Result<Response, Unanswered> {
        match (target, &self.rpc) {
            (Target::Http(url), _) => self.web.post(url, &outgoing).await,
            (Target::Amqp(exchange), Some(rpc)) => rpc.call(exchange, outgoing).await,
            (Target::Amqp(_), None) => Err(Unanswered::Unreachable("there is no RabbitMQ".to_owned())),
        }
    }
}
