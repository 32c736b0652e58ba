//! One lane of a shard: its bindings, and the task that tells RabbitMQ of them on a channel of its own.
//!
//! A pattern is always bound and unbound on the same channel: the library remembers bindings by channel, and forgets
//! them only by an unbind there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Shard;
use super::bindings::{Bindings, Subscribed, Work};
use crate::broker::amqp::bench::Bench;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::line::Line;
use crate::broker::amqp::metrics::Share;
use crate::broker::amqp::properties;
use crate::delivery::Subscriber;
use crate::destination::Pattern;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the task has ended: nothing is bound any more.
    bindings: Mutex<Option<Bindings<Waiter>>>,
    /// Something changed that the task may have to act on.
    changed: Notify,
}

/// Who waits for a bind.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) subscriber: Subscriber,
    pub(super) failed: Arc<AtomicBool>,
    pub(super) done: oneshot::Sender<Result<(), Fault>>,
}

impl Waiter {
    fn tell(self, outcome: Result<(), Fault>) {
        // Nobody listens when the session has gone meanwhile.
        drop(self.done.send(outcome));
    }
}

impl Lane {
    pub(super) fn new(linger: Duration) -> Self {
        Self { bindings: Mutex::new(Some(Bindings::new(linger))), changed: Notify::new() }
    }

    /// Says whether the pattern is bound already; if not, the waiter is told when it is.
    pub(super) fn subscribe(&self, pattern: &Pattern, waiter: Waiter) -> bool {
        let subscribed = self.bindings().as_mut().map(|it| it.subscribe(pattern, waiter));
        match subscribed {
            Some(Subscribed::Now(_)) => true,
            Some(Subscribed::Later) => {
                self.changed.notify_one();
                false
            }
            // The waiter is dropped, which says so.
            None => false,
        }
    }

    pub(super) fn unsubscribe(&self, pattern: &Pattern) {
        if let Some(bindings) = self.bindings().as_mut() {
            bindings.unsubscribe(pattern, Instant::now());
        }
        self.changed.notify_one();
    }

    async fn next_work(&self) -> Work {
        loop {
            let next_due = {
                let mut bindings = self.bindings();
                let bindings = bindings.as_mut().expect("only the end of the task that asks here takes them away");
                if let Some(work) = bindings.next_work(Instant::now()) {
                    return work;
                }
                bindings.next_due()
            };
            // A notification that came since is kept for the next who waits.
            match next_due {
                Some(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(due) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn bound(&self, pattern: &Pattern) -> Vec<Waiter> {
        self.bindings().as_mut().map_or_else(Vec::new, |it| it.bound(pattern, Instant::now()))
    }

    fn failed(&self, pattern: &Pattern) -> Vec<Waiter> {
        self.bindings().as_mut().map_or_else(Vec::new, |it| it.failed(pattern))
    }

    fn unbound(&self, pattern: &Pattern) {
        if let Some(bindings) = self.bindings().as_mut() {
            bindings.unbound(pattern);
        }
    }

    fn bindings(&self) -> MutexGuard<'_, Option<Bindings<Waiter>>> {
        self.bindings.lock().expect("the binding state machine does not panic")
    }
}

/// Held by the task of a lane: however it ends, nobody waits any longer.
struct End<'a>(&'a Lane);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let bindings = self.0.bindings().take();
        drop(bindings);
    }
}

/// Binds and unbinds, one at a time.
pub(super) async fn run(context: Arc<Context>, line: Line, shard: Arc<Shard>, lane: usize) {
    let lane = &shard.lanes[lane];
    let _end = End(lane);
    let mut bench = Bench::new(context.clone(), line, u32::MAX);
    let mut bound = Share::new(&context.metrics.feed_bindings);
    loop {
        match lane.next_work().await {
            Work::Bind(pattern) => match bind(&context, &mut bench, &shard, &pattern).await {
                Ok(()) => {
                    bound.change(1);
                    lane.bound(&pattern).into_iter().for_each(|it| it.tell(Ok(())));
                }
                Err(fault) => {
                    warn!(pattern = pattern.as_str(), %fault, "a topic was not bound");
                    for waiter in lane.failed(&pattern) {
                        shard.table.remove(&pattern, &waiter.subscriber);
                        waiter.failed.store(true, Ordering::Relaxed);
                        waiter.tell(Err(fault.clone()));
                    }
                }
            },
            Work::Unbind(pattern) => {
                // If it failed, messages go on arriving for which there is no subscriber; they are passed over.
                if let Err(fault) = unbind(&context, &mut bench, &shard, &pattern).await {
                    warn!(pattern = pattern.as_str(), %fault, "a topic was not unbound");
                }
                bound.change(-1);
                lane.unbound(&pattern);
            }
        }
    }
}

/// Never `nowait`: the library would take the answer to another bind for it.
async fn bind(context: &Context, bench: &mut Bench, shard: &Shard, pattern: &Pattern) -> Result<(), Fault> {
    let (queue, exchange) = (shard.queue.clone(), context.topic_exchange.clone());
    let key = properties::short("a topic", pattern.as_str())?;
    let options = QueueBindOptions { nowait: false };
    let bind = |it: Channel| async move { it.queue_bind(queue, exchange, key, options, FieldTable::default()).await };
    bench.work(bind).await
}

async fn unbind(context: &Context, bench: &mut Bench, shard: &Shard, pattern: &Pattern) -> Result<(), Fault> {
    let (queue, exchange) = (shard.queue.clone(), context.topic_exchange.clone());
    let key = properties::short("a topic", pattern.as_str())?;
    let unbind = |it: Channel| async move { it.queue_unbind(queue, exchange, key, FieldTable::default()).await };
    bench.work(unbind).await
}
