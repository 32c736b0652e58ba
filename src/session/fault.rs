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
