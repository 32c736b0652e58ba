//! The public listener: upgrades to WebSocket, and the demo page. Does not know what becomes of a client.

mod connection;
mod demo;
mod metrics;
mod origin;
mod refusal;
mod site;
mod socket;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use self::connection::Place;
use self::site::Site;
use crate::lifecycle::{Current, Lifecycle};
use crate::registry::{Admission, Registry};
use crate::transport::{Transport, websocket};
pub use metrics::Metrics;

/// Connections over the bound that are told so at the same time; more are closed without a word.
const SURPLUS_MAX: usize = 64;

/// Time for the process to give back what `accept` lacked: file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    /// Whether the chat page is served below `/demo/`.
    pub demo: bool,
    /// From the opened connection, or the last answer on it, to the next whole request head.
    pub header_timeout: Duration,
    pub listen: SocketAddr,
    /// Where clients upgrade to WebSocket.
    pub path: String,
    /// How long a connection may be used for requests. An upgraded one has its own limits.
    pub requests_time_max: Duration,
    pub websocket: websocket::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            backlog: 4096,
            connections_max: 10_000,
            demo: true,
            header_timeout: Duration::from_secs(10),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            path: "/ws".to_owned(),
            requests_time_max: Duration::from_secs(60),
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

    /// Accepts until the process drains. `on_client` is called for every upgraded connection and must not wait: it
    /// hands the client to a task of its own, so that the memory of the handshake is given back.
    ///
    /// `registry` bounds the connections from their first byte on; it is made with `connections_max`.
    pub async fn serve<F>(self, registry: Registry, metrics: Metrics, lifecycle: Lifecycle, on_client: F)
    where
        F: Fn(Transport, Admission) + Clone + Send + 'static,
    {
        let site = Arc::new(Site::new(self.settings, self.reloadable, metrics, lifecycle.clone()));
        let surplus = Registry::new(SURPLUS_MAX);
        while let Some(tcp) = accept(&self.tcp, &site).await {
            let place = match registry.admit() {
                Some(admission) => Place::Admitted(admission),
                None => {
                    site.metrics.refused(refusal::CONNECTIONS_MAX);
                    let Some(admission) = surplus.admit() else { continue };
                    Place::Surplus(admission)
                }
            };
            let (site, on_client) = (Arc::clone(&site), on_client.clone());
            lifecycle.spawn(async move {
                if let Some((socket, admission)) = connection::serve(&site, tcp, place).await {
                    on_client(Transport::WebSocket(Box::new(socket)), admission);
                }
            });
        }
    }
}

/// The next connection, or `None` once the process drains.
async fn accept(listening: &TcpListener, site: &Site) -> Option<TcpStream> {
    let draining = site.lifecycle.draining();
    let mut is_reported = false;
    loop {
        // `accept` is cancel-safe, and when it is cancelled nothing is accepted any more.
        match draining.run_until_cancelled(listening.accept()).await? {
            Ok((tcp, peer)) => match socket::prepare(&tcp) {
                Ok(()) => {
                    site.metrics.accepted.inc();
                    return Some(tcp);
                }
                Err(error) => {
                    site.metrics.accept_errors.inc();
                    tracing::debug!(%peer, %error, "cannot set the options of a connection");
                }
            },
            Err(error) => {
                site.metrics.accept_errors.inc();
                if is_of_one_connection(&error) {
                    continue;
                }
                if !is_reported {
                    tracing::warn!(%error, "cannot accept connections");
                    is_reported = true;
                }
                draining.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await?;
            }
        }
    }
}

/// Whether only that connection failed, so that the next one may be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
