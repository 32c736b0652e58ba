//! Why the broker's side could not do what a session asked.

/// What a client is told; the back end logs what it knows beyond that.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Wrong login or passcode.
    #[error("Access refused for user '{login}'")]
    AccessRefused { login: String },
    /// The broker ended a channel or a connection for what the session asked: the lower-case name of the reply code,
    /// and the broker's words (E32).
    #[error("{text}")]
    Amqp { name: &'static str, text: String },
    /// The broker takes no more connections of that account or virtual host (E7).
    #[error("Connection refused: {0}")]
    ConnectionLimit(String),
    /// No rule of the gateway lets clients use it.
    #[error("'{destination}' is not open to clients here: a rule in auth.allow would open it")]
    Forbidden { destination: String },
    /// The queue, or the whole broker, holds as much as it may.
    #[error("{what} is full: {max} {unit} ({setting})")]
    Full { what: String, max: usize, unit: &'static str, setting: &'static str },
    /// No handler has done what a frame to `/app` wanted.
    #[error("{text}")]
    Handler { cause: HandlerFault, text: String },
    /// The connection to a STOMP broker was lost or never made, in the words of Spring's relay.
    #[error("{0}")]
    LinkBroken(String),
    /// Without a login there is no account to use (E6).
    #[error("Missing login or passcode header(s)")]
    LoginMissing,
    /// The broker took the message and did not accept it.
    #[error("The broker refused the message")]
    Nacked,
    /// The broker refused, with its reason as the client may see it.
    #[error("{0}")]
    Refused(String),
    /// An ERROR of a STOMP broker: its `message` header and its body.
    #[error("{text}")]
    Relayed { title: String, text: String },
    /// Nobody answered in time.
    #[error("The broker did not answer within {0} ms")]
    TimedOut(u64),
    #[error("Broker not available.")]
    Unavailable,
    #[error("{0}")]
    Unsupported(&'static str),
    /// The user has as many sessions as one may have.
    #[error("User '{user}' has {max} sessions, and may have no more at a time (session.sessions_per_user_max)")]
    UserSessions { user: String, max: usize },
    /// There is no such virtual host, or the user may not enter it (E4).
    #[error("Virtual host '{vhost}' access denied")]
    VhostRefused { vhost: String },
}

/// What was the matter with a handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandlerFault {
    Failed,
    /// A bound of the gateway.
    Limit,
    /// There is none for such a frame.
    Missing,
    /// It does not want this frame.
    Refused,
    TimedOut,
    Unavailable,
}

impl HandlerFault {
    /// The `message` header of the ERROR.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Failed => "Handler failed",
            Self::Limit => "Limit exceeded",
            Self::Missing => "No handler",
            Self::Refused => "Refused by the handler",
            Self::TimedOut => "Handler timed out",
            Self::Unavailable => "Handler not available",
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Failed => "handler_failed",
            Self::Limit => "limit_handler",
            Self::Missing => "handler_missing",
            Self::Refused => "handler_refused",
            Self::TimedOut => "handler_timeout",
            Self::Unavailable => "handler_unavailable",
        }
    }
}
