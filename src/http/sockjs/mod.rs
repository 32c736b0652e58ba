//! SockJS below an endpoint: its routes, and what its answers look like (SockJS protocol 0.3.3).

mod answer;
mod body;
mod callback;
mod cookie;
mod cors;
mod form;
mod iframe;
mod info;
mod receive;
mod route;
mod send;
mod wrapper;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use self::answer::Cookie;
use self::route::Route;
use self::send::Sending;
use super::connection::Asker;
use super::refusal::Refusal;
use super::site::{Answer, Framing, Service, Site};
use super::upgrade;
use crate::transport::sockjs;
pub(super) use receive::Streaming;
pub use wrapper::Receiving;

/// What an operator decides about SockJS at one endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Where clients are told to go instead, by which they stay with this gateway (N3).
    pub base_url: Option<String>,
    /// Bytes of a sending request, unless six times a WebSocket message are more: escapes make text as much longer.
    pub body_bytes_max: usize,
    /// Script of the client library, for the iframe (S15).
    pub client_library_url: String,
    /// Whether answers set a cookie, for balancers that go by one (S34).
    pub cookie_needed: bool,
    pub sessions: sockjs::Settings,
    /// Somebody else writes the CORS headers.
    pub suppress_cors: bool,
    /// Over HTTP; `None` is all but those that tell no origin, unless any origin is allowed (S80).
    pub transports: Option<Vec<Receiving>>,
    /// Whether clients may use WebSocket.
    pub websocket: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: None,
            body_bytes_max: 512 * 1024,
            client_library_url: "/demo/sockjs.js".to_owned(),
            cookie_needed: false,
            sessions: sockjs::Settings::default(),
            suppress_cors: false,
            transports: None,
            websocket: true,
        }
    }
}

impl Settings {
    fn offers(&self, receiving: Receiving, allowed_origins: &[String]) -> bool {
        match &self.transports {
            Some(transports) => transports.contains(&receiving),
            None => receiving.tells_origin() || allowed_origins.iter().any(|it| it == "*"),
        }
    }

    fn has(&self, route: &Route, allowed_origins: &[String]) -> bool {
        let offers = |it: Receiving| self.offers(it, allowed_origins);
        match route {
            Route::Greeting | Route::Iframe | Route::Info => true,
            Route::RawWebSocket | Route::WebSocket => self.websocket,
            Route::Receive(receiving, _) => offers(*receiving),
            Route::Send(Sending::Jsonp, _) => offers(Receiving::Jsonp),
            Route::Send(Sending::Xhr, _) => Receiving::ALL.into_iter().any(|it| it != Receiving::Jsonp && offers(it)),
        }
    }
}

/// What a WebSocket message of a session may have, in bytes of JSON: an escape of six bytes can stand for one (T3).
pub(super) const fn escaped_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_mul(6)
}

/// A request to an endpoint.
pub(super) struct Asked<'a> {
    pub(super) site: &'a Site,
    pub(super) service: &'a Arc<Service>,
    pub(super) settings: &'a Settings,
    /// What holds now.
    pub(super) http: Arc<super::Settings>,
    pub(super) head: Parts,
    pub(super) asker: &'a Asker<'a>,
}

/// Answers a request below an endpoint; `below` is the rest of its path. The checks are in the order of S3.
pub(super) async fn answer<B>(asked: Asked<'_>, below: &str, body: B) -> Result<Answer, Refusal>
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let route = Route::of(below).filter(|it| asked.settings.has(it, &asked.http.allowed_origins));
    let Some(route) = route else { return Err(Refusal::NotFound { known: asked.site.known() }) };
    if !route.allows(&asked.head.method) {
        return Err(Refusal::MethodNotAllowed { allowed: route.methods() });
    }
    if route.is_of_pages() {
        upgrade::check_origin(&asked.head.headers, &asked.http.allowed_origins)?;
    }
    if asked.head.method == Method::OPTIONS {
        let preflight = cors::preflight(asked.settings, &asked.head.headers, route.methods());
        return Ok(Answer::Page(preflight));
    }
    let is_draining = asked.site.lifecycle.draining().is_cancelled();
    Ok(match route {
        Route::Receive(receiving, id) => {
            let answer = receive::answer(&asked, receiving, &id, body).await;
            Answer::Page(asked.dressed(answer, Cookie::OfSession))
        }
        Route::Send(sending, id) => {
            let answer = send::answer(&asked, sending, &id, body).await;
            Answer::Page(asked.dressed(answer, Cookie::OfSession))
        }
        Route::Info => {
            let answer = if is_draining { Err(Refusal::Draining) } else { Ok(info::of(asked.settings)) };
            Answer::Page(asked.dressed(answer, Cookie::Never))
        }
        _ if is_draining => return Err(Refusal::Draining),
        // S7.
        Route::Greeting => Answer::Page(answer::page(StatusCode::OK, answer::PLAIN, "Welcome to SockJS!\n")),
        Route::Iframe => Answer::Page(iframe::page(&asked.settings.client_library_url, &asked.head.headers)),
        Route::RawWebSocket => asked.upgrade(Framing::Raw)?,
        Route::WebSocket => asked.upgrade(Framing::SockJs)?,
    })
}

impl Asked<'_> {
    fn key<'a>(&'a self, id: &'a str) -> sockjs::Asked<'a> {
        sockjs::Asked { id, origin: self.head.headers.get(ORIGIN).map(HeaderValue::as_bytes) }
    }

    fn body_bytes_max(&self) -> usize {
        self.settings.body_bytes_max.max(escaped_bytes_max(self.http.websocket.message_bytes_max))
    }

    /// S81, S82.
    fn upgrade(&self, framing: Framing) -> Result<Answer, Refusal> {
        let accepted = upgrade::check(&self.head, &self.http.allowed_origins).map_err(|refusal| match refusal {
            Refusal::NotUpgrade { .. } => Refusal::NotWebSocket,
            refusal => refusal,
        })?;
        Ok(Answer::Upgrade(accepted, framing, Arc::clone(self.service)))
    }
}
