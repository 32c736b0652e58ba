//! Takes connections from the kernel, no faster than they become WebSockets, and also without a file descriptor left.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use prometheus::IntGauge;
use rlimit::Resource;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::site::Site;
use super::{Metrics, raw, refusal, socket};

/// Time for the process to give back what `accept` lacked.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client that is turned away may take to send its request: a browser shows an answer to that alone.
const REQUEST_WAIT: Duration = Duration::from_millis(20);

/// The same trouble is reported once in that time.
const REPORT_PAUSE: Duration = Duration::from_secs(60);

/// EMFILE and ENFILE on every Unix: no file descriptor left, in this process or in the system.
const OUT_OF_FILES: [i32; 2] = [24, 23];

/// A TLS alert, fatal: internal_error (RFC 8446 section 6).
const TLS_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A connection, whoever it is of.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) handshake: Handshake,
}

/// A place among those without a whole request yet; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    _place: OwnedSemaphorePermit,
    handshakes: IntGauge,
}

#[derive(Debug)]
pub(super) struct Acceptor<'a> {
    listening: &'a TcpListener,
    site: &'a Site,
    places: Arc<Semaphore>,
    /// Its descriptor is what a client is turned away with when there is no other one.
    spare: Option<File>,
    reported: Option<Instant>,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(listening: &'a TcpListener, site: &'a Site) -> Self {
        let places = Arc::new(Semaphore::new(site.settings.handshakes_max));
        Self { listening, site, places, spare: spare(), reported: None }
    }

    /// The next connection, or `None` once the process drains. Those who are not accepted yet wait in the kernel.
    pub(super) async fn next(&mut self) -> Option<Accepted> {
        let (site, metrics) = (self.site, &self.site.metrics);
        let draining = site.lifecycle.draining();
        let place = draining.run_until_cancelled(self.place()).await?;
        loop {
            // `accept` is cancel-safe, and when it is cancelled nothing is accepted any more.
            match draining.run_until_cancelled(self.listening.accept()).await? {
                Ok((tcp, peer)) => match socket::prepare(&tcp) {
                    Ok(()) => {
                        metrics.accepted.inc();
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        return Some(Accepted { tcp, peer, handshake: Handshake::new(place, metrics) });
                    }
                    Err(error) => {
                        metrics.accept_errors.inc();
                        tracing::debug!(%peer, %error, "cannot set the options of a connection");
                    }
                },
                Err(error) => {
                    metrics.accept_errors.inc();
                    if !is_of_one_connection(&error) {
                        self.report(&error);
                        draining.run_until_cancelled(self.cope(&error)).await?;
                    }
                }
            }
        }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return place;
        }
        self.site.metrics.accept_waits.inc();
        Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed")
    }

    async fn cope(&mut self, error: &io::Error) {
        let is_out_of_files = error.raw_os_error().is_some_and(|it| OUT_OF_FILES.contains(&it));
        if is_out_of_files && self.spare.take().is_some() {
            self.turn_away().await;
        } else {
            sleep(ACCEPT_PAUSE).await;
        }
        self.spare = self.spare.take().or_else(spare);
    }

    /// Answers one client, if one waits. Left in the kernel they would wait for nothing, and nothing else could be told
    /// from `accept`, which fails at once as long as there is no descriptor.
    async fn turn_away(&self) {
        let Some(Ok((tcp, peer))) = self.listening.accept().now_or_never() else { return };
        self.site.metrics.refused(refusal::OPEN_FILES);
        tracing::debug!(%peer, "connection refused for want of a file descriptor");
        if self.site.settings.tls.is_some() {
            raw::answer(&tcp, &TLS_ALERT);
            return;
        }
        // Whether the request is there or not, the answer is the same.
        let _asked = timeout(REQUEST_WAIT, tcp.readable()).await;
        let limit = rlimit::getrlimit(Resource::NOFILE).map_or(0, |(soft, _)| soft);
        let text = format!("The gateway has as many open files as it may have: {limit} (ulimit -n).\n");
        raw::answer(&tcp, raw::page("503 Service Unavailable\r\nRetry-After: 5", &text).as_bytes());
    }

    fn report(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.reported.is_none_or(|it| it + REPORT_PAUSE <= now) {
            self.reported = Some(now);
            tracing::warn!(%error, "cannot accept connections; who comes is answered with 503, if at all");
        }
    }
}

impl Handshake {
    fn new(place: OwnedSemaphorePermit, metrics: &Metrics) -> Self {
        metrics.handshakes.inc();
        Self { _place: place, handshakes: metrics.handshakes.clone() }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.handshakes.dec();
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether only that connection failed, so that the next one may be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
