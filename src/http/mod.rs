//! The public listener: upgrades to WebSocket, SockJS, and the demo page. Does not know what becomes of a client.

mod accept;
mod connection;
mod demo;
mod forwarded;
mod lease;
mod metrics;
mod origin;
mod page;
mod proxies;
mod proxy_header;
mod raw;
mod refusal;
mod site;
mod socket;
pub mod sockjs;
mod stage;
mod tls;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use self::accept::Acceptor;
use self::site::{OnClient, Site};
use crate::lifecycle::{Current, Lifecycle};
use crate::registry::{Admission, Registry};
use crate::transport::{Transport, websocket};
pub use metrics::Metrics;
pub use proxies::{ClientHeader, Network, Proxies};
pub use tls::{Tls, TlsFiles};

/// What an operator decides about the public listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins of pages that may connect beside those of the same host, as browsers send them
    /// (`https://example.org`); `*` is any.
    pub allowed_origins: Vec<String>,
    /// Connections the kernel holds until they are accepted; it lowers this to `net.core.somaxconn`.
    pub backlog: u32,
    /// Connections in all, whether they are WebSocket yet or not. Each needs a file descriptor.
    pub connections_max: usize,
    /// Of them, those of one IPv4 address or one IPv6 network of 64 bits; 0 is no bound.
    pub connections_per_ip_max: usize,
    /// Whether the chat page is served below `/demo/`.
    pub demo: bool,
    /// Where clients connect.
    pub endpoints: Vec<Endpoint>,
    /// Connections without a whole request yet. At the bound nothing is accepted: who comes waits in the kernel.
    pub handshakes_max: usize,
    /// How long the PROXY header may take; then, or after each answer, how long until the next whole request head.
    pub header_timeout: Duration,
    pub listen: SocketAddr,
    /// File descriptors for others than clients: the broker, operators, files that are read again.
    pub own_files: usize,
    /// Who else may say where a client is.
    pub proxies: Proxies,
    /// How long a connection may be used for requests. An upgraded one has its own limits.
    pub requests_time_max: Duration,
    /// Clients connect in the clear if there is none.
    pub tls: Option<Tls>,
    pub tls_handshake_timeout: Duration,
    pub websocket: websocket::Settings,
}

/// A path, and what there is below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Where clients upgrade to WebSocket; without a slash at its end.
    pub path: String,
    /// `None` if nothing but WebSocket is served.
    pub sockjs: Option<sockjs::Settings>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { path: "/ws".to_owned(), sockjs: Some(sockjs::Settings::default()) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            backlog: 4096,
            connections_max: 10_000,
            connections_per_ip_max: 0,
            demo: true,
            endpoints: vec![Endpoint::default()],
            handshakes_max: 2_000,
            header_timeout: Duration::from_secs(10),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            own_files: 128,
            proxies: Proxies::default(),
            requests_time_max: Duration::from_secs(60),
            tls: None,
            tls_handshake_timeout: Duration::from_secs(10),
            websocket: websocket::Settings::default(),
        }
    }
}

/// A socket that listens and does not accept yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    settings: Settings,
    reloadable: Current<Settings>,
}

impl Listener {
    /// Inside a runtime, of which the socket becomes a part.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let tcp = socket::listen(settings.listen, settings.backlog)?;
        Ok(Self { tcp, reloadable: Current::new(settings.clone()), settings })
    }

    /// To change, for requests to come, `allowed_origins` and `websocket`. Everything else stays as it was bound.
    pub fn reloadable(&self) -> Current<Settings> {
        self.reloadable.clone()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts until the process drains. `on_client` is called for every client of an endpoint and must not wait: it
    /// hands the client to a task of its own, so that the memory of the handshake is given back.
    ///
    /// `registry` bounds the connections from their first byte on; it is made with `connections_max` and
    /// `connections_per_ip_max`.
    pub async fn serve<F>(self, registry: Registry, metrics: Metrics, lifecycle: Lifecycle, on_client: F)
    where
        F: Fn(&Endpoint, Transport, Admission) + Send + Sync + 'static,
    {
        if let Some(tls) = &self.settings.tls {
            tls.report_to(&metrics);
        }
        let on_client = OnClient(Box::new(on_client));
        let site = Site::new(self.settings, self.reloadable, registry, metrics, lifecycle.clone(), on_client);
        let site = Arc::new(site);
        let mut acceptor = Acceptor::new(&self.tcp, &site);
        while let Some(accepted) = acceptor.next().await {
            let Some(place) = site.admit() else { continue };
            let site = Arc::clone(&site);
            lifecycle.spawn(async move {
                if let Some(client) = connection::serve(&site, accepted, place).await {
                    client.hand_over(&site);
                }
            });
        }
    }
}
