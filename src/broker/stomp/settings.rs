//! What an operator decides about the STOMP broker.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::broker::{Outage, Tls};
use crate::stomp::HeartBeat;

/// The same for the whole gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the broker is: tried one after the other, from the one that let the last connection in. Never empty.
    pub addresses: Vec<Address>,
    /// For all of them, or none.
    pub tls: Option<Tls>,
    /// What becomes of sessions while the broker is away.
    pub outage: Outage,
    /// How long a SEND is held then, or waits for its RECEIPT.
    pub hold_time: Duration,
    /// How long the broker may be away then before `/ready` says so.
    pub ready_grace: Duration,
    /// Whose account the connection of a session uses.
    pub identity: Identity,
    /// That of the gateway, for sessions.
    pub account: Account,
    /// The same for the system connection.
    pub system_account: Account,
    /// The `host` of CONNECT; what clients say there never travels.
    pub virtual_host: Option<String>,
    /// What is offered to the broker.
    pub heartbeat: HeartBeat,
    /// How long connecting to one address may take, TLS included.
    pub connect_timeout: Duration,
    /// From the CONNECT to the broker's CONNECTED.
    pub connected_timeout: Duration,
    /// How long the RECEIPT of a SUBSCRIBE or UNSUBSCRIBE may take, and with [`Outage::Reject`] that of a SEND.
    pub operation_timeout: Duration,
    /// The first pause before connecting again; it doubles up to the other, and each is shortened by chance. Where the
    /// broker refuses the CONNECT they grow five times as long.
    pub reconnect_delay_min: Duration,
    pub reconnect_delay_max: Duration,
    /// Sessions that connect at the same time; the others wait.
    pub connects_in_flight_max: usize,
    /// Sessions that have a connection, or will have one again.
    pub connections_max: usize,
    /// Bytes of one frame from the broker.
    pub frame_bytes_max: usize,
    /// SENDs of all sessions that wait to be written, or for their RECEIPT: bytes, each with its overhead.
    pub publish_queue_bytes_max: usize,
    /// How destinations begin whose messages are not lost with a client: with `ack:auto` the gateway acknowledges them
    /// once they are written to the client. Elsewhere the broker takes them as settled when it sends them.
    pub queue_prefixes: Vec<String>,
    /// Deliveries of one session that may wait for its ACK or NACK; the oldest beyond are forgotten.
    pub unsettled_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: vec![Address { host: "127.0.0.1".to_owned(), port: 61_613 }],
            tls: None,
            outage: Outage::Hold,
            hold_time: Duration::from_secs(60),
            ready_grace: Duration::from_secs(30),
            identity: Identity::Gateway,
            account: Account::default(),
            system_account: Account::default(),
            virtual_host: None,
            heartbeat: HeartBeat { send_ms: 10_000, receive_ms: 10_000 },
            connect_timeout: Duration::from_secs(5),
            connected_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(10),
            reconnect_delay_min: Duration::from_millis(200),
            reconnect_delay_max: Duration::from_secs(5),
            connects_in_flight_max: 16,
            connections_max: 10_000,
            frame_bytes_max: 16 * 1024 * 1024,
            publish_queue_bytes_max: 64 * 1024 * 1024,
            queue_prefixes: vec!["/queue/".to_owned()],
            unsettled_max: 100_000,
        }
    }
}

/// Whose account the connection of a session uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Identity {
    /// Login and passcode of its CONNECT, which the broker checks.
    Client,
    /// One for all, as Spring's relay has it.
    Gateway,
}

/// Login and passcode.
#[derive(Clone, Eq, PartialEq)]
pub struct Account {
    pub login: String,
    pub passcode: String,
}

impl Default for Account {
    fn default() -> Self {
        Self { login: "guest".to_owned(), passcode: "guest".to_owned() }
    }
}

/// Never prints the passcode.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({:?})", self.login)
    }
}

/// `host:port`, with brackets around an IPv6 address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an address is host:port, for example broker.example:61613 or [::1]:61613")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(AddressError)?;
        let port = port.parse().ok().filter(|it| *it > 0).ok_or(AddressError)?;
        let plain = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|it| it.contains(':')).ok_or(AddressError)?,
            None => host,
        };
        let is_host = |it: char| it.is_ascii_alphanumeric() || ".-_:".contains(it);
        let is_plain = !plain.is_empty() && plain.chars().all(is_host) && (plain != host || !host.contains(':'));
        if is_plain { Ok(Self { host: plain.to_owned(), port }) } else { Err(AddressError) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in ["broker.example:61613", "127.0.0.1:1", "[::1]:61613"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in ["", "broker", "broker:", ":1", "broker:0", "broker:65536", "::1:61613", "[::1]", "[x]:1", "a b:1"] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }

    #[test]
    fn printing_settings_does_not_show_the_passcode() {
        let account = Account { login: "jo".to_owned(), passcode: "s3cret".to_owned() };
        let settings = Settings { account: account.clone(), system_account: account, ..Settings::default() };
        let shown = format!("{settings:?}");
        assert!(shown.contains("jo") && !shown.contains("s3cret"), "{shown}");
    }
}
