//! Why a frame is refused, and the words for it. Ids (E1 ..) are rows of the table in `docs/PROTOCOL.md`.

use super::fault::Fault;
use crate::destination::DestinationError;
use crate::stomp::{Command, HeartBeatError, Version};

/// A frame that can't take effect. The session could go on; whether it does is `stomp.close_on_error`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    AckUnknown { command: Command, id: String },
    AlreadyConnected,
    BadAckMode(String),
    BadBoolean { header: &'static str, value: String },
    BadExpiration(String),
    BadHeartBeat(HeartBeatError),
    BadPrefetch(String),
    Broker(Fault),
    Destination(DestinationError),
    DestinationNotFor { command: Command, destination: String, remedy: &'static str },
    Limit(Limit),
    MessageIdSent,
    Missing { command: Command, header: &'static str },
    NotConnected,
    ServerCommand(Command),
    SubscriptionEnded { id: String },
    SubscriptionExists { id: String },
    SubscriptionUnknown { id: String },
    TransactionExists { id: String },
    TransactionUnknown { id: String },
    VersionMismatch,
}

/// A bound of the session, passed by one. Each names its setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    Subscriptions { max: usize },
    TransactionBytes { max: usize },
    TransactionFrames { max: usize },
    Transactions { max: usize },
}

impl Limit {
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Subscriptions { .. } => "session.subscriptions_max",
            Self::TransactionBytes { .. } => "session.transaction_bytes_max",
            Self::TransactionFrames { .. } => "session.transaction_frames_max",
            Self::Transactions { .. } => "session.transactions_max",
        }
    }

    fn text(self) -> String {
        let setting = self.setting();
        match self {
            Self::Subscriptions { max } => format!("A session holds at most {max} subscriptions ({setting})"),
            Self::TransactionBytes { max } => format!("A transaction holds at most {max} bytes ({setting})"),
            Self::TransactionFrames { max } => format!("A transaction holds at most {max} frames ({setting})"),
            Self::Transactions { max } => format!("A session holds at most {max} open transactions ({setting})"),
        }
    }
}

impl Refusal {
    /// The `message` header of the ERROR.
    pub fn title(&self) -> &'static str {
        match self {
            Self::AckUnknown { .. } => "Message not found",
            Self::AlreadyConnected | Self::NotConnected => "Illegal command",
            Self::BadAckMode(_)
            | Self::BadBoolean { .. }
            | Self::BadExpiration(_)
            | Self::BadHeartBeat(_)
            | Self::BadPrefetch(_)
            | Self::MessageIdSent => "Invalid header",
            Self::Broker(
                Fault::AccessRefused { .. }
                | Fault::ConnectionLimit(_)
                | Fault::LoginMissing
                | Fault::VhostRefused { .. },
            ) => "Bad CONNECT",
            Self::Broker(Fault::Amqp { name, .. }) => name,
            Self::Broker(Fault::Forbidden { .. }) => "access_refused",
            // Front ends written for Spring's relay look for these words.
            Self::Broker(Fault::Unavailable) => "Broker not available.",
            Self::Broker(_) => "Processing error",
            Self::Destination(DestinationError::Unknown(_)) => "Unknown destination",
            Self::Destination(_) | Self::DestinationNotFor { .. } => "Invalid destination",
            Self::Limit(_) => "Limit exceeded",
            Self::Missing { header: "destination", command: Command::Send | Command::Subscribe } => {
                "Missing destination"
            }
            Self::Missing { header: "transaction", .. } => "Missing transaction",
            Self::Missing { .. } => "Missing header",
            Self::ServerCommand(_) => "Bad command",
            Self::SubscriptionEnded { .. } => "Server cancelled subscription",
            Self::SubscriptionExists { .. } => "Duplicated subscription identifier",
            Self::SubscriptionUnknown { .. } => "No subscription found",
            Self::TransactionExists { .. } | Self::TransactionUnknown { .. } => "Bad transaction",
            Self::VersionMismatch => "Version mismatch",
        }
    }

    /// The body of the ERROR: cause, and remedy where it is not plain.
    pub fn text(&self) -> String {
        match self {
            Self::AckUnknown { command, id } => format!(
                "{} names '{id}', which is no message of this session that waits for an acknowledgement",
                command.as_str()
            ),
            Self::AlreadyConnected => "This session is connected already; CONNECT is sent once".to_owned(),
            Self::BadAckMode(mode) => {
                format!("ack must be 'auto', 'client' or 'client-individual', not '{mode}'")
            }
            Self::BadBoolean { header, value } => format!("{header} must be 'true' or 'false', not '{value}'"),
            Self::BadExpiration(value) => {
                format!("expiration must be a whole number of milliseconds, not '{value}'")
            }
            Self::BadHeartBeat(error) => error.to_string(),
            Self::BadPrefetch(value) => {
                format!("prefetch-count must be a whole number of messages from 1 on, not '{value}'")
            }
            Self::Broker(fault) => fault.to_string(),
            Self::Destination(error) => error.to_string(),
            Self::DestinationNotFor { command, destination, remedy } => {
                format!("'{destination}' is not a valid destination for '{}': {remedy}", command.as_str())
            }
            Self::Limit(limit) => limit.text(),
            Self::MessageIdSent => {
                "'message-id' is not allowed on 'SEND'; a name of your own for the message goes into 'amqp-message-id'"
                    .to_owned()
            }
            Self::Missing { command, header } => format!("\"{}\" must include a '{header}' header", command.as_str()),
            Self::NotConnected => "You must log in using CONNECT first".to_owned(),
            Self::ServerCommand(command) => {
                format!("Could not interpret command \"{}\": only servers send it", command.as_str())
            }
            Self::SubscriptionEnded { id } => {
                format!("The server has canceled a subscription. No more messages will be delivered for \"id='{id}'\".")
            }
            Self::SubscriptionExists { id } => format!("A subscription identified by '{id}' already exists."),
            Self::SubscriptionUnknown { id } => {
                format!("UNSUBSCRIBE must refer to an existing subscription. Subscription to \"id='{id}'\" not found.")
            }
            Self::TransactionExists { id } => {
                format!("Transaction \"{id}\" is open already; COMMIT or ABORT it first, or use another name")
            }
            Self::TransactionUnknown { id } => format!("Invalid transaction identifier: \"{id}\""),
            Self::VersionMismatch => format!("Supported versions are {}", Version::SUPPORTED),
        }
    }

    /// The value of `stompgate-error` and of the metric label: stable, for programs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AckUnknown { .. } => "ack_unknown",
            Self::AlreadyConnected => "already_connected",
            Self::BadAckMode(_)
            | Self::BadBoolean { .. }
            | Self::BadExpiration(_)
            | Self::BadHeartBeat(_)
            | Self::BadPrefetch(_)
            | Self::MessageIdSent => "invalid_header",
            Self::Broker(Fault::AccessRefused { .. } | Fault::LoginMissing) => "access_refused",
            Self::Broker(Fault::Amqp { .. }) => "broker_exception",
            Self::Broker(Fault::ConnectionLimit(_)) => "broker_connection_limit",
            Self::Broker(Fault::Forbidden { .. }) => "forbidden",
            Self::Broker(Fault::VhostRefused { .. }) => "vhost_refused",
            Self::Broker(Fault::Full { .. }) => "queue_full",
            Self::Broker(Fault::Nacked) => "nacked",
            Self::Broker(Fault::Refused(_)) => "broker_refused",
            Self::Broker(Fault::TimedOut(_)) => "broker_timeout",
            Self::Broker(Fault::Unavailable) => "broker_unavailable",
            Self::Broker(Fault::Unsupported(_)) => "unsupported",
            Self::Destination(_) | Self::DestinationNotFor { .. } => "invalid_destination",
            Self::Limit(Limit::Subscriptions { .. }) => "limit_subscriptions",
            Self::Limit(Limit::TransactionBytes { .. }) => "limit_transaction_bytes",
            Self::Limit(Limit::TransactionFrames { .. }) => "limit_transaction_frames",
            Self::Limit(Limit::Transactions { .. }) => "limit_transactions",
            Self::Missing { .. } => "missing_header",
            Self::NotConnected => "not_connected",
            Self::ServerCommand(_) => "server_command",
            Self::SubscriptionEnded { .. } => "subscription_ended",
            Self::SubscriptionExists { .. } => "subscription_exists",
            Self::SubscriptionUnknown { .. } => "subscription_unknown",
            Self::TransactionExists { .. } => "transaction_exists",
            Self::TransactionUnknown { .. } => "transaction_unknown",
            Self::VersionMismatch => "version_mismatch",
        }
    }
}
