//! A gateway's back end on the RabbitMQ of the tests, and that broker's own view of things.

use std::process::{Command, Stdio};
use std::time::Duration;

use stompgate::broker::{Broker, amqp};
use stompgate::delivery::{self, Budget};
use stompgate::ident::SessionId;
use stompgate::lifecycle::{Latch, Lifecycle, Readiness};
use stompgate::session::{Credentials, Fault};
use stompgate::telemetry::Registry;
use tokio::time::{interval, timeout};

use crate::broker_contract::fixture::{Clock, Fixture, Session};

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
    /// With the URL of the tests.
    pub(crate) async fn connected(settings: amqp::Settings) -> Self {
        let gateway = Self::started(amqp::Settings { urls: vec![url()], ..settings });
        gateway.is_ready().await;
        gateway
    }

    pub(crate) fn started(settings: amqp::Settings) -> Self {
        let (lifecycle, registry) = (Lifecycle::default(), Registry::default());
        let latch = Readiness::default().latch("broker");
        let budget = Budget::new(usize::MAX, delivery::Metrics::new(&registry));
        let metrics = amqp::Metrics::new(&registry);
        let broker = amqp::Broker::start(settings, &lifecycle, latch.clone(), metrics, budget);
        Self { broker: Broker::Amqp(broker), latch, registry, lifecycle }
    }

    pub(crate) async fn is_ready(&self) {
        eventually("it is connected", async || self.latch.is_set()).await;
    }

    pub(crate) fn fixture(&self) -> Fixture {
        Fixture::new(self.broker.clone(), Clock::Real)
    }

    /// A session of that client.
    pub(crate) async fn open(&self, credentials: Credentials) -> Result<Session, Fault> {
        self.fixture().try_open(delivery::Settings::default(), credentials, None).await
    }

    /// The sum of a metric (of a histogram, of what was observed) over those of its labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|it| it.name() == format!("stompgate_broker_amqp_{name}"));
        let metrics = family.expect("the metric exists").get_metric().iter();
        let metrics = metrics.filter(|it| label.is_empty() || it.get_label().iter().any(|it| it.value() == label));
        let value = |it: &prometheus::proto::Metric| {
            it.get_gauge().get_value() + it.get_counter().get_value() + it.get_histogram().get_sample_sum()
        };
        metrics.map(value).sum()
    }

    /// Begins to stop.
    pub(crate) fn halt(&self) {
        self.lifecycle.stop();
    }

    /// Its tasks and connections end within the deadline.
    pub(crate) async fn stop(self) {
        self.lifecycle.stop();
        timeout(DEADLINE, self.lifecycle.ended()).await.expect("all tasks end when the process stops");
        assert_eq!(self.metric("connected", ""), 0.0);
        let gauges = [
            "accounts",
            "connections",
            "publish_queue_bytes",
            "publish_queue_messages",
            "publishes_in_flight",
            "feed_backlog_messages",
            "feed_bindings",
            "feed_bindings_behind",
            "feed_queues",
            "private_channels",
            "private_consumers",
            "unsettled",
        ];
        for gauge in gauges {
            assert_eq!(self.metric(gauge, ""), 0.0, "{gauge} after the end");
        }
    }
}

/// A virtual host of one test, and one user who may do everything there.
pub(crate) struct Site {
    pub(crate) name: String,
}

/// Of every user of a site.
pub(crate) const PASSCODE: &str = "s3cr,et@:/";

impl Site {
    pub(crate) async fn new() -> Self {
        let site = Self { name: format!("site-{}", SessionId::from_random(rand::random())) };
        rabbitmqctl(&["add_vhost", &site.name]).await;
        site.add_user(&site.name, [".*"; 3]).await;
        site
    }

    /// With those permissions to configure, write and read.
    pub(crate) async fn add_user(&self, login: &str, [configure, write, read]: [&str; 3]) {
        rabbitmqctl(&["add_user", login, PASSCODE]).await;
        rabbitmqctl(&["set_permissions", "-p", &self.name, login, configure, write, read]).await;
    }

    /// Those of its first user.
    pub(crate) fn credentials(&self) -> Credentials {
        self.credentials_of(&self.name)
    }

    pub(crate) fn credentials_of(&self, login: &str) -> Credentials {
        credentials(Some(login), Some(PASSCODE), Some(&self.name))
    }

    /// With its users, of whom the others are named.
    pub(crate) async fn remove(self, others: &[&str]) {
        for login in others.iter().chain([&&*self.name]) {
            rabbitmqctl(&["delete_user", login]).await;
        }
        rabbitmqctl(&["delete_vhost", &self.name]).await;
    }
}

pub(crate) fn credentials(login: Option<&str>, passcode: Option<&str>, host: Option<&str>) -> Credentials {
    Credentials { login: login.map(Into::into), passcode: passcode.map(Into::into), host: host.map(Into::into) }
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut again = interval(Duration::from_millis(20));
    let holds = async {
        while !condition().await {
            again.tick().await;
        }
    };
    timeout(DEADLINE, holds).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// What the broker answers, line by line.
pub(crate) async fn rabbitmqctl(arguments: &[&str]) -> Vec<String> {
    let program = variable("STOMPGATE_TEST_RABBITMQCTL");
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let run = move || Command::new(program).args(arguments).stderr(Stdio::inherit()).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("rabbitmqctl can be run");
    assert!(output.status.success(), "rabbitmqctl failed");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A connection of somebody else, as the library of the gateway makes it.
pub(crate) async fn foreign_channel() -> lapin::Channel {
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

pub(crate) fn url() -> amqp::Url {
    variable("STOMPGATE_TEST_AMQP_URL").parse().expect("STOMPGATE_TEST_AMQP_URL is an AMQP URL")
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment where RabbitMQ is")]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; `make test` starts a RabbitMQ, as tests/rabbitmq.sh does"))
}
