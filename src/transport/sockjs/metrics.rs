//! What is counted about sessions of SockJS over HTTP.

use prometheus::{IntCounter, IntCounterVec};

use crate::telemetry::Registry;

/// Counters of SockJS. Cloning it clones handles.
#[derive(Clone, Debug)]
pub struct Metrics {
    ended: IntCounterVec,
    stray_receiving: IntCounter,
    stray_sending: IntCounter,
}

/// How a session has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// By the gateway, which told why.
    Closed,
    /// Nobody received for too long.
    Expired,
    /// A receiver broke.
    Interrupted,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Self {
        let ended =
            registry.counters("sockjs_sessions_ended_total", "SockJS sessions over HTTP that ended, by how.", &["how"]);
        for how in [Ended::Closed, Ended::Expired, Ended::Interrupted] {
            ended.with_label_values(&[how.label()]);
        }
        let strays = registry.counters(
            "sockjs_strays_total",
            "Requests that seem to be of a session on another gateway: sending ones of unknown sessions, receiving \
             ones that began a session of which no byte came.",
            &["request"],
        );
        Self {
            ended,
            stray_receiving: strays.with_label_values(&["receiving"]),
            stray_sending: strays.with_label_values(&["sending"]),
        }
    }

    /// A sending request of a session that is not here.
    pub fn stray_sending(&self) {
        self.stray_sending.inc();
    }

    pub(super) fn ended(&self, how: Ended, has_sent: bool) {
        self.ended.with_label_values(&[how.label()]).inc();
        self.stray_receiving.inc_by(u64::from(!has_sent));
    }
}

impl Ended {
    const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Interrupted => "interrupted",
        }
    }
}
