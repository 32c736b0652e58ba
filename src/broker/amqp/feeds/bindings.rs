//! What one lane has bound, is binding, or still keeps for a while: a state machine without I/O.
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
//! A route has at most one operation queued or in flight, so bind and unbind of one never overtake each other. Routes wait
//! in turns: the newest bind, the oldest bind, the oldest unbind. So who comes when thousands wait is served at once, who
//! has waited longest at a third of the pace at least, and what has to be unbound does not pile up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// Routes of one lane that may linger. A client can subscribe to a thousand others each second, and leave each at once.
const LINGERING_MAX: usize = 1_000;

/// The routes of one lane. `R` names one, `W` is whoever waits for a bind.
#[derive(Debug)]
pub(super) struct Bindings<R, W> {
    linger: Duration,
    entries: HashMap<R, Entry<W>>,
    binds: VecDeque<R>,
    unbinds: VecDeque<R>,
    turn: Turn,
    /// The lingering routes, by when that is over.
    due: BTreeMap<Due, R>,
    lingered: u64,
}

/// What has to be asked of the broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Work<R> {
    Bind(R),
    Unbind(R),
}

/// What became of a subscribe.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Subscribed<W> {
    /// The route is bound.
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
        due: Due,
    },
    Unbinding,
}

/// When a linger is over; the number tells those apart that began at the same time.
type Due = (Instant, u64);

/// Whose turn it is next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    NewestBind,
    OldestBind,
    OldestUnbind,
}

impl Turn {
    const ALL: [Self; 3] = [Self::NewestBind, Self::OldestBind, Self::OldestUnbind];

    const fn next(self) -> Self {
        match self {
            Self::NewestBind => Self::OldestBind,
            Self::OldestBind => Self::OldestUnbind,
            Self::OldestUnbind => Self::NewestBind,
        }
    }
}

impl<R: Clone + Eq + Hash, W> Bindings<R, W> {
    pub(super) fn new(linger: Duration) -> Self {
        Self {
            linger,
            entries: HashMap::new(),
            binds: VecDeque::new(),
            unbinds: VecDeque::new(),
            turn: Turn::NewestBind,
            due: BTreeMap::new(),
            lingered: 0,
        }
    }

    pub(super) fn subscribe(&mut self, route: &R, waiter: W) -> Subscribed<W> {
        let unknown = || Entry { state: State::Failed, subscribers: 0, waiters: Vec::new() };
        let entry = self.entries.entry(route.clone()).or_insert_with(unknown);
        entry.subscribers += 1;
        match entry.state {
            State::Bound => return Subscribed::Now(waiter),
            State::Lingering { due } => {
                entry.state = State::Bound;
                self.due.remove(&due);
                return Subscribed::Now(waiter);
            }
            State::Failed => {
                entry.state = State::Binding;
                self.binds.push_back(route.clone());
            }
            State::Binding | State::Unbinding => {}
        }
        entry.waiters.push(waiter);
        Subscribed::Later
    }

    /// One of those who subscribed has gone, whether its route was bound or not.
    pub(super) fn unsubscribe(&mut self, route: &R, now: Instant) {
        let Some(entry) = self.entries.get_mut(route) else { return };
        entry.subscribers -= 1;
        if entry.subscribers > 0 {
            return;
        }
        match entry.state {
            State::Bound => self.begin_to_linger(route, now),
            State::Failed => {
                self.entries.remove(route);
            }
            // The answer to what is in flight decides.
            State::Binding | State::Unbinding => {}
            State::Lingering { .. } => unreachable!("a route lingers only while nobody is subscribed"),
        }
    }

    /// The broker bound the route: those who waited for that.
    pub(super) fn bound(&mut self, route: &R, now: Instant) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(route) else { return Vec::new() };
        entry.state = State::Bound;
        let waiters = mem::take(&mut entry.waiters);
        if entry.subscribers == 0 {
            self.begin_to_linger(route, now);
        }
        waiters
    }

    /// The broker did not bind the route: those who waited for that. Each still has to be unsubscribed.
    pub(super) fn failed(&mut self, route: &R) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(route) else { return Vec::new() };
        entry.state = State::Failed;
        let waiters = mem::take(&mut entry.waiters);
        if entry.subscribers == 0 {
            self.entries.remove(route);
        }
        waiters
    }

    /// The broker unbound the route.
    pub(super) fn unbound(&mut self, route: &R) {
        let Some(entry) = self.entries.get_mut(route) else { return };
        if entry.subscribers == 0 {
            self.entries.remove(route);
        } else {
            entry.state = State::Binding;
            self.binds.push_back(route.clone());
        }
    }

    /// Everything that the broker had bound is gone. What has subscribers is to be bound again; nothing is in flight.
    pub(super) fn lost(&mut self) {
        self.binds.clear();
        self.unbinds.clear();
        self.due.clear();
        self.entries.retain(|_, it| it.subscribers > 0);
        for (route, entry) in &mut self.entries {
            if entry.state != State::Failed {
                entry.state = State::Binding;
                self.binds.push_back(route.clone());
            }
        }
    }

    /// Those who wait for a bind. Each still has to be unsubscribed.
    pub(super) fn take_waiters(&mut self) -> Vec<W> {
        self.entries.values_mut().flat_map(|it| mem::take(&mut it.waiters)).collect()
    }

    /// The next thing to ask of the broker. Its answer has to be reported before the route is looked at again.
    pub(super) fn next_work(&mut self, now: Instant) -> Option<Work<R>> {
        self.end_lingers(now);
        for _ in Turn::ALL {
            let turn = self.turn;
            self.turn = turn.next();
            let work = match turn {
                Turn::NewestBind => self.next_bind(VecDeque::pop_back).map(Work::Bind),
                Turn::OldestBind => self.next_bind(VecDeque::pop_front).map(Work::Bind),
                Turn::OldestUnbind => self.unbinds.pop_front().map(Work::Unbind),
            };
            if work.is_some() {
                return work;
            }
        }
        None
    }

    /// When [`Bindings::next_work`] may have something without anything else having happened.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((until, _), _)| *until)
    }

    /// The route that has lingered longest is to be unbound now, for lack of what it takes.
    pub(super) fn end_linger(&mut self) -> Option<R> {
        let (_, route) = self.due.pop_first()?;
        let entry = self.entries.get_mut(&route).expect("a route is kept while it lingers");
        entry.state = State::Unbinding;
        Some(route)
    }

    fn end_lingers(&mut self, now: Instant) {
        while self.next_due().is_some_and(|until| until <= now || self.due.len() > LINGERING_MAX) {
            let route = self.end_linger().expect("there is one that is due");
            self.unbinds.push_back(route);
        }
    }

    /// Passes over those whose subscribers have gone while they waited.
    fn next_bind(&mut self, pop: fn(&mut VecDeque<R>) -> Option<R>) -> Option<R> {
        loop {
            let route = pop(&mut self.binds)?;
            if self.entries.get(&route).is_some_and(|it| it.subscribers > 0) {
                return Some(route);
            }
            self.entries.remove(&route);
        }
    }

    fn begin_to_linger(&mut self, route: &R, now: Instant) {
        let due = (now + self.linger, self.lingered);
        self.lingered += 1;
        let entry = self.entries.get_mut(route).expect("the caller has just seen it");
        entry.state = State::Lingering { due };
        self.due.insert(due, route.clone());
    }
}

#[cfg(test)]
mod tests;
