//! Why a frame is refused, and the words for it: those of RabbitMQ's plugin first, then what it leaves out. Ids (E1 ..)
//! are rows of the table in `docs/PROTOCOL.md`.

use super::fault::Fault;
use super::name::SubscriptionName;
use crate::destination::DestinationError;
use crate::stomp::{Command, HeartBeatError, Version};

/// A frame that can't take effect. The session could go on; whether it does is `stomp.close_on_error`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    AckMalformed {
        command: Command,
        header: &'static str,
    },
    AckUnknown {
        id: String,
        number: u64,
    },
    AlreadyConnected,
    BadAckMode(String),
    BadBoolean {
        header: &'static str,
        value: String,
    },
    BadExpiration(String),
    BadHeartBeat(HeartBeatError),
    BadPrefetch(String),
    BadReplyTo(DestinationError),
    Broker(Fault),
    Destination(DestinationError),
    DestinationNotFor {
        command: Command,
        destination: String,
        remedy: &'static str,
    },
    /// A durable subscription is found again by its id.
    DurableUnnamed,
    Limit(Limit),
    MessageIdSent,
    Missing {
        command: Command,
        header: &'static str,
    },
    NotConnected,
    /// An `id` of a form that only answers to `reply-to` have.
    ReservedId(Command),
    ServerCommand(Command),
    SubscriptionEnded(SubscriptionName),
    SubscriptionExists(SubscriptionName),
    SubscriptionUnknown(SubscriptionName),
    TransactionExists {
        id: String,
    },
    TransactionUnknown {
        id: String,
    },
    UnsubscribeUnnamed,
    VersionMismatch,
}

/// Title of the plugin for whatever its parser does not expect (E8), and first words of the text.
const PROCESSING: &str = "Processing error";

const LIMIT: &str = "Limit exceeded";

/// A bound of the session, passed by one. Each names its setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    Subscriptions { max: usize },
    TransactionBytes { max: usize },
    TransactionFrames { max: usize },
    Transactions { max: usize },
    Unsettled { max: usize },
}

impl Limit {
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Subscriptions { .. } => "session.subscriptions_max",
            Self::TransactionBytes { .. } => "session.transaction_bytes_max",
            Self::TransactionFrames { .. } => "session.transaction_frames_max",
            Self::Transactions { .. } => "session.transactions_max",
            Self::Unsettled { .. } => "session.unsettled_max",
        }
    }

    fn text(self) -> String {
        let setting = self.setting();
        match self {
            Self::Subscriptions { max } => format!("A session holds at most {max} subscriptions ({setting})"),
            Self::TransactionBytes { max } => format!("A transaction holds at most {max} bytes ({setting})"),
            Self::TransactionFrames { max } => format!("A transaction holds at most {max} frames ({setting})"),
            Self::Transactions { max } => format!("A session holds at most {max} open transactions ({setting})"),
            Self::Unsettled { max } => format!(
                "A session holds at most {max} messages that wait for an ACK or NACK ({setting}); what its \
                 subscriptions may have at a time counts, so ask for a smaller prefetch-count"
            ),
        }
    }
}

impl Refusal {
    /// Whether it ends the session even if others do not.
    pub const fn ends_session(&self) -> bool {
        // A client that connects twice, or uses an id twice, believes in another state of things than this session.
        matches!(self, Self::AlreadyConnected | Self::SubscriptionExists(_) | Self::Broker(Fault::Amqp { .. }))
    }

    /// The `message` header of the ERROR.
    pub fn title(&self) -> &str {
        match self {
            Self::Broker(Fault::LinkBroken(title) | Fault::Relayed { title, .. }) => title,
            _ => self.kind(),
        }
    }

    /// The same, of what no broker has put into words: the reason of a WebSocket close has to be short.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::AckUnknown { .. } => "Message not found",
            Self::AlreadyConnected | Self::NotConnected => "Illegal command",
            Self::AckMalformed { .. } | Self::MessageIdSent => "Invalid header",
            Self::BadAckMode(_)
            | Self::BadBoolean { .. }
            | Self::BadExpiration(_)
            | Self::BadHeartBeat(_)
            | Self::BadPrefetch(_)
            | Self::BadReplyTo(_) => PROCESSING,
            Self::Broker(
                Fault::AccessRefused { .. }
                | Fault::ConnectionLimit(_)
                | Fault::LoginMissing
                | Fault::VhostRefused { .. },
            ) => "Bad CONNECT",
            Self::Broker(Fault::Amqp { name, .. }) => name,
            Self::Broker(Fault::Forbidden { .. }) => "access_refused",
            Self::Broker(Fault::Handler { cause, .. }) => cause.title(),
            // Front ends written for Spring's relay look for these words.
            Self::Broker(Fault::Unavailable) => "Broker not available.",
            Self::Broker(Fault::LinkBroken(_)) => "Connection to broker closed.",
            Self::Broker(Fault::Relayed { .. }) => "Error from the broker",
            Self::Broker(Fault::UserSessions { .. }) => LIMIT,
            Self::Broker(_) => PROCESSING,
            Self::Destination(DestinationError::Unknown(_)) => "Unknown destination",
            Self::Destination(_) | Self::DestinationNotFor { .. } => "Invalid destination",
            Self::DurableUnnamed => "Missing Header",
            Self::Limit(_) => LIMIT,
            Self::Missing { header: "destination", .. } => "Missing destination",
            Self::Missing { header: "transaction", .. } => "Missing transaction",
            Self::Missing { .. } => "Missing header",
            Self::ReservedId(Command::Unsubscribe) => "Invalid id",
            Self::ReservedId(_) => PROCESSING,
            Self::ServerCommand(_) => "Bad command",
            Self::SubscriptionEnded(_) => "Server cancelled subscription",
            Self::SubscriptionExists(_) => "Duplicated subscription identifier",
            Self::SubscriptionUnknown(_) => "No subscription found",
            Self::TransactionExists { .. } | Self::TransactionUnknown { .. } => "Bad transaction",
            Self::UnsubscribeUnnamed => "Missing destination or id",
            Self::VersionMismatch => "Version mismatch",
        }
    }

    /// The body of the ERROR: cause, and remedy where it is not plain.
    pub fn text(&self) -> String {
        match self {
            Self::AckMalformed { command, header } => format!(
                "\"{}\" must include a valid \"{header}\" header, as the MESSAGE had it",
                command.as_str()
            ),
            Self::AckUnknown { id, number } => format!(
                "unknown delivery tag {number}: '{id}' is no message of this session that waits for an ACK or NACK"
            ),
            Self::AlreadyConnected => "This session is connected already; CONNECT is sent once".to_owned(),
            Self::BadAckMode(mode) => {
                format!("{PROCESSING}: ack must be 'auto', 'client' or 'client-individual', not '{mode}'")
            }
            Self::BadBoolean { header, value } => {
                format!("{PROCESSING}: {header} must be 'true' or 'false', not '{value}'")
            }
            Self::BadExpiration(value) => {
                format!("{PROCESSING}: expiration must be a whole number of milliseconds, not '{value}'")
            }
            Self::BadHeartBeat(error) => format!("{PROCESSING}: {error}"),
            Self::BadPrefetch(value) => {
                format!("{PROCESSING}: prefetch-count must be a whole number of messages, not '{value}'")
            }
            Self::BadReplyTo(error) => format!("{PROCESSING}: reply-to must be a destination: {error}"),
            Self::Broker(fault) => words(fault),
            Self::Destination(error) => error.to_string(),
            Self::DestinationNotFor { command, destination, remedy } => {
                format!("'{destination}' is not a valid destination for '{}': {remedy}", command.as_str())
            }
            Self::DurableUnnamed => "Header 'id' is required for durable subscriptions".to_owned(),
            Self::Limit(limit) => limit.text(),
            Self::MessageIdSent => {
                "'message-id' is not allowed on 'SEND'.\nA name of your own for the message goes into 'amqp-message-id'."
                    .to_owned()
            }
            Self::Missing { command, header } => missing(*command, header),
            Self::NotConnected => "You must log in using CONNECT first".to_owned(),
            Self::ReservedId(command) => {
                let prefix = if *command == Command::Unsubscribe { String::new() } else { format!("{PROCESSING}: ") };
                format!(
                    "{prefix}{} 'id' may not start with /temp-queue/: such ids are for the answers to reply-to, which \
                     come for as long as the session lasts",
                    command.as_str()
                )
            }
            Self::ServerCommand(command) => {
                format!("Could not interpret command \"{}\": only servers send it", command.as_str())
            }
            Self::SubscriptionEnded(name) => {
                format!("The server has canceled a subscription.\nNo more messages will be delivered for \"{name}\".")
            }
            Self::SubscriptionExists(name) => {
                format!("A subscription identified by '{}' already exists.", name.consumer_tag())
            }
            Self::SubscriptionUnknown(name) => {
                format!(
                    "UNSUBSCRIBE must refer to an existing subscription.\nSubscription to \"{name}\" not found."
                )
            }
            Self::TransactionExists { id } => {
                format!("Transaction \"{id}\" is open already; COMMIT or ABORT it first, or use another name")
            }
            Self::TransactionUnknown { id } => format!("Invalid transaction identifier: \"{id}\""),
            Self::UnsubscribeUnnamed => "UNSUBSCRIBE must include a 'destination' or 'id' header".to_owned(),
            Self::VersionMismatch => format!("Supported versions are {}", Version::SUPPORTED),
        }
    }

    /// The value of `stompgate-error` and of the metric label: stable, for programs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AckUnknown { .. } => "ack_unknown",
            Self::AlreadyConnected => "already_connected",
            Self::AckMalformed { .. }
            | Self::BadAckMode(_)
            | Self::BadBoolean { .. }
            | Self::BadExpiration(_)
            | Self::BadHeartBeat(_)
            | Self::BadPrefetch(_)
            | Self::BadReplyTo(_)
            | Self::MessageIdSent
            | Self::ReservedId(_) => "invalid_header",
            Self::Broker(Fault::AccessRefused { .. } | Fault::LoginMissing) => "access_refused",
            Self::Broker(Fault::Amqp { .. }) => "broker_exception",
            Self::Broker(Fault::ConnectionLimit(_)) => "broker_connection_limit",
            Self::Broker(Fault::Forbidden { .. }) => "forbidden",
            Self::Broker(Fault::Handler { cause, .. }) => cause.label(),
            Self::Broker(Fault::VhostRefused { .. }) => "vhost_refused",
            Self::Broker(Fault::Full { .. }) => "queue_full",
            Self::Broker(Fault::LinkBroken(_)) => "broker_lost",
            Self::Broker(Fault::Nacked) => "nacked",
            Self::Broker(Fault::Refused(_) | Fault::Relayed { .. }) => "broker_refused",
            Self::Broker(Fault::TimedOut(_)) => "broker_timeout",
            Self::Broker(Fault::Unavailable) => "broker_unavailable",
            Self::Broker(Fault::Unsupported(_)) => "unsupported",
            Self::Broker(Fault::UserSessions { .. }) => "limit_user_sessions",
            Self::Destination(_) | Self::DestinationNotFor { .. } => "invalid_destination",
            Self::Limit(Limit::Subscriptions { .. }) => "limit_subscriptions",
            Self::Limit(Limit::TransactionBytes { .. }) => "limit_transaction_bytes",
            Self::Limit(Limit::TransactionFrames { .. }) => "limit_transaction_frames",
            Self::Limit(Limit::Transactions { .. }) => "limit_transactions",
            Self::Limit(Limit::Unsettled { .. }) => "limit_unsettled",
            Self::DurableUnnamed | Self::Missing { .. } | Self::UnsubscribeUnnamed => "missing_header",
            Self::NotConnected => "not_connected",
            Self::ServerCommand(_) => "server_command",
            Self::SubscriptionEnded(_) => "subscription_ended",
            Self::SubscriptionExists(_) => "subscription_exists",
            Self::SubscriptionUnknown(_) => "subscription_unknown",
            Self::TransactionExists { .. } => "transaction_exists",
            Self::TransactionUnknown { .. } => "transaction_unknown",
            Self::VersionMismatch => "version_mismatch",
        }
    }
}

/// As RabbitMQ's plugin words it.
fn missing(command: Command, header: &str) -> String {
    match header {
        "destination" | "transaction" => format!("\"{}\" must include a '{header}' header", command.as_str()),
        _ => format!("\"{}\" must include the \"{header}\" header", command.as_str()),
    }
}

/// Of a lost connection the title says it all.
fn words(fault: &Fault) -> String {
    if matches!(fault, Fault::LinkBroken(_)) { String::new() } else { fault.to_string() }
}
