//! The one consumer of a feed: hands each message to the subscribers it matches, and acknowledges in batches.
//!
//! Its channel does nothing else: an error of anything else would cost the feed. It consumes with a prefetch and
//! acknowledgements because the library's buffer has no bound of its own.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Shard;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::EXCLUSIVE;
use crate::broker::amqp::ids::Ids;
use crate::broker::amqp::incoming;
use crate::broker::amqp::line::Line;
use crate::session::Fault;

/// How long a delivery may go unacknowledged when few arrive.
const ACK_DELAY: Duration = Duration::from_millis(20);

/// Acknowledged at the latest when this part of the prefetch has arrived, so that RabbitMQ never has to wait.
const ACKS_PER_PREFETCH: u16 = 8;

pub(super) async fn open(context: &Context, line: &Line, shard: &Shard) -> Result<(Channel, Consumer), Fault> {
    let channel = line.channel().await?;
    let queue = &shard.queue;
    context.answer(channel.queue_declare(queue.clone(), EXCLUSIVE, context.exclusive_arguments())).await?;
    let prefetch = context.settings.feed_prefetch.max(1);
    context.answer(channel.basic_qos(prefetch, BasicQosOptions { global: false })).await?;
    let options = BasicConsumeOptions { no_local: false, no_ack: false, exclusive: true, nowait: false };
    let consume = channel.basic_consume(queue.clone(), "feed".into(), options, FieldTable::default());
    let consumer = context.answer(consume).await?;
    Ok((channel, consumer))
}

/// Ends, and everything of this generation with it, when the feed ends: its subscribers miss messages from then on.
pub(super) async fn run(
    context: Arc<Context>,
    (channel, mut consumer): (Channel, Consumer),
    shard: Arc<Shard>,
    ids: Arc<Ids>,
    ended: CancellationToken,
) {
    let batch = (context.settings.feed_prefetch / ACKS_PER_PREFETCH).max(1);
    let mut unacknowledged = 0;
    let mut last_tag = 0;
    let delay = sleep(ACK_DELAY);
    tokio::pin!(delay);
    let cause = loop {
        // Both are cancel-safe: a delivery stays in its stream, the delay in its place.
        let is_due = tokio::select! {
            biased;
            next = consumer.next() => match next {
                Some(Ok(delivery)) => {
                    if unacknowledged == 0 {
                        delay.as_mut().reset(Instant::now() + ACK_DELAY);
                    }
                    unacknowledged += 1;
                    last_tag = delivery.delivery_tag;
                    context.metrics.feed_deliveries.inc();
                    fan_out(&context, &shard, &ids, delivery);
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
    warn!(queue = shard.queue.as_str(), cause, "a feed ended; connecting anew");
    ended.cancel();
}

fn fan_out(context: &Context, shard: &Shard, ids: &Ids, delivery: Delivery) {
    // The default exchange routes to any queue by its name, and this one is not for others to write to.
    if delivery.exchange != context.topic_exchange {
        return;
    }
    let key = delivery.routing_key.clone();
    shard.table.fan_out(key.as_str(), &incoming::message(context, ids, delivery));
}
