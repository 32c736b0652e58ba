//! One session's end of the embedded broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use super::queue::{Consumer, ConsumerId};
use super::queues::{Handle, Name};
use super::{Shared, random_name};
use crate::broker::{LinkRequest, Outage, Pending, user};
use crate::delivery::{Item, Outbox, Subscriber};
use crate::destination::{Destination, Pattern, Whom};
use crate::ident::{Principal, SessionId, SubscriptionKey};
use crate::message::{AckToken, Message};
use crate::session::{AckMode, Fault, Publish, Subscribe, Unsubscribe, Verdict};
use crate::sync::lock;

/// Dropping it ends its subscriptions and requeues what is unsettled.
#[derive(Debug)]
pub struct Link {
    number: u64,
    shared: Arc<Shared>,
    state: Arc<Mutex<LinkState>>,
}

/// What operations that wait for the broker need, too.
#[derive(Debug)]
pub(super) struct LinkState {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    session: SessionId,
    user: Option<Principal>,
    subscriptions: HashMap<SubscriptionKey, Subscription>,
    /// Where to settle what was delivered, also to subscriptions that have ended.
    queues: BTreeMap<ConsumerId, Handle>,
    is_lost: bool,
}

#[derive(Debug)]
enum Subscription {
    Consumer(ConsumerId),
    Topic(Pattern),
    /// The rest of its destination.
    User(Box<str>),
}

const NOT_EMBEDDED: Fault = Fault::Unsupported("/exchange and /amq/queue need RabbitMQ (broker.kind = \"amqp\")");

const QUEUE_SELECTS: Fault = Fault::Unsupported(
    "a queue has no selectors: what nobody selects would fill it. Subscribe to a topic, or to a queue for each kind",
);
const DURABLE_SELECTS: Fault = Fault::Unsupported("a durable subscription has no selector: leave out one of both");

/// Replies that a session is given before it has written the first.
const REPLIES_PREFETCH: u16 = 64;

impl Link {
    pub(super) fn new(shared: Arc<Shared>, request: LinkRequest) -> Result<Self, Fault> {
        let LinkRequest { session, credentials: _, user, outbox } = request;
        let (subscriptions, queues) = (HashMap::new(), BTreeMap::new());
        let state =
            LinkState { shared: Arc::clone(&shared), outbox, session, user, subscriptions, queues, is_lost: false };
        let state = Arc::new(Mutex::new(state));
        let number = shared.presence.join(&state)?;
        Ok(Self { number, shared, state })
    }

    pub fn publish(&mut self, publish: Publish) -> Pending {
        self.run(|it| it.publish(publish))
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        self.run(|it| it.subscribe(subscribe))
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        self.run(move |it| {
            it.unsubscribe(&unsubscribe);
            Ok(())
        })
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        // While the broker is away it has forgotten what it delivered.
        if !self.shared.presence.is_away() {
            lock(&self.state).settle(tokens, verdict);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let state = lock(&self.state);
        state.subscriptions.len() + state.queues.len()
    }

    fn run(&self, operation: impl FnOnce(&mut LinkState) -> Result<(), Fault> + Send + 'static) -> Pending {
        let state = Arc::clone(&self.state);
        self.shared.presence.run(move || operation(&mut lock(&state)))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // After what it asked for before, if that waits.
        drop(self.run(|it| {
            it.leave();
            Ok(())
        }));
        self.shared.presence.leave(self.number);
    }
}

impl LinkState {
    /// The broker is away: what is unsettled will be delivered again.
    pub(super) fn suspend(&mut self, outage: Outage) {
        let queues = &self.shared.queues;
        self.queues.retain(|id, queue| queues.run(queue, |it, _| !it.lose(*id)).unwrap_or(true));
        if outage == Outage::Reject {
            self.is_lost = true;
            self.outbox.push_event(Item::LinkLost);
        }
    }

    pub(super) fn resume(&self) {
        for queue in self.queues.values() {
            self.shared.queues.run(queue, |it, now| it.dispatch(now));
        }
    }

    fn publish(&mut self, publish: Publish) -> Result<(), Fault> {
        if self.is_lost { Err(Fault::Unavailable) } else { self.try_publish(publish) }
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Fault> {
        if self.is_lost { Err(Fault::Unavailable) } else { self.try_subscribe(subscribe) }
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        match self.subscriptions.remove(&unsubscribe.key) {
            Some(Subscription::Topic(pattern)) => {
                self.shared.topics.remove(&pattern, &self.subscriber(unsubscribe.key));
            }
            Some(Subscription::User(rest)) => self.leave_user(unsubscribe.key, &rest),
            Some(Subscription::Consumer(id)) => self.cancel(id, unsubscribe.is_final),
            None => (),
        }
    }

    fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        let queue_of = |token: &AckToken| self.queues.get(&ConsumerId(token.scope));
        let mut done = Vec::new();
        // Together, so that nothing is delivered again before all of them are back in their places.
        for tokens in tokens.chunk_by(|a, b| queue_of(a) == queue_of(b)) {
            if let Some(queue) = queue_of(&tokens[0]) {
                let ended = self.shared.queues.run(queue, |it, now| it.settle(tokens, verdict, now));
                done.extend(ended.into_iter().flatten());
            }
        }
        done.iter().for_each(|id| drop(self.queues.remove(id)));
    }

    fn try_publish(&mut self, publish: Publish) -> Result<(), Fault> {
        let Publish { destination, mut headers, body, reply_to, is_receipted: _ } = publish;
        if let Some(key) = reply_to {
            headers.push("reply-to", &self.reply_destination(key)?);
        }
        let id = format!("{}-{}", self.shared.process, self.shared.next_number());
        let Shared { topics, queues, metrics, .. } = &*self.shared;
        if let Destination::User { whom, rest } = &destination {
            self.publish_to_user(whom, rest, &Message::new(&id, &self.shared.user_prefix.shown(rest), headers, body))?;
            metrics.published.inc();
            return Ok(());
        }
        let message = Message::new(&id, &topics.grammar().show(&destination), headers, body);
        match destination {
            Destination::AmqQueue(_)
            | Destination::Exchange { .. }
            | Destination::App(_)
            | Destination::Foreign(_)
            | Destination::User { .. } => return Err(NOT_EMBEDDED),
            Destination::Queue(name) if !topics.are_queues_topics() => {
                queues.publish(&Name::Shared(name), &message)?;
            }
            Destination::ReplyQueue(name) => queues.publish(&Name::Reply(name), &message)?,
            Destination::TempQueue(_) => return Err(Fault::Unsupported("a temp-queue is only for reply-to")),
            Destination::Queue(topic) | Destination::Topic(topic) => {
                let key = topics.key(&topic, &message)?;
                metrics.delivered.inc_by(topics.fan_out(key, &message) as u64);
                queues.publish_to_topic(key, &message);
            }
        }
        metrics.published.inc();
        Ok(())
    }

    fn try_subscribe(&mut self, subscribe: Subscribe) -> Result<(), Fault> {
        let Subscribe { key, id, destination, ack, prefetch, is_durable, headers } = subscribe;
        let topics = &self.shared.topics;
        let selector = topics.selector(&headers)?;
        let name = match destination {
            Destination::AmqQueue(_) | Destination::Exchange { .. } | Destination::App(_) | Destination::Foreign(_) => {
                return Err(NOT_EMBEDDED);
            }
            Destination::User { whom: Whom::Name(_) | Whom::Session(_), .. } => return Err(user::NOT_NAMED),
            Destination::User { .. } if selector.is_some() => return Err(QUEUE_SELECTS),
            Destination::User { whom: Whom::Subscriber, rest } => {
                self.join_user(key, &rest);
                self.subscriptions.insert(key, Subscription::User(rest));
                return Ok(());
            }
            Destination::Queue(_) if selector.is_some() && !topics.are_queues_topics() => return Err(QUEUE_SELECTS),
            Destination::Queue(name) if !topics.are_queues_topics() => Name::Shared(name),
            Destination::ReplyQueue(_) | Destination::TempQueue(_) => {
                return Err(Fault::Unsupported("only the session that asked for replies receives them"));
            }
            Destination::Queue(_) | Destination::Topic(_) => {
                let topic = topics.pattern(&destination)?;
                match (is_durable && matches!(destination, Destination::Topic(_)), ack) {
                    (true, _) if selector.is_some() => return Err(DURABLE_SELECTS),
                    (true, _) => Name::Durable { topic, id },
                    (false, AckMode::Client | AckMode::ClientIndividual) => Name::Private { topic, selector },
                    (false, AckMode::Auto) => {
                        topics.insert(&topic, self.subscriber(key), selector);
                        self.subscriptions.insert(key, Subscription::Topic(topic));
                        return Ok(());
                    }
                }
            }
        };
        self.consume(key, &name, prefetch)
    }

    fn publish_to_user(&self, whom: &Whom, rest: &str, message: &Message) -> Result<(), Fault> {
        let Shared { users, sessions, metrics, .. } = &*self.shared;
        let reached = match whom {
            Whom::Name(name) => users.fan_out(&user::key(name, rest), message),
            Whom::Session(id) => sessions.fan_out(&user::key(&id.to_string(), rest), message),
            Whom::Subscriber => return Err(user::NOT_NAMED),
        };
        metrics.delivered.inc_by(reached as u64);
        metrics.user_unreached.inc_by(u64::from(reached == 0));
        Ok(())
    }

    fn join_user(&self, key: SubscriptionKey, rest: &str) {
        let Shared { users, sessions, .. } = &*self.shared;
        sessions.insert(&user::pattern(&self.session.to_string(), rest), self.subscriber(key));
        if let Some(it) = &self.user {
            users.insert(&user::pattern(it.name(), rest), self.subscriber(key));
        }
    }

    fn leave_user(&self, key: SubscriptionKey, rest: &str) {
        let Shared { users, sessions, .. } = &*self.shared;
        sessions.remove(&user::pattern(&self.session.to_string(), rest), &self.subscriber(key));
        if let Some(it) = &self.user {
            users.remove(&user::pattern(it.name(), rest), &self.subscriber(key));
        }
    }

    fn consume(&mut self, key: SubscriptionKey, name: &Name, prefetch: u16) -> Result<(), Fault> {
        let id = ConsumerId(self.shared.next_number());
        let consumer = Consumer::new(Arc::clone(&self.outbox), key, prefetch);
        let queue = self.shared.queues.consume(name, id, consumer)?;
        self.queues.insert(id, queue);
        self.subscriptions.insert(key, Subscription::Consumer(id));
        Ok(())
    }

    /// Where replies come to that are delivered under that key.
    fn reply_destination(&mut self, key: SubscriptionKey) -> Result<String, Fault> {
        if !self.subscriptions.contains_key(&key) {
            // As RabbitMQ names its queues, so that the same rule opens them to whoever was told.
            self.consume(key, &Name::Reply(format!("amq.gen-{}", random_name(22)).into()), REPLIES_PREFETCH)?;
        }
        match self.subscriptions.get(&key) {
            Some(Subscription::Consumer(id)) => {
                self.queues.get(id).map(|it| it.name().to_string()).ok_or(Fault::Unavailable)
            }
            Some(Subscription::Topic(_) | Subscription::User(_)) | None => {
                Err(Fault::Unsupported("this subscription takes no replies"))
            }
        }
    }

    fn cancel(&mut self, id: ConsumerId, is_final: bool) {
        // Nothing is left of a consumer whose session is given up, once it has settled everything.
        let Some(queue) = self.queues.get(&id) else { return };
        let is_deleted = match queue.name() {
            Name::Durable { .. } => is_final,
            Name::Private { .. } | Name::Reply(_) => true,
            Name::Shared(_) => false,
        };
        let is_done = if is_deleted {
            self.shared.queues.delete(queue, id);
            true
        } else {
            // A queue that is over has nothing to settle either.
            self.shared.queues.run(queue, |it, _| it.cancel(id)).unwrap_or(true)
        };
        if is_done {
            self.queues.remove(&id);
        }
    }

    fn subscriber(&self, key: SubscriptionKey) -> Subscriber {
        Subscriber { outbox: Arc::clone(&self.outbox), key }
    }

    fn leave(&mut self) {
        for (key, subscription) in std::mem::take(&mut self.subscriptions) {
            match subscription {
                Subscription::Consumer(_) => {}
                Subscription::Topic(pattern) => {
                    self.shared.topics.remove(&pattern, &self.subscriber(key));
                }
                Subscription::User(rest) => self.leave_user(key, &rest),
            }
        }
        let mut consumers: Vec<_> = std::mem::take(&mut self.queues).into_iter().collect();
        consumers.sort_unstable_by_key(|(_, queue)| queue.address());
        // All consumers of a queue leave together, so that none of them gets what another had.
        for group in consumers.chunk_by(|(_, a), (_, b)| a == b) {
            let (id, queue) = &group[0];
            match queue.name() {
                Name::Private { .. } | Name::Reply(_) => self.shared.queues.delete(queue, *id),
                Name::Durable { .. } | Name::Shared(_) => {
                    let ids: Vec<_> = group.iter().map(|(id, _)| *id).collect();
                    self.shared.queues.run(queue, |it, now| it.leave(&ids, now));
                }
            }
        }
    }
}
