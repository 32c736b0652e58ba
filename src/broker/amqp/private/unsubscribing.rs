//! An UNSUBSCRIBE that was begun: the consumer ends first, and then its queue, if RabbitMQ does not delete it by itself.

use std::time::Duration;

use lapin::types::ShortString;
use tokio::time::Instant;

use super::exclusives::Claim;
use super::{Done, Source};
use crate::broker::backoff::Backoff;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Unsubscribing {
    done: Done,
    /// The queue, and whether it is exclusive: such a one ends with its connection, and is this session's by its claim.
    delete: Option<(ShortString, bool)>,
    claim: Option<Claim>,
    /// When it is to be deleted; `None` while the consumer is being cancelled, or the queue deleted.
    due: Option<Instant>,
    backoff: Backoff,
}

impl Unsubscribing {
    pub(super) fn new(
        done: Done,
        source: &Source,
        is_final: bool,
        claim: Option<Claim>,
        [min, max]: [Duration; 2],
    ) -> Self {
        Self { done, delete: source.left_behind(is_final), claim, due: None, backoff: Backoff::new(min, max) }
    }

    /// Nothing is consumed any more. What is left to do; `None` if that was all, which is told.
    pub(super) fn cancelled(mut self, now: Instant) -> Option<Self> {
        if self.claim.is_none() {
            self.delete.take_if(|(_, is_exclusive)| *is_exclusive);
        }
        if self.delete.is_none() {
            self.tell(Ok(()));
            return None;
        }
        self.due = Some(now);
        Some(self)
    }

    /// The same, with the connection.
    pub(super) fn lost(mut self, now: Instant) -> Option<Self> {
        self.claim = None;
        self.cancelled(now)
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The queue to delete, if it is time.
    pub(super) fn delete(&mut self, now: Instant) -> Option<ShortString> {
        self.due.take_if(|it| *it <= now)?;
        self.delete.as_ref().map(|(queue, _)| queue.clone())
    }

    pub(super) fn postpone(&mut self, now: Instant) {
        self.due = Some(now + self.backoff.pause(false, rand::random()));
    }

    pub(super) fn deleted(self) {
        self.claim.iter().for_each(Claim::gone);
        self.tell(Ok(()));
    }

    pub(super) fn tell(self, outcome: Result<(), Fault>) {
        // Nobody listens when the session has gone meanwhile.
        drop(self.done.send(outcome));
    }
}
