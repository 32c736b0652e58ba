//! The exchanges that somebody is subscribed to, and what each of them needs: its kind, and its shards.
//!
//! An exchange is in here as long as something is subscribed, bound or lingering. For one that RabbitMQ does not have,
//! nothing stays behind.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::Parts;
use super::queue::{Audience, Queue};
use crate::broker::amqp::addressed;
use crate::broker::amqp::bench::find_exchange;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::desk::Desk;
use crate::broker::amqp::faults::is_outage;
use crate::broker::amqp::one_of;
use crate::broker::amqp::per_generation::PerGeneration;
use crate::delivery::Table;
use crate::destination::Pattern;
use crate::session::Fault;
use crate::sync::lock;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Exchanges {
    by_name: Arc<Mutex<HashMap<ShortString, Weak<Exchange>>>>,
    shards: usize,
    linger: Duration,
}

/// Who looks for a user that has gone must not find one for long. Long enough for a page to be loaded again.
const USER_LINGER_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: ShortString,
    keys: Keys,
    /// How long a key stays bound after its last subscriber has gone.
    pub(super) linger: Duration,
    kind: PerGeneration<Kind>,
    shards: Box<[Shard]>,
    home: Exchanges,
}

/// What the binding keys are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keys {
    /// What clients subscribe to.
    Patterns,
    /// Ids of sessions, at the gateway's own exchange for them.
    Sessions,
    /// Names of users, at the gateway's own exchange for them.
    Users,
}

/// How its subscriptions are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// By a few queues with all their keys: whom a message is for is known without the exchange.
    Addressed,
    /// By a queue for each binding key: what arrives there is for all of them, however the exchange routes. That is right
    /// for every kind of exchange, and takes a channel each.
    QueuePerKey,
    /// By a few queues with all their patterns: here it is known what matches.
    Topic,
}

/// Some of the patterns of an exchange, and the queue that those of a topic exchange share.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) table: Arc<Table>,
    keys: Keys,
    queue: PerGeneration<Queue>,
}

/// What is bound: a key at an exchange.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) exchange: Arc<Exchange>,
    pub(super) pattern: Pattern,
}

impl Exchanges {
    pub(super) fn new(shards: usize, linger: Duration) -> Self {
        Self { by_name: Arc::default(), shards: shards.max(1), linger }
    }

    pub(super) fn get(&self, name: &ShortString, keys: Keys) -> Arc<Exchange> {
        let mut by_name = self.by_name();
        if let Some(exchange) = by_name.get(name).and_then(Weak::upgrade) {
            return exchange;
        }
        let shard = |_| Shard { table: Arc::default(), keys, queue: PerGeneration::default() };
        let exchange = Arc::new(Exchange {
            name: name.clone(),
            keys,
            linger: match keys {
                Keys::Patterns => self.linger,
                // None comes back.
                Keys::Sessions => Duration::ZERO,
                Keys::Users => self.linger.min(USER_LINGER_MAX),
            },
            kind: PerGeneration::default(),
            shards: (0..self.shards).map(shard).collect(),
            home: self.clone(),
        });
        by_name.insert(name.clone(), Arc::downgrade(&exchange));
        exchange
    }

    /// From now on the name means another one, which will be asked for anew.
    pub(super) fn forget(&self, exchange: &Exchange) {
        let mut by_name = self.by_name();
        if by_name.get(&exchange.name).is_some_and(|it| ptr::eq(it.as_ptr(), exchange)) {
            by_name.remove(&exchange.name);
        }
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<ShortString, Weak<Exchange>>> {
        lock(&self.by_name)
    }
}

impl Exchange {
    /// What RabbitMQ has under that name: asked once. It has no way to ask for the type of an exchange, so that is read
    /// from its words when it refuses to take the exchange for one of another type. It creates nothing then.
    pub(super) async fn kind(&self, parts: &Parts, desk: &mut Desk) -> Result<Kind, Fault> {
        let ask = async || {
            if self.keys != Keys::Patterns {
                addressed::declare(&parts.context, desk, &self.name).await?;
                return Ok(Kind::Addressed);
            }
            if let Some(kind) = known_kind(&parts.context, self.name.as_str()) {
                return Ok(kind);
            }
            desk.work(|it| find_exchange(it, self.name.clone())).await?;
            match desk.work(|it| declare_as_headers(it, self.name.clone())).await {
                Err(fault) if is_outage(&fault) => Err(fault),
                Err(fault) if fault.to_string().ends_with("received 'headers' but current is 'topic'") => {
                    Ok(Kind::Topic)
                }
                // Also when the account may not configure the exchange, or the answer was too long and is cut off.
                Ok(()) | Err(_) => Ok(Kind::QueuePerKey),
            }
        };
        self.kind.of(parts.generation).get_or_try_init(ask).await.copied()
    }

    pub(super) fn shard(&self, pattern: &Pattern) -> &Shard {
        &self.shards[one_of(self.shards.len(), pattern)]
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.home.forget(self);
    }
}

impl Shard {
    /// The name of its queue, which is opened when it is first needed.
    pub(super) async fn queue(&self, parts: &Parts) -> Result<ShortString, Fault> {
        let open = async || {
            let opened = Queue::open(parts).await?;
            let audience = match self.keys {
                Keys::Patterns => Audience::Matching(self.table.clone()),
                Keys::Sessions | Keys::Users => Audience::Addressed(self.table.clone()),
            };
            Ok(opened.start(parts, audience))
        };
        self.queue.of(parts.generation).get_or_try_init(open).await.map(|it| it.name.clone())
    }
}

impl Route {
    pub(super) fn shard(&self) -> &Shard {
        self.exchange.shard(&self.pattern)
    }

    /// One of so many. It does not depend on the shard.
    pub(super) fn lane(&self, lanes: usize) -> usize {
        one_of(lanes, (self.exchange.name.as_str(), &self.pattern))
    }
}

/// The same pattern of the same exchange; one that was forgotten is another one than its successor.
impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.exchange, &other.exchange) && self.pattern == other.pattern
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.exchange).hash(state);
        self.pattern.hash(state);
    }
}

fn known_kind(context: &Context, name: &str) -> Option<Kind> {
    if name == context.topic_exchange.as_str() {
        return Some(Kind::Topic);
    }
    match name {
        "amq.topic" => Some(Kind::Topic),
        "amq.direct" | "amq.fanout" | "amq.headers" | "amq.match" => Some(Kind::QueuePerKey),
        _ => None,
    }
}

/// As something that hardly anybody declares, and that would not outlive its first binding.
async fn declare_as_headers(channel: Channel, name: ShortString) -> lapin::Result<()> {
    let options =
        ExchangeDeclareOptions { passive: false, durable: false, auto_delete: true, internal: false, nowait: false };
    channel.exchange_declare(name, ExchangeKind::Headers, options, FieldTable::default()).await
}

#[cfg(test)]
mod tests;
