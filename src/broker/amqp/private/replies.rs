//! A queue for the answers to one session (D30), made at its first use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use lapin::types::{FieldTable, ShortString};

use super::exclusives::Claim;
use super::{Consume, Shared, Source};
use crate::broker::amqp::epochs::Epochs;
use crate::ident::SubscriptionKey;
use crate::session::Fault;
use crate::sync::lock;

/// Replies that a session is given before it has written the first.
const PREFETCH: u16 = 64;

/// What `reply-to:/temp-queue/NAME` stands for in one session.
#[derive(Debug)]
pub(in crate::broker::amqp) struct Replies {
    channel: Arc<Shared>,
    epochs: Epochs,
    key: SubscriptionKey,
    queue: Arc<ReplyQueue>,
}

/// What the channel of the session knows of it.
#[derive(Debug, Default)]
pub(in crate::broker::amqp) struct ReplyQueue {
    made: Mutex<Option<Made>>,
    has_ended: AtomicBool,
}

/// A queue ends with its channel, and the next one has another name.
#[derive(Debug)]
struct Made {
    generation: u64,
    name: ShortString,
    _claim: Option<Claim>,
}

impl Replies {
    pub(super) fn new(channel: Arc<Shared>, epochs: Epochs, key: SubscriptionKey) -> Self {
        Self { channel, epochs, key, queue: Arc::default() }
    }

    /// The name of the queue, while it is consumed.
    pub(in crate::broker::amqp) fn address(&self) -> Option<ShortString> {
        let now = self.epochs.now()?.number;
        self.queue.made().as_ref().filter(|it| it.generation == now).map(|it| it.name.clone())
    }

    /// Declares and consumes the queue, unless that has been done.
    pub(in crate::broker::amqp) async fn open(&self) -> Result<(), Fault> {
        if self.address().is_some() {
            return Ok(());
        }
        let (source, arguments) = (Source::Replies(self.queue.clone()), FieldTable::default());
        self.channel.subscribe(Consume { key: self.key, source, prefetch: PREFETCH, arguments }).await
    }

    /// Its session has gone: nobody can be answered.
    pub(in crate::broker::amqp) fn is_over(&self) -> bool {
        self.channel.is_over()
    }

    /// RabbitMQ has ended it, and the session was told.
    pub(in crate::broker::amqp) fn has_ended(&self) -> bool {
        self.queue.has_ended.load(Ordering::Relaxed)
    }
}

impl ReplyQueue {
    pub(super) fn opened(&self, generation: u64, name: ShortString, claim: Option<Claim>) {
        *self.made() = Some(Made { generation, name, _claim: claim });
    }

    /// With its channel.
    pub(super) fn lost(&self) {
        let made = self.made().take();
        drop(made);
    }

    pub(super) fn ended(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        lock(&self.made)
    }
}
