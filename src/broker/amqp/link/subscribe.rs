//! Where a SUBSCRIBE is served: by a feed that many share, or by a channel of the session.

use lapin::types::ShortString;

use super::Link;
use crate::broker::Pending;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::private::{Private, Source};
use crate::broker::amqp::properties::short;
use crate::broker::amqp::{NO_DURABLE, NO_REPLY_QUEUE, NO_TEMP_QUEUE};
use crate::delivery::Subscriber;
use crate::destination::{Destination, Pattern};
use crate::ident::SubscriptionKey;
use crate::session::{AckMode, Fault, Subscribe};

/// `#` in one pattern. RabbitMQ tries all places of all of them, word by word, whenever it routes: with 4 and a topic of
/// 60 words one publish takes 2 s, with 5 more than 10 s, and the channel that publishes is for many sessions.
const HASHES_MAX: usize = 2;

impl Link {
    pub(super) fn try_subscribe(&mut self, subscribe: Subscribe) -> Result<Pending, Fault> {
        let Subscribe { key, id: _, destination, ack, prefetch, is_durable, headers: _ } = subscribe;
        if is_durable {
            return Err(NO_DURABLE);
        }
        let topic_exchange = self.generation.context().topic_exchange.clone();
        let source = match destination {
            Destination::AmqQueue(_) | Destination::ReplyQueue(_) => return Err(NO_REPLY_QUEUE),
            Destination::Exchange { name, key: pattern } => {
                self.subscribe_exchange(key, short("the name of an exchange", &name)?, &pattern, ack)?
            }
            Destination::Queue(name) => Err(Source::Queue(self.queue(&name)?)),
            Destination::TempQueue(_) => return Err(NO_TEMP_QUEUE),
            Destination::Topic(topic) => self.subscribe_exchange(key, topic_exchange, &topic, ack)?,
        };
        let source = match source {
            Ok(pending) => return Ok(pending),
            Err(source) => source,
        };
        let Generation { parts, tasks, .. } = &*self.generation;
        let private = self.private.get_or_insert_with(|| Private::open(parts.clone(), tasks, self.outbox.clone()));
        Ok(private.subscribe(key, source, prefetch))
    }

    /// Who acknowledges needs deliveries of its own, and with them a queue.
    fn subscribe_exchange(
        &mut self,
        key: SubscriptionKey,
        exchange: ShortString,
        pattern: &str,
        ack: AckMode,
    ) -> Result<Result<Pending, Source>, Fault> {
        check_hashes(pattern)?;
        match ack {
            AckMode::Auto => Ok(Ok(self.subscribe_shared(key, &exchange, pattern))),
            AckMode::Client | AckMode::ClientIndividual => Ok(Err(Source::Topic(short("a topic", pattern)?))),
        }
    }

    fn subscribe_shared(&mut self, key: SubscriptionKey, exchange: &ShortString, pattern: &str) -> Pending {
        // Those that RabbitMQ refused were told so; a session may go on trying.
        self.topics.retain(|_, it| !it.has_failed());
        let subscriber = Subscriber { outbox: self.outbox.clone(), key };
        let (subscription, pending) = self.generation.feeds.subscribe(exchange, Pattern::new(pattern), subscriber);
        self.topics.insert(key, subscription);
        pending
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
