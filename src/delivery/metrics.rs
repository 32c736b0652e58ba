//! Counters of all outboxes, and of the memory that sessions share.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use super::budget::Use;
use crate::telemetry::Registry;

/// Cloning it clones one handle: every session has a clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: IntGauge,
    dropped: IntCounter,
    overflowed: IntCounter,
    deliveries: Use,
    publishes: Use,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let bytes = registry.gauges("memory_bytes", "Memory that counts towards limits.memory_bytes_max.", &["use"]);
        let refused = registry.counters(
            "memory_refused_total",
            "Outboxes given up, and SENDs refused, because limits.memory_bytes_max was nearly used up.",
            &["use"],
        );
        let of = |label| Use { bytes: bytes.with_label_values(&[label]), refused: refused.with_label_values(&[label]) };
        Self(Arc::new(Inner {
            bytes: registry.gauge("outbox_bytes", "Bytes of messages that wait for their sessions."),
            dropped: registry.counter(
                "outbox_dropped_messages_total",
                "Messages dropped for slow clients by the drop-oldest policy.",
            ),
            overflowed: registry.counter("outbox_overflows_total", "Sessions given up because a client did not read."),
            deliveries: of("deliveries"),
            publishes: of("publishes"),
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

    pub(super) fn deliveries(&self) -> &Use {
        &self.0.deliveries
    }

    pub(super) fn publishes(&self) -> &Use {
        &self.0.publishes
    }
}
