//! Feeds: a few queues that all subscriptions of exchanges share, so that RabbitMQ delivers a message once however many
//! clients want it.
//!
//! ```text
//!   subscribe ──▶ Route (exchange, key) ──▶ Lane: one of a few channels that bind, by the route's hash
//!                   │                         │ asks for the kind of the exchange, opens the queue, binds
//!                   ▼                         ▼
//!                 Table of a shard ◀──────── Queue of the shard (topic exchange), or of the route (any other)
//! ```
//!
//! A pattern of a topic exchange belongs to one shard (a queue and a table of subscribers) by its hash. RabbitMQ delivers a
//! message once to a queue even when several bindings match. What matches patterns of several shards arrives once in
//! each, and each table holds the patterns of its own shard alone, so every subscription gets it once.

mod backlog;
mod binder;
mod bindings;
mod exchange;
mod lane;
mod queue;

use std::hash::{Hash, Hasher};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::types::ShortString;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};

use self::backlog::Queues;
use self::exchange::{Exchanges, Keys, Route};
use self::lane::{Lane, Waiter};
use super::connection::Role;
use super::context::{Context, no_channel};
use super::epochs::Epochs;
use super::ids::Ids;
use super::line::Line;
use super::shared_line::SharedLine;
use super::tasks::Tasks;
use crate::broker::{Pending, user};
use crate::delivery::{Item, Subscriber};
use crate::destination::Pattern;
use crate::ident::{Principal, SessionId};
use crate::session::Fault;

/// Binds in flight at a time, each on a channel of its own. RabbitMQ is the slower side: 10,000 binds took 17 s with one
/// lane, 15.5 s with two and with four, 14 s with eight on a machine that did other things, while what others waited for
/// a confirm or a queue meanwhile grew with the lanes. More than one, because one may wait for an exchange.
const LANES: usize = 4;

/// Channels of the connection that queues of one key leave to the others: lanes, and the queues of topic exchanges.
const CHANNELS_KEPT: usize = 128;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Feeds(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    context: Arc<Context>,
    epochs: Epochs,
    exchanges: Exchanges,
    lanes: Vec<Lane>,
}

/// What the feeds have in one generation.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    context: Arc<Context>,
    tasks: Tasks,
    pub(super) line: Line,
    /// Where exchanges are asked for: many refusals must not cost the feeds.
    checks: SharedLine,
    ids: Arc<Ids>,
    generation: u64,
    queues: Queues,
    /// Channels that queues of one key may have.
    room: Arc<OnceCell<Arc<Semaphore>>>,
}

/// A subscription of a link. Nothing is delivered after it was dropped; what it needed stays bound for a while.
#[derive(Debug)]
pub(super) struct Subscription {
    seat: Arc<Seat>,
    /// For the user, beside that for the session.
    of_user: Option<Arc<Seat>>,
}

/// The place of a subscription in its table and its lane, until it leaves.
#[derive(Debug)]
struct Seat {
    feeds: Feeds,
    route: Route,
    /// What it asks for of what is bound, unless that is all of it.
    own: Option<Pattern>,
    subscriber: Subscriber,
    has_left: AtomicBool,
}

impl Feeds {
    pub(super) fn start(context: &Arc<Context>, tasks: &Tasks, epochs: &Epochs) -> Self {
        let exchanges = Exchanges::new(context.settings.feed_shards, context.settings.unbind_linger);
        let lanes = (0..LANES).map(|_| Lane::new()).collect();
        let feeds = Self(Arc::new(Shared { context: context.clone(), epochs: epochs.clone(), exchanges, lanes }));
        for lane in 0..LANES {
            tasks.spawn(lane::run(feeds.clone(), lane));
        }
        feeds
    }

    /// What `exchange` routes to a queue that is bound with `pattern` as the key. The pending resolves once it is bound.
    pub(super) fn subscribe(
        &self,
        exchange: &ShortString,
        pattern: Pattern,
        subscriber: Subscriber,
    ) -> (Subscription, Pending) {
        let route = Route { exchange: self.0.exchanges.get(exchange, Keys::Patterns), pattern };
        let (seat, pending) = self.take(route, None, subscriber);
        (Subscription { seat, of_user: None }, pending)
    }

    /// What is sent to that session, or to its user, with that rest.
    pub(super) fn subscribe_user(
        &self,
        session: SessionId,
        user: Option<&Principal>,
        rest: &str,
        subscriber: Subscriber,
    ) -> (Subscription, Pending) {
        let Context { user_exchange, session_exchange, .. } = &*self.0.context;
        let take = |exchange, keys, name: &str| {
            let route = Route { exchange: self.0.exchanges.get(exchange, keys), pattern: Pattern::literal(name) };
            self.take(route, Some(user::pattern(name, rest)), subscriber.clone())
        };
        let (seat, pending) = take(session_exchange, Keys::Sessions, &session.to_string());
        let Some(user) = user else { return (Subscription { seat, of_user: None }, pending) };
        let (of_user, also_pending) = take(user_exchange, Keys::Users, user.name());
        (Subscription { seat, of_user: Some(of_user) }, Pending::both(pending, also_pending))
    }

    fn take(&self, route: Route, own: Option<Pattern>, subscriber: Subscriber) -> (Arc<Seat>, Pending) {
        let seat = Arc::new(Seat { feeds: self.clone(), route, own, subscriber, has_left: AtomicBool::new(false) });
        // Before the bind, so that nothing published after it is missed.
        seat.route.shard().table.insert(seat.pattern(), seat.subscriber.clone());
        let (done, answer) = oneshot::channel();
        let is_bound = seat.lane().subscribe(&seat, done);
        let pending = if is_bound { Pending::ready(Ok(())) } else { Pending::Waiting(answer) };
        (seat, pending)
    }
}

impl Subscription {
    /// Whether RabbitMQ did not bind it: the session was told, and nothing will be delivered.
    pub(super) fn has_failed(&self) -> bool {
        self.seats().any(|it| it.has_left.load(Ordering::Relaxed))
    }

    fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        iter::once(&self.seat).chain(&self.of_user)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for seat in self.seats() {
            seat.leave();
        }
    }
}

impl Seat {
    /// Whether it was there still: either the subscription has ended, or it failed.
    fn leave(self: &Arc<Self>) -> bool {
        let leaves = !self.has_left.swap(true, Ordering::Relaxed);
        if leaves {
            self.route.shard().table.remove(self.pattern(), &self.subscriber);
            self.lane().unsubscribe(self);
        }
        leaves
    }

    /// It was never bound.
    fn refuse(self: &Arc<Self>, waiter: Waiter, fault: Fault) {
        self.leave();
        // Nobody listens when the session has gone meanwhile.
        drop(waiter.send(Err(fault)));
    }

    /// RabbitMQ does not bind it again.
    fn end(self: &Arc<Self>) {
        if self.leave() {
            self.subscriber.outbox.push_event(Item::SubscriptionEnded(self.subscriber.key));
        }
    }

    fn pattern(&self) -> &Pattern {
        self.own.as_ref().unwrap_or(&self.route.pattern)
    }

    fn lane(&self) -> &Lane {
        let lanes = &self.feeds.0.lanes;
        &lanes[self.route.lane(lanes.len())]
    }
}

/// A key is never used again by its session.
impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.subscriber == other.subscriber
    }
}

impl Eq for Seat {}

impl Hash for Seat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subscriber.hash(state);
    }
}

impl Parts {
    /// Nothing is opened yet at RabbitMQ.
    pub(super) fn start(
        context: &Arc<Context>,
        tasks: &Tasks,
        checks: &SharedLine,
        ids: &Arc<Ids>,
        generation: u64,
    ) -> Self {
        let parts = Self {
            context: context.clone(),
            tasks: tasks.clone(),
            line: Line::new(context, tasks, Role::Feeds),
            checks: checks.clone(),
            ids: ids.clone(),
            generation,
            queues: Queues::default(),
            room: Arc::default(),
        };
        tasks.spawn(backlog::run(parts.clone()));
        parts
    }

    /// Whether no channel is left though queues hold less than half of them: RabbitMQ has closed the others. When queues
    /// hold them, connecting anew would not help.
    fn are_channels_used_up(&self, fault: &Fault) -> bool {
        let channels = usize::from(self.line.channel_max().unwrap_or(u16::MAX));
        *fault == no_channel() && self.queues.count() < channels / 2
    }

    /// The right to a channel for the queue of one key.
    async fn room(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let room = self.room.get_or_try_init(async || {
            self.line.open().await.map_err(|error| error.fault(&self.context))?;
            let channels = usize::from(self.line.channel_max().unwrap_or(u16::MAX));
            Ok(Arc::new(Semaphore::new(channels - CHANNELS_KEPT.min(channels / 2))))
        });
        room.await?.clone().try_acquire_owned().map_err(|_| {
            let text = "RabbitMQ allows no more channels on the connection for feeds, and each key of an exchange that is \
                        not a topic exchange needs one (channel_max of RabbitMQ)";
            Fault::Refused(text.to_owned())
        })
    }
}
