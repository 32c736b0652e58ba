//! What all queues hold together, and whether there is room for more.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::metrics::Metrics;
use super::settings::Settings;

/// Charged for keeping a message, beside its own bytes: without it the bound in bytes would say little about memory
/// when messages are small.
const MESSAGE_OVERHEAD: usize = 256;

/// Shared by all queues of one broker.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    bytes: AtomicUsize,
}

impl Account {
    pub(super) fn new(settings: Settings, metrics: Metrics) -> Self {
        Self { settings, metrics, bytes: AtomicUsize::new(0) }
    }

    /// What a message of that size is charged.
    pub(super) fn charge(size: usize) -> usize {
        size + MESSAGE_OVERHEAD
    }

    /// Says whether there is room for one more message.
    pub(super) fn reserve(&self, charge: usize) -> bool {
        let room = |bytes: usize| bytes.checked_add(charge).filter(|it| *it <= self.settings.bytes_max);
        let is_reserved = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if is_reserved {
            self.metrics.queue_messages.inc();
            self.metrics.queue_bytes.add(signed(charge));
        }
        is_reserved
    }

    pub(super) fn release(&self, messages: usize, charge: usize) {
        self.bytes.fetch_sub(charge, Ordering::Relaxed);
        self.metrics.queue_messages.sub(signed(messages));
        self.metrics.queue_bytes.sub(signed(charge));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("counts are bounded far below that")
}
