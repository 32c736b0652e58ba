//! One session's end of the STOMP broker.

use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::worker::Line;
use crate::broker::Pending;
use crate::message::AckToken;
use crate::session::{Fault, Publish, Subscribe, Unsubscribe, Verdict};

/// Dropping it writes what was asked, says DISCONNECT and closes the connection.
#[derive(Debug)]
pub struct Link {
    line: Line,
    _closing: DropGuard,
}

impl Link {
    pub(super) fn new(line: Line) -> Self {
        let closing = line.closed.clone().drop_guard();
        Self { line, _closing: closing }
    }

    pub fn publish(&mut self, publish: Publish) -> Pending {
        self.line.with(|it| it.publish(&publish, now()))
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        self.line.with(|it| it.subscribe(subscribe, now()))
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        self.line.with(|it| it.unsubscribe(unsubscribe, now()))
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        self.line.with(|it| it.settle(tokens, verdict));
    }

    pub(in crate::broker) fn fault(&self) -> Fault {
        self.line.dialogue().over().cloned().unwrap_or(Fault::Unavailable)
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
