//! Whether the broker can be used, and what `/ready` says of that: a restart of the broker is to move no clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Outage;
use crate::lifecycle::{Latch, Lifecycle};

/// Not so at first. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Availability {
    is_there: watch::Sender<bool>,
    was_there: Arc<AtomicBool>,
    connected: IntGauge,
}

impl Availability {
    /// `ready_grace` is how long the broker may be away, while sessions are held, before the latch is taken back;
    /// `connected` is the gauge that says so at once.
    pub(super) fn start(
        outage: Outage,
        ready_grace: Duration,
        connected: &IntGauge,
        lifecycle: &Lifecycle,
        latch: Latch,
    ) -> Self {
        let grace = match outage {
            Outage::Hold => ready_grace,
            Outage::Reject => Duration::ZERO,
        };
        let is_there = watch::Sender::new(false);
        let availability = Self { is_there, was_there: Arc::default(), connected: connected.clone() };
        let (changes, stopping) = (availability.is_there.subscribe(), lifecycle.stopping().clone());
        lifecycle.spawn_background(async move {
            stopping.run_until_cancelled(follow(changes, &latch, grace)).await;
            latch.set(false);
        });
        availability
    }

    pub(super) fn set(&self, is_there: bool) {
        self.connected.set(is_there.into());
        self.was_there.fetch_or(is_there, Ordering::Relaxed);
        self.is_there.send_replace(is_there);
    }

    pub(super) fn is_there(&self) -> bool {
        *self.is_there.borrow()
    }

    /// Whether it ever was.
    pub(super) fn was_there(&self) -> bool {
        self.was_there.load(Ordering::Relaxed)
    }

    /// Returns when it is.
    pub(super) async fn reached(&self) {
        self.is_there.subscribe().wait_for(|it| *it).await.map(drop).expect("this holds the other end");
    }
}

/// Sets the latch at once, and takes it back when the broker has been away for so long.
async fn follow(mut is_there: watch::Receiver<bool>, latch: &Latch, grace: Duration) {
    while is_there.wait_for(|it| *it).await.is_ok() {
        latch.set(true);
        if is_there.wait_for(|it| !*it).await.is_err() {
            return;
        }
        if timeout(grace, is_there.wait_for(|it| *it)).await.is_err() {
            latch.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::lifecycle::Readiness;
    use crate::telemetry::Registry;

    struct Case {
        availability: Availability,
        latch: Latch,
        lifecycle: Lifecycle,
    }

    impl Case {
        fn new(outage: Outage) -> Self {
            let lifecycle = Lifecycle::default();
            let connected = Registry::default().gauge("connected", "1 while the broker can be used.");
            let latch = Readiness::default().latch("broker");
            let grace = Duration::from_secs(30);
            let availability = Availability::start(outage, grace, &connected, &lifecycle, latch.clone());
            Self { availability, latch, lifecycle }
        }

        async fn is_ready_after(&self, seconds: u64) -> bool {
            tokio::task::yield_now().await;
            advance(Duration::from_secs(seconds)).await;
            tokio::task::yield_now().await;
            self.latch.is_set()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_after_the_grace_and_the_end_of_it_at_once() {
        let case = Case::new(Outage::Hold);
        assert!(!case.is_ready_after(60).await, "it was never there");
        case.availability.set(true);
        assert!(case.is_ready_after(0).await);
        case.availability.set(false);
        assert!(case.is_ready_after(29).await);
        case.availability.set(true);
        assert!(case.is_ready_after(2).await, "the grace begins anew");
        case.availability.set(false);
        assert!(case.is_ready_after(29).await);
        assert!(!case.is_ready_after(1).await);
        case.availability.set(true);
        assert!(case.is_ready_after(0).await);
        case.lifecycle.stop();
        assert!(!case.is_ready_after(0).await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_hold_there_is_no_grace() {
        let case = Case::new(Outage::Reject);
        case.availability.set(true);
        assert!(case.is_ready_after(0).await);
        case.availability.set(false);
        assert!(!case.is_ready_after(0).await);
    }
}
