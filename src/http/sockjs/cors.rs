//! Which pages may read an answer: all that may ask (S29 to S31).

use std::time::{Duration, SystemTime};

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, EXPIRES,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Response, StatusCode};

use super::Settings;
use crate::http::site::Page;

/// A year, for which iframe pages and answers to preflights may be kept.
const YEAR: Duration = Duration::from_secs(31_536_000);

pub(super) fn allow(headers: &mut HeaderMap, asked: &HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    match asked.get(ORIGIN) {
        Some(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        None => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
}

/// The answer to OPTIONS.
pub(super) fn preflight(settings: &Settings, asked: &HeaderMap, methods: &'static str) -> Response<Page> {
    let mut response = Response::new(Page::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    keep(headers);
    if settings.suppress_cors {
        return response;
    }
    allow(headers, asked);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(YEAR.as_secs()));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|it| !it.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// May be kept for a year.
pub(super) fn keep(headers: &mut HeaderMap) {
    let age = format!("public, max-age={}", YEAR.as_secs());
    headers.insert(CACHE_CONTROL, age.try_into().expect("it is plain ASCII"));
    let expires = httpdate::fmt_http_date(SystemTime::now() + YEAR);
    headers.insert(EXPIRES, expires.try_into().expect("a date is plain ASCII"));
}
