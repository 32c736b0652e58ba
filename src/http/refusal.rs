//! Requests that are refused, and what they are told: what is wrong, and what to do about it.

use std::net::IpAddr;

use hyper::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Response, StatusCode};

use super::site::{Page, plain};

/// Label of connections that the process has no file descriptor for.
pub(super) const OPEN_FILES: &str = "open_files";

/// Label of connections of trusted proxies that do not begin as they have to.
pub(super) const PROXY_HEADER: &str = "proxy_header_invalid";

/// All values of the metric label `reason`.
pub(super) const LABELS: [&str; 11] = [
    "connections_max",
    "connections_per_ip_max",
    "draining",
    "key_invalid",
    "method_not_allowed",
    "not_found",
    "not_upgrade",
    OPEN_FILES,
    "origin_forbidden",
    PROXY_HEADER,
    "version_unsupported",
];

/// Why a request is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    ConnectionsMax { max: usize },
    ConnectionsPerIpMax { client: IpAddr, max: usize },
    Draining,
    KeyInvalid,
    MethodNotAllowed { allowed: &'static str },
    NotFound { known: String },
    NotUpgrade { path: String },
    OriginForbidden { origin: String },
    VersionUnsupported,
}

impl Refusal {
    /// One of [`LABELS`].
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::ConnectionsMax { .. } => "connections_max",
            Self::ConnectionsPerIpMax { .. } => "connections_per_ip_max",
            Self::Draining => "draining",
            Self::KeyInvalid => "key_invalid",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::NotFound { .. } => "not_found",
            Self::NotUpgrade { .. } => "not_upgrade",
            Self::OriginForbidden { .. } => "origin_forbidden",
            Self::VersionUnsupported => "version_unsupported",
        }
    }

    pub(super) fn into_response(self) -> Response<Page> {
        let mut response = plain(self.status(), self.text());
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::ConnectionsMax { .. } | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectionsPerIpMax { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::KeyInvalid => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::NotUpgrade { .. } | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::OriginForbidden { .. } => StatusCode::FORBIDDEN,
        }
    }

    fn headers(&self) -> Vec<(HeaderName, &'static str)> {
        match self {
            Self::ConnectionsMax { .. } | Self::ConnectionsPerIpMax { .. } | Self::Draining => {
                vec![(RETRY_AFTER, "5"), (CONNECTION, "close")]
            }
            Self::KeyInvalid | Self::NotFound { .. } | Self::OriginForbidden { .. } => Vec::new(),
            Self::MethodNotAllowed { allowed } => vec![(ALLOW, allowed)],
            Self::NotUpgrade { .. } => vec![(UPGRADE, "websocket"), (CONNECTION, "upgrade")],
            // RFC 6455 section 4.4.
            Self::VersionUnsupported => {
                vec![(UPGRADE, "websocket"), (CONNECTION, "upgrade"), (SEC_WEBSOCKET_VERSION, "13")]
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::ConnectionsMax { max } => {
                format!("The gateway has as many connections as it may have: {max} (http.connections_max).\n")
            }
            Self::ConnectionsPerIpMax { client, max } => format!(
                "Clients at {client} have as many connections as one address, or one IPv6 network of 64 bits, may have: \
                 {max} (http.connections_per_ip_max).\n"
            ),
            Self::Draining => "The gateway stops. Connect again; another one will answer.\n".to_owned(),
            Self::KeyInvalid => {
                "Sec-WebSocket-Key is missing or is not 16 bytes in base64 (RFC 6455 section 4.1).\n".to_owned()
            }
            Self::MethodNotAllowed { allowed } => format!("Only {allowed} is answered here.\n"),
            Self::NotFound { known } => format!("Nothing is here. What is: {known}.\n"),
            Self::NotUpgrade { path } => format!(
                "This is the WebSocket endpoint. Connect with a STOMP client, for example stomp.js with \
                 brokerURL ws://<host>{path}. Behind a proxy, let it pass the headers Upgrade and Connection.\n"
            ),
            Self::OriginForbidden { origin } => format!(
                "Pages of origin {origin} may not connect. It is not this host; list it in http.allowed_origins to \
                 allow it.\n"
            ),
            Self::VersionUnsupported => "Sec-WebSocket-Version must be 13 (RFC 6455).\n".to_owned(),
        }
    }
}
