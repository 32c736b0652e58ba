//! The embedded broker: topics, queues, durable subscriptions and reply queues in the memory of this process.
//!
//! Everything takes effect within the call, so every operation resolves at once, unless the broker is suspended. Nothing
//! outlives the process. What its destinations and headers mean is in `docs/PROTOCOL.md`, Embedded broker.

mod account;
mod link;
mod metrics;
mod outage;
mod queue;
mod queues;
mod settings;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::distr::{Alphanumeric, SampleString};

use super::{LinkRequest, Outage};
use crate::delivery::Table;
use crate::destination::UserPrefix;
use crate::session::Fault;
use account::Account;
use outage::Presence;
use queues::Queues;
use topics::Topics;

pub use link::Link;
pub use metrics::Metrics;
pub use settings::Settings;

/// A handle of the broker.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Shared>);

/// What all links share.
#[derive(Debug)]
struct Shared {
    topics: Topics,
    /// Subscriptions below `/user` of those that have a name, and of every session.
    users: Table,
    sessions: Table,
    user_prefix: UserPrefix,
    queues: Queues,
    presence: Presence,
    metrics: Metrics,
    /// Keeps the message ids of one process from those of the next.
    process: String,
    last_number: AtomicU64,
}

impl Broker {
    pub fn new(settings: Settings, metrics: Metrics) -> Self {
        let topics = Topics::new(&settings);
        let user_prefix = settings.user_prefix.clone();
        let account = Arc::new(Account::new(settings, metrics.clone()));
        Self(Arc::new(Shared {
            topics,
            users: Table::default(),
            sessions: Table::default(),
            user_prefix,
            queues: Queues::new(account),
            presence: Presence::default(),
            metrics,
            process: random_name(8),
            last_number: AtomicU64::new(0),
        }))
    }

    pub fn open(&self, request: LinkRequest) -> Result<Link, Fault> {
        Link::new(Arc::clone(&self.0), request)
    }

    /// The broker goes away, as RabbitMQ does: what consumers have not settled is delivered again when it is back.
    pub fn suspend(&self, outage: Outage) {
        self.0.presence.suspend(outage);
    }

    pub fn resume(&self) {
        self.0.presence.resume();
    }
}

impl Shared {
    fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Letters and digits from a cryptographic source.
fn random_name(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

#[cfg(test)]
mod tests;
