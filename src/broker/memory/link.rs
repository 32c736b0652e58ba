//! One session's end of the embedded broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use super::queue::{Consumer, ConsumerId};
use super::queues::{Handle, Name};
use super::{Shared, random_name};
use crate::broker::{Outage, Pending};
use crate::delivery::{Item, Outbox, Subscriber};
use crate::destination::{Destination, Pattern};
use crate::ident::SubscriptionKey;
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
    subscriptions: HashMap<SubscriptionKey, Subscription>,
    /// Where to settle what was delivered, also to subscriptions that have ended.
    queues: BTreeMap<ConsumerId, Handle>,
    is_lost: bool,
}

#[derive(Debug)]
enum Subscription {
    Consumer(ConsumerId),
    Topic(Pattern),
}

const NOT_EMBEDDED: Fault = Fault::Unsupported("/exchange and /amq/queue need RabbitMQ (broker.kind = \"amqp\")");

/// Words of a topic to send to, and `#` in a pattern: as many as with RabbitMQ. What it costs to find who is subscribed
/// grows with the words, for each pattern; with more `#` it would for topics of few words, too, which others send to.
const WORDS_MAX: usize = 32;
const HASHES_MAX: usize = 2;

/// Replies that a session is given before it has written the first.
const REPLIES_PREFETCH: u16 = 64;

impl Link {
    pub(super) fn new(shared: Arc<Shared>, outbox: Arc<Outbox>) -> Result<Self, Fault> {
        let (subscriptions, queues) = (HashMap::new(), BTreeMap::new());
        let state = LinkState { shared: Arc::clone(&shared), outbox, subscriptions, queues, is_lost: false };
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
        let message = Message::new(&id, &destination.to_string(), headers, body);
        let Shared { topics, queues, metrics, .. } = &*self.shared;
        match destination {
            Destination::AmqQueue(_)
            | Destination::Exchange { .. }
            | Destination::App(_)
            | Destination::Foreign(_)
            | Destination::User { .. } => return Err(NOT_EMBEDDED),
            Destination::Queue(name) => queues.publish(&Name::Shared(name), &message)?,
            Destination::ReplyQueue(name) => queues.publish(&Name::Reply(name), &message)?,
            Destination::TempQueue(_) => return Err(Fault::Unsupported("a temp-queue is only for reply-to")),
            Destination::Topic(topic) => {
                check("A topic to send to has", "words between dots", topic.split('.').count(), WORDS_MAX)?;
                let reached = topics.fan_out(&topic, &message);
                metrics.delivered.inc_by(reached as u64);
                queues.publish_to_topic(&topic, &message);
            }
        }
        metrics.published.inc();
        Ok(())
    }

    fn try_subscribe(&mut self, subscribe: Subscribe) -> Result<(), Fault> {
        let Subscribe { key, id, destination, ack, prefetch, is_durable, headers: _ } = subscribe;
        let name = match destination {
            Destination::AmqQueue(_)
            | Destination::Exchange { .. }
            | Destination::App(_)
            | Destination::Foreign(_)
            | Destination::User { .. } => return Err(NOT_EMBEDDED),
            Destination::Queue(name) => Name::Shared(name),
            Destination::ReplyQueue(_) | Destination::TempQueue(_) => {
                return Err(Fault::Unsupported("only the session that asked for replies receives them"));
            }
            Destination::Topic(topic) => {
                let topic = Pattern::new(&topic);
                let hashes = topic.words().filter(|it| *it == "#").count();
                check("A topic to subscribe to has", "times '#'", hashes, HASHES_MAX)?;
                match (is_durable, ack) {
                    (true, _) => Name::Durable { topic, id },
                    (false, AckMode::Client | AckMode::ClientIndividual) => Name::Private { topic },
                    (false, AckMode::Auto) => {
                        self.shared.topics.insert(&topic, self.subscriber(key));
                        self.subscriptions.insert(key, Subscription::Topic(topic));
                        return Ok(());
                    }
                }
            }
        };
        self.consume(key, &name, prefetch)
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
            Some(Subscription::Topic(_)) | None => Err(Fault::Unsupported("this subscription takes no replies")),
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
            if let Subscription::Topic(pattern) = subscription {
                self.shared.topics.remove(&pattern, &self.subscriber(key));
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

fn check(what: &str, unit: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count <= max { Ok(()) } else { Err(Fault::Refused(format!("{what} at most {max} {unit}, not {count}"))) }
}
