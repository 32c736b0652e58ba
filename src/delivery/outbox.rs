//! What waits for one session: bounded in bytes and messages, pushed by broker tasks, popped by the session's driver.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::budget::Budget;
use super::metrics::Metrics;
use crate::destination::Pattern;
use crate::ident::SubscriptionKey;
use crate::message::{Delivery, Message};
use crate::sync::lock;

/// Bounds of each outbox, and what happens beyond them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of all messages that wait for one session. A larger message still passes when nothing else waits. What the
    /// back end wants to hear about is counted by itself, up to 64 times this.
    pub bytes_max: usize,
    pub messages_max: usize,
    /// Topics whose oldest messages are dropped when a client does not keep up; all others close its session.
    pub drop_oldest: Vec<Pattern>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { bytes_max: 512 * 1024, messages_max: 10_000, drop_oldest: Vec::new() }
    }
}

/// What all outboxes have in common, and makes them. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Outboxes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    budget: Budget,
    metrics: Metrics,
}

impl Outboxes {
    pub fn new(settings: Settings, budget: Budget, metrics: Metrics) -> Self {
        Self(Arc::new(Shared { settings, budget, metrics }))
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Self {
        Self::new(settings, self.0.budget.clone(), self.0.metrics.clone())
    }

    /// The memory that they share with what waits elsewhere.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub fn open(&self) -> Outbox {
        self.0.budget.outbox_opened();
        Outbox { shared: Arc::clone(&self.0), state: Mutex::default(), waker: AtomicWaker::new() }
    }
}

/// The queue between the broker and one session.
///
/// ```text
/// open ──push beyond a bound──▶ overflowed ──pop──▶ closed
///   └────────────────close()─────────┴─────────────────▲
/// ```
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// The driver; the only one who waits.
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Of the deliveries in `items` that have no token.
    free: Load,
    /// Of those that have one.
    owed: Load,
    /// Boxed, as there rarely are any.
    losses: Option<Box<Losses>>,
    phase: Phase,
}

/// How many of a subscription were dropped since the last one that was popped.
#[derive(Debug, Default)]
struct Losses(HashMap<SubscriptionKey, u64>);

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: usize,
    messages: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    #[default]
    Open,
    Overflowed,
    Closed,
}

/// What the driver pops, in the order of the pushes.
#[derive(Debug)]
pub enum Item {
    /// The next delivery of a subscription after some of it were dropped. Never pushed.
    AfterLoss(Box<AfterLoss>),
    Delivery(Delivery),
    /// The link to the broker is lost; nothing follows.
    LinkLost,
    /// A bound was passed and the policy is to close: nothing follows.
    Overflowed,
    SubscriptionEnded(SubscriptionKey),
}

impl Item {
    const fn message(&self) -> Option<&Message> {
        match self {
            Self::AfterLoss(it) => Some(&it.delivery.message),
            Self::Delivery(it) => Some(&it.message),
            Self::LinkLost | Self::Overflowed | Self::SubscriptionEnded(_) => None,
        }
    }
}

/// What is delivered after a loss, and how many messages of its subscription were lost.
#[derive(Debug)]
pub struct AfterLoss {
    pub delivery: Delivery,
    pub dropped: u64,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    Queued,
    /// The session is over, or has just been given up: the delivery is still the back end's.
    Refused,
}

/// Room that a drained queue keeps, so that a steady flow of single messages allocates nothing. A longer queue is
/// freed once it is empty: most sessions are idle most of the time.
const IDLE_CAPACITY_MAX: usize = 8;

/// A queue may hold a whole prefetch when a client subscribes, and all of it comes at once, however fast the client
/// reads; given up for that, it would meet the same messages when it comes back. So deliveries with a token have this
/// many times the bounds of the others: the default prefetch, of messages as large as the bound in bytes.
const PREFETCH_PART: usize = 64;

/// When the oldest messages are dropped, so many go that this part of each bound is free: a pass over the whole queue
/// is then paid once for many pushes, not for each.
const DROP_PART: usize = 8;

impl Outbox {
    pub fn push(&self, delivery: Delivery) -> Pushed {
        let size = delivery.message.size();
        let Shared { settings, budget, metrics } = &*self.shared;
        let fair_share = budget.outbox_bytes_max();
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Pushed::Refused;
        }
        let has_room = state.fits(&delivery, settings, fair_share)
            || (self.may_drop(&delivery) && self.drop_oldest(&mut state, size, fair_share));
        if !has_room {
            if state.fits(&delivery, settings, usize::MAX) {
                metrics.deliveries().refused.inc();
            }
            self.overflow(state);
            return Pushed::Refused;
        }
        budget.hold(&delivery.message);
        let before = state.total();
        state.load(&delivery).add(size);
        self.count(before, state.total());
        self.append(state, Item::Delivery(delivery));
        Pushed::Queued
    }

    /// Events are not bounded here: there is at most one for each subscription, and one for the link.
    pub fn push_event(&self, event: Item) {
        let state = self.lock();
        if state.phase == Phase::Open {
            self.append(state, event);
        }
    }

    pub fn pop(&self) -> Option<Item> {
        let mut state = self.lock();
        let before = state.total();
        let item = state.pop();
        item.iter().filter_map(Item::message).for_each(|it| self.shared.budget.release(it));
        self.count(before, state.total());
        state.free_if_drained();
        item
    }

    /// That subscription is over: nothing of it will be popped.
    pub fn forget(&self, subscription: SubscriptionKey) {
        self.lock().take_dropped(subscription);
    }

    /// Ready while something waits. For the driver alone.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the look, so that a push in between wakes.
        self.waker.register(cx.waker());
        let state = self.lock();
        if state.items.is_empty() && state.phase != Phase::Overflowed { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ready once a bound was passed and the policy is to close. For the driver alone.
    pub fn poll_overflowed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.lock().phase == Phase::Overflowed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The session is over: what waits is dropped and nothing is accepted any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        self.clear(state);
    }

    fn append(&self, mut state: MutexGuard<'_, State>, item: Item) {
        let was_empty = state.items.is_empty();
        state.items.push_back(item);
        drop(state);
        if was_empty {
            self.waker.wake();
        }
    }

    fn overflow(&self, mut state: MutexGuard<'_, State>) {
        state.phase = Phase::Overflowed;
        self.clear(state);
        self.shared.metrics.overflowed().inc();
        self.waker.wake();
    }

    /// Whether the oldest may go to make room for this one: a back end that wants to hear of a delivery has a bound of
    /// its own, the prefetch.
    fn may_drop(&self, delivery: &Delivery) -> bool {
        delivery.token.is_none() && is_dropped_oldest(&self.shared.settings.drop_oldest, &delivery.message)
    }

    /// Says whether there is room now. A queue that is nearly full of what can't be dropped has none.
    fn drop_oldest(&self, state: &mut State, size: usize, fair_share: usize) -> bool {
        let Settings { bytes_max, messages_max, drop_oldest } = &self.shared.settings;
        let bytes_max = fair_share.min(*bytes_max);
        let (bytes_goal, messages_goal) = (bytes_max - bytes_max / DROP_PART, messages_max - messages_max / DROP_PART);
        let before = state.total();
        let Load { mut bytes, mut messages } = state.free;
        let has_room =
            |bytes: usize, messages: usize| bytes == 0 || (bytes + size <= bytes_goal && messages < messages_goal);
        let State { items, losses, .. } = state;
        items.retain(|item| {
            let Item::Delivery(it) = item else { return true };
            if has_room(bytes, messages) || it.token.is_some() || !is_dropped_oldest(drop_oldest, &it.message) {
                return true;
            }
            bytes -= it.message.size();
            messages -= 1;
            self.shared.budget.release(&it.message);
            *losses.get_or_insert_default().0.entry(it.subscription).or_default() += 1;
            false
        });
        self.shared.metrics.dropped().inc_by((state.free.messages - messages) as u64);
        state.free = Load { bytes, messages };
        self.count(before, state.total());
        bytes == 0 || (bytes + size <= bytes_max && messages < *messages_max)
    }

    fn clear(&self, mut state: MutexGuard<'_, State>) {
        let items = mem::take(&mut state.items);
        self.count(state.total(), Load::default());
        (state.free, state.owed, state.losses) = (Load::default(), Load::default(), None);
        // The messages are freed without the lock.
        drop(state);
        items.iter().filter_map(Item::message).for_each(|it| self.shared.budget.release(it));
        drop(items);
    }

    /// Brings the gauges up to date.
    fn count(&self, before: Load, after: Load) {
        let Shared { budget, metrics, .. } = &*self.shared;
        metrics.bytes().add(signed(after.bytes) - signed(before.bytes));
        budget.count_places(signed(after.messages) - signed(before.messages));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The gauge stays exact whoever drops a session.
impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
        self.shared.budget.outbox_closed();
    }
}

impl State {
    fn fits(&mut self, delivery: &Delivery, settings: &Settings, fair_share: usize) -> bool {
        let part = if delivery.token.is_some() { PREFETCH_PART } else { 1 };
        let (bytes_max, messages_max) =
            (settings.bytes_max.saturating_mul(part), settings.messages_max.saturating_mul(part));
        let Load { bytes, messages } = *self.load(delivery);
        bytes == 0 || (bytes + delivery.message.size() <= bytes_max.min(fair_share) && messages < messages_max)
    }

    /// Where a delivery is counted.
    const fn load(&mut self, delivery: &Delivery) -> &mut Load {
        if delivery.token.is_some() { &mut self.owed } else { &mut self.free }
    }

    const fn total(&self) -> Load {
        Load { bytes: self.free.bytes + self.owed.bytes, messages: self.free.messages + self.owed.messages }
    }

    fn pop(&mut self) -> Option<Item> {
        if self.phase == Phase::Overflowed {
            self.phase = Phase::Closed;
            return Some(Item::Overflowed);
        }
        let item = self.items.pop_front()?;
        match item {
            Item::Delivery(delivery) => {
                self.load(&delivery).remove(delivery.message.size());
                match self.take_dropped(delivery.subscription) {
                    Some(dropped) => Some(Item::AfterLoss(Box::new(AfterLoss { delivery, dropped }))),
                    None => Some(Item::Delivery(delivery)),
                }
            }
            Item::SubscriptionEnded(subscription) => {
                self.take_dropped(subscription);
                Some(item)
            }
            Item::AfterLoss(_) | Item::LinkLost | Item::Overflowed => Some(item),
        }
    }

    fn take_dropped(&mut self, subscription: SubscriptionKey) -> Option<u64> {
        let Losses(dropped) = &mut **self.losses.as_mut()?;
        let count = dropped.remove(&subscription);
        if dropped.is_empty() {
            self.losses = None;
        }
        count
    }

    fn free_if_drained(&mut self) {
        if self.items.is_empty() && self.items.capacity() > IDLE_CAPACITY_MAX {
            self.items = VecDeque::new();
        }
    }
}

impl Load {
    const fn add(&mut self, size: usize) {
        self.bytes += size;
        self.messages += 1;
    }

    const fn remove(&mut self, size: usize) {
        self.bytes -= size;
        self.messages -= 1;
    }
}

fn is_dropped_oldest(patterns: &[Pattern], message: &Message) -> bool {
    let Some(topic) = message.destination().strip_prefix("/topic/") else { return false };
    !patterns.is_empty() && {
        let topic = topic.replace("%2F", "/");
        patterns.iter().any(|it| it.matches(&topic))
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("fewer bytes than memory has")
}

#[cfg(test)]
mod tests;
