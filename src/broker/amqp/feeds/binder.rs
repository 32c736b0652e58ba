//! Has RabbitMQ bind and unbind for a lane, on channels of its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use lapin::Channel;
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};

use super::exchange::{Kind, Route};
use super::lane::Lane;
use super::queue::{Audience, Queue};
use super::{Feeds, Parts};
use crate::broker::Outage;
use crate::broker::amqp::bench::Bench;
use crate::broker::amqp::desk::Desk;
use crate::broker::amqp::faults::is_outage;
use crate::broker::amqp::gate::Member;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::metrics::Share;
use crate::broker::amqp::properties::short;
use crate::session::Fault;
use crate::sync::lock;

/// The library remembers what was bound on a channel, for as long as the channel lives.
const OPERATIONS_PER_CHANNEL: u32 = 100_000;

/// How far a lane has come, whatever generation it is.
pub(super) struct Progress {
    member: Member,
    /// Routes that were bound when RabbitMQ was lost.
    behind: Share,
}

impl Progress {
    pub(super) fn new(feeds: &Feeds) -> Self {
        let (member, gauge) = (feeds.0.epochs.gate.join(), &feeds.0.context.metrics.feed_bindings_behind);
        Self { member, behind: Share::new(gauge) }
    }

    pub(super) fn lost(&mut self, behind: usize) {
        self.behind.set(i64::try_from(behind).unwrap_or(i64::MAX));
    }
}

/// What a lane holds at RabbitMQ in one generation.
pub(super) struct Held<'a> {
    feeds: &'a Feeds,
    lane: &'a Lane,
    parts: &'a Parts,
    progress: Mutex<&'a mut Progress>,
    /// Of the routes that have one of their own.
    queues: Mutex<HashMap<Route, Queue>>,
    bound: Mutex<Share>,
}

impl<'a> Held<'a> {
    pub(super) fn new(
        feeds: &'a Feeds,
        lane: &'a Lane,
        generation: &'a Generation,
        progress: &'a mut Progress,
    ) -> Self {
        let bound = Mutex::new(Share::new(&feeds.0.context.metrics.feed_bindings));
        let held = Self {
            feeds,
            lane,
            parts: &generation.feeds,
            progress: Mutex::new(progress),
            queues: Mutex::default(),
            bound,
        };
        held.count();
        held
    }

    /// Says how many routes are still to be bound again; publishes wait until there is none.
    pub(super) fn count(&self) {
        let behind = self.lane.behind();
        let mut progress = lock(&self.progress);
        progress.lost(behind);
        if behind == 0 {
            progress.member.is_back(self.parts.generation);
        }
    }

    fn count_bound(&self, by: i64) {
        lock(&self.bound).change(by);
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Route, Queue>> {
        lock(&self.queues)
    }

    /// Whether RabbitMQ did not say no: then it is asked again.
    fn is_to_wait(&self, route: &Route, fault: &Fault) -> bool {
        self.feeds.0.context.settings.outage == Outage::Hold
            && (is_outage(fault)
                || self.parts.tasks.ended().is_cancelled()
                || matches!(fault, Fault::ConnectionLimit(_)) && self.lane.was_bound(route))
    }
}

/// Does one thing at a time.
pub(super) struct Binder<'a> {
    held: &'a Held<'a>,
    parts: &'a Parts,
    bench: Bench,
    desk: Desk,
}

impl<'a> Binder<'a> {
    pub(super) fn new(held: &'a Held<'a>) -> Self {
        let Parts { context, line, checks, .. } = held.parts;
        let desk = Desk::new(context.clone(), checks.clone());
        let bench = Bench::new(context.clone(), line.clone(), OPERATIONS_PER_CHANNEL);
        Self { held, parts: held.parts, bench, desk }
    }

    /// All who wait for it are told, unless it will be tried again.
    pub(super) async fn bind(&mut self, route: Route) {
        let outcome = self.try_bind(&route).await;
        let lane = self.held.lane;
        match outcome {
            Ok(()) => {
                // Nobody listens when the session has gone meanwhile.
                lane.bound(&route).into_iter().for_each(|it| drop(it.send(Ok(()))));
            }
            Err(fault) => {
                let (exchange, key) = (route.exchange.name.as_str(), route.pattern.as_str());
                // The session is told, and its refusal counted; whoever asks for anything would fill the log.
                debug!(exchange, key, %fault, "not bound");
                if self.held.is_to_wait(&route, &fault) {
                    return lane.postpone(route);
                }
                for (seat, waiter) in lane.refused(&route) {
                    match waiter {
                        Some(waiter) => seat.refuse(waiter, fault.clone()),
                        None => seat.end(),
                    }
                }
            }
        }
        self.held.count();
    }

    async fn try_bind(&mut self, route: &Route) -> Result<(), Fault> {
        let bound = match route.exchange.kind(self.parts, &mut self.desk).await? {
            Kind::QueuePerKey => self.bind_queue(route).await,
            Kind::Addressed => self.bind_pattern(route).await.map_err(|it| self.parts.context.needs_permissions(it)),
            Kind::Topic => self.bind_pattern(route).await,
        };
        match &bound {
            Ok(()) => self.held.count_bound(1),
            // Somebody deleted it. It may come back as one of another kind.
            Err(fault) if is_not_found(fault) => self.held.feeds.0.exchanges.forget(&route.exchange),
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
        self.held.queues().insert(route.clone(), queue.start(parts, audience));
        Ok(())
    }

    /// For the channel of one more queue. What only lingers makes room.
    async fn room(&mut self) -> Result<OwnedSemaphorePermit, Fault> {
        loop {
            let full = match self.parts.room().await {
                Ok(room) => return Ok(room),
                Err(fault) => fault,
            };
            let route = self.held.lane.end_linger().ok_or(full)?;
            self.unbind(&route).await;
        }
    }

    /// If it fails, messages go on arriving for which there is no subscriber; they are passed over.
    pub(super) async fn unbind(&mut self, route: &Route) {
        let queue = self.held.queues().remove(route);
        if let Some(queue) = queue {
            queue.close(&self.parts.context).await;
        } else if let Err(fault) = self.unbind_pattern(route).await {
            let (exchange, key) = (route.exchange.name.as_str(), route.pattern.as_str());
            warn!(exchange, key, %fault, "not unbound");
        }
        self.held.count_bound(-1);
        self.held.lane.unbound(route);
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
