//! One session's end of RabbitMQ.

use std::collections::HashMap;
use std::sync::Arc;

use lapin::types::ShortString;

use super::declarer::Queue;
use super::feeds::Subscription;
use super::generation::Generation;
use super::private::{Private, Source};
use super::properties::{short, to_amqp};
use super::publishing::{Content, Routed};
use super::{NO_DURABLE, NO_REPLY_QUEUE, NO_TEMP_QUEUE};
use crate::broker::{LinkRequest, Pending};
use crate::delivery::{Outbox, Subscriber};
use crate::destination::{Destination, Pattern};
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::AckToken;
use crate::session::{AckMode, Fault, Publish, Subscribe, Unsubscribe, Verdict};

/// Queues that a session is remembered to have declared. Beyond it all are forgotten, and declared once more.
const QUEUES_MAX: usize = 1_024;

/// `#` in one pattern. RabbitMQ tries all places of all of them, word by word, whenever it routes: with 4 and a topic of
/// 60 words one publish takes 2 s, with 5 more than 10 s, and the channel that publishes is for many sessions.
const HASHES_MAX: usize = 2;

/// Dropping it ends its subscriptions and requeues what is unsettled.
#[derive(Debug)]
pub struct Link {
    generation: Arc<Generation>,
    session: SessionId,
    outbox: Arc<Outbox>,
    topics: HashMap<SubscriptionKey, Subscription>,
    queues: HashMap<Box<str>, Arc<Queue>>,
    private: Option<Private>,
}

impl Link {
    pub(super) fn open(generation: Arc<Generation>, request: LinkRequest) -> Result<Self, Fault> {
        // With the one account that all share, the session's credentials say nothing to RabbitMQ.
        let LinkRequest { session, outbox, credentials: _ } = request;
        generation.register(session, outbox.clone())?;
        let (topics, queues) = (HashMap::new(), HashMap::new());
        Ok(Self { generation, session, outbox, topics, queues, private: None })
    }

    /// What can't be published waits for its turn as well, so that the answers keep the order of the calls.
    pub fn publish(&mut self, publish: Publish) -> Pending {
        let size = publish.size();
        let content = self.content(publish);
        self.generation.publisher(self.session).publish(self.session, content, size)
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        self.try_subscribe(subscribe).unwrap_or_else(|fault| Pending::ready(Err(fault)))
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        match (self.topics.remove(&unsubscribe.key), &self.private) {
            // Dropping it ends it.
            (Some(_), _) | (None, None) => Pending::ready(Ok(())),
            (None, Some(private)) => private.unsubscribe(unsubscribe.key),
        }
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        if let Some(private) = &self.private {
            let settled = private.settle(tokens, verdict);
            self.generation.context().metrics.settled(verdict, settled);
        }
    }

    fn content(&mut self, publish: Publish) -> Content {
        let Publish { destination, headers, body, reply_to } = publish;
        let context = self.generation.context();
        let max = context.settings.message_bytes_max;
        if body.len() > max {
            let text = format!("A message for RabbitMQ holds at most {max} bytes (broker.amqp.message_bytes_max)");
            return Err(Fault::Refused(text));
        }
        if reply_to.is_some() {
            return Err(NO_TEMP_QUEUE);
        }
        let properties = to_amqp(&headers)?;
        let (exchange, key, queue) = match destination {
            Destination::Queue(name) => {
                let queue = self.queue(&name)?;
                (ShortString::default(), queue.name.clone(), Some(queue))
            }
            Destination::Topic(topic) => (context.topic_exchange.clone(), short("a topic", &topic)?, None),
            Destination::ReplyQueue(_) => return Err(NO_REPLY_QUEUE),
            Destination::TempQueue(_) => return Err(NO_TEMP_QUEUE),
        };
        Ok(Routed { exchange, key, properties, body, queue })
    }

    fn try_subscribe(&mut self, subscribe: Subscribe) -> Result<Pending, Fault> {
        let Subscribe { key, id: _, destination, ack, prefetch, is_durable } = subscribe;
        if is_durable {
            return Err(NO_DURABLE);
        }
        if let Destination::Topic(topic) = &destination {
            check_hashes(topic)?;
        }
        let source = match (destination, ack) {
            (Destination::Topic(topic), AckMode::Auto) => return Ok(self.subscribe_shared(key, &topic)),
            // Who acknowledges needs deliveries of its own, and with them a queue.
            (Destination::Topic(topic), AckMode::Client | AckMode::ClientIndividual) => {
                Source::Topic(short("a topic", &topic)?)
            }
            (Destination::Queue(name), _) => Source::Queue(self.queue(&name)?),
            (Destination::ReplyQueue(_), _) => return Err(NO_REPLY_QUEUE),
            (Destination::TempQueue(_), _) => return Err(NO_TEMP_QUEUE),
        };
        let Generation { parts, tasks, .. } = &*self.generation;
        let private = self.private.get_or_insert_with(|| Private::open(parts.clone(), tasks, self.outbox.clone()));
        Ok(private.subscribe(key, source, prefetch))
    }

    fn subscribe_shared(&mut self, key: SubscriptionKey, topic: &str) -> Pending {
        // Those that RabbitMQ refused were told so; a session may go on trying.
        self.topics.retain(|_, it| !it.has_failed());
        let subscriber = Subscriber { outbox: self.outbox.clone(), key };
        let (subscription, pending) = self.generation.feeds.subscribe(Pattern::new(topic), subscriber);
        self.topics.insert(key, subscription);
        pending
    }

    /// The same one for each use of that name in this session (D10).
    fn queue(&mut self, name: &str) -> Result<Arc<Queue>, Fault> {
        if let Some(queue) = self.queues.get(name) {
            return Ok(queue.clone());
        }
        let queue = Arc::new(Queue::new(short("the name of a queue", name)?));
        if self.queues.len() >= QUEUES_MAX {
            self.queues.clear();
        }
        self.queues.insert(name.into(), queue.clone());
        Ok(queue)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.generation.unregister(self.session);
    }
}

fn check_hashes(pattern: &str) -> Result<(), Fault> {
    let hashes = pattern.split('.').filter(|it| *it == "#").count();
    if hashes > HASHES_MAX {
        let text = format!("A topic to subscribe to holds '#' at most {HASHES_MAX} times with RabbitMQ, not {hashes}");
        return Err(Fault::Refused(text));
    }
    Ok(())
}
