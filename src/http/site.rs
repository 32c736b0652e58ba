//! What is where: from a request to its answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};

use super::refusal::Refusal;
use super::stage::Stage;
use super::upgrade::{self, Accepted};
use super::{Metrics, Settings, demo};
use crate::lifecycle::{Current, Lifecycle};
use crate::registry::{Admission, Registry};

/// Body of an answer.
pub(super) type Page = Full<Bytes>;

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
    registry: Registry,
    surplus: Registry,
}

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
    Upgrade(Accepted),
}

impl Site {
    pub(super) fn new(
        settings: Settings,
        reloadable: Current<Settings>,
        registry: Registry,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { lifecycle, metrics, settings, reloadable, registry, surplus: Registry::new(SURPLUS_MAX, 0) }
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

    pub(super) fn answer<B>(&self, request: &Request<B>) -> Result<Answer, Refusal> {
        if self.lifecycle.draining().is_cancelled() {
            return Err(Refusal::Draining);
        }
        let path = request.uri().path();
        if path.strip_suffix('/').unwrap_or(path) == self.settings.path.trim_end_matches('/') {
            return upgrade::check(request, &self.reloadable.get()).map(Answer::Upgrade);
        }
        let page = if self.settings.demo { self.demo(request) } else { None };
        let page = page.ok_or_else(|| Refusal::NotFound { known: self.known() })?;
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            Ok(Answer::Page(page))
        } else {
            Err(Refusal::MethodNotAllowed { allowed: "GET, HEAD" })
        }
    }

    fn demo<B>(&self, request: &Request<B>) -> Option<Response<Page>> {
        match request.uri().path() {
            "/" | "/demo" => Some(moved(demo::PATH)),
            path => demo::file(path.strip_prefix(demo::PATH)?, request.headers()),
        }
    }

    /// For people who look for the address.
    fn known(&self) -> String {
        let demo = if self.settings.demo { ", /demo/ (chat page)" } else { "" };
        format!("{} (WebSocket){demo}", self.settings.path)
    }
}

/// A page of plain text.
pub(super) fn plain(status: StatusCode, text: String) -> Response<Page> {
    let mut response = Response::new(Page::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // What the client sent may be quoted in the text.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn moved(to: &'static str) -> Response<Page> {
    let mut response = plain(StatusCode::FOUND, format!("See {to}\n"));
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}
