//! Which patterns one lane of a feed has bound, is binding, or still keeps for a while: a state machine without I/O.
//!
//! ```text
//!             first subscriber            bind-ok
//!   (unknown) ───────────────▶ Binding ───────────▶ Bound ◀──── subscriber ────┐
//!       ▲                       ▲    │                │                        │
//!       │              subscribed    │ failed         └── last one gone ──▶ Lingering
//!       │              meanwhile     ▼                                         │
//!       │                       │  Failed (until its subscribers are gone)     │ linger over
//!       └──── unbind-ok ───── Unbinding ◀──────────────────────────────────────┘
//! ```
//!
//! A pattern has at most one operation queued or in flight, so bind and unbind of one never overtake each other.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::destination::Pattern;

/// Patterns of one lane that may linger. A client can subscribe to a thousand others each second, and leave each at once.
const LINGERING_MAX: usize = 1_000;

/// The patterns of one lane. `W` is whoever waits for a bind.
#[derive(Debug)]
pub(super) struct Bindings<W> {
    linger: Duration,
    entries: HashMap<Pattern, Entry<W>>,
    work: VecDeque<Work>,
    /// The lingering patterns, by when that is over.
    due: BTreeSet<(Instant, Pattern)>,
}

/// What has to be asked of the broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Work {
    Bind(Pattern),
    Unbind(Pattern),
}

/// What became of a subscribe.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Subscribed<W> {
    /// The pattern is bound.
    Now(W),
    /// The answer of the broker decides; [`Bindings::bound`] or [`Bindings::failed`] gives the waiter back.
    Later,
}

#[derive(Debug)]
struct Entry<W> {
    state: State,
    subscribers: usize,
    waiters: Vec<W>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Binding,
    Bound,
    /// The broker refused. The subscribers are told, and counted until they are gone.
    Failed,
    Lingering {
        until: Instant,
    },
    Unbinding,
}

impl<W> Bindings<W> {
    pub(super) fn new(linger: Duration) -> Self {
        Self { linger, entries: HashMap::new(), work: VecDeque::new(), due: BTreeSet::new() }
    }

    pub(super) fn subscribe(&mut self, pattern: &Pattern, waiter: W) -> Subscribed<W> {
        let unknown = || Entry { state: State::Failed, subscribers: 0, waiters: Vec::new() };
        let entry = self.entries.entry(pattern.clone()).or_insert_with(unknown);
        entry.subscribers += 1;
        match entry.state {
            State::Bound => return Subscribed::Now(waiter),
            State::Lingering { until } => {
                entry.state = State::Bound;
                self.due.remove(&(until, pattern.clone()));
                return Subscribed::Now(waiter);
            }
            State::Failed => {
                entry.state = State::Binding;
                self.work.push_back(Work::Bind(pattern.clone()));
            }
            State::Binding | State::Unbinding => {}
        }
        entry.waiters.push(waiter);
        Subscribed::Later
    }

    /// One of those who subscribed has gone, whether its pattern was bound or not.
    pub(super) fn unsubscribe(&mut self, pattern: &Pattern, now: Instant) {
        let Some(entry) = self.entries.get_mut(pattern) else { return };
        entry.subscribers -= 1;
        if entry.subscribers > 0 {
            return;
        }
        match entry.state {
            State::Bound => self.begin_to_linger(pattern, now),
            State::Failed => {
                self.entries.remove(pattern);
            }
            // The answer to what is in flight decides.
            State::Binding | State::Unbinding => {}
            State::Lingering { .. } => unreachable!("a pattern lingers only while nobody is subscribed"),
        }
    }

    /// The broker bound the pattern: those who waited for that.
    pub(super) fn bound(&mut self, pattern: &Pattern, now: Instant) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(pattern) else { return Vec::new() };
        entry.state = State::Bound;
        let waiters = mem::take(&mut entry.waiters);
        if entry.subscribers == 0 {
            self.begin_to_linger(pattern, now);
        }
        waiters
    }

    /// The broker did not bind the pattern: those who waited for that. Each still has to be unsubscribed.
    pub(super) fn failed(&mut self, pattern: &Pattern) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(pattern) else { return Vec::new() };
        entry.state = State::Failed;
        let waiters = mem::take(&mut entry.waiters);
        if entry.subscribers == 0 {
            self.entries.remove(pattern);
        }
        waiters
    }

    /// The broker unbound the pattern.
    pub(super) fn unbound(&mut self, pattern: &Pattern) {
        let Some(entry) = self.entries.get_mut(pattern) else { return };
        if entry.subscribers == 0 {
            self.entries.remove(pattern);
        } else {
            entry.state = State::Binding;
            self.work.push_back(Work::Bind(pattern.clone()));
        }
    }

    /// The next thing to ask of the broker. Its answer has to be reported before the pattern is looked at again.
    pub(super) fn next_work(&mut self, now: Instant) -> Option<Work> {
        while self.next_due().is_some_and(|until| until <= now || self.due.len() > LINGERING_MAX) {
            let (_, pattern) = self.due.pop_first().expect("there is one that is due");
            let entry = self.entries.get_mut(&pattern).expect("a pattern is kept while it lingers");
            entry.state = State::Unbinding;
            self.work.push_back(Work::Unbind(pattern));
        }
        self.work.pop_front()
    }

    /// When [`Bindings::next_work`] may have something without anything else having happened.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    fn begin_to_linger(&mut self, pattern: &Pattern, now: Instant) {
        let until = now + self.linger;
        let entry = self.entries.get_mut(pattern).expect("the caller has just seen it");
        entry.state = State::Lingering { until };
        self.due.insert((until, pattern.clone()));
    }
}

#[cfg(test)]
mod tests;
