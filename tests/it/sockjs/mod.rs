//! SockJS, byte by byte over TCP, against the four services of `examples/sockjs_services.rs`, and STOMP over it.

mod bounds;
mod http;
mod origins;
mod pages;
mod raw;
mod routes;
#[expect(dead_code, reason = "its own main")]
#[path = "../../../examples/sockjs_services.rs"]
mod services;
mod sessions;
mod stomp;
mod streams;
mod transports;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use stompgate::http::Settings;
use stompgate::lifecycle::Lifecycle;
use stompgate::telemetry;

use crate::client::within;
use raw::{Answer, Raw};

/// Of all streaming answers of `xhr`, at their begin.
const PRELUDE_BYTES: usize = 2049;

const NOT_CACHED: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";

const ANOTHER: &str = r#"c[2010,"Another connection still open"]"#;

const INTERRUPTED: &str = r#"c[1002,"Connection interrupted"]"#;

const GO_AWAY: &str = r#"c[3000,"Go away!"]"#;

/// The four services, on a port of their own.
struct Services {
    address: SocketAddr,
    lifecycle: Lifecycle,
    telemetry: telemetry::Registry,
}

impl Services {
    fn start() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (lifecycle, telemetry) = (Lifecycle::default(), telemetry::Registry::default());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = services::start(&lifecycle, &telemetry, listen, change).unwrap();
        Self { address, lifecycle, telemetry }
    }

    /// With times that a test can wait for.
    fn hasty() -> Self {
        Self::with(|it| {
            for endpoint in &mut it.endpoints {
                let sessions = &mut endpoint.sockjs.as_mut().unwrap().sessions;
                sessions.disconnect_delay = Duration::from_secs(1);
                sessions.heartbeat = Duration::from_millis(100);
            }
        })
    }

    async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// On a connection of its own.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut raw = self.connect().await;
        raw.ask(method, path, headers, body).await;
        raw.answer().await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, "", body).await
    }

    /// The body of a polling answer.
    async fn poll(&self, session: &str) -> String {
        let answer = self.post(&format!("{session}/xhr"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn send(&self, session: &str, body: &str) -> u16 {
        self.post(&format!("{session}/xhr_send"), body).await.status
    }

    /// A streaming answer of `xhr`, behind its first bytes.
    async fn stream(&self, session: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.ask("POST", &format!("{session}/xhr_streaming"), "", "").await;
        assert_eq!(raw.head().await.status, 200);
        assert_eq!(raw.chunk().await.unwrap().len(), PRELUDE_BYTES);
        raw
    }

    /// `label` is the value of the only one, if there is one.
    fn counted(&self, name: &str, label: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|it| it.name() == name).expect("the metric is registered");
        let is_wanted = |it: &&prometheus::proto::Metric| it.get_label().first().is_none_or(|it| it.value() == label);
        let metric = family.get_metric().iter().find(is_wanted).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// A request that the gateway has begun to deal with.
    async fn begun(&self, path: &str, body: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.ask("POST", path, "", body).await;
        // In this order: a connection that is not accepted yet is no handshake.
        self.get("/echo").await;
        self.until_counted("stompgate_http_handshakes", "", 0.0).await;
        raw
    }

    async fn until_counted(&self, name: &str, label: &str, value: f64) {
        within(async {
            while self.counted(name, label) != value {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}
