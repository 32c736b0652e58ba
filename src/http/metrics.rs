//! What the public listener counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::refusal;
use super::stage::Stage;
use super::tls::{self, HandshakeFault};
use crate::telemetry::Registry;
use crate::transport::sockjs;

/// Counters of the public listener. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) accept_errors: IntCounter,
    pub(super) accept_waits: IntCounter,
    pub(super) accepted: IntCounter,
    pub(super) connections: IntGauge,
    pub(super) handshakes: IntGauge,
    pub(super) sockjs: sockjs::Metrics,
    pub(super) tls_expiry: IntGauge,
    pub(super) tls_handshakes: IntCounter,
    pub(super) upgrades: IntCounter,
    refused: IntCounterVec,
    timeouts: IntCounterVec,
    tls_handshakes_failed: IntCounterVec,
    tls_reloads: IntCounterVec,
}

/// Values of the label `outcome`.
const RELOADED: [&str; 2] = ["failed", "ok"];

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        // A counter that begins at 0 shows its first increase.
        let counters = |name, help, label, values: &[&str]| {
            let counters = registry.counters(name, help, &[label]);
            values.iter().for_each(|it| drop(counters.with_label_values(&[it])));
            counters
        };
        Self {
            accept_errors: counter("http_accept_errors_total", "Connections that could not be accepted."),
            accept_waits: counter("http_accept_waits_total", "Times accepting waited at http.handshakes_max."),
            accepted: counter("http_accepted_total", "Connections accepted."),
            connections: registry.gauge(
                "http_connections",
                "Open connections that are used for requests; those upgraded to WebSocket are not among them.",
            ),
            handshakes: registry.gauge(
                "http_handshakes",
                "Connections without a whole request yet, their PROXY header and TLS handshake included.",
            ),
            refused: counters("http_refused_total", "Connections and requests refused.", "reason", &refusal::LABELS),
            timeouts: counters(
                "http_timeouts_total",
                "Connections closed because a client was too slow, by what it was slow with.",
                "stage",
                &Stage::LABELS,
            ),
            sockjs: sockjs::Metrics::new(registry),
            tls_expiry: registry.gauge(
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate for clients, or one of its chain, expires, since unix epoch; 0 without TLS.",
            ),
            tls_handshakes: counter("tls_handshakes_total", "TLS handshakes of clients that were completed."),
            tls_handshakes_failed: counters(
                "tls_handshakes_failed_total",
                "TLS handshakes of clients that failed.",
                "reason",
                &tls::LABELS,
            ),
            tls_reloads: counters(
                "tls_reloads_total",
                "Times the certificate for clients was read again.",
                "outcome",
                &RELOADED,
            ),
            upgrades: counter("http_upgrades_total", "Connections upgraded to WebSocket."),
        }
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn timed_out(&self, stage: Stage) {
        self.timeouts.with_label_values(&[stage.label()]).inc();
    }

    pub(super) fn tls_handshake_failed(&self, fault: &HandshakeFault) {
        self.tls_handshakes_failed.with_label_values(&[fault.label()]).inc();
    }

    pub(super) fn tls_reloaded(&self, is_ok: bool) {
        self.tls_reloads.with_label_values(&[RELOADED[usize::from(is_ok)]]).inc();
    }
}
