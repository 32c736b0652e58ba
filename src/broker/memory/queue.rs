//! One queue: what waits in it, who consumes it, and what they have not settled yet. No lock and no clock here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::account::Account;
use crate::delivery::{Item, Outbox, Pushed};
use crate::ident::SubscriptionKey;
use crate::message::{AckToken, Delivery, Message};
use crate::session::Verdict;

/// The state of a queue.
///
/// Every message is either waiting or unsettled with one consumer. Whatever happened to a message, it waits in the
/// place that its number gives it, so the order of the publishes is the order of the deliveries.
#[derive(Debug)]
pub(super) struct Queue {
    account: Arc<Account>,
    waiting: VecDeque<Entry>,
    consumers: HashMap<ConsumerId, Consumer>,
    /// Consumers that have credit, the one whose turn is next first.
    turns: BTreeMap<u64, ConsumerId>,
    /// Numbers of messages, deliveries and turns. One sequence serves all three.
    last_number: u64,
    /// Of what waits and what is unsettled.
    messages: usize,
    charge: usize,
    /// Nothing that waits expires before.
    earliest_expiry: Option<Instant>,
    is_over: bool,
}

/// Unique in its broker: the scope of the tokens of all that this consumer is given.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct ConsumerId(pub(super) u64);

/// One subscription's part of a queue.
#[derive(Debug)]
pub(super) struct Consumer {
    outbox: Arc<Outbox>,
    key: SubscriptionKey,
    prefetch: usize,
    /// By the tag of the delivery.
    unsettled: BTreeMap<u64, Entry>,
    turn: Option<u64>,
    /// Unsubscribed, or its session is over: only settles what it has.
    is_cancelled: bool,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    message: Message,
    expires: Option<Instant>,
    redelivered: bool,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    /// Of all queues together.
    Broker,
    Bytes,
    Messages,
}

impl Consumer {
    pub(super) fn new(outbox: Arc<Outbox>, key: SubscriptionKey, prefetch: u16) -> Self {
        let prefetch = usize::from(prefetch.max(1));
        Self { outbox, key, prefetch, unsettled: BTreeMap::new(), turn: None, is_cancelled: false }
    }
}

impl Entry {
    fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|it| it <= now)
    }
}

impl Queue {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            waiting: VecDeque::new(),
            consumers: HashMap::new(),
            turns: BTreeMap::new(),
            last_number: 0,
            messages: 0,
            charge: 0,
            earliest_expiry: None,
            is_over: false,
        }
    }

    /// Deleted, or about to be forgotten because nobody used it: not to be changed any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.consumers.is_empty()
    }

    pub(super) fn publish(&mut self, message: Message, expires: Option<Instant>, now: Instant) -> Result<(), Full> {
        let charge = Account::charge(message.size());
        if self.reserve(charge).is_err() {
            self.expire(now);
            self.reserve(charge)?;
        }
        self.append(message, charge, expires);
        self.dispatch(now);
        Ok(())
    }

    /// The same for a subscription to a topic: somebody who does not read what he subscribed to must not keep everybody
    /// else from publishing, so the oldest messages make room.
    pub(super) fn publish_dropping(&mut self, message: Message, expires: Option<Instant>, now: Instant) {
        if self.is_over {
            return;
        }
        let charge = Account::charge(message.size());
        self.expire(now);
        while self.reserve(charge).is_err() {
            self.account.metrics.dropped.inc();
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.release(&oldest);
        }
        self.append(message, charge, expires);
        self.dispatch(now);
    }

    pub(super) fn join(&mut self, id: ConsumerId, consumer: Consumer, now: Instant) {
        self.consumers.insert(id, consumer);
        self.offer_turn(id);
        self.dispatch(now);
    }

    /// Nothing is delivered to that consumer any more. What it has can still be settled; says whether there is nothing.
    pub(super) fn cancel(&mut self, id: ConsumerId) -> bool {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.is_cancelled = true;
            if let Some(turn) = consumer.turn.take() {
                self.turns.remove(&turn);
            }
        }
        self.remove_if_done(id)
    }

    /// Those consumers are gone; others get what they had not settled.
    pub(super) fn leave(&mut self, ids: &[ConsumerId], now: Instant) {
        let mut unsettled = Vec::new();
        for id in ids {
            self.cancel(*id);
            unsettled.extend(self.consumers.remove(id).map(|it| it.unsettled.into_values()).into_iter().flatten());
        }
        self.requeue(unsettled);
        self.dispatch(now);
    }

    /// Tokens that name nothing unsettled are ignored. Returns the consumers that were cancelled and had nothing else.
    pub(super) fn settle(&mut self, tokens: &[AckToken], verdict: Verdict, now: Instant) -> Vec<ConsumerId> {
        let (mut requeued, mut done) = (Vec::new(), Vec::new());
        for token in tokens {
            let id = ConsumerId(token.scope);
            let entry = self.consumers.get_mut(&id).and_then(|it| it.unsettled.remove(&token.tag));
            let Some(entry) = entry else { continue };
            match verdict {
                Verdict::Accepted | Verdict::Discarded => self.release(&entry),
                Verdict::Requeued => requeued.push(entry),
            }
            self.offer_turn(id);
            if self.remove_if_done(id) {
                done.push(id);
            }
        }
        self.requeue(requeued);
        self.dispatch(now);
        done
    }

    /// What that consumer was given is not known any more: it waits again. Says whether nothing is left of the consumer.
    pub(super) fn lose(&mut self, id: ConsumerId) -> bool {
        let Some(consumer) = self.consumers.get_mut(&id) else { return true };
        let unsettled = mem::take(&mut consumer.unsettled).into_values().collect();
        self.requeue(unsettled);
        self.offer_turn(id);
        self.remove_if_done(id)
    }

    /// Forgets all messages and tells the consumers, other than the one who asked for it.
    pub(super) fn delete(&mut self, by: ConsumerId) {
        self.is_over = true;
        self.account.release(self.messages, self.charge);
        (self.messages, self.charge) = (0, 0);
        self.waiting.clear();
        self.turns.clear();
        for (id, consumer) in self.consumers.drain() {
            if id != by && !consumer.is_cancelled {
                consumer.outbox.push_event(Item::SubscriptionEnded(consumer.key));
            }
        }
    }

    /// The queue has no user and will be forgotten.
    pub(super) fn end(&mut self) {
        debug_assert!(self.is_unused() && self.messages == 0, "what is held is held for somebody");
        self.is_over = true;
    }

    /// Drops what has waited for too long, wherever it is.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.earliest_expiry.is_none_or(|it| now < it) {
            return;
        }
        let expired: VecDeque<Entry>;
        (expired, self.waiting) = mem::take(&mut self.waiting).into_iter().partition(|it| it.is_expired(now));
        expired.iter().for_each(|it| self.drop_expired(it));
        self.earliest_expiry = self.waiting.iter().filter_map(|it| it.expires).min();
    }

    fn reserve(&mut self, charge: usize) -> Result<(), Full> {
        let settings = &self.account.settings;
        if self.messages >= settings.queue_messages_max {
            return Err(Full::Messages);
        }
        if self.charge + charge > settings.queue_bytes_max {
            return Err(Full::Bytes);
        }
        if self.account.reserve(charge) { Ok(()) } else { Err(Full::Broker) }
    }

    fn append(&mut self, message: Message, charge: usize, expires: Option<Instant>) {
        self.messages += 1;
        self.charge += charge;
        self.earliest_expiry = self.earliest_expiry.into_iter().chain(expires).min();
        let number = self.next_number();
        self.waiting.push_back(Entry { number, message, expires, redelivered: false });
    }

    fn requeue(&mut self, mut entries: Vec<Entry>) {
        entries.sort_unstable_by_key(|it| it.number);
        // From the last to the first, so that they end up next to each other at the front, where most belong.
        for entry in entries.into_iter().rev() {
            let place = self.waiting.partition_point(|it| it.number < entry.number);
            self.earliest_expiry = self.earliest_expiry.into_iter().chain(entry.expires).min();
            self.waiting.insert(place, Entry { redelivered: true, ..entry });
        }
    }

    /// Delivers while something waits and somebody has credit.
    pub(super) fn dispatch(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.pop_front() {
            if entry.is_expired(now) {
                self.drop_expired(&entry);
            } else if let Some((_, id)) = self.turns.pop_first() {
                self.deliver(id, entry);
            } else {
                self.waiting.push_front(entry);
                break;
            }
        }
        self.free_if_drained();
    }

    fn deliver(&mut self, id: ConsumerId, entry: Entry) {
        let tag = self.next_number();
        let consumer = self.consumers.get_mut(&id).expect("only consumers that are there have a turn");
        consumer.turn = None;
        let delivery = Delivery {
            subscription: consumer.key,
            message: entry.message.clone(),
            token: Some(AckToken { scope: id.0, tag }),
            redelivered: entry.redelivered,
        };
        match consumer.outbox.push(delivery) {
            Pushed::Queued => {
                consumer.unsettled.insert(tag, entry);
                self.account.metrics.delivered.inc();
                self.offer_turn(id);
            }
            // Its session is over and its link will be closed.
            Pushed::Refused => {
                consumer.is_cancelled = true;
                self.waiting.push_front(entry);
            }
        }
    }

    fn offer_turn(&mut self, id: ConsumerId) {
        let turn = self.next_number();
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        if !consumer.is_cancelled && consumer.turn.is_none() && consumer.unsettled.len() < consumer.prefetch {
            consumer.turn = Some(turn);
            self.turns.insert(turn, id);
        }
    }

    fn remove_if_done(&mut self, id: ConsumerId) -> bool {
        let is_done = self.consumers.get(&id).is_some_and(|it| it.is_cancelled && it.unsettled.is_empty());
        if is_done {
            self.consumers.remove(&id);
        }
        is_done
    }

    fn drop_expired(&mut self, entry: &Entry) {
        self.account.metrics.expired.inc();
        self.release(entry);
    }

    fn release(&mut self, entry: &Entry) {
        let charge = Account::charge(entry.message.size());
        self.messages -= 1;
        self.charge -= charge;
        self.account.release(1, charge);
    }

    fn free_if_drained(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > 8 {
            self.waiting = VecDeque::new();
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
