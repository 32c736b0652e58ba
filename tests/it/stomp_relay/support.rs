//! A gateway's back end on the STOMP brokers of the tests.

use std::time::Duration;

use stompgate::broker::Broker;
use stompgate::broker::stomp::{self, Address, Settings};
use stompgate::delivery::{self, Budget, Outboxes};
use stompgate::lifecycle::{Latch, Lifecycle, Readiness};
use stompgate::telemetry::Registry;
use tokio::time::timeout;

use crate::broker_contract::fixture::{Clock, Fixture};
use crate::rabbitmq::{eventually, variable};

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
    pub(crate) async fn connected(settings: Settings) -> Self {
        let gateway = Self::started(settings);
        eventually("it is connected", async || gateway.latch.is_set()).await;
        gateway
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

    /// The sum of a metric over those of its labels that are `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|it| it.name() == format!("stompgate_broker_stomp_{name}"));
        let metrics = family.expect("the metric exists").get_metric().iter();
        let metrics = metrics.filter(|it| label.is_empty() || it.get_label().iter().any(|it| it.value() == label));
        metrics.map(|it| it.get_gauge().get_value() + it.get_counter().get_value()).sum()
    }

    /// Its tasks and connections end within the deadline.
    pub(crate) async fn stop(self) {
        self.lifecycle.stop();
        timeout(DEADLINE, self.lifecycle.ended()).await.expect("all tasks end when the process stops");
        for gauge in ["connected", "connections", "publish_queue_bytes", "publish_queue_messages"] {
            assert_eq!(self.metric(gauge, ""), 0.0, "{gauge} after the end");
        }
    }
}

/// Of the broker that this variable names.
pub(crate) fn address(name: &str) -> Address {
    variable(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
