//! What is where: from a request to its answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};

use super::refusal::Refusal;
use super::upgrade::{self, Accepted};
use super::{Metrics, Settings, demo};
use crate::lifecycle::{Current, Lifecycle};

/// Body of an answer.
pub(super) type Page = Full<Bytes>;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Metrics,
    pub(super) settings: Settings,
    /// What may change meanwhile.
    pub(super) reloadable: Current<Settings>,
}

/// What follows from a request.
#[derive(Debug)]
pub(super) enum Answer {
    Page(Response<Page>),
    Upgrade(Accepted),
}

impl Site {
    pub(super) const fn new(
        settings: Settings,
        reloadable: Current<Settings>,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { lifecycle, metrics, settings, reloadable }
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
