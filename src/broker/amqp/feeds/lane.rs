//! One lane: what it has bound, and the task that tells RabbitMQ of it on a channel of its own.
//!
//! A route is always bound and unbound in the same lane, one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::bindings::{Bindings, Subscribed, Work};
use super::exchange::{Kind, Route};
use super::queue::{Audience, Queue};
use super::{Feeds, Parts, Seat};
use crate::broker::Outage;
use crate::broker::amqp::bench::Bench;
use crate::broker::amqp::desk::Desk;
use crate::broker::amqp::metrics::Share;
use crate::broker::amqp::properties::short;
use crate::session::Fault;

/// The library remembers what was bound on a channel, for as long as the channel lives.
const OPERATIONS_PER_CHANNEL: u32 = 100_000;

#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the task has ended: nothing is bound any more.
    bindings: Mutex<Option<Bindings<Route, Waiter>>>,
    /// Something changed that the task may have to act on.
    changed: Notify,
}

/// Who waits for a bind.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) seat: Arc<Seat>,
    pub(super) done: oneshot::Sender<Result<(), Fault>>,
}

impl Waiter {
    fn tell(self, outcome: Result<(), Fault>) {
        if outcome.is_err() {
            self.seat.leave();
        }
        // Nobody listens when the session has gone meanwhile.
        drop(self.done.send(outcome));
    }
}

impl Lane {
    pub(super) fn new(linger: Duration) -> Self {
        Self { bindings: Mutex::new(Some(Bindings::new(linger))), changed: Notify::new() }
    }

    /// Says whether the route is bound already; if not, the waiter is told when it is.
    pub(super) fn subscribe(&self, route: &Route, waiter: Waiter) -> bool {
        let subscribed = self.bindings().as_mut().map(|it| it.subscribe(route, waiter));
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

    pub(super) fn unsubscribe(&self, route: &Route) {
        if let Some(bindings) = self.bindings().as_mut() {
            bindings.unsubscribe(route, Instant::now());
        }
        self.changed.notify_one();
    }

    async fn next_work(&self) -> Work<Route> {
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

    fn end_linger(&self) -> Option<Route> {
        self.bindings().as_mut().and_then(Bindings::end_linger)
    }

    /// Nothing is bound any more.
    fn lost(&self) {
        if let Some(bindings) = self.bindings().as_mut() {
            bindings.lost();
        }
    }

    fn take_waiters(&self) -> Vec<Waiter> {
        self.bindings().as_mut().map_or_else(Vec::new, Bindings::take_waiters)
    }

    fn bound(&self, route: &Route) -> Vec<Waiter> {
        self.bindings().as_mut().map_or_else(Vec::new, |it| it.bound(route, Instant::now()))
    }

    fn failed(&self, route: &Route) -> Vec<Waiter> {
        self.bindings().as_mut().map_or_else(Vec::new, |it| it.failed(route))
    }

    fn unbound(&self, route: &Route) {
        if let Some(bindings) = self.bindings().as_mut() {
            bindings.unbound(route);
        }
    }

    fn bindings(&self) -> MutexGuard<'_, Option<Bindings<Route, Waiter>>> {
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

pub(super) async fn run(feeds: Feeds, number: usize) {
    let lane = &feeds.0.lanes[number];
    let _end = End(lane);
    loop {
        let generation = feeds.0.epochs.next().await;
        generation.tasks.ended().run_until_cancelled(serve(&feeds, lane, &generation.feeds)).await;
        // In the next one all that has subscribers is bound again.
        lane.lost();
        if feeds.0.context.settings.outage == Outage::Reject {
            lane.take_waiters().into_iter().for_each(|it| it.tell(Err(Fault::Unavailable)));
        }
    }
}

/// Binds and unbinds, one at a time.
async fn serve(feeds: &Feeds, lane: &Lane, parts: &Parts) {
    let mut binder = Binder::new(feeds, lane, parts);
    loop {
        match lane.next_work().await {
            Work::Bind(route) => {
                let (outcome, waiters) = match binder.bind(&route).await {
                    Ok(()) => (Ok(()), lane.bound(&route)),
                    Err(fault) => {
                        let (exchange, key) = (route.exchange.name.as_str(), route.pattern.as_str());
                        // The session is told, and its refusal counted; whoever asks for anything would fill the log.
                        debug!(exchange, key, %fault, "not bound");
                        (Err(fault), lane.failed(&route))
                    }
                };
                waiters.into_iter().for_each(|it| it.tell(outcome.clone()));
            }
            Work::Unbind(route) => binder.unbind(&route).await,
        }
    }
}

/// What a lane holds at RabbitMQ.
struct Binder<'a> {
    feeds: &'a Feeds,
    lane: &'a Lane,
    parts: &'a Parts,
    bench: Bench,
    desk: Desk,
    /// Of the routes that have one of their own.
    queues: HashMap<Route, Queue>,
    bound: Share,
}

impl<'a> Binder<'a> {
    fn new(feeds: &'a Feeds, lane: &'a Lane, parts: &'a Parts) -> Self {
        let Parts { context, line, checks, .. } = parts;
        let desk = Desk::new(context.clone(), checks.clone());
        let bench = Bench::new(context.clone(), line.clone(), OPERATIONS_PER_CHANNEL);
        Self {
            feeds,
            lane,
            parts,
            bench,
            desk,
            queues: HashMap::new(),
            bound: Share::new(&context.metrics.feed_bindings),
        }
    }

    async fn bind(&mut self, route: &Route) -> Result<(), Fault> {
        let bound = match route.exchange.kind(self.parts, &mut self.desk).await? {
            Kind::QueuePerKey => self.bind_queue(route).await,
            Kind::Topic => self.bind_pattern(route).await,
        };
        match &bound {
            Ok(()) => self.bound.change(1),
            // Somebody deleted it. It may come back as one of another kind.
            Err(fault) if is_not_found(fault) => self.feeds.0.exchanges.forget(&route.exchange),
            Err(fault) if self.parts.are_channels_used_up(fault) => {
                // The library never uses the number of a channel again that RabbitMQ has closed for a refusal.
                warn!("no channel is left to bind, for all that RabbitMQ has refused; connecting anew");
                self.parts.tasks.ended().cancel();
            }
            Err(_) => {}
        }
        bound
    }

    /// To the queue of its shard. Never `nowait`: the library would take the answer to another bind for it.
    async fn bind_pattern(&mut self, route: &Route) -> Result<(), Fault> {
        let queue = route.shard().queue(self.parts).await?;
        let (exchange, key) = (route.exchange.name.clone(), short("a routing key", route.pattern.as_str())?);
        let options = QueueBindOptions { nowait: false };
        let bind =
            |it: Channel| async move { it.queue_bind(queue, exchange, key, options, FieldTable::default()).await };
        self.bench.work(bind).await
    }

    /// To a queue of its own.
    async fn bind_queue(&mut self, route: &Route) -> Result<(), Fault> {
        let parts = self.parts;
        let key = short("a routing key", route.pattern.as_str())?;
        let room = self.room().await?;
        let queue = Queue::open(parts).await?;
        queue.bind(&parts.context, route.exchange.name.clone(), key).await?;
        let (table, pattern) = (route.shard().table.clone(), route.pattern.clone());
        let audience = Audience::OfKey { table, pattern, _room: room };
        self.queues.insert(route.clone(), queue.start(parts, audience));
        Ok(())
    }

    /// For the channel of one more queue. What only lingers makes room.
    async fn room(&mut self) -> Result<OwnedSemaphorePermit, Fault> {
        loop {
            let full = match self.parts.room().await {
                Ok(room) => return Ok(room),
                Err(fault) => fault,
            };
            let route = self.lane.end_linger().ok_or(full)?;
            self.unbind(&route).await;
        }
    }

    /// If it fails, messages go on arriving for which there is no subscriber; they are passed over.
    async fn unbind(&mut self, route: &Route) {
        if let Some(queue) = self.queues.remove(route) {
            queue.close(&self.parts.context).await;
        } else if let Err(fault) = self.unbind_pattern(route).await {
            let (exchange, key) = (route.exchange.name.as_str(), route.pattern.as_str());
            warn!(exchange, key, %fault, "not unbound");
        }
        self.bound.change(-1);
        self.lane.unbound(route);
    }

    async fn unbind_pattern(&mut self, route: &Route) -> Result<(), Fault> {
        let queue = route.shard().queue(self.parts).await?;
        let (exchange, key) = (route.exchange.name.clone(), short("a routing key", route.pattern.as_str())?);
        let unbind = |it: Channel| async move { it.queue_unbind(queue, exchange, key, FieldTable::default()).await };
        self.bench.work(unbind).await
    }
}

fn is_not_found(fault: &Fault) -> bool {
    matches!(fault, Fault::Amqp { name: "not_found", .. })
}
