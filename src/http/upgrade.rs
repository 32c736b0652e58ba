//! Whether a request becomes a WebSocket connection (RFC 6455 section 4.2).

use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::origin;
use super::refusal::Refusal;
use super::site::Page;
use crate::transport::websocket;

/// Sub-protocols, whose names say nothing about the version that CONNECT then settles.
const PROTOCOLS: [&str; 3] = ["v10.stomp", "v11.stomp", "v12.stomp"];

/// What the client is answered with.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Accepted {
    accept: String,
    protocol: Option<HeaderValue>,
}

pub(super) fn check(head: &Parts, allowed_origins: &[String]) -> Result<Accepted, Refusal> {
    let headers = &head.headers;
    if head.method != Method::GET {
        return Err(Refusal::MethodNotAllowed { allowed: "GET" });
    }
    if !is_asked_for(headers) || !has_token(headers, CONNECTION, "upgrade") || head.version < Version::HTTP_11 {
        return Err(Refusal::NotUpgrade { path: head.uri.path().to_owned() });
    }
    if headers.contains_key("sec-websocket-key1") {
        return Err(Refusal::DraftUnsupported);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|it| it != "13") {
        return Err(Refusal::VersionUnsupported);
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|it| is_key(it)) else {
        return Err(Refusal::KeyInvalid);
    };
    check_origin(headers, allowed_origins)?;
    Ok(Accepted { accept: websocket::accept_key(key), protocol: protocol(headers) })
}

/// Whether a request means to become a WebSocket, however well it says so.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_token(headers, UPGRADE, "websocket")
}

impl Accepted {
    pub(super) fn into_response(self) -> Response<Page> {
        let mut response = Response::new(Page::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.try_into().expect("base64 is a header value"));
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Programs other than browsers send no origin, and could send any (RFC 6455 section 10.2).
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    let origin = String::from_utf8_lossy(origin.as_bytes());
    if origin::is_allowed(&origin, host, allowed) {
        Ok(())
    } else {
        Err(Refusal::OriginForbidden { origin: origin.into_owned() })
    }
}

/// The first one offered that is known, as the client spelled it: its list is in the order of its preference (RFC 6455
/// section 4.1), and stomp.js begins with v12. None offered or none known is fine too (H2).
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = tokens(headers, SEC_WEBSOCKET_PROTOCOL);
    let known = |it: &&str| PROTOCOLS.iter().any(|known| it.eq_ignore_ascii_case(known));
    let chosen = offered.into_iter().find(known)?;
    Some(HeaderValue::from_str(chosen).expect("it is part of a header value"))
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).iter().any(|it| it.eq_ignore_ascii_case(token))
}

/// All members of a list that may be cut over several headers (RFC 9110 section 5.3).
fn tokens(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    // A value that is no text holds no token.
    let values = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).map(str::trim).collect()
}

#[cfg(test)]
mod tests;
