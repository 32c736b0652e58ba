//! What a session wants from the world around it.

use bytes::Bytes;

use super::close::CloseReason;
use super::rate::Rate;
use crate::destination::Destination;
use crate::ident::{OpId, SubscriptionId, SubscriptionKey};
use crate::message::AckToken;
use crate::stomp::Headers;

/// Something for the driver to carry out, in the order given. Those with an [`OpId`] are answered by
/// [`Input::Done`](super::Input::Done), in the order in which they were asked.
#[derive(Debug)]
pub enum Action {
    /// Send the close reason, then nothing more. The last action of a session.
    Close(CloseReason),
    /// Check who this is and open a link to the broker for them.
    Open {
        op: OpId,
        credentials: Credentials,
    },
    /// Ask the transport for a sign of life.
    Ping,
    Publish {
        op: OpId,
        publish: Publish,
    },
    /// What the client (or the gateway for it) says about deliveries; answered by nothing.
    Settle {
        tokens: Vec<AckToken>,
        verdict: Verdict,
    },
    /// Settle as [`Verdict::Accepted`], once all that was transmitted before has been handed to the network.
    SettleWhenWritten(AckToken),
    Subscribe {
        op: OpId,
        subscribe: Subscribe,
    },
    /// Count that the client has sent more than it may in a second. It is not read for a while, which
    /// [`Session::wants_input`](super::Session::wants_input) says.
    Throttle(Rate),
    /// Write these bytes.
    Transmit {
        sent: Sent,
        bytes: Bytes,
    },
    Unsubscribe {
        op: OpId,
        /// What the client calls it.
        id: SubscriptionId,
        holder: Holder,
        unsubscribe: Unsubscribe,
    },
}

/// What a [`Action::Transmit`] carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    Connected,
    Error,
    HeartBeat,
    Message,
    Receipt,
}

/// What CONNECT says about who is connecting.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Credentials {
    pub login: Option<Box<str>>,
    pub passcode: Option<Box<str>>,
    /// The virtual host asked for.
    pub host: Option<Box<str>>,
}

/// Never prints the passcode.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let passcode = self.passcode.as_ref().map(|_| "***");
        let fields = (&self.login, passcode, &self.host);
        f.debug_tuple("Credentials").field(&fields.0).field(&fields.1).field(&fields.2).finish()
    }
}

/// A SEND, with the headers that travel: neither `destination` nor those that speak to the gateway alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    pub destination: Destination,
    pub headers: Headers,
    pub body: Bytes,
    /// Where replies are expected, of a SEND with `reply-to:/temp-queue/NAME` (D30): they are delivered under this key,
    /// the same for each use of that NAME in the session. The back end makes the queue at the first use and writes the
    /// `reply-to` header, so `headers` has none.
    pub reply_to: Option<SubscriptionKey>,
    /// Somebody waits to hear that the broker has it. Where asking costs something, only then it is asked.
    pub is_receipted: bool,
}

impl Publish {
    /// Bytes that this holds while it waits.
    pub fn size(&self) -> usize {
        self.headers.size() + self.body.len()
    }
}

/// A SUBSCRIBE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscribe {
    pub key: SubscriptionKey,
    pub id: SubscriptionId,
    pub destination: Destination,
    pub ack: AckMode,
    /// Deliveries that may be unsettled at a time; at least 1.
    pub prefetch: u16,
    /// Outlives the session: messages are kept under the subscription's id until it is subscribed again.
    pub is_durable: bool,
    /// All headers of the frame, for what only a back end understands (D40 to D54).
    pub headers: Headers,
}

/// An UNSUBSCRIBE of a subscription that this session holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unsubscribe {
    pub key: SubscriptionKey,
    /// Also forget the durable subscription and what waits for it.
    pub is_final: bool,
}

/// Who knows of a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holder {
    Broker,
    /// A handler has answered its SUBSCRIBE, or will, and that was all.
    Nobody,
}

/// The `ack` header of SUBSCRIBE.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AckMode {
    /// Settled by the gateway once the message was handed to the network.
    #[default]
    Auto,
    /// An ACK settles what was delivered before, too; how much of it is `session.ack_scope`.
    Client,
    ClientIndividual,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Not handled, and nobody else shall be asked.
    Discarded,
    /// Not handled: deliver it again, as redelivered.
    Requeued,
}
