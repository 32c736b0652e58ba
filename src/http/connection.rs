//! One connection from its first byte until it is upgraded or closed.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::refusal::Refusal;
use super::site::{Answer, Page, Site};
use crate::registry::Admission;
use crate::transport::websocket::WebSocket;

/// The longest request head. Browsers send what cookies the host has.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a connection over the bound may take to hear that.
const SURPLUS_TIME_MAX: Duration = Duration::from_secs(2);

/// Whether a connection is within the bound.
#[derive(Debug)]
pub(super) enum Place {
    Admitted(Admission),
    Surplus(Admission),
}

/// Answers requests until the connection ends; returns it if it ends by becoming a WebSocket connection.
pub(super) async fn serve(site: &Arc<Site>, tcp: TcpStream, place: Place) -> Option<(WebSocket, Admission)> {
    site.metrics.connections.inc();
    let client = match place {
        Place::Admitted(admission) => upgraded(site, tcp).await.map(|socket| (socket, admission)),
        Place::Surplus(_admission) => {
            refuse(site, tcp).await;
            None
        }
    };
    site.metrics.connections.dec();
    client
}

async fn upgraded(site: &Arc<Site>, tcp: TcpStream) -> Option<WebSocket> {
    // Set by the request that is answered with 101, which is the last one of its connection.
    let upgrade = Arc::new(OnceLock::new());
    let answer = {
        let (site, upgrade) = (Arc::clone(site), Arc::clone(&upgrade));
        move |request: Request<Incoming>| answer(&site, request, &upgrade)
    };
    drive(site, tcp, site.settings.requests_time_max, answer).await;
    let upgraded = upgrade.get()?.clone().await;
    // It fails if the connection broke while the answer was written.
    let parts = upgraded.ok()?.downcast::<TokioIo<TcpStream>>().expect("it is what was served");
    site.metrics.upgrades.inc();
    Some(WebSocket::after_handshake(parts.io.into_inner(), &parts.read_buf, site.reloadable.get().websocket).await)
}

/// Every request is answered with 503.
async fn refuse(site: &Arc<Site>, tcp: TcpStream) {
    let max = site.settings.connections_max;
    drive(site, tcp, SURPLUS_TIME_MAX, move |_| Refusal::ConnectionsMax { max }.into_response()).await;
}

fn answer(site: &Site, mut request: Request<Incoming>, upgrade: &OnceLock<OnUpgrade>) -> Response<Page> {
    match site.answer(&request) {
        Ok(Answer::Page(page)) => page,
        Ok(Answer::Upgrade(accepted)) => {
            upgrade.get_or_init(|| hyper::upgrade::on(&mut request));
            accepted.into_response()
        }
        Err(refusal) => {
            tracing::debug!(path = request.uri().path(), ?refusal, "request refused");
            site.metrics.refused(refusal.label());
            refusal.into_response()
        }
    }
}

async fn drive<F>(site: &Site, tcp: TcpStream, time_max: Duration, answer: F)
where
    F: Fn(Request<Incoming>) -> Response<Page>,
{
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(request))));
    let connection = http1::Builder::new()
        // Without a timer hyper silently ignores the timeout.
        .timer(TokioTimer::new())
        .header_read_timeout(site.settings.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false)
        .keep_alive(true)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let driven = async {
        let mut connection = pin!(connection);
        tokio::select! {
            // Its progress is in `connection`, not in the arm.
            ended = connection.as_mut() => return ended,
            () = site.lifecycle.draining().cancelled() => (),
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let limited = tokio::time::timeout(time_max, driven);
    match site.lifecycle.stopping().run_until_cancelled(limited).await {
        Some(Ok(Ok(()))) | None => (),
        Some(Ok(Err(error))) => tracing::debug!(%error, "connection ended"),
        Some(Err(_)) => tracing::debug!(?time_max, "connection took too long"),
    }
}
