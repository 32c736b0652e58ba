//! Room for publishes: what the sessions of a back end have waiting, written or not, is bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

use super::memory_full;
use crate::delivery::Budget;
use crate::message::Share;
use crate::session::Fault;

/// What a message costs here beside its own bytes.
const OVERHEAD: usize = 512;

#[derive(Debug)]
pub(super) struct Room {
    bound: Bound,
    taken: AtomicUsize,
    waiting: Waiting,
    budget: Budget,
}

/// The setting that is the bound, and what it is the bound of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) bytes_max: usize,
    pub(super) what: &'static str,
    pub(super) setting: &'static str,
}

/// Gauges of what waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) messages: IntGauge,
    pub(super) bytes: IntGauge,
}

/// The part of the room that is one publish's, until it was answered.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: usize,
    _memory: Share,
}

impl Room {
    pub(super) fn new(bound: Bound, waiting: Waiting, budget: &Budget) -> Arc<Self> {
        Arc::new(Self { bound, taken: AtomicUsize::new(0), waiting, budget: budget.clone() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    /// As many messages have all the room.
    pub(super) const fn messages_max(&self) -> usize {
        self.bound.bytes_max / OVERHEAD + 1
    }

    /// A message larger than the bound still passes when it has all the room for itself.
    pub(super) fn take(self: &Arc<Self>, size: usize) -> Result<Place, Fault> {
        let memory = self.budget.try_take(size + OVERHEAD).map_err(memory_full)?;
        let bytes = (size + OVERHEAD).min(self.bound.bytes_max);
        let with_it = |taken: usize| taken.checked_add(bytes).filter(|it| *it <= self.bound.bytes_max);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_it).is_err() {
            return Err(self.full());
        }
        self.waiting.messages.inc();
        self.waiting.bytes.add(signed(bytes));
        Ok(Place { room: self.clone(), bytes, _memory: memory })
    }

    fn full(&self) -> Fault {
        let Bound { bytes_max: max, what, setting } = self.bound;
        Fault::Full { what: what.to_owned(), max, unit: "bytes", setting }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.waiting.messages.dec();
        self.room.waiting.bytes.sub(signed(self.bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery;
    use crate::telemetry::Registry;

    fn room(bytes_max: usize) -> Arc<Room> {
        let registry = Registry::default();
        let budget = Budget::new(usize::MAX, delivery::Metrics::new(&registry));
        let waiting =
            Waiting { messages: registry.gauge("messages", "Some."), bytes: registry.gauge("bytes", "Some.") };
        Room::new(Bound { bytes_max, what: "It", setting: "the.setting" }, waiting, &budget)
    }

    #[test]
    fn one_byte_more_than_the_bound_is_refused_until_another_has_gone() {
        let room = room(2 * OVERHEAD + 10);
        let first = room.take(4).unwrap();
        let fault = room.take(7).unwrap_err();
        assert!(fault.to_string() == "It is full: 1034 bytes (the.setting)", "{fault}");
        let second = room.take(6).unwrap();
        assert_eq!((room.waiting.messages.get(), room.waiting.bytes.get()), (2, 1034));
        drop(first);
        let third = room.take(4).unwrap();
        drop((second, third));
        assert_eq!((room.waiting.messages.get(), room.waiting.bytes.get()), (0, 0));
    }

    #[test]
    fn a_message_larger_than_the_bound_passes_alone() {
        let room = room(1_000);
        let small = room.take(1).unwrap();
        assert!(room.take(5_000).is_err());
        drop(small);
        let large = room.take(5_000).unwrap();
        assert!(room.take(0).is_err());
        drop(large);
    }
}
