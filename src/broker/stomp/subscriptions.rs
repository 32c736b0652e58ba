//! What a session is subscribed to upstream, under ids of the gateway's own, and the frames that say so.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::ident::SubscriptionKey;
use crate::session::{AckMode, Subscribe};
use crate::stomp::{Command, Encoder, Headers, Version};

/// How the `id` of a SUBSCRIBE begins that the gateway has made.
const PREFIX: &str = "stompgate-";

/// Headers of a client's SUBSCRIBE that the gateway writes itself, or that speak to it alone.
const OWN: [&str; 7] = ["ack", "content-length", "destination", "id", "prefetch-count", "receipt", "transaction"];

/// What names a durable subscription, in UNSUBSCRIBE too: ActiveMQ and Artemis. RabbitMQ goes by `durable` and `id`.
const DURABLE: [&str; 3] = ["activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name"];

#[derive(Debug)]
pub(super) struct Subscription {
    id: Box<str>,
    /// Nothing, of what the broker subscribes by itself: where answers to `reply-to` come.
    asked: Option<Wanted>,
    /// The broker waits to hear what became of a delivery.
    pub(super) is_settled: bool,
    /// The broker has it, or had it before its connection was lost.
    is_known: bool,
}

#[derive(Debug)]
struct Wanted {
    destination: String,
    prefetch: u16,
    headers: Headers,
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_key: BTreeMap<SubscriptionKey, Subscription>,
    keys: HashMap<Box<str>, SubscriptionKey>,
}

impl Subscriptions {
    pub(super) fn add(&mut self, subscribe: Subscribe, queue_prefixes: &[String]) {
        let Subscribe { key, id, destination, ack, prefetch, is_durable, headers } = subscribe;
        let destination = destination.to_string();
        // A durable subscription is found again by the id of the client.
        let id = if is_durable { id.as_str().into() } else { format!("{PREFIX}{}", key.0).into_boxed_str() };
        let is_queue = queue_prefixes.iter().any(|it| destination.starts_with(it.as_str()));
        let is_settled = ack != AckMode::Auto || is_durable || is_queue;
        let headers = headers.iter().filter(|(name, _)| !OWN.contains(name)).collect();
        let asked = Some(Wanted { destination, prefetch, headers });
        self.insert(key, Subscription { id, asked, is_settled, is_known: false });
    }

    /// Where answers come that a SEND asks for by this `reply-to`.
    pub(super) fn add_replies(&mut self, key: SubscriptionKey, reply_to: &str) {
        let id = reply_to.into();
        self.insert(key, Subscription { id, asked: None, is_settled: false, is_known: true });
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        let removed = self.by_key.remove(&key)?;
        self.keys.remove(&removed.id);
        Some(removed)
    }

    pub(super) fn find(&self, id: &str) -> Option<(SubscriptionKey, &Subscription)> {
        let key = *self.keys.get(id)?;
        Some((key, &self.by_key[&key]))
    }

    pub(super) fn answered(&mut self, key: SubscriptionKey) {
        if let Some(it) = self.by_key.get_mut(&key) {
            it.is_known = true;
        }
    }

    pub(super) fn frame(&self, key: SubscriptionKey, receipt: &str) -> Option<Bytes> {
        self.by_key.get(&key)?.frame(receipt)
    }

    /// The frames that bring back what the broker had, each with the key and a receipt made of it.
    pub(super) fn again<'a>(
        &'a self,
        receipt: impl Fn(SubscriptionKey) -> String + 'a,
    ) -> impl Iterator<Item = Bytes> + 'a {
        let known = self.by_key.iter().filter(|(_, it)| it.is_known);
        known.filter_map(move |(key, it)| it.frame(&receipt(*key)))
    }

    fn insert(&mut self, key: SubscriptionKey, subscription: Subscription) {
        self.keys.insert(subscription.id.clone(), key);
        self.by_key.insert(key, subscription);
    }
}

impl Subscription {
    /// For UNSUBSCRIBE.
    pub(super) fn end(&self, is_final: bool, receipt: &str) -> Bytes {
        let mut frame = Encoder::new(Version::V1_2, Command::Unsubscribe);
        frame.header("id", &self.id);
        frame.header("receipt", receipt);
        if is_final {
            frame.header("durable", "true");
            let named = self.asked.iter().flat_map(|it| it.headers.iter()).filter(|(name, _)| DURABLE.contains(name));
            named.for_each(|(name, value)| frame.header(name, value));
        }
        frame.finish()
    }

    fn frame(&self, receipt: &str) -> Option<Bytes> {
        let Wanted { destination, prefetch, headers } = self.asked.as_ref()?;
        let mut frame = Encoder::new(Version::V1_2, Command::Subscribe);
        frame.header("id", &self.id);
        frame.header("destination", destination);
        // Acknowledged one by one: what an ACK of a client covers is decided by the session.
        frame.header("ack", if self.is_settled { "client-individual" } else { "auto" });
        frame.header("receipt", receipt);
        if self.is_settled {
            // RabbitMQ's word. Others have their own, which the client may say, and mean bytes or messages by it.
            frame.header("prefetch-count", &prefetch.to_string());
        }
        headers.iter().for_each(|(name, value)| frame.header(name, value));
        Some(frame.finish())
    }
}
