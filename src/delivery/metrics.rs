//! Counters of all outboxes.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use crate::telemetry::Registry;

/// Cloning it clones one handle: every session has a clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: IntGauge,
    dropped: IntCounter,
    overflowed: IntCounter,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        Self(Arc::new(Inner {
            bytes: registry.gauge("outbox_bytes", "Bytes of messages that wait for their sessions."),
            dropped: registry.counter(
                "outbox_dropped_messages_total",
                "Messages dropped for slow clients by the drop-oldest policy.",
            ),
            overflowed: registry.counter("outbox_overflows_total", "Sessions given up because a client did not read."),
        }))
    }

    pub fn bytes(&self) -> &IntGauge {
        &self.0.bytes
    }

    pub fn dropped(&self) -> &IntCounter {
        &self.0.dropped
    }

    pub fn overflowed(&self) -> &IntCounter {
        &self.0.overflowed
    }
}
