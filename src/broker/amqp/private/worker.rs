//! The task that holds one session's private channel: consumes, delivers, settles, and notices its end.

use std::collections::HashMap;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tracing::warn;

use super::ledger::{Scope, Settlement};
use super::{Command, Done, Home, Next, Parts, Shared, Source};
use crate::broker::amqp::incoming;
use crate::broker::amqp::metrics::Counted;
use crate::delivery::{Item, Outbox};
use crate::ident::SubscriptionKey;
use crate::message::Delivery;
use crate::session::{Fault, Verdict};

/// A connection that is being closed fails its operations before it says so.
const LOSS_DELAY: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    parts: Parts,
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    /// Where the session has its channel; the same for all of its subscriptions.
    home: Option<(Arc<Home>, OwnedSemaphorePermit)>,
    channel: Option<(Channel, Counted)>,
    consumers: SelectAll<BoxStream<'static, Event>>,
    subscriptions: HashMap<SubscriptionKey, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    tag: ShortString,
    /// Present while it is being cancelled: what still arrives is not for the client.
    cancelled: Option<Done>,
}

/// What a consumer says.
enum Event {
    Delivered(SubscriptionKey, Box<AmqpDelivery>),
    Ended(SubscriptionKey),
}

impl Worker {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>, outbox: Arc<Outbox>) -> Self {
        Self {
            parts,
            shared,
            outbox,
            home: None,
            channel: None,
            consumers: SelectAll::new(),
            subscriptions: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.shared.next() {
                Next::Close => return self.close().await,
                Next::Command(Command::Subscribe { key, source, prefetch, done }) => {
                    let outcome = self.subscribe(key, source, prefetch).await;
                    // Nobody listens when the session has gone meanwhile.
                    drop(done.send(outcome));
                }
                Next::Command(Command::Unsubscribe { key, done }) => self.unsubscribe(key, done).await,
                Next::Nothing => self.wait().await,
                Next::Settle(settlements) => self.settle(&settlements).await,
            }
        }
    }

    async fn wait(&mut self) {
        // Both are cancel-safe: a notification is kept, a delivery stays in its stream.
        tokio::select! {
            () = self.shared.changed.notified() => {}
            Some(event) = self.consumers.next(), if !self.consumers.is_empty() => {
                match event {
                    Event::Delivered(key, delivery) => self.deliver(key, *delivery),
                    Event::Ended(key) => self.consumer_ended(key).await,
                }
                // The streams are ready as long as RabbitMQ is faster; others have to run, too.
                tokio::task::coop::consume_budget().await;
            }
        }
    }

    /// Declare, prefetch, consume, bind: in this order (D17), so that nothing is missed and nothing overruns.
    async fn subscribe(&mut self, key: SubscriptionKey, source: Source, prefetch: u16) -> Result<(), Fault> {
        let home = self.home().await?;
        let queue = match &source {
            Source::Queue(queue) => {
                home.declarer.declare_again(queue).await?;
                queue.name.clone()
            }
            Source::Topic(_) => {
                let queue = self.parts.ids.next_private_queue();
                home.declarer.declare_exclusive(&queue).await?;
                queue
            }
        };
        self.consume(key, queue.clone(), prefetch).await?;
        if let Source::Topic(pattern) = source
            && let Err(fault) = home.declarer.bind_topic(&queue, pattern).await
        {
            // The queue goes with its consumer.
            self.cancel(key, None).await;
            return Err(fault);
        }
        Ok(())
    }

    async fn consume(&mut self, key: SubscriptionKey, queue: ShortString, prefetch: u16) -> Result<(), Fault> {
        let channel = self.channel().await?;
        let tag = ShortString::from(key.0.to_string());
        let options = BasicConsumeOptions { no_local: false, no_ack: false, exclusive: false, nowait: false };
        let consume = async {
            channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false }).await?;
            channel.basic_consume(queue, tag.clone(), options, FieldTable::default()).await
        };
        match self.parts.context.answer(consume).await {
            Ok(consumer) => {
                self.consumers.push(events(key, consumer).boxed());
                self.subscriptions.insert(key, Subscription { tag, cancelled: None });
                Ok(())
            }
            Err(fault) => {
                // Refused, or nobody knows: either way the channel is of no use.
                self.channel_lost(&fault).await;
                Err(fault)
            }
        }
    }

    async fn unsubscribe(&mut self, key: SubscriptionKey, done: Done) {
        self.cancel(key, Some(done)).await;
    }

    /// `done` is told when nothing more can arrive, which the end of the consumer's stream says.
    async fn cancel(&mut self, key: SubscriptionKey, done: Option<Done>) {
        let (Some(subscription), Some((channel, _))) = (self.subscriptions.get_mut(&key), &self.channel) else {
            // RabbitMQ has ended it before.
            done.into_iter().for_each(|it| drop(it.send(Ok(()))));
            return;
        };
        let (silent, _) = tokio::sync::oneshot::channel();
        subscription.cancelled = Some(done.unwrap_or(silent));
        let cancel = channel.basic_cancel(subscription.tag.clone(), BasicCancelOptions { nowait: false });
        if let Err(fault) = self.parts.context.answer(cancel).await {
            self.channel_lost(&fault).await;
        }
    }

    fn deliver(&self, key: SubscriptionKey, delivery: AmqpDelivery) {
        let (tag, redelivered) = (delivery.delivery_tag, delivery.redelivered);
        let token = self.shared.delivered(tag);
        if self.subscriptions.get(&key).is_none_or(|it| it.cancelled.is_some()) {
            self.shared.settle(tag, Verdict::Requeued);
            return;
        }
        let Parts { context, ids, .. } = &self.parts;
        context.metrics.private_deliveries.inc();
        let message = incoming::message(context, ids, delivery);
        // Refused when the session is over: then it stays unsettled, and is requeued with the channel.
        self.outbox.push(Delivery { subscription: key, message, token: Some(token), redelivered });
    }

    async fn settle(&mut self, settlements: &[Settlement]) {
        let Some((channel, _)) = &self.channel else { return };
        let context = &self.parts.context;
        for Settlement { tag, verdict, scope } in settlements {
            let multiple = *scope == Scope::UpTo;
            let told = match verdict {
                Verdict::Accepted => context.answer(channel.basic_ack(*tag, BasicAckOptions { multiple })).await,
                Verdict::Discarded | Verdict::Requeued => {
                    let requeue = *verdict == Verdict::Requeued;
                    context.answer(channel.basic_nack(*tag, BasicNackOptions { multiple, requeue })).await
                }
            };
            if let Err(fault) = told {
                return self.channel_lost(&fault).await;
            }
        }
    }

    async fn consumer_ended(&mut self, key: SubscriptionKey) {
        if self.channel.as_ref().is_none_or(|(channel, _)| !channel.status().connected()) {
            return self.channel_lost(&Fault::Unavailable).await;
        }
        match self.subscriptions.remove(&key) {
            Some(Subscription { cancelled: Some(done), .. }) => drop(done.send(Ok(()))),
            // RabbitMQ ended it: its queue was deleted, or the node that held it has gone.
            Some(Subscription { cancelled: None, .. }) => self.outbox.push_event(Item::SubscriptionEnded(key)),
            None => {}
        }
    }

    /// RabbitMQ closed the channel, and with it all that was consumed on it. The next subscription opens another one.
    async fn channel_lost(&mut self, fault: &Fault) {
        if self.channel.take().is_none() {
            return;
        }
        sleep(LOSS_DELAY).await;
        if self.home.as_ref().is_some_and(|(home, _)| !home.line.is_connected()) {
            // All of this generation ends, this task with it, and the link says so.
            pending::<()>().await;
        }
        warn!(%fault, subscriptions = self.subscriptions.len(), "RabbitMQ closed the channel of a session");
        self.consumers = SelectAll::new();
        self.shared.begin_scope(self.parts.ids.next_scope());
        for (key, subscription) in self.subscriptions.drain() {
            match subscription.cancelled {
                Some(done) => drop(done.send(Ok(()))),
                None => self.outbox.push_event(Item::SubscriptionEnded(key)),
            }
        }
    }

    async fn channel(&mut self) -> Result<Channel, Fault> {
        if let Some((channel, _)) = &self.channel {
            return Ok(channel.clone());
        }
        let channel = self.home().await?.line.channel().await?;
        let counted = Counted::new(&self.parts.context.metrics.private_channels);
        self.channel = Some((channel.clone(), counted));
        Ok(channel)
    }

    async fn home(&mut self) -> Result<Arc<Home>, Fault> {
        if let Some((home, _)) = &self.home {
            return Ok(home.clone());
        }
        let (home, room) = self.parts.homes.room().await?;
        self.home = Some((home.clone(), room));
        Ok(home)
    }

    /// RabbitMQ requeues what is unsettled.
    async fn close(mut self) {
        let Some((channel, _counted)) = self.channel.take() else { return };
        if let Err(fault) = self.parts.context.answer(channel.close(200, "OK".into())).await {
            warn!(%fault, "the channel of a session was not closed in order");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.end();
    }
}

fn events(key: SubscriptionKey, consumer: Consumer) -> impl futures::Stream<Item = Event> + Send {
    consumer
        // An error is the channel's, which is asked when the stream ends.
        .filter_map(move |it| ready(it.ok().map(|it| Event::Delivered(key, Box::new(it)))))
        .chain(stream::once(ready(Event::Ended(key))))
}
