//! What is where: from a request to its answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::connection::Asker;
use super::refusal::Refusal;
use super::stage::Stage;
use super::upgrade::{self, Accepted};
use super::{Endpoint, Metrics, Settings, demo, sockjs};
use crate::lifecycle::{Current, Lifecycle};
use crate::registry::{Admission, Registry};
use crate::transport::Transport;
use crate::transport::sockjs::Table;

pub(super) use super::page::Page;

/// Connections over a bound that are told so at the same time; more are closed without a word.
const SURPLUS_MAX: usize = 64;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Metrics,
    pub(super) settings: Settings,
    /// What may change meanwhile.
    pub(super) reloadable: Current<Settings>,
    services: Vec<Arc<Service>>,
    on_client: OnClient,
    registry: Registry,
    surplus: Registry,
}

/// An endpoint that is served.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) endpoint: Endpoint,
    pub(super) sessions: Arc<Table>,
}

/// What becomes of a client of an endpoint.
pub(super) struct OnClient(pub(super) Box<HandOver>);

type HandOver = dyn Fn(&Endpoint, Transport, Admission) + Send + Sync;

/// Whether a connection is within the bounds.
#[derive(Debug)]
pub(super) enum Place {
    Admitted(Admission),
    Surplus(Admission, Refusal),
}

/// What follows from a request.
#[derive(Debug)]
pub(super) enum Answer {
    Page(Response<Page>),
    Upgrade(Accepted, Framing, Arc<Service>),
}

/// What is in the messages of a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Raw,
    SockJs,
}

impl Site {
    pub(super) fn new(
        settings: Settings,
        reloadable: Current<Settings>,
        registry: Registry,
        metrics: Metrics,
        lifecycle: Lifecycle,
        on_client: OnClient,
    ) -> Self {
        let service = |endpoint: &Endpoint| {
            let sessions = endpoint.sockjs.as_ref().map(|it| it.sessions).unwrap_or_default();
            let sessions = Arc::new(Table::new(sessions, metrics.sockjs.clone(), lifecycle.clone()));
            Arc::new(Service { endpoint: endpoint.clone(), sessions })
        };
        let services = settings.endpoints.iter().map(service).collect();
        let surplus = Registry::new(SURPLUS_MAX, 0);
        Self { lifecycle, metrics, settings, reloadable, services, on_client, registry, surplus }
    }

    /// Where a new connection belongs; `None` if it is not even told that it is too much.
    pub(super) fn admit(&self) -> Option<Place> {
        match self.registry.admit() {
            Some(admission) => Some(Place::Admitted(admission)),
            None => self.surplus(Refusal::ConnectionsMax { max: self.settings.connections_max }),
        }
    }

    /// Counts a connection as one of its client, unless a header has yet to tell who that is.
    pub(super) fn claim(&self, place: Place, client: SocketAddr) -> Option<Place> {
        match place {
            Place::Admitted(admission) if !self.settings.proxies.forwards(client) && !admission.claim(client.ip()) => {
                self.surplus(self.too_many_of(client))
            }
            place => Some(place),
        }
    }

    pub(super) fn too_many_of(&self, client: SocketAddr) -> Refusal {
        Refusal::ConnectionsPerIpMax { client: client.ip(), max: self.settings.connections_per_ip_max }
    }

    pub(super) fn timed_out(&self, client: SocketAddr, stage: Stage) {
        self.metrics.timed_out(stage);
        tracing::debug!(%client, stage = stage.label(), "connection took too long");
    }

    fn surplus(&self, refusal: Refusal) -> Option<Place> {
        self.metrics.refused(refusal.label());
        Some(Place::Surplus(self.surplus.admit()?, refusal))
    }

    /// A session without a connection of its own has a place among them.
    pub(super) fn admit_session(&self, client: SocketAddr) -> Result<Admission, Refusal> {
        let max = self.settings.connections_max;
        let admission = self.registry.admit().ok_or(Refusal::ConnectionsMax { max })?;
        if admission.claim(client.ip()) { Ok(admission) } else { Err(self.too_many_of(client)) }
    }

    /// The client is somebody else's from here on.
    pub(super) fn hand_over(&self, service: &Service, transport: Transport, admission: Admission) {
        (self.on_client.0)(&service.endpoint, transport, admission);
    }

    pub(super) fn refused(&self, client: SocketAddr, path: &str, refusal: &Refusal) {
        tracing::debug!(%client, path, ?refusal, "request refused");
        self.metrics.refused(refusal.label());
    }

    /// The one whose path a path begins with, and the rest.
    pub(super) fn service<'a>(&self, path: &'a str) -> Option<(&Arc<Service>, &'a str)> {
        let is_rest = |it: &&str| it.is_empty() || it.starts_with('/');
        let below = |it: &Service| path.strip_prefix(&*it.endpoint.path).filter(is_rest);
        let found = self.services.iter().filter_map(|it| Some((it, below(it)?)));
        found.min_by_key(|(_, below)| below.len())
    }

    pub(super) async fn answer<B>(&self, head: Parts, body: B, asker: &Asker<'_>) -> Result<Answer, Refusal>
    where
        B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
    {
        let path = head.uri.path().to_owned();
        let Some((service, below)) = self.service(&path) else { return self.page(&head).map(Answer::Page) };
        let is_base = matches!(below, "" | "/");
        let http = self.reloadable.get();
        match &service.endpoint.sockjs {
            // A client of the endpoint itself (S10).
            Some(settings) if !(is_base && upgrade::is_asked_for(&head.headers)) => {
                let asked = sockjs::Asked { site: self, service, settings, http, head, asker };
                sockjs::answer(asked, below, body).await
            }
            _ if self.lifecycle.draining().is_cancelled() => Err(Refusal::Draining),
            _ if is_base => {
                let accepted = upgrade::check(&head, &http.allowed_origins)?;
                Ok(Answer::Upgrade(accepted, Framing::Raw, Arc::clone(service)))
            }
            _ => Err(Refusal::NotFound { known: self.known() }),
        }
    }

    /// What is below no endpoint.
    fn page(&self, head: &Parts) -> Result<Response<Page>, Refusal> {
        if self.lifecycle.draining().is_cancelled() {
            return Err(Refusal::Draining);
        }
        let page = if self.settings.demo { self.demo(head) } else { None };
        let page = page.ok_or_else(|| Refusal::NotFound { known: self.known() })?;
        if matches!(head.method, Method::GET | Method::HEAD) {
            Ok(page)
        } else {
            Err(Refusal::MethodNotAllowed { allowed: "GET, HEAD" })
        }
    }

    fn demo(&self, head: &Parts) -> Option<Response<Page>> {
        match head.uri.path() {
            "/" | "/demo" => Some(moved(demo::PATH)),
            path => demo::file(path.strip_prefix(demo::PATH)?, &head.headers),
        }
    }

    /// For people who look for the address.
    pub(super) fn known(&self) -> String {
        let demo = if self.settings.demo { ", /demo/ (chat page)" } else { "" };
        let paths: Vec<_> = self.settings.endpoints.iter().map(|it| format!("{} (WebSocket)", it.path)).collect();
        format!("{}{demo}", paths.join(", "))
    }
}

impl fmt::Debug for OnClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnClient")
    }
}

/// A page of plain text.
pub(super) fn plain(status: StatusCode, text: String) -> Response<Page> {
    let mut response = Response::new(Page::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    // What the client sent may be quoted in the text.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn moved(to: &'static str) -> Response<Page> {
    let mut response = plain(StatusCode::FOUND, format!("See {to}\n"));
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}
