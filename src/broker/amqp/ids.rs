//! Names and numbers that are unique for one generation of connections.

use std::sync::atomic::{AtomicU64, Ordering};

use lapin::types::ShortString;
use rand::RngExt;
use rand::distr::Alphanumeric;

#[derive(Debug)]
pub(super) struct Ids {
    /// Tells this generation from all others, also from those of other gateways.
    random: String,
    messages: AtomicU64,
    queues: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Self {
        let random = rand::rng().sample_iter(Alphanumeric).take(8).map(char::from).collect();
        Self { random, messages: AtomicU64::new(0), queues: AtomicU64::new(0) }
    }

    /// A `message-id` for subscribers.
    pub(super) fn next_message(&self) -> String {
        format!("{}-{}", self.random, self.messages.fetch_add(1, Ordering::Relaxed))
    }

    /// A queue that subscriptions share. The names begin as those of Web STOMP do: permissions of accounts that were
    /// written for it allow no others.
    pub(super) fn next_feed_queue(&self) -> ShortString {
        let number = self.queues.fetch_add(1, Ordering::Relaxed);
        ShortString::from(format!("stomp-subscription-stompgate.feed.{}.{number}", self.random))
    }
}
