//! The task that holds one session's private channel: consumes, delivers, settles, and notices its end.

use std::collections::HashMap;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use lapin::Consumer;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, ShortString};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::warn;

use super::exclusives::Claim;
use super::ledger::{Origin, Scope, Settlement};
use super::operations::{self, Cancel, Consumed, Failed, Left, Place};
use super::{Command, Consume, Done, Next, Parts, Shared, Source};
use crate::broker::amqp::incoming;
use crate::broker::amqp::metrics::Counted;
use crate::delivery::{Item, Outbox};
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::Delivery;
use crate::session::{Fault, Verdict};

/// A connection that is being closed fails its operations before it says so.
const LOSS_DELAY: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    parts: Parts,
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    session: SessionId,
    place: Place,
    consumers: SelectAll<BoxStream<'static, Event>>,
    subscriptions: HashMap<SubscriptionKey, Subscription>,
    /// The command under way: they take effect one after the other, while deliveries and settlements go on.
    operation: Option<BoxFuture<'static, Outcome>>,
}

#[derive(Debug)]
struct Subscription {
    tag: ShortString,
    source: Source,
    /// Present while it is being cancelled, and told when nothing more can arrive: what still does is not for the
    /// client.
    drained: Option<oneshot::Sender<()>>,
    claim: Option<Claim>,
    _counted: Counted,
}

/// What a consumer says.
enum Event {
    Delivered(SubscriptionKey, Box<AmqpDelivery>),
    Ended(SubscriptionKey),
}

/// How a command ended.
enum Outcome {
    Cancelled {
        outcome: Result<(), Failed>,
        done: Done,
    },
    /// Whether it began with the channel that the session had, and may have lost since.
    Subscribed {
        consume: Consume,
        place: Place,
        had_channel: bool,
        outcome: Result<Consumed, Failed>,
        done: Done,
    },
}

impl Worker {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>, outbox: Arc<Outbox>, session: SessionId) -> Self {
        Self {
            parts,
            shared,
            outbox,
            session,
            place: Place::default(),
            consumers: SelectAll::new(),
            subscriptions: HashMap::new(),
            operation: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.shared.next(self.operation.is_none()) {
                Next::Close => return self.close().await,
                Next::Command(Command::Subscribe { consume, done }) => self.subscribe(consume, done),
                Next::Command(Command::Unsubscribe { key, is_final, done }) => self.unsubscribe(key, is_final, done),
                Next::Nothing => self.wait().await,
                Next::Settle(settlements) => self.settle(&settlements).await,
            }
        }
    }

    async fn wait(&mut self) {
        // All are cancel-safe: a notification is kept, a delivery stays in its stream, an operation in its place.
        tokio::select! {
            () = self.shared.changed.notified() => {}
            outcome = ended(&mut self.operation) => self.finish(outcome).await,
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

    fn subscribe(&mut self, consume: Consume, done: Done) {
        if matches!(&consume.source, Source::Replies(queue) if queue.name().is_some()) {
            // Asked for twice before it was there.
            drop(done.send(Ok(())));
            return;
        }
        let (parts, session, mut place) = (self.parts.clone(), self.session, self.place.clone());
        let had_channel = place.channel.is_some();
        let operation = async move {
            let outcome = operations::subscribe(&parts, session, &mut place, &consume).await;
            Outcome::Subscribed { consume, place, had_channel, outcome, done }
        };
        self.operation = Some(operation.boxed());
    }

    fn unsubscribe(&mut self, key: SubscriptionKey, is_final: bool, done: Done) {
        let Some(subscription) = self.subscriptions.get_mut(&key) else {
            // RabbitMQ has ended it before.
            drop(done.send(Ok(())));
            return;
        };
        let (sender, drained) = oneshot::channel();
        subscription.drained = Some(sender);
        let (tag, delete) = (subscription.tag.clone(), subscription.source.left_behind(is_final));
        let cancel = Cancel { tag, drained, delete, claim: subscription.claim.take() };
        let cancel = operations::cancel(self.parts.clone(), self.place.clone(), cancel);
        self.operation = Some(async move { Outcome::Cancelled { outcome: cancel.await, done } }.boxed());
    }

    async fn finish(&mut self, outcome: Outcome) {
        let (outcome, done) = match outcome {
            Outcome::Cancelled { outcome, done } => (outcome, done),
            Outcome::Subscribed { consume, mut place, had_channel, outcome, done } => {
                let was_lost = had_channel && self.place.channel.is_none();
                place.channel.take_if(|_| was_lost);
                place.leave_unconnected();
                self.place = place;
                let outcome = match outcome {
                    Ok(_) if was_lost => Err(Fault::Unavailable.into()),
                    Err(Failed { fault, .. }) if was_lost => Err(fault.into()),
                    usual => usual,
                };
                (outcome.map(|consumed| self.consumed(consume, consumed)), done)
            }
        };
        let outcome = match outcome {
            Ok(()) => Ok(()),
            Err(Failed { fault, left }) => {
                match left {
                    Left::Cancelled(key, consumer) => self.consumers.push(events(key, consumer).boxed()),
                    Left::Channel => {}
                    Left::Nothing => self.channel_lost(&fault).await,
                }
                Err(fault)
            }
        };
        // Nobody listens when the session has gone meanwhile.
        drop(done.send(outcome));
    }

    fn consumed(&mut self, consume: Consume, Consumed { name, consumer, claim }: Consumed) {
        let (tag, Consume { key, source, .. }) = (operations::tag(&consume), consume);
        source.consumed(claim.as_ref());
        let claim = match (&source, claim) {
            (Source::Replies(queue), Some(claim)) => {
                queue.opened(name, claim);
                None
            }
            (_, claim) => claim,
        };
        self.consumers.push(events(key, consumer).boxed());
        let counted = Counted::new(&self.parts.context.metrics.private_consumers);
        let subscription = Subscription { tag, source, drained: None, claim, _counted: counted };
        self.subscriptions.insert(key, subscription);
    }

    fn deliver(&self, key: SubscriptionKey, delivery: AmqpDelivery) {
        let (tag, redelivered) = (delivery.delivery_tag, delivery.redelivered);
        let token = self.shared.delivered(tag, origin(&delivery));
        if self.subscriptions.get(&key).is_none_or(|it| it.drained.is_some()) {
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
        let Some(channel) = self.place.channel.clone() else { return };
        let (channel, context) = (&channel.0, self.parts.context.clone());
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
        if self.place.channel.as_ref().is_none_or(|it| !it.0.status().connected()) {
            return self.channel_lost(&Fault::Unavailable).await;
        }
        if let Some(subscription) = self.subscriptions.remove(&key) {
            self.ended(key, subscription);
        }
    }

    fn ended(&self, key: SubscriptionKey, subscription: Subscription) {
        if let Source::Replies(queue) = &subscription.source {
            queue.ended();
        }
        match subscription.drained {
            Some(drained) => drop(drained.send(())),
            // RabbitMQ ended it: its queue was deleted, or the node that held it has gone, or its channel was closed.
            None => self.outbox.push_event(Item::SubscriptionEnded(key)),
        }
    }

    /// RabbitMQ closed the channel, and with it all that was consumed on it. The next subscription opens another one.
    async fn channel_lost(&mut self, fault: &Fault) {
        if self.place.channel.take().is_none() {
            return;
        }
        sleep(LOSS_DELAY).await;
        if self.place.home().is_some_and(|home| !home.line.is_connected()) {
            // All of this generation ends, this task with it, and the link says so.
            pending::<()>().await;
        }
        warn!(%fault, subscriptions = self.subscriptions.len(), "RabbitMQ closed the channel of a session");
        self.consumers = SelectAll::new();
        self.shared.begin_scope(self.parts.ids.next_scope());
        for (key, subscription) in std::mem::take(&mut self.subscriptions) {
            self.ended(key, subscription);
        }
    }

    /// RabbitMQ requeues what is unsettled.
    async fn close(mut self) {
        let Some(channel) = self.place.channel.take() else { return };
        if let Err(fault) = self.parts.context.answer(channel.0.close(200, "OK".into())).await {
            warn!(%fault, "the channel of a session was not closed in order");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Waits for ever while there is none.
async fn ended(operation: &mut Option<BoxFuture<'static, Outcome>>) -> Outcome {
    let Some(running) = operation else { return pending().await };
    let outcome = running.await;
    *operation = None;
    outcome
}

/// A stream says for each message where it is in it; other publishers can't give a header that type by STOMP.
fn origin(delivery: &AmqpDelivery) -> Origin {
    let offset = delivery.properties.headers().as_ref().and_then(|it| it.inner().get("x-stream-offset"));
    if matches!(offset, Some(AMQPValue::LongLongInt(_))) { Origin::Stream } else { Origin::Queue }
}

fn events(key: SubscriptionKey, consumer: Consumer) -> impl futures::Stream<Item = Event> + Send {
    consumer
        // An error is the channel's, which is asked when the stream ends.
        .filter_map(move |it| ready(it.ok().map(|it| Event::Delivered(key, Box::new(it)))))
        .chain(stream::once(ready(Event::Ended(key))))
}
