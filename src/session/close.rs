//! Why a session ends, and everything that follows from it: one row a reason.

use super::fault::Fault;
use super::refusal::Refusal;
use crate::stomp::DecodeError;

/// Why a session ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// The link to the broker is lost, and what hung on it.
    BrokerLost,
    /// No CONNECT was accepted in time.
    ConnectTimeout { ms: u64 },
    /// The client sent DISCONNECT.
    Disconnected,
    /// A handler wants it.
    Dismissed,
    /// The gateway stops.
    Draining,
    /// The client went away without a word, or the network did.
    Gone,
    /// Nothing was heard from the client for longer than it had promised.
    HeartBeatLost { ms: u64 },
    /// What was received is no STOMP frame.
    Malformed(DecodeError),
    /// A message of the transport beyond the limit.
    MessageTooLarge { max: usize },
    /// A fault of this program, which ends this session alone.
    Panicked,
    /// A frame was refused, and `stomp.close_on_error` is on.
    Refused(Refusal),
    /// More waited for the client than it may have waiting.
    SlowConsumer,
    /// The client broke the rules of WebSocket.
    TransportViolated { rule: &'static str },
    /// The network took nothing for too long.
    WriteStalled { ms: u64 },
}

/// What a reason means to everybody who hears of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// WebSocket close code.
    pub code: u16,
    /// WebSocket close reason.
    pub reason: &'static str,
    /// Header `message` and body of an ERROR that goes before the close.
    pub error: Option<(&'static str, String)>,
    /// Value of the metric label `reason`, and of the ERROR's `stompgate-error` header.
    pub label: &'static str,
    pub level: Level,
}

/// How loud a close is in the log. Only what an operator should act on is louder than `Debug`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Every label that a reason can have; a closed set, for metrics.
pub const LABELS: &[&str] = &[
    "access_refused",
    "ack_unknown",
    "already_connected",
    "broker_connection_limit",
    "broker_exception",
    "broker_lost",
    "broker_refused",
    "broker_timeout",
    "broker_unavailable",
    "connect_timeout",
    "disconnect",
    "dismissed",
    "draining",
    "forbidden",
    "gone",
    "handler_failed",
    "handler_missing",
    "handler_refused",
    "handler_timeout",
    "handler_unavailable",
    "heartbeat_lost",
    "invalid_destination",
    "invalid_header",
    "limit_frame_bytes",
    "limit_handler",
    "limit_header_bytes",
    "limit_header_count",
    "limit_message_bytes",
    "limit_subscriptions",
    "limit_transaction_bytes",
    "limit_transaction_frames",
    "limit_transactions",
    "limit_unsettled",
    "limit_user_sessions",
    "malformed",
    "missing_header",
    "nacked",
    "not_connected",
    "panicked",
    "queue_full",
    "server_command",
    "slow_consumer",
    "subscription_ended",
    "subscription_exists",
    "subscription_unknown",
    "transaction_exists",
    "transaction_unknown",
    "transport_violated",
    "unsupported",
    "version_mismatch",
    "vhost_refused",
    "write_stalled",
];

/// Reason of a slow client's close, as Spring words it.
const SLOW: &str = "Failed to send message within the configured send limit";

impl CloseReason {
    /// The broker is away, or does not let this client in any more.
    pub(super) fn link_lost(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable => Self::BrokerLost,
            fault => Self::Refused(Refusal::Broker(fault)),
        }
    }

    /// The table of `docs/PROTOCOL.md`, Closing. After an ERROR the code is 1002, as with Spring.
    pub fn closing(&self) -> Closing {
        let row = |code, reason, label, level| Closing { code, reason, error: None, label, level };
        let error = |title, text: String, label, level| Closing {
            code: 1002,
            reason: title,
            error: Some((title, text)),
            label,
            level,
        };
        match self {
            // The back end says it once; the sessions would say it all at once.
            Self::BrokerLost => error("Connection to broker closed.", String::new(), "broker_lost", Level::Debug),
            Self::ConnectTimeout { ms } => error(
                "No CONNECT received in time",
                format!("No CONNECT was accepted within {ms} ms (session.connect_wait)"),
                "connect_timeout",
                Level::Debug,
            ),
            Self::Disconnected => row(1000, "", "disconnect", Level::Debug),
            Self::Dismissed => row(1000, "Ended by the application", "dismissed", Level::Debug),
            Self::Draining => row(1012, "The gateway restarts", "draining", Level::Debug),
            // Nobody is there to read a code; it is what the peer's absence means (RFC 6455 section 7.4.1).
            Self::Gone => row(1006, "", "gone", Level::Debug),
            Self::HeartBeatLost { ms } => {
                error("Session closed.", format!("Nothing was received for {ms} ms"), "heartbeat_lost", Level::Debug)
            }
            Self::Malformed(fault @ DecodeError::UnknownCommand(command)) => {
                let text = format!("Could not interpret command \"{command}\"");
                error("Bad command", text, malformed_label(fault), Level::Info)
            }
            Self::Malformed(fault) => Closing {
                code: if is_size(fault) { 1009 } else { 1002 },
                ..error("Malformed frame", fault.to_string(), malformed_label(fault), Level::Info)
            },
            Self::MessageTooLarge { max } => Closing {
                code: 1009,
                ..error(
                    "Message too large",
                    format!(
                        "A message may have at most {max} bytes (stomp.frame_bytes_max and 4096 more; over SockJS six \
                         times that, or sockjs.body_bytes_max)"
                    ),
                    "limit_message_bytes",
                    Level::Info,
                )
            },
            // Whatever could still be said may be wrong.
            Self::Panicked => row(1011, "Internal error", "panicked", Level::Error),
            Self::Refused(refusal) => error(refusal.kind(), refusal.text(), refusal.label(), level(refusal)),
            Self::SlowConsumer => row(4500, SLOW, "slow_consumer", Level::Warn),
            Self::TransportViolated { rule } => row(1002, rule, "transport_violated", Level::Info),
            Self::WriteStalled { .. } => row(4500, SLOW, "write_stalled", Level::Warn),
        }
    }
}

/// While the broker is away, every client that comes back is refused again and again.
const fn level(refusal: &Refusal) -> Level {
    if matches!(refusal, Refusal::Broker(Fault::LinkBroken(_) | Fault::Unavailable)) {
        Level::Debug
    } else {
        Level::Info
    }
}

const fn is_size(fault: &DecodeError) -> bool {
    matches!(
        fault,
        DecodeError::FrameTooLarge { .. } | DecodeError::HeadersTooLarge { .. } | DecodeError::TooManyHeaders { .. }
    )
}

const fn malformed_label(fault: &DecodeError) -> &'static str {
    match fault {
        DecodeError::FrameTooLarge { .. } => "limit_frame_bytes",
        DecodeError::HeadersTooLarge { .. } => "limit_header_bytes",
        DecodeError::TooManyHeaders { .. } => "limit_header_count",
        DecodeError::BadContentLength(_)
        | DecodeError::BadEscape(_)
        | DecodeError::BadHeader(_)
        | DecodeError::BareCarriageReturn
        | DecodeError::BodyNotAllowed(_)
        | DecodeError::NotTerminated { .. }
        | DecodeError::NotUtf8
        | DecodeError::NulInHeaders
        | DecodeError::UnknownCommand(_) => "malformed",
    }
}
