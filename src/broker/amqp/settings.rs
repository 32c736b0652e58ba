//! What an operator decides about RabbitMQ.

use std::str::FromStr;
use std::time::Duration;

use super::url::Url;
use crate::broker::{Outage, Tls};
use crate::destination::UserPrefix;

/// The same for the whole gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where RabbitMQ is: tried one after the other, from one that is picked by chance. Never empty, and all of one vhost.
    pub urls: Vec<Url>,
    /// What becomes of sessions while RabbitMQ is away.
    pub outage: Outage,
    /// How long a SEND is held then.
    pub hold_time: Duration,
    /// How long RabbitMQ may be away then before `/ready` says so.
    pub ready_grace: Duration,
    /// Whose account a session uses.
    pub identity: Identity,
    /// How long an account of clients stays connected without a session.
    pub account_idle_time: Duration,
    /// How long such an account admits sessions without asking RabbitMQ again whether login and passcode are right.
    pub account_check_interval: Duration,
    /// Accounts of clients that are connected.
    pub accounts_max: usize,
    /// Of login and passcode of a client. For a frame that is too long RabbitMQ has no answer: it leaves the connection
    /// alone for 3 s, and others wait for the attempt.
    pub credentials_bytes_max: usize,
    /// Accounts of clients that connect at the same time; the others wait.
    pub connects_in_flight_max: usize,
    /// For `amqps://`; the system's roots if there is none.
    pub tls: Option<Tls>,
    /// What RabbitMQ shows beside each connection, followed by what the connection is for.
    pub connection_name: String,
    /// How long connecting to one address may take.
    pub connect_timeout: Duration,
    /// The first pause before connecting again; it doubles up to the other, and each is shortened by chance. Where
    /// RabbitMQ refuses the login they grow five times as long.
    pub reconnect_delay_min: Duration,
    pub reconnect_delay_max: Duration,
    /// How long any one answer of the broker may take.
    pub operation_timeout: Duration,
    /// Where `/topic/K` is published to and bound: a topic exchange that exists.
    pub topic_exchange: Name,
    /// Where messages to users are published with the name of the user as the key, and those to sessions with the id of
    /// the session: direct exchanges that the gateway declares.
    pub user_exchange: Name,
    pub session_exchange: Name,
    /// What the destinations begin with that users are shown.
    pub user_prefix: UserPrefix,
    /// Queues that all subscriptions of topics share.
    pub feed_shards: usize,
    /// Messages of one feed on their way to the gateway.
    pub feed_prefetch: u16,
    /// What a feed may hold at the broker while the gateway does not keep up; beyond it the oldest are dropped.
    pub feed_queue_bytes_max: u32,
    /// How long a topic stays bound after its last subscriber has gone.
    pub unbind_linger: Duration,
    /// Channels that publish. Each session uses one of them, so that its SENDs keep their order.
    pub publishers: usize,
    /// Messages that one of those channels has written and RabbitMQ has not confirmed.
    pub publishes_in_flight_max: usize,
    /// Messages of all sessions that wait to be written or confirmed: bytes, each message counted with its overhead.
    pub publish_queue_bytes_max: usize,
    /// A larger message is refused here, because RabbitMQ answers one beyond its own bound by closing a channel that
    /// many sessions share.
    pub message_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: vec![Url::default()],
            outage: Outage::Hold,
            hold_time: Duration::from_secs(60),
            ready_grace: Duration::from_secs(30),
            identity: Identity::Gateway,
            account_idle_time: Duration::from_secs(60),
            account_check_interval: Duration::from_secs(300),
            accounts_max: 1_000,
            // RabbitMQ reads 4 KiB before the login, the name and the properties of the connection with it.
            credentials_bytes_max: 3 * 1024,
            connects_in_flight_max: 16,
            tls: None,
            connection_name: "stompgate".to_owned(),
            connect_timeout: Duration::from_secs(5),
            reconnect_delay_min: Duration::from_millis(200),
            reconnect_delay_max: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(10),
            topic_exchange: Name("amq.topic".to_owned()),
            user_exchange: Name("stompgate.user".to_owned()),
            session_exchange: Name("stompgate.session".to_owned()),
            user_prefix: UserPrefix::default(),
            feed_shards: 2,
            feed_prefetch: 2_000,
            feed_queue_bytes_max: 64 * 1024 * 1024,
            unbind_linger: Duration::from_secs(30),
            publishers: 2,
            publishes_in_flight_max: 1_024,
            publish_queue_bytes_max: 64 * 1024 * 1024,
            // What RabbitMQ 4 takes; 3.x takes 128 MiB.
            message_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// Whose account the sessions use at RabbitMQ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Identity {
    /// Login, passcode and host of CONNECT: RabbitMQ checks them, and its permissions decide.
    Client,
    /// One account for all, that of [`Settings::urls`].
    Gateway,
}

/// The name of an exchange or a queue: at most 255 bytes, as AMQP carries it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a name has 1 to 255 bytes, not {0}")]
pub struct NameError(usize);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > 255 {
            return Err(NameError(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_settings_does_not_show_the_password() {
        let url: Url = "amqps://jo:sec%2Fret@rabbit.example:5671/a%2Fb".parse().unwrap();
        let settings = format!("{:?}", Settings { urls: vec![url], ..Settings::default() });
        assert!(settings.contains("rabbit.example") && !settings.contains("ret"), "{settings}");
    }

    #[test]
    fn a_name_has_1_to_255_bytes() {
        assert!("x".repeat(256).parse::<Name>().is_err() && "".parse::<Name>().is_err());
        assert!("x".repeat(255).parse::<Name>().is_ok());
    }
}
