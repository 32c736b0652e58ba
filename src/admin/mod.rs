//! The internal listener: `/live`, `/ready`, `/metrics`. Does not know sessions or brokers, only what they report.
//!
//! It has a thread and a runtime of its own, so that it answers when the main runtime is overloaded: that is when
//! operators look.

mod answer;
mod client;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{future, io, thread};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::lifecycle::{Lifecycle, Readiness};
use crate::telemetry::{Registry, Seldom};
use answer::{answer, missing};
pub use client::{NotReady, check_ready, reachable};

/// Where operators ask.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nowhere, if there is none.
    pub listen: Option<SocketAddr>,
}

/// What there is to report.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub lifecycle: Lifecycle,
    pub readiness: Readiness,
    pub registry: Registry,
}

/// More wait until one of these has ended.
const CONNECTIONS_MAX: usize = 64;
/// From the first byte to the end of the head, and how long a connection may be idle: more than Prometheus takes
/// between two scrapes, by default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(90);
/// The smallest that hyper accepts.
const BUFFER_BYTES_MAX: usize = 8 * 1024;
/// Between two attempts to accept when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Default for Settings {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9000))) }
    }
}

/// Shows as a metric what `/ready` says.
pub fn register(sources: &Sources) {
    // Not all of `sources`: the registry would hold itself.
    let (lifecycle, readiness) = (sources.lifecycle.clone(), sources.readiness.clone());
    let value = move || if missing(&lifecycle, &readiness).is_empty() { 1.0 } else { 0.0 };
    sources.registry.pulled_gauge("ready", "1 while /ready says 200.", value);
    let lifecycle = sources.lifecycle.clone();
    let help = "Tasks that a fault of the gateway has ended, other than sessions.";
    sources.registry.pulled_counter("task_panics_total", help, move || lifecycle.panics());
}

/// Listens until the process stops; while it drains, too. Returns the address, of which the port may have been 0.
pub fn start(listen: SocketAddr, sources: Sources) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lifecycle = sources.lifecycle.clone();
    let serving = {
        let _within = runtime.enter();
        serve(tokio::net::TcpListener::from_std(listener)?, Arc::new(sources))
    };
    // Ends with `stopping`; there is nothing in it that has to be finished first.
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(lifecycle.stopping().run_until_cancelled(lifecycle.vital(serving)));
    })?;
    Ok(address)
}

async fn serve(listener: tokio::net::TcpListener, sources: Arc<Sources>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut failures = Seldom::default();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => sources.lifecycle.spawn_background(connection(stream, Arc::clone(&sources), place)),
            Err(error) => {
                if let Some(times) = failures.happened(Instant::now()) {
                    tracing::warn!(%error, times, "can't accept a connection to admin.listen");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, sources: Arc<Sources>, _place: OwnedSemaphorePermit) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        future::ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &sources)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Some(Err(error)) = sources.lifecycle.stopping().run_until_cancelled(connection).await {
        tracing::debug!(%error, "a connection to admin.listen broke");
    }
}
