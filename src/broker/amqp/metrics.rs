//! What the RabbitMQ back end counts.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::connection::Role;
use crate::broker::room::Waiting;
use crate::session::{Fault, Verdict};
use crate::telemetry::Registry;

/// From one round trip on the same host to the operation timeout.
const CONFIRM_BUCKETS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// From a connection that somebody closed to a broken machine.
const OUTAGE_BUCKETS: [f64; 8] = [0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0];

const RESUME_BUCKETS: [f64; 8] = [0.05, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

/// Handles of all metrics, made once. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) connected: IntGauge,
    pub(super) connects: IntCounter,
    pub(super) connect_failures: IntCounter,
    pub(super) losses: IntCounter,
    pub(super) blocked: IntGauge,
    pub(super) publishes_in_flight: IntGauge,
    pub(super) publish_queue: PublishQueue,
    pub(super) confirm_seconds: Histogram,
    pub(super) republished: IntCounter,
    pub(super) feed_deliveries: IntCounter,
    pub(super) feed_bindings: IntGauge,
    pub(super) feed_bindings_behind: IntGauge,
    pub(super) outage_seconds: Histogram,
    pub(super) resume_seconds: Histogram,
    pub(super) private_channels: IntGauge,
    pub(super) private_deliveries: IntCounter,
    pub(super) private_consumers: IntGauge,
    pub(super) stale_settlements: IntCounter,
    pub(super) unsettled: IntGauge,
    pub(super) accounts: IntGauge,
    pub(super) feed_queues: IntGauge,
    pub(super) feed_backlog: IntGauge,
    pub(super) users: Users,
    connections: [IntGauge; Role::ALL.len()],
    confirmed: IntCounter,
    nacked: IntCounter,
    timed_out: IntCounter,
    failed: IntCounter,
    accepted: IntCounter,
    discarded: IntCounter,
    requeued: IntCounter,
}

/// Of what waits to be written or confirmed.
#[derive(Clone, Debug)]
pub(super) struct PublishQueue {
    pub(super) waiting: Waiting,
    pub(super) expired: IntCounter,
}

impl PublishQueue {
    fn new(registry: &Registry) -> Self {
        Self {
            waiting: Waiting {
                messages: registry.gauge(
                    "broker_amqp_publish_queue_messages",
                    "Messages that wait to be written or confirmed, also those that are held while RabbitMQ is away.",
                ),
                bytes: registry.gauge(
                    "broker_amqp_publish_queue_bytes",
                    "Bytes that wait to be written or confirmed, each message with its overhead.",
                ),
            },
            expired: registry.counter(
                "broker_amqp_publishes_expired_total",
                "Messages that were held for broker.hold_time, and refused then.",
            ),
        }
    }
}

/// Of messages to users and to sessions, those that reached nobody.
#[derive(Clone, Debug)]
pub(super) struct Users {
    /// RabbitMQ had no queue for them.
    pub(super) absent: IntCounter,
    /// They came here, and nobody is subscribed to that destination.
    pub(super) not_subscribed: IntCounter,
    /// They do not say to which destination they are.
    pub(super) no_destination: IntCounter,
}

impl Users {
    fn new(registry: &Registry) -> Self {
        let unreached = registry.counters(
            "broker_amqp_user_unreached_messages_total",
            "Messages to users and sessions that reached nobody, here or anywhere.",
            &["reason"],
        );
        Self {
            absent: unreached.with_label_values(&["absent"]),
            not_subscribed: unreached.with_label_values(&["not_subscribed"]),
            no_destination: unreached.with_label_values(&["no_destination"]),
        }
    }
}

/// Of attempts to connect, of publishes, and of deliveries.
fn outcomes(registry: &Registry) -> [IntCounterVec; 3] {
    let settled = "Deliveries of queues that were settled.";
    [
        registry.counters("broker_amqp_connects_total", "Attempts to connect to RabbitMQ.", &["outcome"]),
        registry.counters("broker_amqp_publishes_total", "Messages handed to RabbitMQ, by its answer.", &["outcome"]),
        registry.counters("broker_amqp_settlements_total", settled, &["verdict"]),
    ]
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let [connects, publishes, settles] = outcomes(registry);
        let connections = registry.gauges("broker_amqp_connections", "Connections to RabbitMQ.", &["role"]);
        let [outage_seconds, resume_seconds] = outages(registry);
        Self {
            accounts: registry.gauge("broker_amqp_accounts", "Accounts of RabbitMQ that are in use."),
            private_consumers: registry
                .gauge("broker_amqp_private_consumers", "Subscriptions that have a consumer of their own."),
            stale_settlements: registry.counter(
                "broker_amqp_stale_settlements_total",
                "Settlements of what a lost channel had delivered: RabbitMQ does not hear of them, and delivers it again.",
            ),
            unsettled: registry.gauge(
                "broker_amqp_unsettled",
                "Messages that RabbitMQ has delivered to sessions and waits to hear about.",
            ),
            feed_queues: registry.gauge("broker_amqp_feed_queues", "Queues that subscriptions share."),
            feed_backlog: registry
                .gauge("broker_amqp_feed_backlog_messages", "Messages that wait in such queues at RabbitMQ."),
            users: Users::new(registry),
            connections: Role::ALL.map(|it| connections.with_label_values(&[it.as_str()])),
            connected: registry.gauge("broker_amqp_connected", "1 while RabbitMQ can be used."),
            connects: connects.with_label_values(&["connected"]),
            connect_failures: connects.with_label_values(&["failed"]),
            losses: registry
                .counter("broker_amqp_connection_losses_total", "Times the connections to RabbitMQ were lost."),
            blocked: registry.gauge(
                "broker_amqp_blocked",
                "Connections that RabbitMQ does not read from for lack of memory or disk.",
            ),
            publishes_in_flight: registry
                .gauge("broker_amqp_publishes_in_flight", "Messages that RabbitMQ was sent and has not confirmed."),
            publish_queue: PublishQueue::new(registry),
            confirm_seconds: registry.histogram(
                "broker_amqp_confirm_seconds",
                "From writing a message to its confirm; one message of each batch is observed.",
                &CONFIRM_BUCKETS,
            ),
            republished: registry.counter(
                "broker_amqp_republished_total",
                "Messages published again because their channel or connection was lost before they were confirmed.",
            ),
            feed_deliveries: registry.counter(
                "broker_amqp_feed_deliveries_total",
                "Messages of topics that RabbitMQ delivered to the gateway.",
            ),
            feed_bindings: registry
                .gauge("broker_amqp_feed_bindings", "Topics and patterns that are bound at RabbitMQ."),
            feed_bindings_behind: registry.gauge(
                "broker_amqp_feed_bindings_behind",
                "Topics and patterns that were bound when RabbitMQ was lost, and are not again.",
            ),
            outage_seconds,
            resume_seconds,
            private_channels: registry
                .gauge("broker_amqp_private_channels", "Sessions that hold a channel of their own."),
            private_deliveries: registry.counter(
                "broker_amqp_private_deliveries_total",
                "Messages of queues that RabbitMQ delivered to sessions.",
            ),
            confirmed: publishes.with_label_values(&["confirmed"]),
            nacked: publishes.with_label_values(&["nacked"]),
            timed_out: publishes.with_label_values(&["timed_out"]),
            failed: publishes.with_label_values(&["failed"]),
            accepted: settles.with_label_values(&["accepted"]),
            discarded: settles.with_label_values(&["discarded"]),
            requeued: settles.with_label_values(&["requeued"]),
        }
    }

    pub(super) fn connections(&self, role: Role) -> &IntGauge {
        &self.connections[role as usize]
    }

    pub(super) fn published(&self, outcome: &Result<(), Fault>) {
        let counter = match outcome {
            Ok(()) => &self.confirmed,
            Err(Fault::Nacked) => &self.nacked,
            Err(Fault::TimedOut(_)) => &self.timed_out,
            Err(
                Fault::AccessRefused { .. }
                | Fault::Amqp { .. }
                | Fault::ConnectionLimit(_)
                | Fault::Forbidden { .. }
                | Fault::Full { .. }
                | Fault::Handler { .. }
                | Fault::LinkBroken(_)
                | Fault::LoginMissing
                | Fault::Refused(_)
                | Fault::Relayed { .. }
                | Fault::Unavailable
                | Fault::Unsupported(_)
                | Fault::UserSessions { .. }
                | Fault::VhostRefused { .. },
            ) => &self.failed,
        };
        counter.inc();
    }

    pub(super) fn settled(&self, verdict: Verdict, count: usize) {
        let counter = match verdict {
            Verdict::Accepted => &self.accepted,
            Verdict::Discarded => &self.discarded,
            Verdict::Requeued => &self.requeued,
        };
        counter.inc_by(count as u64);
    }
}

fn outages(registry: &Registry) -> [Histogram; 2] {
    let outage = "From the loss of an account's connections to RabbitMQ until they are there again.";
    let resume = "From then until all that was subscribed is so again.";
    [
        registry.histogram("broker_amqp_outage_seconds", outage, &OUTAGE_BUCKETS),
        registry.histogram("broker_amqp_resume_seconds", resume, &RESUME_BUCKETS),
    ]
}

/// Counts one in a gauge for as long as it lives, however that ends.
#[derive(Debug)]
pub(super) struct Counted(IntGauge);

impl Counted {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A part of a gauge that several share; what is left of it goes when it does.
#[derive(Debug)]
pub(super) struct Share {
    gauge: IntGauge,
    count: i64,
}

impl Share {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        Self { gauge: gauge.clone(), count: 0 }
    }

    pub(super) fn change(&mut self, by: i64) {
        self.gauge.add(by);
        self.count += by;
    }

    pub(super) fn set(&mut self, to: i64) {
        self.change(to - self.count);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.sub(self.count);
    }
}
