//! Counters of the embedded broker.

use prometheus::{IntCounter, IntGauge};

use crate::telemetry::Registry;

/// What the embedded broker holds and has done.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub queue_messages: IntGauge,
    pub queue_bytes: IntGauge,
    pub queues: IntGauge,
    pub published: IntCounter,
    pub delivered: IntCounter,
    pub expired: IntCounter,
    pub dropped: IntCounter,
    pub user_unreached: IntCounter,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        Self {
            queue_messages: registry
                .gauge("broker_memory_queue_messages", "Messages in queues, unsettled ones included."),
            queue_bytes: registry.gauge("broker_memory_queue_bytes", "Bytes charged for the messages in queues."),
            queues: registry.gauge("broker_memory_queues", "Queues that have a name."),
            published: registry.counter("broker_memory_published_messages_total", "Messages accepted from sessions."),
            delivered: registry.counter("broker_memory_delivered_messages_total", "Messages pushed to sessions."),
            expired: registry
                .counter("broker_memory_expired_messages_total", "Messages dropped when their time was over."),
            dropped: registry.counter(
                "broker_memory_dropped_messages_total",
                "Oldest messages dropped from full queues of topic subscriptions.",
            ),
            user_unreached: registry.counter(
                "broker_memory_user_unreached_messages_total",
                "Messages to users and sessions that nobody was subscribed to.",
            ),
        }
    }
}
