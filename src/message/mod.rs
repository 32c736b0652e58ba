//! A message on its way from a publisher to subscribers: destination, headers, body; cheap to clone.
//!
//! Knows the STOMP encoding of a MESSAGE frame, so that its bytes are made once and shared by every subscription that
//! has the same id. Does not know who subscribes, nor which back end carries it.

mod encoded;
mod own;
mod share;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::ident::SubscriptionKey;
use crate::stomp::{Headers, Version};
use encoded::Encoded;

pub use own::is_own_header;
pub use share::Share;

/// A published message. Cloning it clones a pointer.
#[derive(Clone, Debug)]
pub struct Message(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Box<str>,
    destination: Box<str>,
    headers: Headers,
    body: Bytes,
    encoded: Encoded,
    /// Where it waits.
    places: AtomicUsize,
}

impl Message {
    /// `id` is the `message-id` for subscribers that do not acknowledge, unique within this gateway.
    ///
    /// `destination` is what subscribers are shown (the published one, not the pattern they subscribed to). `headers`
    /// are the publisher's, without those that [only the gateway writes](is_own_header).
    pub fn new(id: &str, destination: &str, headers: Headers, body: Bytes) -> Self {
        Self(Arc::new(Inner {
            id: id.into(),
            destination: destination.into(),
            headers,
            body,
            encoded: Encoded::default(),
            places: AtomicUsize::new(0),
        }))
    }

    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn destination(&self) -> &str {
        &self.0.destination
    }

    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// What this message costs in a queue, in bytes: destination, headers and body.
    pub fn size(&self) -> usize {
        self.0.destination.len() + self.0.headers.size() + self.0.body.len()
    }

    /// It waits in one place more. Says whether that is the first.
    pub fn enter(&self) -> bool {
        self.0.places.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// It has left one of the places that it entered. Says whether that was the last.
    pub fn leave(&self) -> bool {
        self.0.places.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// The MESSAGE frame for a subscription that needs no acknowledgement, shared by all with the same id (or none) and
    /// version.
    pub fn shared_frame(&self, version: Version, subscription: Option<&str>) -> Bytes {
        self.0.encoded.get(self, version, subscription)
    }

    /// The MESSAGE frame of one delivery.
    pub fn frame(&self, version: Version, subscription: Option<&str>, marks: Marks<'_>) -> Bytes {
        encoded::encode(self, version, subscription, marks)
    }
}

/// What a MESSAGE says of one delivery alone. By default it says nothing that [`Message::shared_frame`] does not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks<'a> {
    /// Under which the delivery is to be acknowledged.
    pub ack_id: Option<&'a str>,
    /// Messages of the subscription that were dropped since the last one.
    pub dropped: u64,
    pub redelivered: bool,
}

/// Names one delivery to the back end that made it; opaque to everybody else.
///
/// Minted by a back end, given back to it when the delivery is settled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AckToken {
    /// Where it was delivered: a consumer, a channel of an epoch, whatever the back end needs to find it again.
    pub scope: u64,
    /// Which delivery of that scope.
    pub tag: u64,
}

/// A message for one subscription of one session.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub subscription: SubscriptionKey,
    pub message: Message,
    /// Present when the back end must hear what became of it.
    pub token: Option<AckToken>,
    pub redelivered: bool,
}

#[cfg(test)]
mod tests;
