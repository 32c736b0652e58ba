//! A queue of ours at RabbitMQ, and its one consumer: hands each message to the subscribers, acknowledges in batches.
//!
//! Its channel does nothing else: an error of anything else would cost the feed. It consumes with a prefetch and
//! acknowledgements because the library's buffer has no bound of its own.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use super::Parts;
use super::backlog::Listed;
use crate::broker::amqp::addressed;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::EXCLUSIVE;
use crate::broker::amqp::incoming;
use crate::broker::amqp::metrics::Counted;
use crate::broker::user;
use crate::delivery::Table;
use crate::destination::Pattern;
use crate::message::Message;
use crate::session::Fault;

/// How long a delivery may go unacknowledged when few arrive.
const ACK_DELAY: Duration = Duration::from_millis(20);

/// Acknowledged at the latest when this part of the prefetch has arrived, so that RabbitMQ never has to wait.
const ACKS_PER_PREFETCH: u16 = 8;

/// A queue whose messages are handed out. Dropping it ends that, and RabbitMQ deletes the queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: ShortString,
    stop: DropGuard,
    /// Closed once nothing is handed out any more.
    ended: oneshot::Receiver<()>,
}

/// A queue whose messages wait, in RabbitMQ and for a part in the library.
pub(super) struct Opened {
    name: ShortString,
    channel: Channel,
    consumer: Consumer,
}

/// Who gets what arrives.
#[derive(Debug)]
pub(super) enum Audience {
    /// The user, or session, whose name is the routing key, if subscribed to the destination that a header says.
    Addressed(Arc<Table>),
    /// Whose pattern matches the routing key.
    Matching(Arc<Table>),
    /// All with that binding key. The permit is for the queue's channel.
    OfKey { table: Arc<Table>, pattern: Pattern, _room: OwnedSemaphorePermit },
}

impl Queue {
    pub(super) async fn open(parts: &Parts) -> Result<Opened, Fault> {
        let Parts { context, line, ids, .. } = parts;
        let channel = line.channel().await?;
        // Never used again, because one that was not answered in time may be there yet.
        let name = ids.next_feed_queue();
        match consume(context, &channel, &name).await {
            Ok(consumer) => Ok(Opened { name, channel, consumer }),
            Err(fault) => {
                close(context, &channel).await;
                Err(fault)
            }
        }
    }

    /// Nothing is handed out after this.
    pub(super) async fn close(self, context: &Context) {
        drop(self.stop);
        if timeout(2 * context.settings.operation_timeout, self.ended).await.is_err() {
            warn!(queue = self.name.as_str(), "a feed did not end in time");
        }
    }
}

impl Opened {
    /// On its own channel, which a refusal costs together with the queue.
    pub(super) async fn bind(&self, context: &Context, exchange: ShortString, key: ShortString) -> Result<(), Fault> {
        let options = QueueBindOptions { nowait: false };
        let bind = self.channel.queue_bind(self.name.clone(), exchange, key, options, FieldTable::default());
        let bound = context.answer(bind).await;
        if bound.is_err() {
            close(context, &self.channel).await;
        }
        bound
    }

    pub(super) fn start(self, parts: &Parts, audience: Audience) -> Queue {
        let stop = CancellationToken::new();
        let (done, ended) = oneshot::channel();
        let queue = Queue { name: self.name.clone(), stop: stop.clone().drop_guard(), ended };
        let parts_of_task = parts.clone();
        parts.tasks.spawn(async move {
            run(parts_of_task, self, audience, stop).await;
            drop(done);
        });
        queue
    }
}

async fn consume(context: &Context, channel: &Channel, name: &ShortString) -> Result<Consumer, Fault> {
    context.answer(channel.queue_declare(name.clone(), EXCLUSIVE, context.exclusive_arguments())).await?;
    let prefetch = context.settings.feed_prefetch.max(1);
    context.answer(channel.basic_qos(prefetch, BasicQosOptions { global: false })).await?;
    let options = BasicConsumeOptions { no_local: false, no_ack: false, exclusive: true, nowait: false };
    context.answer(channel.basic_consume(name.clone(), "feed".into(), options, FieldTable::default())).await
}

async fn close(context: &Context, channel: &Channel) {
    if let Err(fault) = context.answer(channel.close(200, "OK".into())).await {
        debug!(%fault, "the channel of a feed was gone before it was closed");
    }
}

/// When the feed ends unasked, everything of this generation ends with it: its subscribers miss messages from then on.
async fn run(parts: Parts, opened: Opened, audience: Audience, stop: CancellationToken) {
    let Opened { name, channel, mut consumer } = opened;
    let Parts { context, .. } = &parts;
    let _counted = Counted::new(&context.metrics.feed_queues);
    let listed = Listed::new(&parts.queues, name.clone());
    let batch = (context.settings.feed_prefetch / ACKS_PER_PREFETCH).max(1);
    let mut unacknowledged = 0;
    let mut last_tag = 0;
    let delay = sleep(ACK_DELAY);
    tokio::pin!(delay);
    let cause = loop {
        // All are cancel-safe: a delivery stays in its stream, the delay in its place, a token cancelled.
        let is_due = tokio::select! {
            biased;
            () = stop.cancelled() => {
                drop(listed);
                return close(context, &channel).await;
            }
            next = consumer.next() => match next {
                Some(Ok(delivery)) => {
                    if unacknowledged == 0 {
                        delay.as_mut().reset(Instant::now() + ACK_DELAY);
                    }
                    unacknowledged += 1;
                    last_tag = delivery.delivery_tag;
                    context.metrics.feed_deliveries.inc();
                    fan_out(&parts, &audience, delivery);
                    // The stream is ready as long as RabbitMQ is faster; others have to run, too.
                    tokio::task::coop::consume_budget().await;
                    unacknowledged >= batch
                }
                Some(Err(error)) => break error.to_string(),
                None => break "cancelled by RabbitMQ".to_owned(),
            },
            () = &mut delay, if unacknowledged > 0 => true,
        };
        if is_due {
            // Never for tag 0, which would mean everything, also what the library still holds.
            let acknowledge = channel.basic_ack(last_tag, BasicAckOptions { multiple: true });
            if let Err(fault) = context.answer(acknowledge).await {
                break fault.to_string();
            }
            unacknowledged = 0;
        }
    };
    if parts.line.is_lost() {
        debug!(queue = name.as_str(), cause, "a feed ended with its connection");
    } else {
        warn!(queue = name.as_str(), cause, "a feed ended; connecting anew");
    }
    parts.tasks.ended().cancel();
}

fn fan_out(parts: &Parts, audience: &Audience, delivery: Delivery) {
    // The default exchange routes to any queue by its name, and this one is not for others to write to.
    if delivery.exchange.as_str().is_empty() {
        return;
    }
    let key = delivery.routing_key.clone();
    let copies = copies(&delivery.properties);
    let copies = copies.iter().filter_map(|it| str::from_utf8(it.as_bytes()).ok());
    let keys = iter::once(key.as_str()).chain(copies);
    match audience {
        Audience::Addressed(table) => hand_out(parts, table, keys, delivery),
        Audience::Matching(table) => {
            let message = incoming::message(&parts.context, &parts.ids, delivery);
            fan_out_under(table, keys, &message);
        }
        Audience::OfKey { table, pattern, .. } => {
            table.fan_out_to(pattern, &incoming::message(&parts.context, &parts.ids, delivery));
        }
    }
}

/// To the users or sessions of those names.
fn hand_out<'a>(parts: &Parts, table: &Table, names: impl Iterator<Item = &'a str>, delivery: Delivery) {
    let users = &parts.context.metrics.users;
    let Some(rest) = addressed::rest(&delivery.properties) else { return users.no_destination.inc() };
    let keys: Vec<_> = names.map(|it| user::key(it, &rest)).collect();
    let message = incoming::addressed(&parts.context, &parts.ids, &rest, delivery);
    let reached = fan_out_under(table, keys.iter().map(String::as_str), &message);
    users.not_subscribed.inc_by(u64::from(reached == 0));
}

fn fan_out_under<'a>(table: &Table, mut keys: impl Iterator<Item = &'a str> + Clone, message: &Message) -> usize {
    let all = keys.clone();
    match (keys.next(), keys.next()) {
        (Some(key), None) => table.fan_out(key, message),
        (_, _) => table.fan_out_under(all, message),
    }
}

/// The further keys under which the publisher had RabbitMQ route the message.
fn copies(properties: &BasicProperties) -> Vec<LongString> {
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let Some(AMQPValue::FieldArray(keys)) = headers.and_then(|it| it.get("CC")) else { return Vec::new() };
    let text = |it: &AMQPValue| it.as_long_string().cloned();
    keys.as_slice().iter().filter_map(text).collect()
}
