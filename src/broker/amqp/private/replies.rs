//! A queue for the answers to one session (D30), made at its first use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use lapin::types::{FieldTable, ShortString};

use super::exclusives::Claim;
use super::{Consume, Shared, Source};
use crate::ident::SubscriptionKey;
use crate::session::Fault;

/// Replies that a session is given before it has written the first.
const PREFETCH: u16 = 64;

/// What `reply-to:/temp-queue/NAME` stands for in one session.
#[derive(Debug)]
pub(in crate::broker::amqp) struct Replies {
    channel: Arc<Shared>,
    key: SubscriptionKey,
    queue: Arc<ReplyQueue>,
}

/// What the channel of the session knows of it.
#[derive(Debug, Default)]
pub(in crate::broker::amqp) struct ReplyQueue {
    name: OnceLock<(ShortString, Claim)>,
    has_ended: AtomicBool,
}

impl Replies {
    pub(super) fn new(channel: Arc<Shared>, key: SubscriptionKey) -> Self {
        Self { channel, key, queue: Arc::default() }
    }

    /// The name of the queue, once it is consumed.
    pub(in crate::broker::amqp) fn address(&self) -> Option<&ShortString> {
        self.queue.name()
    }

    /// Declares and consumes the queue, unless that has been done.
    pub(in crate::broker::amqp) async fn open(&self) -> Result<(), Fault> {
        if self.address().is_some() {
            return Ok(());
        }
        let (source, arguments) = (Source::Replies(self.queue.clone()), FieldTable::default());
        self.channel.subscribe(Consume { key: self.key, source, prefetch: PREFETCH, arguments }).await
    }

    /// RabbitMQ has ended it, and the session was told.
    pub(in crate::broker::amqp) fn has_ended(&self) -> bool {
        self.queue.has_ended.load(Ordering::Relaxed)
    }
}

impl ReplyQueue {
    pub(super) fn name(&self) -> Option<&ShortString> {
        self.name.get().map(|(name, _)| name)
    }

    pub(super) fn opened(&self, name: ShortString, claim: Claim) {
        // Set once: each session opens one after the other.
        drop(self.name.set((name, claim)));
    }

    pub(super) fn ended(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }
}
