//! Takes connections from the kernel, no faster than they become WebSockets, and also without a file descriptor left.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
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
use crate::telemetry::Seldom;

/// Time for the process to give back what `accept` lacked.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client that is turned away may take to send its request: a browser shows an answer to that alone.
const REQUEST_WAIT: Duration = Duration::from_millis(20);

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

/// The limit of open files.
#[derive(Clone, Copy, Debug)]
struct Files {
    max: u64,
    /// For others than clients.
    own: u64,
    /// Descriptors from here on are kept. The lowest free one is given out, so it is reached when all others are used.
    kept_from: u64,
}

#[derive(Debug)]
pub(super) struct Acceptor<'a> {
    listening: &'a TcpListener,
    site: &'a Site,
    places: Arc<Semaphore>,
    files: Files,
    /// Its descriptor is what a client is turned away with when there is no other one.
    spare: Option<File>,
    failures: Seldom,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(listening: &'a TcpListener, site: &'a Site) -> Self {
        let places = Arc::new(Semaphore::new(site.settings.handshakes_max));
        let files = Files::of_process(u64::try_from(site.settings.own_files).unwrap_or(u64::MAX));
        Self { listening, site, places, files, spare: spare(), failures: Seldom::default() }
    }

    /// The next connection, or `None` once the process drains. Those who are not accepted yet wait in the kernel.
    pub(super) async fn next(&mut self) -> Option<Accepted> {
        let (site, metrics) = (self.site, &self.site.metrics);
        let draining = site.lifecycle.draining();
        let place = draining.run_until_cancelled(self.place()).await?;
        loop {
            // `accept` is cancel-safe, and when it is cancelled nothing is accepted any more.
            match draining.run_until_cancelled(self.listening.accept()).await? {
                Ok((tcp, _)) if self.files.are_used_up_by(&tcp) => {
                    metrics.accept_errors.inc();
                    self.report("all file descriptors for clients are used");
                    draining.run_until_cancelled(self.turn_away(&tcp)).await?;
                }
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
            // Whether somebody waits is not known: without a descriptor `accept` fails before it looks.
            if let Some(Ok((tcp, _))) = self.listening.accept().now_or_never() {
                self.turn_away(&tcp).await;
            }
        } else {
            sleep(ACCEPT_PAUSE).await;
        }
        self.spare = self.spare.take().or_else(spare);
    }

    /// Left in the kernel, clients would wait for nothing.
    async fn turn_away(&self, tcp: &TcpStream) {
        self.site.metrics.refused(refusal::OPEN_FILES);
        if self.site.settings.tls.is_some() {
            raw::answer(tcp, &TLS_ALERT);
            return;
        }
        // Whether the request is there or not, the answer is the same.
        let _asked = timeout(REQUEST_WAIT, tcp.readable()).await;
        let max = self.files.max;
        let text =
            format!("The gateway has as many files open for clients as it may have: {max} in all (ulimit -n).\n");
        raw::answer(tcp, raw::page("503 Service Unavailable\r\nRetry-After: 5", &text).as_bytes());
    }

    fn report(&mut self, error: impl fmt::Display) {
        if let Some(times) = self.failures.happened(Instant::now()) {
            tracing::warn!(%error, times, "cannot accept connections; who comes is answered with 503, if at all");
        }
    }
}

impl Files {
    fn of_process(own: u64) -> Self {
        Self::new(rlimit::getrlimit(Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft), own)
    }

    /// Where there are few, clients have most of them.
    fn new(max: u64, own: u64) -> Self {
        Self { max, own, kept_from: max - own.min(max / 4) }
    }

    fn are_used_up_by(&mut self, tcp: &TcpStream) -> bool {
        let is_kept = |files: &Self| u64::try_from(tcp.as_raw_fd()).is_ok_and(|it| files.kept_from <= it);
        if !is_kept(self) {
            return false;
        }
        // It may have been raised meanwhile.
        *self = Self::of_process(self.own);
        is_kept(self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_than_clients_need_is_kept_up_to_a_quarter_of_all() {
        assert_eq!(Files::new(20_000, 4_128).kept_from, 15_872);
        assert_eq!(Files::new(1_000, 4_128).kept_from, 750);
        assert_eq!(Files::new(u64::MAX, u64::MAX).kept_from, u64::MAX - u64::MAX / 4);
    }
}
