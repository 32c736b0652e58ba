//! What the broker has delivered and waits to hear about, by the tokens that stand for it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ident::SubscriptionKey;
use crate::message::AckToken;
use crate::session::Verdict;
use crate::stomp::{Command, Encoder, Frame, Version};

#[derive(Debug)]
struct Delivered {
    subscription: SubscriptionKey,
    /// STOMP 1.2: what the `ack` header said. 1.1: the `message-id`, and the id of the subscription.
    id: Box<str>,
    subscription_id: Box<str>,
}

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The number of the connection.
    epoch: u64,
    last: u64,
    unsettled: BTreeMap<u64, Delivered>,
}

impl Deliveries {
    /// What an earlier connection has delivered is the broker's again.
    pub(super) fn begin(&mut self) {
        self.epoch += 1;
        self.unsettled.clear();
    }

    /// `None` if the broker gave it no name.
    pub(super) fn add(&mut self, subscription: SubscriptionKey, frame: &Frame, max: usize) -> Option<AckToken> {
        let id = frame.header("ack").or_else(|| frame.header("message-id"))?.into();
        let subscription_id = frame.header("subscription").unwrap_or_default().into();
        self.last += 1;
        self.unsettled.insert(self.last, Delivered { subscription, id, subscription_id });
        if self.unsettled.len() > max {
            self.unsettled.pop_first();
        }
        Some(AckToken { scope: self.epoch, tag: self.last })
    }

    /// Brokers know nothing of the deliveries of a subscription that is over.
    pub(super) fn forget(&mut self, subscription: SubscriptionKey) {
        self.unsettled.retain(|_, it| it.subscription != subscription);
    }

    /// The frame that says so, or `None` if it is not, or no longer, outstanding.
    pub(super) fn settle(&mut self, token: AckToken, verdict: Verdict, version: Version) -> Option<Bytes> {
        if token.scope != self.epoch {
            return None;
        }
        let Delivered { id, subscription_id, .. } = self.unsettled.remove(&token.tag)?;
        let command = if verdict == Verdict::Accepted { Command::Ack } else { Command::Nack };
        let mut frame = Encoder::new(version, command);
        if version == Version::V1_2 {
            frame.header("id", &id);
        } else {
            frame.header("message-id", &id);
            frame.header("subscription", &subscription_id);
        }
        if verdict == Verdict::Discarded {
            frame.header("requeue", "false");
        }
        Some(frame.finish())
    }
}
