//! A gateway's back end on the STOMP brokers of the tests.

use std::time::Duration;

use stompgate::broker::Broker;
#[cfg(feature = "test-rabbitmq")]
use stompgate::broker::stomp::Address;
use stompgate::broker::stomp::{self, Settings};
use stompgate::delivery::{self, Budget, Outboxes};
use stompgate::lifecycle::{Latch, Lifecycle, Readiness};
use stompgate::telemetry::Registry;
use tokio::time::{interval, timeout};

use crate::broker_contract::fixture::{Clock, Fixture};

/// Longer than anything takes that works.
const DEADLINE: Duration = Duration::from_secs(30);

/// One gateway's back end.
pub(crate) struct Gateway {
    pub(crate) broker: Broker,
    pub(crate) latch: Latch,
    registry: Registry,
    lifecycle: Lifecycle,
}

impl Gateway {
    /// Returns when its system connection is there.
    #[cfg(feature = "test-rabbitmq")]
    pub(crate) async fn connected(settings: Settings) -> Self {
        let gateway = Self::started(settings);
        gateway.is_ready().await;
        gateway
    }

    pub(crate) async fn is_ready(&self) {
        eventually("it is connected", || self.latch.is_set()).await;
    }

    pub(crate) async fn is_not_ready(&self) {
        eventually("it is not connected", || !self.latch.is_set()).await;
    }

    /// Waits until the sum of the metric is that.
    pub(crate) async fn has(&self, metric: &str, value: f64) {
        eventually(metric, || self.metric(metric, "") == value).await;
    }

    pub(crate) fn started(settings: Settings) -> Self {
        let (lifecycle, registry) = (Lifecycle::default(), Registry::default());
        let latch = Readiness::default().latch("broker");
        let metrics = delivery::Metrics::new(&registry);
        let budget = Budget::new(usize::MAX, metrics.clone());
        let outboxes = Outboxes::new(delivery::Settings::default(), budget.clone(), metrics);
        let metrics = stomp::Metrics::new(&registry);
        let broker = stomp::Broker::start(settings, &lifecycle, latch.clone(), metrics, &budget, &outboxes);
        Self { broker: Broker::Stomp(broker), latch, registry, lifecycle }
    }

    pub(crate) fn fixture(&self) -> Fixture {
        Fixture::new(self.broker.clone(), Clock::Real)
    }

    /// Waits until the metric has that value for the label.
    pub(crate) async fn counts(&self, metric: &str, label: &str, value: f64) {
        eventually(metric, || self.metric(metric, label) == value).await;
    }

    /// The sum of a metric over those of its labels that are `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|it| it.name() == format!("stompgate_broker_stomp_{name}"));
        let metrics = family.expect("the metric exists").get_metric().iter();
        let metrics = metrics.filter(|it| label.is_empty() || it.get_label().iter().any(|it| it.value() == label));
        metrics.map(|it| it.get_gauge().get_value() + it.get_counter().get_value()).sum()
    }

    /// Its tasks and connections end within the deadline.
    #[cfg(feature = "test-rabbitmq")]
    pub(crate) async fn stop(self) {
        self.lifecycle.stop();
        timeout(DEADLINE, self.lifecycle.ended()).await.expect("all tasks end when the process stops");
        for gauge in ["connected", "connections", "publish_queue_bytes", "publish_queue_messages"] {
            assert_eq!(self.metric(gauge, ""), 0.0, "{gauge} after the end");
        }
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let mut again = interval(Duration::from_millis(5));
    let holds = async {
        while !condition() {
            again.tick().await;
        }
    };
    timeout(DEADLINE, holds).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// What a test has left ends with it.
impl Drop for Gateway {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// Of the broker that this variable names.
#[cfg(feature = "test-rabbitmq")]
pub(crate) fn address(name: &str) -> Address {
    crate::rabbitmq::variable(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
