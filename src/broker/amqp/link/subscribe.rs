//! Where a SUBSCRIBE is served: by a feed that many share, or by a channel of the session.

use std::sync::Arc;

use lapin::types::ShortString;

use super::{Link, NOT_A_DESTINATION};
use crate::broker::amqp::declarer::Queue;
use crate::broker::amqp::private::{Bound, Consume, Source};
use crate::broker::amqp::properties::{DIRECT_REPLY_TO, short};
use crate::broker::amqp::queue::{self, Declare, Kind};
use crate::broker::{Pending, user};
use crate::delivery::Subscriber;
use crate::destination::{Destination, Pattern, Whom};
use crate::ident::SubscriptionKey;
use crate::session::{AckMode, Fault, Subscribe};

/// `#` in one pattern. RabbitMQ tries all places of all of them, word by word, whenever it routes: with 4 and a topic of
/// 60 words one publish takes 2 s, with 5 more than 10 s, and the channel that publishes is for many sessions.
const HASHES_MAX: usize = 2;

impl Link {
    pub(super) fn try_subscribe(&mut self, subscribe: Subscribe) -> Result<Pending, Fault> {
        let arguments = queue::consume_arguments(&subscribe.headers)?;
        let source = match &subscribe.destination {
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) => Source::Existing(queue_name(name)?),
            Destination::Exchange { name, key } => {
                self.relay.context.check_open(name)?;
                let exchange = short("the name of an exchange", name)?;
                if is_shared(&subscribe) {
                    return self.subscribe_shared(subscribe.key, &exchange, key);
                }
                self.bound(Kind::Exchange, exchange, key, &subscribe)?
            }
            Destination::Queue(name) => {
                queue_name(name)?;
                Source::Declared(self.queue_for(Kind::Consumed, name, &subscribe.headers)?)
            }
            Destination::TempQueue(_) | Destination::App(_) | Destination::Foreign(_) => {
                return Err(NOT_A_DESTINATION);
            }
            Destination::User { whom: Whom::Name(_) | Whom::Session(_), .. } => return Err(user::NOT_NAMED),
            Destination::User { whom: Whom::Subscriber, rest } => {
                return Ok(self.subscribe_user(subscribe.key, rest));
            }
            Destination::Topic(key) => {
                let exchange = self.relay.context.topic_exchange.clone();
                if is_shared(&subscribe) {
                    return self.subscribe_shared(subscribe.key, &exchange, key);
                }
                self.bound(Kind::Topic, exchange, key, &subscribe)?
            }
        };
        let Subscribe { key, prefetch, .. } = subscribe;
        Ok(self.private().subscribe(Consume { key, source, prefetch, arguments }))
    }

    /// A queue of the subscription's own, which the exchange fills.
    fn bound(&self, kind: Kind, exchange: ShortString, key: &str, subscribe: &Subscribe) -> Result<Source, Fault> {
        check_hashes(key)?;
        let Subscribe { id, is_durable, headers, .. } = subscribe;
        let (name, is_random) = queue::name(headers, key, id, *is_durable)?;
        let mut declare = Declare::new(kind, headers)?;
        if is_random && declare.options.exclusive {
            declare = declare.or_arguments(self.relay.context.exclusive_arguments());
        }
        let (queue, key) = (Queue::new(name, declare), short("a topic", key)?);
        Ok(Source::Bound(Arc::new(Bound { queue, exchange, key, is_topic: kind == Kind::Topic })))
    }

    fn subscribe_shared(
        &mut self,
        key: SubscriptionKey,
        exchange: &ShortString,
        pattern: &str,
    ) -> Result<Pending, Fault> {
        check_hashes(pattern)?;
        self.forget_failed();
        let subscriber = Subscriber { outbox: self.outbox.clone(), key };
        let (subscription, pending) = self.relay.feeds.subscribe(exchange, Pattern::new(pattern), subscriber);
        self.shared.insert(key, subscription);
        Ok(pending)
    }

    fn subscribe_user(&mut self, key: SubscriptionKey, rest: &str) -> Pending {
        self.forget_failed();
        let subscriber = Subscriber { outbox: self.outbox.clone(), key };
        let feeds = &self.relay.feeds;
        let (subscription, pending) = feeds.subscribe_user(self.session, self.user.as_ref(), rest, subscriber);
        self.shared.insert(key, subscription);
        pending
    }

    /// Those that RabbitMQ refused were told so; a session may go on trying.
    fn forget_failed(&mut self) {
        self.shared.retain(|_, it| !it.has_failed());
    }
}

/// Whether a feed can serve it: who acknowledges needs deliveries of its own, and with them a queue.
fn is_shared(subscribe: &Subscribe) -> bool {
    let Subscribe { ack, is_durable, headers, .. } = subscribe;
    *ack == AckMode::Auto && !is_durable && !queue::asks_for_its_own(headers)
}

fn queue_name(name: &str) -> Result<ShortString, Fault> {
    if name == DIRECT_REPLY_TO {
        return Err(Fault::Unsupported(
            "amq.rabbitmq.reply-to can't be subscribed to through the gateway, which publishes and consumes on \
             different connections: send with reply-to:/temp-queue/NAME, and the replies arrive by themselves",
        ));
    }
    short("the name of a queue", name)
}

fn check_hashes(pattern: &str) -> Result<(), Fault> {
    let hashes = pattern.split('.').filter(|it| *it == "#").count();
    if hashes > HASHES_MAX {
        let text = format!("A topic to subscribe to holds '#' at most {HASHES_MAX} times with RabbitMQ, not {hashes}");
        return Err(Fault::Refused(text));
    }
    Ok(())
}
