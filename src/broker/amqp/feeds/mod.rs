//! Feeds: a few queues that all topic subscriptions of this gateway share, so that RabbitMQ delivers a message once
//! however many clients want it.
//!
//! A pattern belongs to one shard (one queue, one consumer, one table of subscribers) and in it to one lane (one channel
//! that binds), both by its hash. A message that matches patterns of several shards arrives once in each, and each
//! table holds the patterns of its own shard alone, so every subscription gets it once.

mod bindings;
mod consumer;
mod lane;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::types::ShortString;
use tokio::sync::oneshot;

use self::lane::{Lane, Waiter};
use super::context::Context;
use super::ids::Ids;
use super::line::Line;
use super::tasks::Tasks;
use crate::broker::Pending;
use crate::delivery::{Subscriber, Table};
use crate::destination::Pattern;
use crate::session::Fault;

/// Binds in flight at a time, in each shard. One more costs a channel; RabbitMQ takes about 0.4 ms for a bind.
const LANES: usize = 4;

#[derive(Debug)]
pub(super) struct Feeds {
    shards: Vec<Arc<Shard>>,
}

/// One queue at the broker, and who gets what arrives in it.
#[derive(Debug)]
struct Shard {
    queue: ShortString,
    table: Table,
    lanes: Vec<Lane>,
}

/// A topic subscription of a link.
#[derive(Debug)]
pub(super) struct Subscription {
    shard: Arc<Shard>,
    lane: usize,
    pattern: Pattern,
    subscriber: Subscriber,
    /// Present while its bind is, or was, awaited.
    failed: Option<Arc<AtomicBool>>,
}

impl Feeds {
    /// Declares and consumes the queues. Nothing is bound yet.
    pub(super) async fn start(
        context: &Arc<Context>,
        tasks: &Tasks,
        line: &Line,
        ids: &Arc<Ids>,
    ) -> Result<Self, Fault> {
        let mut shards = Vec::new();
        for number in 0..context.settings.feed_shards.max(1) {
            let queue = ids.feed_queue(number);
            let lanes = (0..LANES).map(|_| Lane::new(context.settings.unbind_linger)).collect();
            let shard = Arc::new(Shard { queue, table: Table::default(), lanes });
            let consumer = consumer::open(context, line, &shard).await?;
            tasks.spawn(consumer::run(context.clone(), consumer, shard.clone(), ids.clone(), tasks.ended().clone()));
            for lane in 0..LANES {
                tasks.spawn(lane::run(context.clone(), line.clone(), shard.clone(), lane));
            }
            shards.push(shard);
        }
        Ok(Self { shards })
    }

    /// What is published to `exchange` under a key that `pattern` matches. The pending resolves once it is bound.
    pub(super) fn subscribe(
        &self,
        exchange: &ShortString,
        pattern: Pattern,
        subscriber: Subscriber,
    ) -> (Subscription, Pending) {
        let _ = exchange;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&pattern) as usize;
        let shard = &self.shards[hash % self.shards.len()];
        let lane = hash / self.shards.len() % LANES;
        // Before the bind, so that nothing published after it is missed.
        shard.table.insert(&pattern, subscriber.clone());
        let (done, answer) = oneshot::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let waiter = Waiter { subscriber: subscriber.clone(), failed: failed.clone(), done };
        let mut held = Subscription { shard: shard.clone(), lane, pattern, subscriber, failed: None };
        let pending = if shard.lanes[lane].subscribe(&held.pattern, waiter) {
            Pending::ready(Ok(()))
        } else {
            held.failed = Some(failed);
            Pending::Waiting(answer)
        };
        (held, pending)
    }
}

impl Subscription {
    /// Whether the broker did not bind it: the session was told, and nothing will be delivered.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.as_ref().is_some_and(|it| it.load(Ordering::Relaxed))
    }
}

/// Nothing is delivered after this. The pattern stays bound for a while.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.shard.table.remove(&self.pattern, &self.subscriber);
        self.shard.lanes[self.lane].unsubscribe(&self.pattern);
    }
}
