//! The commands of STOMP 1.0 to 1.2.

/// A frame's first line.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Command {
    Abort,
    Ack,
    Begin,
    Commit,
    Connect,
    Connected,
    Disconnect,
    Error,
    Message,
    Nack,
    Receipt,
    Send,
    Stomp,
    Subscribe,
    Unsubscribe,
}

impl Command {
    pub const ALL: [Self; 15] = [
        Self::Abort,
        Self::Ack,
        Self::Begin,
        Self::Commit,
        Self::Connect,
        Self::Connected,
        Self::Disconnect,
        Self::Error,
        Self::Message,
        Self::Nack,
        Self::Receipt,
        Self::Send,
        Self::Stomp,
        Self::Subscribe,
        Self::Unsubscribe,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "ABORT",
            Self::Ack => "ACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Connect => "CONNECT",
            Self::Connected => "CONNECTED",
            Self::Disconnect => "DISCONNECT",
            Self::Error => "ERROR",
            Self::Message => "MESSAGE",
            Self::Nack => "NACK",
            Self::Receipt => "RECEIPT",
            Self::Send => "SEND",
            Self::Stomp => "STOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
        }
    }

    /// Commands are case-sensitive.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().as_bytes() == text)
    }

    /// CONNECT, STOMP and CONNECTED are never escaped, so that old peers can read them (STOMP 1.2, Value Encoding).
    pub const fn is_escaped(self) -> bool {
        !matches!(self, Self::Connect | Self::Connected | Self::Stomp)
    }

    /// Only these may have a body (STOMP 1.2, Body).
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Error | Self::Message | Self::Send)
    }
}
