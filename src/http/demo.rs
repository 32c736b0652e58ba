//! The chat page, which is part of the program.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::site::Page;

/// Where the page is.
pub(super) const PATH: &str = "/demo/";

/// Name below [`PATH`], type and content.
const FILES: &[(&str, &str, &[u8])] = &[
    ("", "text/html; charset=utf-8", include_bytes!("demo/index.html")),
    ("chat.js", "text/javascript; charset=utf-8", include_bytes!("demo/chat.js")),
    ("demo.css", "text/css; charset=utf-8", include_bytes!("demo/demo.css")),
    ("demo.js", "text/javascript; charset=utf-8", include_bytes!("demo/demo.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("demo/icon.svg")),
    ("message.js", "text/javascript; charset=utf-8", include_bytes!("demo/message.js")),
    ("room.js", "text/javascript; charset=utf-8", include_bytes!("demo/room.js")),
    ("sockjs.js", "text/javascript; charset=utf-8", include_bytes!("demo/sockjs.js")),
    ("stomp.js", "text/javascript; charset=utf-8", include_bytes!("demo/stomp.js")),
];

/// The page runs nothing but its own files, and connects to any gateway that the reader names.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:";

/// The file of that name, unless the client has it already.
pub(super) fn file(name: &str, asked: &HeaderMap) -> Option<Response<Page>> {
    let (_, content_type, content) = FILES.iter().find(|(it, ..)| *it == name)?;
    let tag = tag(content);
    let is_known = asked.get(IF_NONE_MATCH).is_some_and(|it| *it == tag);
    let mut response = Response::default();
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Page::new(Bytes::from_static(content));
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    // A new version of the gateway brings a new page, so the client asks every time; the tag makes that cheap.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

pub(super) fn tag(content: &[u8]) -> HeaderValue {
    // Two gateways of the same version behind one address must agree, so the hash has no random key.
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).expect("hexadecimal digits are a header value")
}
