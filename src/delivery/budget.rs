//! The memory that all sessions share, and who has to give way when it gets short.
//!
//! Counted are messages that wait for clients, each once however many clients it waits for, what their places in the
//! outboxes take, and SENDs that wait for the broker. This is the order:
//!
//! 1. Deliveries take half of it: the bound of each outbox is lowered to its fair share of that half. So slow readers
//!    go first, and a client that reads is not touched.
//! 2. Three quarters are taken in all: a SEND that would have to wait is refused. The last quarter is for deliveries
//!    that are under way.
//! 3. All of it is taken: an outbox takes a message only when nothing else waits in it.
//!
//! Nobody is looked for: an outbox is judged when it is pushed to, a SEND when it comes. A SEND, too, passes when no
//! other one waits, so that nothing stands still for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{IntCounter, IntGauge};

use super::metrics::Metrics;
use super::outbox::Item;
use crate::message::{Message, Share};

/// A handle; all clones count together.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    /// That are there now.
    outboxes: AtomicUsize,
    metrics: Metrics,
}

/// What a part of the memory is used for.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) bytes: IntGauge,
    pub(super) refused: IntCounter,
}

/// There is no memory left for a SEND that has to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MemoryFull {
    pub bytes_max: usize,
}

/// The key that is the bound.
pub const MEMORY_SETTING: &str = "limits.memory_bytes_max";

/// What an outbox may hold however many there are: the largest frame by default.
const FAIR_SHARE_MIN: usize = 64 * 1024;

/// What a message takes beside its own bytes: allocations, and the places of its frames.
const MESSAGE_OVERHEAD: usize = 256;

/// What a message takes in each outbox.
const PLACE_BYTES: i64 = size_of::<Item>() as i64;

impl Budget {
    pub fn new(bytes_max: usize, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { bytes_max, outboxes: AtomicUsize::new(0), metrics }))
    }

    /// Memory for a SEND that waits until the broker has taken it.
    pub fn try_take(&self, bytes: usize) -> Result<Share, MemoryFull> {
        let Inner { bytes_max, metrics, .. } = &*self.0;
        let publishes = metrics.publishes();
        let share = Share::take(&publishes.bytes, bytes);
        if self.used() <= bytes_max / 4 * 3 || count(&publishes.bytes) <= bytes {
            Ok(share)
        } else {
            publishes.refused.inc();
            Err(MemoryFull { bytes_max: *bytes_max })
        }
    }

    /// A message waits for a client, perhaps one of many.
    pub(super) fn hold(&self, message: &Message) {
        if message.enter() {
            self.0.metrics.deliveries().bytes.add(cost(message));
        }
    }

    /// It waits for that client no more. Whoever else has it, such as a queue, has a bound of its own.
    pub(super) fn release(&self, message: &Message) {
        if message.leave() {
            self.0.metrics.deliveries().bytes.sub(cost(message));
        }
    }

    /// So many more messages wait in outboxes, or fewer.
    pub(super) fn count_places(&self, change: i64) {
        self.0.metrics.deliveries().bytes.add(change * PLACE_BYTES);
    }

    pub(super) fn outbox_opened(&self) {
        self.0.outboxes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn outbox_closed(&self) {
        self.0.outboxes.fetch_sub(1, Ordering::Relaxed);
    }

    /// What one outbox may hold; no bound while there is enough for all.
    pub(super) fn outbox_bytes_max(&self) -> usize {
        let half = self.0.bytes_max / 2;
        if count(&self.0.metrics.deliveries().bytes) <= half {
            usize::MAX
        } else if self.used() > self.0.bytes_max {
            0
        } else {
            (half / self.0.outboxes.load(Ordering::Relaxed).max(1)).max(FAIR_SHARE_MIN)
        }
    }

    fn used(&self) -> usize {
        let metrics = &self.0.metrics;
        count(&metrics.deliveries().bytes).saturating_add(count(&metrics.publishes().bytes))
    }
}

fn cost(message: &Message) -> i64 {
    i64::try_from(message.size() + MESSAGE_OVERHEAD).expect("fewer bytes than memory has")
}

fn count(gauge: &IntGauge) -> usize {
    usize::try_from(gauge.get()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
