//! Requests that are refused, and what they are told: what is wrong, and what to do about it.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Response, StatusCode};

use super::site::{Page, plain};

/// Label of connections that the process has no file descriptor for.
pub(super) const OPEN_FILES: &str = "open_files";

/// Label of connections of trusted proxies that do not begin as they have to.
pub(super) const PROXY_HEADER: &str = "proxy_header_invalid";

/// Labels of connections that came to no request, which hyper answers or closes.
pub(super) const HEAD_TOO_LARGE: &str = "head_too_large";
pub(super) const MALFORMED: &str = "malformed";

/// All values of the metric label `reason`.
pub(super) const LABELS: [&str; 20] = [
    "body_late",
    "body_too_large",
    "callback_invalid",
    "connections_max",
    "connections_per_ip_max",
    "draining",
    HEAD_TOO_LARGE,
    "key_invalid",
    MALFORMED,
    "method_not_allowed",
    "not_found",
    "not_upgrade",
    OPEN_FILES,
    "origin_forbidden",
    "payload_invalid",
    PROXY_HEADER,
    "send_late",
    "sends_waiting_max",
    "session_unknown",
    "version_unsupported",
];

/// Why a request is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    BodyLate {
        limit: Duration,
    },
    BodyTooLarge {
        max: usize,
    },
    CallbackInvalid,
    CallbackMissing,
    ConnectionsMax {
        max: usize,
    },
    ConnectionsPerIpMax {
        client: IpAddr,
        max: usize,
    },
    /// WebSocket as it was before RFC 6455.
    DraftUnsupported,
    Draining,
    KeyInvalid,
    MethodNotAllowed {
        allowed: &'static str,
    },
    NotFound {
        known: String,
    },
    NotUpgrade {
        path: String,
    },
    /// The same for a client of SockJS, which goes by the status (S81).
    NotWebSocket,
    OriginForbidden {
        origin: String,
    },
    PayloadBroken,
    PayloadMissing,
    SendLate {
        limit: Duration,
    },
    SendsMax {
        max: usize,
    },
    SessionUnknown,
    VersionUnsupported,
}

impl Refusal {
    /// One of [`LABELS`].
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::BodyLate { .. } => "body_late",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::CallbackInvalid | Self::CallbackMissing => "callback_invalid",
            Self::ConnectionsMax { .. } => "connections_max",
            Self::ConnectionsPerIpMax { .. } => "connections_per_ip_max",
            Self::Draining => "draining",
            Self::KeyInvalid => "key_invalid",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::NotFound { .. } => "not_found",
            Self::NotUpgrade { .. } | Self::NotWebSocket => "not_upgrade",
            Self::OriginForbidden { .. } => "origin_forbidden",
            Self::PayloadBroken | Self::PayloadMissing => "payload_invalid",
            Self::SendLate { .. } => "send_late",
            Self::SendsMax { .. } => "sends_waiting_max",
            Self::SessionUnknown => "session_unknown",
            Self::DraftUnsupported | Self::VersionUnsupported => "version_unsupported",
        }
    }

    pub(super) fn into_response(self) -> Response<Page> {
        // That answer has no body (S9).
        let text = self.text();
        let mut response = if text.is_empty() { Response::default() } else { plain(self.status(), text) };
        *response.status_mut() = self.status();
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::BodyLate { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CallbackInvalid | Self::CallbackMissing | Self::PayloadBroken | Self::PayloadMissing => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::ConnectionsMax { .. } | Self::Draining | Self::SendLate { .. } | Self::SendsMax { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ConnectionsPerIpMax { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::DraftUnsupported | Self::KeyInvalid | Self::NotWebSocket => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound { .. } | Self::SessionUnknown => StatusCode::NOT_FOUND,
            Self::NotUpgrade { .. } | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::OriginForbidden { .. } => StatusCode::FORBIDDEN,
        }
    }

    fn headers(&self) -> Vec<(HeaderName, &'static str)> {
        match self {
            Self::ConnectionsMax { .. } | Self::ConnectionsPerIpMax { .. } | Self::Draining => {
                vec![(RETRY_AFTER, "5"), (CONNECTION, "close")]
            }
            Self::BodyLate { .. }
            | Self::BodyTooLarge { .. }
            | Self::CallbackInvalid
            | Self::CallbackMissing
            | Self::DraftUnsupported
            | Self::KeyInvalid
            | Self::NotFound { .. }
            | Self::NotWebSocket
            | Self::OriginForbidden { .. }
            | Self::PayloadBroken
            | Self::PayloadMissing
            | Self::SendLate { .. }
            | Self::SendsMax { .. }
            | Self::SessionUnknown => Vec::new(),
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
            Self::BodyLate { limit } => format!("The body did not come within {} ms.\n", limit.as_millis()),
            Self::BodyTooLarge { max } => format!(
                "A body may have at most {max} bytes here (the larger one of sockjs.body_bytes_max and six times what \
                 a WebSocket message may have).\n"
            ),
            Self::CallbackInvalid => "invalid \"callback\" parameter\n".to_owned(),
            Self::CallbackMissing => "\"callback\" parameter required\n".to_owned(),
            Self::ConnectionsMax { max } => {
                format!("The gateway has as many connections as it may have: {max} (http.connections_max).\n")
            }
            Self::ConnectionsPerIpMax { client, max } => format!(
                "Clients at {client} have as many connections as one address, or one IPv6 network of 64 bits, may have: \
                 {max} (http.connections_per_ip_max).\n"
            ),
            Self::DraftUnsupported => {
                "This is WebSocket of draft hixie-76, which no browser speaks any more. Use RFC 6455.\n".to_owned()
            }
            Self::Draining => "The gateway stops. Connect again; another one will answer.\n".to_owned(),
            Self::KeyInvalid => {
                "Sec-WebSocket-Key is missing or is not 16 bytes in base64 (RFC 6455 section 4.1).\n".to_owned()
            }
            Self::MethodNotAllowed { .. } => String::new(),
            Self::NotFound { known } => format!("Nothing is here. What is: {known}.\n"),
            Self::NotUpgrade { path } => format!(
                "This is the WebSocket endpoint. Connect with a STOMP client, for example stomp.js with \
                 brokerURL ws://<host>{path}. Behind a proxy, let it pass the headers Upgrade and Connection.\n"
            ),
            Self::OriginForbidden { origin } => format!(
                "Pages of origin {origin} may not connect. It is not this host; list it in http.allowed_origins to \
                 allow it.\n"
            ),
            Self::NotWebSocket => "Not a valid websocket request\n".to_owned(),
            Self::PayloadBroken => "Broken JSON encoding.\n".to_owned(),
            Self::PayloadMissing => "Payload expected.\n".to_owned(),
            Self::SendLate { limit } => {
                format!("The session was not read from for {} ms. Send more slowly.\n", limit.as_millis())
            }
            Self::SendsMax { max } => {
                format!("As many requests as may wait to send for this session do: {max} (sockjs.sends_waiting_max).\n")
            }
            Self::SessionUnknown => "There is no such session here. Connect again.\n".to_owned(),
            Self::VersionUnsupported => "Sec-WebSocket-Version must be 13 (RFC 6455).\n".to_owned(),
        }
    }
}
