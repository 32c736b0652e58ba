//! Room for publishes: what all sessions of an account have waiting, written or not, is bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::amqp::metrics::{Metrics, PublishQueue};
use crate::broker::memory_full;
use crate::delivery::Budget;
use crate::message::Share;
use crate::session::Fault;

/// What a message costs here beside its own bytes.
const OVERHEAD: usize = 512;

#[derive(Debug)]
pub(super) struct Room {
    bytes_max: usize,
    taken: AtomicUsize,
    metrics: PublishQueue,
    budget: Budget,
}

/// The part of the room that is one publish's, until it was answered.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: usize,
    _memory: Share,
}

impl Room {
    pub(super) fn new(bytes_max: usize, metrics: &Metrics, budget: &Budget) -> Arc<Self> {
        let (taken, metrics) = (AtomicUsize::new(0), metrics.publish_queue.clone());
        Arc::new(Self { bytes_max, taken, metrics, budget: budget.clone() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    /// As many messages have all the room.
    pub(super) const fn messages_max(&self) -> usize {
        self.bytes_max / OVERHEAD + 1
    }

    /// A message larger than the bound still passes when it has all the room for itself.
    pub(super) fn take(self: &Arc<Self>, size: usize) -> Result<Place, Fault> {
        let memory = self.budget.try_take(size + OVERHEAD).map_err(memory_full)?;
        let bytes = (size + OVERHEAD).min(self.bytes_max);
        let with_it = |taken: usize| taken.checked_add(bytes).filter(|it| *it <= self.bytes_max);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_it).is_err() {
            return Err(self.full());
        }
        self.metrics.messages.inc();
        self.metrics.bytes.add(signed(bytes));
        Ok(Place { room: self.clone(), bytes, _memory: memory })
    }

    fn full(&self) -> Fault {
        let (what, setting) = ("The queue of messages for RabbitMQ".to_owned(), "broker.amqp.publish_queue_bytes_max");
        Fault::Full { what, max: self.bytes_max, unit: "bytes", setting }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.metrics.messages.dec();
        self.room.metrics.bytes.sub(signed(self.bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::amqp::context::unbounded;
    use crate::telemetry::Registry;

    #[test]
    fn one_byte_more_than_the_bound_is_refused_until_another_has_gone() {
        let room = Room::new(2 * OVERHEAD + 10, &Metrics::new(&Registry::default()), &unbounded());
        let first = room.take(4).unwrap();
        let fault = room.take(7).unwrap_err();
        assert!(fault.to_string().ends_with("full: 1034 bytes (broker.amqp.publish_queue_bytes_max)"), "{fault}");
        let second = room.take(6).unwrap();
        assert_eq!((room.metrics.messages.get(), room.metrics.bytes.get()), (2, 1034));
        drop(first);
        let third = room.take(4).unwrap();
        drop((second, third));
        assert_eq!((room.metrics.messages.get(), room.metrics.bytes.get()), (0, 0));
    }

    #[test]
    fn a_message_larger_than_the_bound_passes_alone() {
        let room = Room::new(1_000, &Metrics::new(&Registry::default()), &unbounded());
        let small = room.take(1).unwrap();
        assert!(room.take(5_000).is_err());
        drop(small);
        let large = room.take(5_000).unwrap();
        assert!(room.take(0).is_err());
        drop(large);
    }
}
