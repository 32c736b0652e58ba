//! The bytes of a MESSAGE frame, and the few of them a message remembers.

use std::sync::Mutex;

use bytes::Bytes;

use super::{Marks, Message};
use crate::stomp::{Command, Encoder, Version};
use crate::sync::lock;

/// Frames remembered for one message. Most clients of an application use the same subscription ids, so a few are
/// enough. The oldest makes room, so that clients with ids of their own can't fill it for good.
const REMEMBERED_MAX: usize = 4;

/// Frames made so far, by version and subscription id.
#[derive(Debug, Default)]
pub(super) struct Encoded(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    version: Version,
    subscription: Option<Box<str>>,
    frame: Bytes,
}

impl Encoded {
    pub(super) fn get(&self, message: &Message, version: Version, subscription: Option<&str>) -> Bytes {
        let mut entries = lock(&self.0);
        if let Some(entry) =
            entries.iter().find(|it| it.version == version && it.subscription.as_deref() == subscription)
        {
            return entry.frame.clone();
        }
        let frame = encode(message, version, subscription, Marks::default());
        if entries.len() == REMEMBERED_MAX {
            entries.remove(0);
        }
        entries.push(Entry { version, subscription: subscription.map(Into::into), frame: frame.clone() });
        frame
    }
}

pub(super) fn encode(message: &Message, version: Version, subscription: Option<&str>, marks: Marks<'_>) -> Bytes {
    let Marks { ack_id, dropped, redelivered } = marks;
    let subscription = subscription.map(|it| ("subscription", it));
    let own = [
        ("destination", message.destination()),
        ("message-id", ack_id.unwrap_or_else(|| message.id())),
        ("redelivered", if redelivered { "true" } else { "false" }),
    ];
    // Only STOMP 1.2 acknowledges by a header of its own; before, the message-id does it (STOMP 1.2, MESSAGE).
    let ack = ack_id.filter(|_| version == Version::V1_2).map(|id| ("ack", id));
    let dropped = (dropped > 0).then(|| dropped.to_string());
    let dropped = dropped.as_deref().map(|count| ("x-dropped", count));
    let headers = subscription.into_iter().chain(own).chain(ack).chain(dropped).chain(message.headers().iter());
    Encoder::frame(version, Command::Message, headers, message.body())
}
