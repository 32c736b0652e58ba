//! What can happen to a session.

use super::fault::Fault;
use crate::ident::{OpId, Principal, SubscriptionKey};
use crate::message::Delivery;
use crate::stomp::{DecodeError, Frame};

/// Everything that can happen to a session.
#[derive(Debug)]
pub enum Input {
    /// What an action asked for is done, or is not. In the order in which the actions were given.
    Done {
        op: OpId,
        outcome: Outcome,
    },
    Deliver {
        delivery: Delivery,
        /// Messages of the same subscription that were dropped since the last one.
        dropped: u64,
    },
    /// A handler wants the session to end.
    Dismissed,
    /// The gateway stops, and what was received before has taken effect.
    Drain,
    /// The gateway stops, and nothing more is read; [`Input::Drain`] follows.
    Draining,
    Frame(Frame),
    /// The transport ended, by the client's will or by a fault.
    Gone,
    /// The link to the broker is lost, and with it what was subscribed and not settled.
    LinkLost(Fault),
    /// What was received is no frame; `receipt` is what its receipt header said.
    Malformed {
        error: DecodeError,
        receipt: Option<Box<str>>,
    },
    /// Nothing more is read, or comes; what was received before still takes effect.
    ReadEnded,
    /// The client did not read what was waiting for it, so it grew beyond its bound.
    Overflowed,
    /// The transport is not asked for more, for whatever reason, so nothing can be heard of the client.
    ReadPaused,
    /// It is asked again.
    ReadResumed,
    /// So many bytes of frames, heart-beats, pings or pongs arrived: the client lives.
    Received {
        bytes: usize,
    },
    /// The broker ended a subscription, for example because its queue was deleted.
    SubscriptionEnded {
        key: SubscriptionKey,
    },
    /// The time of [`Session::poll_timeout`](super::Session::poll_timeout) has come.
    Timeout,
    /// The peer broke the rules of the transport.
    TransportViolated {
        rule: &'static str,
    },
    /// The peer sent a transport message beyond the limit.
    TransportMessageTooLarge {
        max: usize,
    },
    /// The network does not take more bytes, and some are waiting.
    WriteBlocked,
    /// All bytes were handed to the network.
    Written,
    /// Some bytes were handed to the network, and others still wait.
    WrittenInPart,
}

/// Why an action could not be done, or what came of it.
pub type Outcome = Result<Answer, Fault>;

/// What came of an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    Done,
    Opened {
        principal: Option<Principal>,
    },
    /// It came to nothing: there is no RECEIPT. With a fault, who has asked for one gets that as an ERROR.
    Untold(Option<Fault>),
}
