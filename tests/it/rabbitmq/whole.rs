//! Whole gateways in front of the RabbitMQ of the tests, and a vhost of that broker that nobody else uses.

use rand::RngExt;
use rand::distr::Alphanumeric;
use stompgate::admin::check_ready;
use stompgate::app::App;
use stompgate::auth::Authenticator;
use stompgate::broker::amqp;
use stompgate::config::{Broker, Settings};

use super::support::{eventually, rabbitmqctl, url, variable};
use crate::client;

/// A gateway that has found the broker.
pub(crate) async fn start(url: amqp::Url) -> App {
    start_with(amqp::Settings { urls: vec![url], ..amqp::Settings::default() }, |_| ()).await
}

pub(crate) async fn start_with(amqp: amqp::Settings, change: impl FnOnce(&mut Settings)) -> App {
    let app = client::start(|settings| {
        if amqp.identity == amqp::Identity::Client {
            settings.authenticator = Authenticator::Broker;
        }
        settings.broker = Broker::Amqp(amqp);
        change(settings);
    })
    .await;
    let admin = app.admin_addr.unwrap();
    eventually("the gateway is ready", async || check_ready(admin).await.is_ok()).await;
    app
}

/// Gateways that share one broker.
pub(crate) async fn start_two() -> [App; 2] {
    let (one, two) = tokio::join!(start(url()), start(url()));
    [one, two]
}

/// A part of a name that no other test and no other run uses.
pub(crate) fn unique() -> String {
    rand::rng().sample_iter(Alphanumeric).take(12).map(char::from).collect()
}

/// All that is counted in it belongs to the gateway under test.
pub(crate) struct Vhost {
    name: String,
}

/// What the broker holds for the clients of a gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Objects {
    pub(crate) connections: usize,
    pub(crate) channels: usize,
    pub(crate) queues: usize,
    /// Those of the default exchange, which each queue has, left out.
    pub(crate) bindings: usize,
}

impl Vhost {
    pub(crate) async fn create() -> Self {
        let (name, url) = (unique(), variable("STOMPGATE_TEST_AMQP_URL"));
        let (login, _) = authority(&url).split_once(':').expect("the URL of the tests names a login");
        rabbitmqctl(&["add_vhost", &name]).await;
        rabbitmqctl(&["set_permissions", "-p", &name, login, ".*", ".*", ".*"]).await;
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> amqp::Url {
        let url = variable("STOMPGATE_TEST_AMQP_URL");
        format!("amqp://{}/{}", authority(&url), self.name).parse().unwrap()
    }

    /// The broker's own view. Asking it takes a second or two.
    pub(crate) async fn objects(&self) -> Objects {
        let ask = async |command, column| rabbitmqctl(&[command, "--no-table-headers", "-p", &self.name, column]).await;
        let (connections, queues, bindings) = tokio::join!(
            async { rabbitmqctl(&["list_connections", "vhost", "channels"]).await },
            ask("list_queues", "name"),
            ask("list_bindings", "source_name"),
        );
        let channels: Vec<usize> =
            connections.iter().filter_map(|it| it.strip_prefix(&self.name)?.trim().parse().ok()).collect();
        Objects {
            connections: channels.len(),
            channels: channels.iter().sum(),
            queues: queues.len(),
            bindings: bindings.iter().filter(|it| !it.is_empty()).count(),
        }
    }

    /// To be called at the end of a test: a broker that outlives it would keep the vhost.
    pub(crate) async fn delete(self) {
        rabbitmqctl(&["delete_vhost", &self.name]).await;
    }
}

/// Who the gateway is, and where the broker.
fn authority(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("an AMQP URL has a scheme");
    rest.split(['/', '?']).next().unwrap_or(rest)
}
