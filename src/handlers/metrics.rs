//! What calls of handlers count.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::failure::Cause;
use super::request::Event;
use crate::telemetry::Registry;

/// Handles of all metrics, made once. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) in_flight: IntGauge,
    pub(super) seconds: Histogram,
    pub(super) retries: IntCounter,
    pub(super) breakers_open: IntGauge,
    pub(super) breakers_opened: IntCounter,
    pub(super) hooks_dropped: IntCounter,
    calls: IntCounterVec,
}

const OK: &str = "ok";

const CAUSES: [Cause; 6] =
    [Cause::Failed, Cause::Limit, Cause::Missing, Cause::Refused, Cause::TimedOut, Cause::Unavailable];

/// From a service on the same host to the default timeout.
const BUCKETS: [f64; 10] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let calls = registry.counters(
            "handler_calls_total",
            "Frames to /app and events for hooks, by what came of them.",
            &["event", "outcome"],
        );
        for event in Event::ALL {
            let outcomes = CAUSES.map(label);
            outcomes.iter().chain([&OK]).for_each(|outcome| drop(calls.with_label_values(&[event.as_str(), outcome])));
        }
        Self {
            calls,
            in_flight: registry.gauge("handler_calls_in_flight", "Calls of handlers that are not answered yet."),
            seconds: registry.histogram(
                "handler_seconds",
                "From a frame to /app or an event to the answer of its handler, all attempts together.",
                &BUCKETS,
            ),
            retries: registry.counter("handler_retries_total", "Attempts after the first one of a call."),
            breakers_open: registry
                .gauge("handler_breakers_open", "Targets that are left alone for a while because they failed."),
            breakers_opened: registry
                .counter("handler_breakers_opened_total", "Times a target was left alone because it had failed."),
            hooks_dropped: registry.counter(
                "handler_hooks_dropped_total",
                "Events that no hook was told of because too many waited (app.hook_queue_max).",
            ),
        }
    }

    pub(super) fn called(&self, event: Event, outcome: Result<(), Cause>) {
        let outcome = outcome.map_or_else(label, |()| OK);
        self.calls.with_label_values(&[event.as_str(), outcome]).inc();
    }
}

const fn label(cause: Cause) -> &'static str {
    match cause {
        Cause::Failed => "failed",
        Cause::Limit => "limit",
        Cause::Missing => "missing",
        Cause::Refused => "refused",
        Cause::TimedOut => "timeout",
        Cause::Unavailable => "unavailable",
    }
}
