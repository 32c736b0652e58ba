//! One session's end of the STOMP broker.

use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::worker::Line;
use crate::broker::Pending;
use crate::destination::Destination;
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
        if let Err(fault) = check(&publish.destination) {
            return Pending::ready(Err(fault));
        }
        self.line.with(|it| it.publish(&publish, now()))
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        if let Err(fault) = check(&subscribe.destination) {
            return Pending::ready(Err(fault));
        }
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

/// The broker knows no users: it would take the text for a queue that everybody shares.
fn check(destination: &Destination) -> Result<(), Fault> {
    match destination {
        Destination::User { .. } => Err(Fault::Unsupported("users are not served in front of a STOMP broker")),
        Destination::AmqQueue(_)
        | Destination::App(_)
        | Destination::Exchange { .. }
        | Destination::Foreign(_)
        | Destination::Queue(_)
        | Destination::ReplyQueue(_)
        | Destination::TempQueue(_)
        | Destination::Topic(_) => Ok(()),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
