//! What a session has subscribed to on its channel, in the order of the SUBSCRIBEs, and what of it has to be consumed:
//! all of it, whenever the channel was lost. Without I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::types::AMQPValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::exclusives::Claim;
use super::{Consume, Done, Source};
use crate::broker::amqp::metrics::Counted;
use crate::broker::amqp::queue::STREAM_OFFSET;
use crate::broker::backoff::Backoff;
use crate::ident::SubscriptionKey;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Their keys rise with each SUBSCRIBE.
    all: BTreeMap<SubscriptionKey, Subscription>,
    /// When RabbitMQ is to be asked for what is not consumed.
    wanted: BTreeMap<SubscriptionKey, Instant>,
    pause: [Duration; 2],
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) consume: Consume,
    /// Of the consumer, while there is one. Another one may have left a few words in the stream.
    pub(super) consumer: Option<(u64, Counted)>,
    /// Of an exclusive queue.
    pub(super) claim: Option<Claim>,
    /// Present while it is being cancelled, and told when nothing more can arrive: what still does is not for the
    /// client.
    pub(super) drained: Option<oneshot::Sender<()>>,
    /// RabbitMQ has ended the consumer: it is not to be made again if it was deleted.
    pub(super) must_exist: bool,
    /// Its SUBSCRIBE was answered.
    pub(super) was_consumed: bool,
    /// RabbitMQ has said something to it since it came back.
    was_answered: bool,
    /// Who is told when it is consumed: its SUBSCRIBE, or publishes that need replies.
    waiting: Vec<Done>,
    /// Of the last message that a stream delivered.
    offset: Option<i64>,
    backoff: Backoff,
}

impl Subscriptions {
    pub(super) fn new(pause: [Duration; 2]) -> Self {
        Self { all: BTreeMap::new(), wanted: BTreeMap::new(), pause }
    }

    pub(super) fn want(&mut self, consume: Consume, done: Done, now: Instant) {
        let (key, [min, max]) = (consume.key, self.pause);
        let subscription = self.all.entry(key).or_insert_with(|| {
            self.wanted.insert(key, now);
            Subscription {
                consume,
                consumer: None,
                claim: None,
                drained: None,
                must_exist: false,
                was_consumed: false,
                was_answered: false,
                waiting: Vec::new(),
                offset: None,
                backoff: Backoff::new(min, max),
            }
        });
        // Replies are asked for by each publish that finds none.
        subscription.waiting.retain(|it| !it.is_closed());
        subscription.waiting.push(done);
        if subscription.consumer.is_some() {
            subscription.tell(&Ok(()));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.all.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.all.get_mut(&key)
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        self.wanted.remove(&key);
        self.all.remove(&key)
    }

    /// When the next one is to be asked for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.wanted.values().min().copied()
    }

    /// The first one to be asked for now.
    pub(super) fn due(&self, now: Instant) -> Option<&Subscription> {
        self.wanted.iter().find(|(_, due)| **due <= now).and_then(|(key, _)| self.all.get(key))
    }

    /// Whether there is anything to be asked for.
    pub(super) fn are_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether somebody waits for one.
    pub(super) fn are_waited_for(&self) -> bool {
        self.wanted.keys().filter_map(|it| self.all.get(it)).any(|it| it.waiting.iter().any(|done| !done.is_closed()))
    }

    /// Whether an exchange fills any of them, or those who were asked: what is published before it is consumed is lost.
    pub(super) fn are_filled(&self) -> bool {
        self.all.values().any(|it| it.consume.source.is_filled())
    }

    /// Whether those of which that holds are all there again; `None` if there are none.
    pub(super) fn are_back(&self) -> Option<bool> {
        let mut filled = self.all.values().filter(|it| it.was_consumed && it.consume.source.is_filled()).peekable();
        filled.peek()?;
        Some(filled.all(|it| it.consumer.is_some() || it.was_answered))
    }

    pub(super) fn consumed(&mut self, key: SubscriptionKey, consumer: (u64, Counted), claim: Option<Claim>) {
        self.wanted.remove(&key);
        let Some(it) = self.all.get_mut(&key) else { return };
        it.consumer = Some(consumer);
        it.claim = claim;
        it.must_exist = false;
        it.was_consumed = true;
        it.backoff.reset();
        it.tell(&Ok(()));
    }

    /// Again, after a pause.
    pub(super) fn postpone(&mut self, key: SubscriptionKey, was_answered: bool, now: Instant) {
        if let Some(it) = self.all.get_mut(&key) {
            it.was_answered |= was_answered;
            let pause = it.backoff.pause(false, rand::random());
            self.wanted.insert(key, now + pause);
        }
    }

    /// RabbitMQ has ended the consumer. Whether the queue is gone, it says when it is asked.
    pub(super) fn cancelled(&mut self, key: SubscriptionKey, now: Instant) {
        if let Some(it) = self.all.get_mut(&key) {
            it.consumer = None;
            it.must_exist = true;
        }
        self.postpone(key, true, now);
    }

    /// With the channel. What was exclusive is still the session's.
    pub(super) fn channel_lost(&mut self, due: Instant) {
        self.all.retain(|_, it| it.drained.is_none());
        for (key, it) in &mut self.all {
            it.lose_consumer();
            self.wanted.entry(*key).or_insert(due);
        }
    }

    /// With everything that there was at RabbitMQ.
    pub(super) fn lost(&mut self, now: Instant) {
        self.channel_lost(now);
        for (key, it) in &mut self.all {
            it.claim = None;
            it.must_exist = false;
            it.was_answered = false;
            it.backoff.reset();
            self.wanted.insert(*key, now);
        }
    }
}

impl Subscription {
    /// What RabbitMQ is asked for: what a stream has delivered, it need not deliver again.
    pub(super) fn asked(&self) -> Consume {
        let mut consume = self.consume.clone();
        if let Some(offset) = self.offset {
            consume.arguments.insert(STREAM_OFFSET.into(), AMQPValue::LongLongInt(offset.saturating_add(1)));
        }
        consume
    }

    /// By that consumer.
    pub(super) fn is_consumed(&self, by: u64) -> bool {
        self.consumer.as_ref().is_some_and(|(number, _)| *number == by)
    }

    pub(super) const fn delivered(&mut self, offset: Option<i64>) {
        if offset.is_some() {
            self.offset = offset;
        }
    }

    pub(super) fn tell(&mut self, outcome: &Result<(), Fault>) {
        // Nobody listens when the session has gone meanwhile.
        self.waiting.drain(..).for_each(|it| drop(it.send(outcome.clone())));
    }

    fn lose_consumer(&mut self) {
        self.consumer = None;
        if let Source::Replies(queue) = &self.consume.source {
            queue.lost();
        }
    }
}

impl Source {
    /// By an exchange, or by those who were asked.
    pub(super) fn is_filled(&self) -> bool {
        match self {
            Self::Bound(_) | Self::Replies(_) => true,
            Self::Declared(_) | Self::Existing(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
