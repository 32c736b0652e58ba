//! All that one writer has: what waits, and what was written and is not answered yet. What is of one session keeps the
//! order of its calls, whatever is lost meanwhile. Without I/O.

use std::collections::VecDeque;
use std::mem;

use lapin::PublisherConfirm;
use tokio::time::Instant;

use super::Routed;
use super::lanes::{Admitted, Lanes};
use super::outgoing::Outgoing;
use super::suspects::Suspects;
use super::window::{Confirm, Counts, Window};
use crate::ident::SessionId;
use crate::session::Fault;

/// Messages that are handed to the library at a time: enough for large writes.
pub(super) const BATCH: usize = 64;

pub(super) struct Backlog<C = PublisherConfirm> {
    pub(super) lanes: Lanes<Outgoing>,
    /// Can be written. Bounded, as the lanes are, by the bytes of all that wait.
    pub(super) ready: VecDeque<Outgoing>,
    /// Never more than may be in flight.
    pub(super) window: Window<C>,
    pub(super) suspects: Suspects<Outgoing>,
    window_max: usize,
}

impl<C: Confirm> Backlog<C> {
    pub(super) fn new(window_max: usize, counts: Counts) -> Self {
        Self {
            lanes: Lanes::new(),
            ready: VecDeque::new(),
            window: Window::new(counts),
            suspects: Suspects::new(),
            window_max: window_max.max(1),
        }
    }

    /// Says whether the session waits for a preparation from now on.
    pub(super) fn admit(&mut self, publish: Outgoing, needs_preparation: impl Fn(&Outgoing) -> bool) -> bool {
        match self.lanes.admit(publish, needs_preparation) {
            Admitted::Ready(publish) => {
                self.ready.push_back(publish);
                false
            }
            Admitted::Prepare => true,
            Admitted::Waits => false,
        }
    }

    /// Says whether the session waits for another preparation.
    pub(super) fn prepared(
        &mut self,
        session: SessionId,
        outcome: Result<(), Fault>,
        needs_preparation: impl Fn(&Outgoing) -> bool,
    ) -> bool {
        self.lanes.prepared(session, outcome, needs_preparation, &mut self.ready)
    }

    /// How many can be written together. One that may cost the channel is alone in the window.
    pub(super) fn writable(&mut self) -> usize {
        self.suspects.set_apart(&mut self.ready);
        let front = self.window.front().map(|it| (it.publish.session, it.publish.goes_alone()));
        if front.is_some_and(|(session, goes_alone)| goes_alone || self.suspects.contains(session)) {
            return 0;
        }
        let alone = usize::from(self.window.is_empty());
        if self.are_suspects_next() {
            return alone;
        }
        let room = self.window_max.saturating_sub(self.window.len());
        let count = self.ready.len().min(room).min(BATCH);
        match self.ready.iter().take(count).position(Outgoing::goes_alone) {
            Some(0) => alone,
            Some(before) => before,
            None => count,
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Vec<Outgoing> {
        if self.are_suspects_next() {
            return self.suspects.pop().into_iter().collect();
        }
        self.suspects.pass(count);
        self.ready.drain(..count).collect()
    }

    fn are_suspects_next(&self) -> bool {
        self.suspects.are_next(self.ready.len(), self.window_max)
    }

    /// The next that waits to be written.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        self.ready.pop_front().or_else(|| self.suspects.pop())
    }

    /// No preparation will end any more: what waits for one needs another in the next generation.
    ///
    /// Whatever was routed by an exchange may have found the queues of this gateway gone, and a confirm does not say so.
    pub(super) fn end_generation(&mut self) {
        self.ready.extend(self.lanes.take());
        self.window.forget(|it| it.content().is_some_and(Routed::is_routed_by_exchange));
    }

    /// Takes everything out, in order, to be admitted again in a new generation: first what was written and has no answer.
    pub(super) fn take_all(&mut self) -> VecDeque<Outgoing> {
        let mut all = self.window.take();
        all.extend(self.suspects.take_if(|_| true));
        all.append(&mut self.ready);
        all
    }

    /// When the first of those that wait to be written was called. Those in lanes are not looked at: their preparations
    /// have an end.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.ready.iter().chain(self.suspects.waiting()).map(|it| it.called).min()
    }

    /// Takes out those that have waited long enough. Nothing of their sessions is before them while the window is empty.
    pub(super) fn take_overdue(&mut self, is_over: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        if !self.window.is_empty() {
            return Vec::new();
        }
        let (over, waiting) = mem::take(&mut self.ready).into_iter().partition(&is_over);
        self.ready = waiting;
        let mut all = self.suspects.take_if(is_over);
        all.extend::<VecDeque<_>>(over);
        all
    }
}

#[cfg(test)]
mod tests;
