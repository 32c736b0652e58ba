//! What all answers of SockJS have in common.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};

use super::{Asked, cookie, cors};
use crate::http::refusal::Refusal;
use crate::http::site::Page;

pub(super) const PLAIN: &str = "text/plain; charset=UTF-8";

/// S27.
const NOT_CACHED: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";

/// Whether an answer sets the cookie (S34).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cookie {
    Never,
    OfSession,
}

pub(super) fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Page> {
    let mut response = Response::new(Page::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Asked<'_> {
    /// The headers of every answer that is no file, refusals included (S33).
    pub(super) fn dressed(&self, answer: Result<Response<Page>, Refusal>, cookie: Cookie) -> Response<Page> {
        let mut response = answer.unwrap_or_else(|refusal| {
            self.site.refused(self.asker.client, self.head.uri.path(), &refusal);
            refusal.into_response()
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(NOT_CACHED));
        if !self.settings.suppress_cors {
            cors::allow(headers, &self.head.headers);
        }
        if self.settings.cookie_needed && cookie == Cookie::OfSession {
            let is_secure = self.site.settings.tls.is_some();
            headers.insert(SET_COOKIE, cookie::of_answer(&self.head.headers, is_secure));
        }
        response
    }
}
