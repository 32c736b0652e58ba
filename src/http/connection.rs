//! One connection from its first byte until it is upgraded or closed.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::{Accepted, Handshake};
use super::lease::Lease;
use super::refusal::{self, Refusal};
use super::site::{Answer, Framing, Page, Place, Service, Site};
use super::stage::{Heard, Stage, Watched};
use super::{Tls, proxy_header, sockjs};
use crate::registry::Admission;
use crate::sync::lock;
use crate::transport::sockjs::OverWebSocket;
use crate::transport::websocket::{self, WebSocket};
use crate::transport::{Socket, Transport};

/// The longest request head. Browsers send what cookies the host has.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a connection over a bound may take to hear that.
const SURPLUS_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a request that has begun may take to its end when the process drains.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A connection that is used for requests.
struct Requests<'a> {
    site: &'a Site,
    /// Who sends them, as far as the network and the PROXY protocol tell.
    peer: SocketAddr,
    heard: Heard,
    lease: Lease,
    /// Until the first whole request.
    handshake: Mutex<Option<Handshake>>,
}

/// Who sends a request, and on which connection.
pub(super) struct Asker<'a> {
    pub(super) client: SocketAddr,
    pub(super) lease: &'a Lease,
}

/// What upgraded a connection, and who asked for it.
struct Upgrade {
    socket: OnUpgrade,
    client: SocketAddr,
    framing: Framing,
    service: Arc<Service>,
}

/// A connection that has become somebody else's.
pub(super) struct Client {
    service: Arc<Service>,
    transport: Transport,
    admission: Admission,
}

impl Client {
    pub(super) fn hand_over(self, site: &Site) {
        site.hand_over(&self.service, self.transport, self.admission);
    }
}

/// Answers requests until the connection ends; returns it if it ends by becoming a WebSocket connection.
pub(super) async fn serve(site: &Site, accepted: Accepted, place: Place) -> Option<Client> {
    site.metrics.connections.inc();
    let client = site.lifecycle.stopping().run_until_cancelled(served(site, accepted, place)).await.flatten();
    site.metrics.connections.dec();
    client
}

async fn served(site: &Site, accepted: Accepted, place: Place) -> Option<Client> {
    let Accepted { tcp, peer, handshake } = accepted;
    // Who has not begun is not waited for when the process drains.
    let greeting = site.lifecycle.draining().run_until_cancelled(greet(site, tcp, peer, place));
    let (socket, peer, place) = greeting.await.flatten()?;
    let (heard, lease, handshake) = (Heard::default(), Lease::default(), Mutex::new(Some(handshake)));
    let requests = Requests { site, peer, heard, lease, handshake };
    match place {
        Place::Admitted(admission) => requests.upgraded(socket, admission).await,
        Place::Surplus(_admission, refusal) => {
            requests.drive(socket, SURPLUS_TIME_MAX, |_| ready(refusal.clone().into_response())).await;
            None
        }
    }
}

/// What comes ahead of the first request: whom the proxy speaks for, and TLS.
async fn greet(site: &Site, mut tcp: TcpStream, peer: SocketAddr, place: Place) -> Option<(Socket, SocketAddr, Place)> {
    let is_announced = site.settings.proxies.announces(peer);
    let client = if is_announced { announced(site, &mut tcp, peer).await? } else { peer };
    let place = site.claim(place, client)?;
    let socket = match &site.settings.tls {
        Some(tls) => secured(site, tls, tcp, client).await?,
        None => tcp.into(),
    };
    Some((socket, client, place))
}

async fn announced(site: &Site, tcp: &mut TcpStream, proxy: SocketAddr) -> Option<SocketAddr> {
    match timeout(site.settings.header_timeout, proxy_header::read(tcp)).await {
        Ok(Ok(client)) => Some(client.unwrap_or(proxy)),
        Ok(Err(error)) => {
            site.metrics.refused(refusal::PROXY_HEADER);
            tracing::debug!(%proxy, %error, "connection refused (http.proxy_protocol)");
            None
        }
        Err(_) => {
            site.timed_out(proxy, Stage::ProxyHeader);
            None
        }
    }
}

async fn secured(site: &Site, tls: &Tls, tcp: TcpStream, client: SocketAddr) -> Option<Socket> {
    match timeout(site.settings.tls_handshake_timeout, tls.handshake(tcp)).await {
        Ok(Ok(socket)) => {
            site.metrics.tls_handshakes.inc();
            Some(socket)
        }
        Ok(Err(fault)) => {
            site.metrics.tls_handshake_failed(&fault);
            tracing::debug!(%client, error = %fault, "TLS handshake failed");
            None
        }
        Err(_) => {
            site.timed_out(client, Stage::TlsHandshake);
            None
        }
    }
}

impl Requests<'_> {
    async fn upgraded(&self, socket: Socket, admission: Admission) -> Option<Client> {
        // Set by the request that is answered with 101, which is the last one of its connection.
        let upgrade = OnceLock::new();
        let time_max = self.site.settings.requests_time_max;
        self.drive(socket, time_max, |request| self.answer(request, &admission, &upgrade)).await;
        let Upgrade { socket, client, framing, service } = upgrade.into_inner()?;
        // It fails if the connection broke while the answer was written.
        let parts = socket.await.ok()?.downcast::<TokioIo<Watched>>().expect("it is what was served");
        self.site.metrics.upgrades.inc();
        let socket = parts.io.into_inner().socket;
        let settings = self.site.reloadable.get().websocket;
        let transport = match (framing, &service.endpoint.sockjs) {
            (Framing::SockJs, Some(sockjs)) => {
                let message_bytes_max = sockjs::escaped_bytes_max(settings.message_bytes_max);
                let settings = websocket::Settings { message_bytes_max, ..settings };
                let socket = WebSocket::after_handshake(socket, client, &parts.read_buf, settings).await;
                Transport::SockJsWebSocket(Box::new(OverWebSocket::new(socket, sockjs.sessions)))
            }
            (Framing::Raw | Framing::SockJs, _) => {
                let socket = WebSocket::after_handshake(socket, client, &parts.read_buf, settings).await;
                Transport::WebSocket(Box::new(socket))
            }
        };
        Some(Client { service, transport, admission })
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        admission: &Admission,
        upgrade: &OnceLock<Upgrade>,
    ) -> Response<Page> {
        let client = self.site.settings.proxies.client(self.peer, request.headers());
        let socket = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let asker = Asker { client, lease: &self.lease };
        let answer = self.site.answer(head, body, &asker).await;
        match answer.and_then(|it| self.claimed(it, admission, client)) {
            Ok(Answer::Page(page)) => page,
            Ok(Answer::Upgrade(accepted, framing, service)) => {
                upgrade.get_or_init(|| Upgrade { socket, client, framing, service });
                accepted.into_response()
            }
            Err(refusal) => {
                self.site.refused(client, &path, &refusal);
                refusal.into_response()
            }
        }
    }

    /// Only now is it known whose the connection is, where a header tells it.
    fn claimed(&self, answer: Answer, admission: &Admission, client: SocketAddr) -> Result<Answer, Refusal> {
        match answer {
            Answer::Upgrade(..) if !admission.claim(client.ip()) => Err(self.site.too_many_of(client)),
            answer => Ok(answer),
        }
    }

    async fn drive<F, A>(&self, socket: Socket, time_max: Duration, answer: F)
    where
        F: Fn(Request<Incoming>) -> A,
        A: Future<Output = Response<Page>>,
    {
        let service = service_fn(|request| {
            self.heard.forget();
            drop(lock(&self.handshake).take());
            answer(request).map(Ok::<_, Infallible>)
        });
        let connection = http1::Builder::new()
            // Without a timer hyper silently ignores the timeout.
            .timer(TokioTimer::new())
            .header_read_timeout(self.site.settings.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .half_close(false)
            .keep_alive(true)
            .serve_connection(TokioIo::new(Watched { socket, heard: self.heard.clone() }), service)
            .with_upgrades();
        let driven = async {
            let mut connection = pin!(connection);
            tokio::select! {
                // Its progress is in `connection`, not in the arm.
                ended = connection.as_mut() => return ended,
                () = self.let_go() => (),
            }
            connection.as_mut().graceful_shutdown();
            // A head that is not whole by now must not hold the drain up.
            timeout(DRAIN_TIME_MAX, connection).await.unwrap_or(Ok(()))
        };
        tokio::select! {
            ended = driven => self.ended(ended),
            () = self.lease.overdue(time_max) => self.site.timed_out(self.peer, Stage::Requests),
        }
    }

    /// The process drains, and no session needs this connection to hear of that.
    async fn let_go(&self) {
        self.site.lifecycle.draining().cancelled().await;
        self.lease.over().await;
    }

    fn ended(&self, ended: hyper::Result<()>) {
        match ended {
            Ok(()) => (),
            Err(error) if error.is_timeout() => self.site.timed_out(self.peer, self.heard.stage()),
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "connection ended");
                refused(&error).into_iter().for_each(|reason| self.site.metrics.refused(reason));
            }
        }
    }
}

/// What hyper has ended a connection for, if it was the client's request.
fn refused(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        Some(refusal::HEAD_TOO_LARGE)
    } else {
        error.is_parse().then_some(refusal::MALFORMED)
    }
}
