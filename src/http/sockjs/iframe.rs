//! The page by which very old browsers reach other sites (S11 to S15).

use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};

use super::cors;
use crate::http::demo;
use crate::http::site::Page;

pub(super) fn page(client_library_url: &str, asked: &HeaderMap) -> Response<Page> {
    let content = include_str!("iframe.html").replace("URL", client_library_url);
    let tag = demo::tag(content.as_bytes());
    let mut response = Response::new(Page::default());
    let headers = response.headers_mut();
    cors::keep(headers);
    let is_known = asked.get(IF_NONE_MATCH).is_some_and(|it| *it == tag);
    headers.insert(ETAG, tag);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    *response.body_mut() = Page::new(content.into());
    response
}
