//! What an operator decides about sessions.

use std::time::Duration;

use crate::stomp::HeartBeat;

/// The same for all sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    pub ack_scope: AckScope,
    /// Whether a refused frame ends the session (STOMP 1.2, ERROR; Spring) or not (RabbitMQ's own plugin). Where the
    /// plugin takes what STOMP forbids, it is taken when this is off.
    pub close_on_error: bool,
    /// What a client may send in a second; it is not read from while it is beyond. 0 is no bound.
    pub bytes_per_second_max: usize,
    /// From the opened connection to an accepted CONNECT.
    pub connect_wait: Duration,
    /// Whose grammar destinations have.
    pub destinations: Grammar,
    /// What the gateway offers.
    pub heartbeat: HeartBeat,
    /// The same in SENDs.
    pub messages_per_second_max: usize,
    /// How often a client without heart-beats is expected to be heard. One that has been silent for one and a half such
    /// times, or for as much of its heart-beat interval, is asked for a pong; after three it is given up.
    pub ping_interval: Duration,
    /// `prefetch-count` of a subscription that does not say.
    pub prefetch_default: u16,
    /// The largest `prefetch-count` that is granted; more is lowered to it.
    pub prefetch_max: u16,
    /// SENDs that the broker has not confirmed. At the bound the client is not read from.
    pub publishes_in_flight_max: usize,
    /// The same in bytes. A larger one still passes when nothing else is in flight.
    pub publish_bytes_in_flight_max: usize,
    /// Sessions of one user at a time. 0 is no bound.
    pub sessions_per_user_max: usize,
    pub subscriptions_max: usize,
    pub transactions_max: usize,
    /// Bytes of all SENDs of one transaction, and of the receipts that its frames ask for.
    pub transaction_bytes_max: usize,
    /// SENDs, ACKs and NACKs of one transaction.
    pub transaction_frames_max: usize,
    /// Deliveries that wait for an ACK or NACK, and those that the subscriptions may yet be given.
    pub unsettled_max: usize,
    /// How long the network may take nothing while something waits for the client.
    pub write_stall_max: Duration,
}

/// Whose grammar destinations have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grammar {
    /// The broker's: what is not the gateway's own business is passed on as it was written.
    Foreign,
    /// That of RabbitMQ's plugin (D1).
    RabbitMq,
}

/// What an ACK or NACK covers in mode `client`, beside the delivery that it names: everything before it ..
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AckScope {
    /// .. that the session was delivered (A7, RabbitMQ's plugin).
    Session,
    /// .. that its subscription was delivered (STOMP 1.2, ACK).
    Subscription,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ack_scope: AckScope::Subscription,
            bytes_per_second_max: 0,
            close_on_error: true,
            connect_wait: Duration::from_secs(10),
            destinations: Grammar::RabbitMq,
            heartbeat: HeartBeat { send_ms: 10_000, receive_ms: 10_000 },
            messages_per_second_max: 0,
            ping_interval: Duration::from_secs(30),
            prefetch_default: 64,
            prefetch_max: 1_000,
            publishes_in_flight_max: 256,
            publish_bytes_in_flight_max: 1024 * 1024,
            sessions_per_user_max: 0,
            subscriptions_max: 1_000,
            transactions_max: 16,
            transaction_bytes_max: 1024 * 1024,
            transaction_frames_max: 1_024,
            unsettled_max: 100_000,
            write_stall_max: Duration::from_secs(10),
        }
    }
}
