//! The gateway as its users run it, and what it says of itself.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, stompgate};
use crate::wait::{eventually, within};

/// Those that are 0 when no client is there.
const GAUGES: &[&str] = &[
    "stompgate_broker_amqp_private_channels",
    "stompgate_broker_amqp_private_consumers",
    "stompgate_broker_amqp_publishes_in_flight",
    "stompgate_broker_amqp_unsettled",
    "stompgate_memory_bytes",
    "stompgate_outbox_bytes",
    "stompgate_sessions",
    "stompgate_subscriptions",
];

pub(crate) struct Gateway {
    process: Process,
    pub(crate) clients: SocketAddr,
}

impl Gateway {
    /// In front of that RabbitMQ, with settings as `broker.amqp.url`. It is ready.
    pub(crate) async fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let gateway = Self::spawn(url, settings);
        eventually("the gateway is ready", async || gateway.get("/ready").await.starts_with("HTTP/1.1 200")).await;
        gateway
    }

    fn spawn(url: &str, settings: &[(&str, &str)]) -> Self {
        // Each client is an open file here, too.
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let mut command = stompgate(&["serve"]);
        let defaults = [
            ("http.connections_max", "20000"),
            ("stomp.heartbeat_send", "1s"),
            ("broker.kind", "amqp"),
            ("broker.amqp.url", url),
            ("drain.period", "0s"),
            ("log.format", "json"),
        ];
        for (key, value) in defaults.iter().chain(settings) {
            command.env(format!("STOMPGATE__{}", key.replace('.', "__").to_uppercase()), value);
        }
        let process = Process::start(&mut command);
        Self { clients: process.http, process }
    }

    /// The sum of the series of that name, with all labels that begin so: `name`, or `name{label="value"`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await;
        let values =
            text.lines().filter_map(|it| it.strip_prefix(series)).filter(|it| it.starts_with([' ', '{', ',', '}']));
        let values: Vec<f64> = values.map(|it| it.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "no series {series}");
        values.iter().sum()
    }

    /// Nothing is left of clients that have gone.
    pub(crate) async fn is_idle(&self) {
        for gauge in GAUGES {
            eventually(&format!("{gauge} is 0"), async || self.metric(gauge).await == 0.0).await;
        }
    }

    /// Its clients have gone; it ends as it is told to.
    pub(crate) async fn stop(self) {
        self.is_idle().await;
        self.process.signal("TERM");
        assert_eq!(self.process.wait(), 0);
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut text = String::new();
        within("the gateway answers its operators", async {
            let mut tcp = TcpStream::connect(self.process.admin).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            tcp.read_to_string(&mut text).await.unwrap();
        })
        .await;
        text
    }
}
