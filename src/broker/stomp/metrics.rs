//! What the STOMP back end counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::broker::room::Waiting;
use crate::telemetry::Registry;

/// Handles of all metrics, made once. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) connected: IntGauge,
    pub(super) connections: IntGauge,
    pub(super) connects: IntCounter,
    pub(super) connect_failures: IntCounter,
    pub(super) connections_refused: IntCounter,
    pub(super) delivered: IntCounter,
    pub(super) errors: IntCounter,
    pub(super) expired: IntCounter,
    pub(super) published: IntCounter,
    pub(super) republished: IntCounter,
    pub(super) stale_settlements: IntCounter,
    pub(super) unknown_deliveries: IntCounter,
    pub(super) waiting: Waiting,
    losses: IntCounterVec,
}

/// Why a connection is over that nobody wanted to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Loss {
    Closed,
    Error,
    Malformed,
    Network,
    Silent,
    Unanswered,
}

impl Loss {
    const ALL: [Self; 6] = [Self::Closed, Self::Error, Self::Malformed, Self::Network, Self::Silent, Self::Unanswered];

    /// Value of the label `reason`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Error => "error",
            Self::Malformed => "malformed",
            Self::Network => "network",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
        }
    }
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let connects = registry.counters("broker_stomp_connects_total", "Attempts to connect upstream.", &["outcome"]);
        let lost = "Upstream connections that ended without the gateway's will.";
        let losses = registry.counters("broker_stomp_losses_total", lost, &["reason"]);
        for loss in Loss::ALL {
            losses.with_label_values(&[loss.as_str()]);
        }
        Self {
            connected: registry.gauge("broker_stomp_connected", "1 while the system connection is there."),
            connections: registry.gauge("broker_stomp_connections", "Upstream connections, the system's included."),
            connects: connects.with_label_values(&["ok"]),
            connect_failures: connects.with_label_values(&["failed"]),
            connections_refused: registry.counter(
                "broker_stomp_connections_refused_total",
                "Sessions that were refused for broker.stomp.connections_max.",
            ),
            delivered: registry.counter("broker_stomp_deliveries_total", "MESSAGEs of the broker for sessions."),
            errors: registry.counter("broker_stomp_errors_total", "ERRORs of the broker."),
            expired: registry.counter(
                "broker_stomp_publishes_expired_total",
                "SENDs that were held, or had no RECEIPT, for broker.hold_time, and were refused then.",
            ),
            published: registry.counter("broker_stomp_publishes_total", "SENDs that were written to the broker."),
            republished: registry
                .counter("broker_stomp_republishes_total", "SENDs that were written again after a connection was lost."),
            stale_settlements: registry.counter(
                "broker_stomp_stale_settlements_total",
                "ACKs and NACKs of what a lost connection or an ended subscription had delivered: the broker does not \
                 hear of them.",
            ),
            unknown_deliveries: registry.counter(
                "broker_stomp_unknown_deliveries_total",
                "MESSAGEs of the broker for a subscription that is over.",
            ),
            waiting: Waiting {
                messages: registry.gauge(
                    "broker_stomp_publish_queue_messages",
                    "SENDs that wait to be written or for their RECEIPT, also those that are held while the broker is away.",
                ),
                bytes: registry.gauge(
                    "broker_stomp_publish_queue_bytes",
                    "Bytes that wait to be written or for their RECEIPT, each SEND with its overhead.",
                ),
            },
            losses,
        }
    }

    pub(super) fn lost(&self, loss: Loss) {
        self.losses.with_label_values(&[loss.as_str()]).inc();
    }
}
