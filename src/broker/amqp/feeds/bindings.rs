//! What one lane has bound, is binding, or still keeps for a while: a state machine without I/O.
//!
//! ```text
//!             first subscriber            bind-ok
//!   (unknown) ───────────────▶ Binding ───────────▶ Bound ◀──── subscriber ────┐
//!     ▲   ▲                     ▲  │                │  │                       │
//!     │   └──────── refused ────┼──┘      lost      │  └── last one gone ──▶ Lingering
//!     │                         │   Again ◀─────────┘                          │
//!     │           subscribed    │    └─── bind-ok ───▶ Bound                   │ linger over
//!     │           meanwhile     │                                              │
//!     └──── unbind-ok ───── Unbinding ◀────────────────────────────────────────┘
//! ```
//!
//! A route has at most one operation queued or in flight, so bind and unbind of one never overtake each other. Routes
//! wait in turns: the newest bind, one that was lost, the oldest bind, the oldest unbind. So who comes when thousands wait
//! is served at once, who has waited longest at a quarter of the pace at least, and unbinds do not pile up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Routes of one lane that may linger. A client can subscribe to a thousand others each second, and leave each at once.
const LINGERING_MAX: usize = 1_000;

/// The routes of one lane. `R` names one, `S` a subscriber, `W` tells it that its route is bound.
#[derive(Debug)]
pub(super) struct Bindings<R, S, W> {
    linger: fn(&R) -> Duration,
    entries: HashMap<R, Entry<S, W>>,
    binds: VecDeque<R>,
    /// What was bound when all was lost.
    again: VecDeque<R>,
    unbinds: VecDeque<R>,
    /// Binds that are to be tried again, and when: in the order of time.
    postponed: VecDeque<(Instant, R)>,
    /// Routes in [`State::Again`].
    behind: usize,
    turn: Turn,
    /// Nothing was asked of the broker since all was lost.
    is_idle: bool,
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
struct Entry<S, W> {
    state: State,
    /// With whoever has not been told yet.
    subscribers: HashMap<S, Option<W>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// As Binding, for somebody who was told that it is bound.
    Again,
    Binding,
    Bound,
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
    Again,
    OldestBind,
    OldestUnbind,
}

impl Turn {
    const ALL: [Self; 4] = [Self::NewestBind, Self::Again, Self::OldestBind, Self::OldestUnbind];

    const fn next(self) -> Self {
        match self {
            Self::NewestBind => Self::Again,
            Self::Again => Self::OldestBind,
            Self::OldestBind => Self::OldestUnbind,
            Self::OldestUnbind => Self::NewestBind,
        }
    }
}

impl<R: Clone + Eq + Hash, S: Clone + Eq + Hash, W> Bindings<R, S, W> {
    pub(super) fn new(linger: fn(&R) -> Duration) -> Self {
        Self {
            linger,
            entries: HashMap::new(),
            binds: VecDeque::new(),
            again: VecDeque::new(),
            unbinds: VecDeque::new(),
            postponed: VecDeque::new(),
            behind: 0,
            turn: Turn::NewestBind,
            is_idle: true,
            due: BTreeMap::new(),
            lingered: 0,
        }
    }

    pub(super) fn subscribe(&mut self, route: &R, subscriber: S, waiter: W) -> Subscribed<W> {
        let entry = self.entries.entry(route.clone()).or_insert_with(|| {
            self.binds.push_back(route.clone());
            Entry { state: State::Binding, subscribers: HashMap::new() }
        });
        if let State::Lingering { due } = entry.state {
            entry.state = State::Bound;
            self.due.remove(&due);
        }
        if entry.state == State::Bound {
            entry.subscribers.insert(subscriber, None);
            return Subscribed::Now(waiter);
        }
        entry.subscribers.insert(subscriber, Some(waiter));
        Subscribed::Later
    }

    /// One of those who subscribed has gone, whether its route was bound or not.
    pub(super) fn unsubscribe(&mut self, route: &R, subscriber: &S, now: Instant) {
        let Some(entry) = self.entries.get_mut(route) else { return };
        let was_there = entry.subscribers.remove(subscriber).is_some();
        // In all other states the answer to what is queued or in flight decides.
        if !was_there || !entry.subscribers.is_empty() {
            return;
        }
        if entry.state == State::Bound {
            self.begin_to_linger(route, now);
        } else if self.is_idle {
            // An outage may be long, and clients can make up names all the time.
            self.forget(route);
            self.binds.retain(|it| it != route);
            self.again.retain(|it| it != route);
        }
    }

    /// The broker bound the route: those who waited for that.
    pub(super) fn bound(&mut self, route: &R, now: Instant) -> Vec<W> {
        let Some(entry) = self.entries.get_mut(route) else { return Vec::new() };
        self.behind -= usize::from(entry.state == State::Again);
        entry.state = State::Bound;
        let waiters = entry.subscribers.values_mut().filter_map(Option::take).collect();
        if entry.subscribers.is_empty() {
            self.begin_to_linger(route, now);
        }
        waiters
    }

    /// The broker did not bind the route, which is forgotten: its subscribers, and how to tell those who waited.
    pub(super) fn refused(&mut self, route: &R) -> Vec<(S, Option<W>)> {
        self.forget(route).into_iter().collect()
    }

    /// Whether the bind was for somebody who was told that the route is bound.
    pub(super) fn was_bound(&self, route: &R) -> bool {
        self.entries.get(route).is_some_and(|it| it.state == State::Again)
    }

    /// Nobody knows whether the broker bound the route: it is asked again, at a time that is not before that of others.
    pub(super) fn postpone(&mut self, route: R, until: Instant) {
        self.postponed.push_back((until, route));
    }

    /// The broker unbound the route.
    pub(super) fn unbound(&mut self, route: &R) {
        let Some(entry) = self.entries.get_mut(route) else { return };
        if entry.subscribers.is_empty() {
            self.entries.remove(route);
        } else {
            entry.state = State::Binding;
            self.binds.push_back(route.clone());
        }
    }

    /// Everything that the broker had bound is gone. What has subscribers is to be bound again; nothing is in flight.
    pub(super) fn lost(&mut self) {
        let Self { entries, binds, again, unbinds, postponed, due, .. } = self;
        for queue in [&mut *binds, again, unbinds] {
            queue.clear();
        }
        postponed.clear();
        due.clear();
        entries.retain(|_, it| !it.subscribers.is_empty());
        for (route, entry) in entries {
            let was_bound = entry.subscribers.values().any(Option::is_none);
            let (state, queue) = if was_bound { (State::Again, &mut *again) } else { (State::Binding, &mut *binds) };
            entry.state = state;
            queue.push_back(route.clone());
        }
        self.behind = again.len();
        self.is_idle = true;
    }

    /// Routes that were bound before all was lost, and have no answer yet.
    pub(super) fn behind(&self) -> usize {
        self.behind
    }

    /// Those who wait for a bind. Each still has to be unsubscribed.
    pub(super) fn take_waiters(&mut self) -> Vec<(S, W)> {
        let subscribers = self.entries.values_mut().flat_map(|it| &mut it.subscribers);
        subscribers.filter_map(|(subscriber, waiter)| Some((subscriber.clone(), waiter.take()?))).collect()
    }

    /// The next thing to ask of the broker. Its answer has to be reported before the route is looked at again.
    pub(super) fn next_work(&mut self, now: Instant) -> Option<Work<R>> {
        self.is_idle = false;
        self.end_lingers(now);
        self.end_pauses(now);
        for _ in Turn::ALL {
            let turn = self.turn;
            self.turn = turn.next();
            let work = match turn {
                Turn::NewestBind => self.next_bind(|it| it.binds.pop_back()).map(Work::Bind),
                Turn::Again => self.next_again().map(Work::Bind),
                Turn::OldestBind => self.next_bind(|it| it.binds.pop_front()).map(Work::Bind),
                Turn::OldestUnbind => self.unbinds.pop_front().map(Work::Unbind),
            };
            if work.is_some() {
                return work;
            }
        }
        None
    }

    /// The next route to bind that was bound before all was lost. The same counts for its answer.
    pub(super) fn next_again(&mut self) -> Option<R> {
        self.is_idle = false;
        self.next_bind(|it| it.again.pop_front())
    }

    /// When [`Bindings::next_work`] may have something without anything else having happened.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let linger = self.due.first_key_value().map(|((until, _), _)| *until);
        linger.into_iter().chain(self.postponed.front().map(|(until, _)| *until)).min()
    }

    /// The route that has lingered longest is to be unbound now, for lack of what it takes.
    pub(super) fn end_linger(&mut self) -> Option<R> {
        let (_, route) = self.due.pop_first()?;
        let entry = self.entries.get_mut(&route).expect("a route is kept while it lingers");
        entry.state = State::Unbinding;
        Some(route)
    }

    fn end_lingers(&mut self, now: Instant) {
        while self.due.first_key_value().is_some_and(|((until, _), _)| *until <= now || self.due.len() > LINGERING_MAX)
        {
            let route = self.end_linger().expect("there is one that is due");
            self.unbinds.push_back(route);
        }
    }

    fn end_pauses(&mut self, now: Instant) {
        while self.postponed.front().is_some_and(|(until, _)| *until <= now) {
            let (_, route) = self.postponed.pop_front().expect("it was there");
            let queue = if self.was_bound(&route) { &mut self.again } else { &mut self.binds };
            queue.push_back(route);
        }
    }

    /// Passes over those whose subscribers have gone while they waited.
    fn next_bind(&mut self, pop: fn(&mut Self) -> Option<R>) -> Option<R> {
        loop {
            let route = pop(self)?;
            if self.entries.get(&route).is_some_and(|it| !it.subscribers.is_empty()) {
                return Some(route);
            }
            self.forget(&route);
        }
    }

    fn forget(&mut self, route: &R) -> HashMap<S, Option<W>> {
        let Some(entry) = self.entries.remove(route) else { return HashMap::new() };
        self.behind -= usize::from(entry.state == State::Again);
        entry.subscribers
    }

    fn begin_to_linger(&mut self, route: &R, now: Instant) {
        let due = (now + (self.linger)(route), self.lingered);
        self.lingered += 1;
        let entry = self.entries.get_mut(route).expect("the caller has just seen it");
        entry.state = State::Lingering { due };
        self.due.insert(due, route.clone());
    }
}

#[cfg(test)]
mod tests;
