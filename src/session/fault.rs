//! Why the broker's side could not do what a session asked.

/// What a client is told; the back end logs what it knows beyond that.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Wrong login or passcode.
    #[error("Access refused for user '{login}'")]
    AccessRefused { login: String },
    /// The queue, or the whole broker, holds as much as it may.
    #[error("{what} is full: {max} {unit} ({setting})")]
    Full { what: String, max: usize, unit: &'static str, setting: &'static str },
    /// The broker took the message and did not accept it.
    #[error("The broker refused the message")]
    Nacked,
    /// The broker refused, with its reason as the client may see it.
    #[error("{0}")]
    Refused(String),
    /// Nobody answered in time.
    #[error("The broker did not answer within {0} ms")]
    TimedOut(u64),
    #[error("Broker not available.")]
    Unavailable,
    #[error("{0}")]
    Unsupported(&'static str),
}
