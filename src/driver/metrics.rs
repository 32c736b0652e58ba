//! What the drivers of all sessions count.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::session::{LABELS, Phase, Rate, Sent};
use crate::stomp::Command;
use crate::telemetry::Registry;
use crate::transport::Kind;

/// Metrics of all sessions. Handles are made once: looking one up by its label costs more than counting.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) bodies_replaced: IntCounter,
    pub(super) received_bytes: IntCounter,
    pub(super) received_pings: IntCounter,
    pub(super) sent_bytes: IntCounter,
    pub(super) subscriptions: IntGauge,
    pub(super) confirm_seconds: Histogram,
    sessions: [IntGauge; PHASES.len()],
    frames_received: [IntCounter; Command::ALL.len()],
    frames_sent: [IntCounter; SENT.len()],
    throttled: [IntCounter; RATES.len()],
    transports: [IntGauge; KINDS.len()],
    closed: IntCounterVec,
}

const PHASES: [(Phase, &str); 3] =
    [(Phase::Connecting, "connecting"), (Phase::Connected, "connected"), (Phase::Closing, "closing")];

const SENT: [(Sent, &str); 5] = [
    (Sent::Connected, "CONNECTED"),
    (Sent::Error, "ERROR"),
    (Sent::HeartBeat, "heart-beat"),
    (Sent::Message, "MESSAGE"),
    (Sent::Receipt, "RECEIPT"),
];

const RATES: [(Rate, &str); 2] = [(Rate::Bytes, "bytes"), (Rate::Messages, "messages")];

const KINDS: [(Kind, &str); 4] = [
    (Kind::HttpPolling, "http_polling"),
    (Kind::HttpStreaming, "http_streaming"),
    (Kind::SockJsWebSocket, "sockjs_websocket"),
    (Kind::WebSocket, "websocket"),
];

/// From a memory broker's microseconds to a broker that is away for a while.
const CONFIRM_BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let closed = registry.counters("sessions_closed_total", "Sessions that ended, by reason.", &["reason"]);
        for label in LABELS {
            closed.with_label_values(&[label]);
        }
        let sessions = registry.gauges("sessions", "Sessions by where they are.", &["phase"]);
        let received = registry.counters("frames_received_total", "Frames received from clients.", &["command"]);
        let throttled = registry.counters(
            "sessions_throttled_total",
            "Times a client was not read for a while because it had sent more than it may in a second.",
            &["rate"],
        );
        let transports =
            registry.gauges("transport_sessions", "Sessions by how their clients are connected.", &["transport"]);
        let sent =
            registry.counters("frames_sent_total", "Frames sent to clients; MESSAGE is deliveries.", &["command"]);
        Self {
            bodies_replaced: registry.counter(
                "bodies_replaced_total",
                "Frames sent with U+FFFD for what is not UTF-8, as SockJS carries nothing but text.",
            ),
            received_bytes: registry.counter("received_bytes_total", "Bytes of STOMP received from clients."),
            received_pings: registry.counter("received_pings_total", "Pings and pongs received from clients."),
            sent_bytes: registry.counter("sent_bytes_total", "Bytes of STOMP sent to clients."),
            subscriptions: registry.gauge("subscriptions", "Subscriptions of all sessions."),
            confirm_seconds: registry.histogram(
                "publish_confirm_seconds",
                "From a SEND to the broker's confirmation.",
                &CONFIRM_BUCKETS,
            ),
            sessions: PHASES.map(|(_, label)| sessions.with_label_values(&[label])),
            frames_received: Command::ALL.map(|it| received.with_label_values(&[it.as_str()])),
            frames_sent: SENT.map(|(_, label)| sent.with_label_values(&[label])),
            throttled: RATES.map(|(_, label)| throttled.with_label_values(&[label])),
            transports: KINDS.map(|(_, label)| transports.with_label_values(&[label])),
            closed,
        }
    }

    pub(super) fn sessions(&self, phase: Phase) -> &IntGauge {
        &self.sessions[phase as usize]
    }

    pub(super) fn frames_received(&self, command: Command) -> &IntCounter {
        &self.frames_received[command as usize]
    }

    pub(super) fn frames_sent(&self, sent: Sent) -> &IntCounter {
        &self.frames_sent[sent as usize]
    }

    pub(super) fn throttled(&self, rate: Rate) -> &IntCounter {
        &self.throttled[rate as usize]
    }

    pub(super) fn transports(&self, kind: Kind) -> &IntGauge {
        &self.transports[kind as usize]
    }

    pub(super) fn closed(&self, label: &str) {
        self.closed.with_label_values(&[label]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_handle_stands_where_it_is_looked_up() {
        assert!(KINDS.iter().enumerate().all(|(i, (kind, _))| *kind as usize == i));
        assert!(PHASES.iter().enumerate().all(|(i, (phase, _))| *phase as usize == i));
        assert!(RATES.iter().enumerate().all(|(i, (rate, _))| *rate as usize == i));
        assert!(SENT.iter().enumerate().all(|(i, (sent, _))| *sent as usize == i));
        assert!(Command::ALL.iter().enumerate().all(|(i, command)| *command as usize == i));
    }
}
