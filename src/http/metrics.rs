//! What the public listener counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::refusal::LABELS;
use crate::telemetry::Registry;

/// Counters of the public listener. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) accept_errors: IntCounter,
    pub(super) accepted: IntCounter,
    pub(super) connections: IntGauge,
    pub(super) upgrades: IntCounter,
    refused: IntCounterVec,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let refused = registry.counters("http_refused_total", "Connections and requests refused.", &["reason"]);
        for reason in LABELS {
            // A counter that begins at 0 shows its first increase.
            refused.with_label_values(&[reason]);
        }
        Self {
            accept_errors: registry.counter("http_accept_errors_total", "Connections that could not be accepted."),
            accepted: registry.counter("http_accepted_total", "Connections accepted."),
            connections: registry.gauge(
                "http_connections",
                "Open connections that are used for requests; those upgraded to WebSocket are not among them.",
            ),
            refused,
            upgrades: registry.counter("http_upgrades_total", "Connections upgraded to WebSocket."),
        }
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
