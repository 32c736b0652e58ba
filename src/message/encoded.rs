//! The bytes of a MESSAGE frame, and the few of them a message remembers.

use std::sync::Mutex;

use bytes::Bytes;

use super::Message;
use crate::stomp::{Command, Encoder, Version};

/// Subscription ids remembered for one message. Most clients of an application use the same ids, so a few are enough;
/// what does not fit is encoded anew for each client.
const REMEMBERED_MAX: usize = 4;

/// Frames made so far, by version and subscription id.
#[derive(Debug, Default)]
pub(super) struct Encoded(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    version: Version,
    subscription: Box<str>,
    frame: Bytes,
}

impl Encoded {
    pub(super) fn get(&self, message: &Message, version: Version, subscription: &str) -> Bytes {
        let mut entries = self.0.lock().expect("encoding does not panic");
        if let Some(entry) = entries.iter().find(|it| it.version == version && *it.subscription == *subscription) {
            return entry.frame.clone();
        }
        let frame = encode(message, version, subscription, false, None);
        if entries.len() < REMEMBERED_MAX {
            entries.push(Entry { version, subscription: subscription.into(), frame: frame.clone() });
        }
        frame
    }
}

pub(super) fn encode(
    message: &Message,
    version: Version,
    subscription: &str,
    redelivered: bool,
    ack_id: Option<&str>,
) -> Bytes {
    let room = 160 + subscription.len() + message.size();
    let mut frame = Encoder::with_capacity(version, Command::Message, room);
    frame.header("subscription", subscription);
    frame.header("destination", message.destination());
    frame.header("message-id", ack_id.unwrap_or_else(|| message.id()));
    frame.header("redelivered", if redelivered { "true" } else { "false" });
    // Only STOMP 1.2 acknowledges by a header of its own; before, the message-id does it (STOMP 1.2, MESSAGE).
    if let (Version::V1_2, Some(id)) = (version, ack_id) {
        frame.header("ack", id);
    }
    for (name, value) in message.headers().iter() {
        frame.header(name, value);
    }
    frame.body(message.body())
}
