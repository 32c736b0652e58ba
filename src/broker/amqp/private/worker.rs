//! The task of one session that has a private channel, whatever becomes of the channel: consumes, delivers, settles, and
//! begins anew when RabbitMQ was away.

mod finish;

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use lapin::Consumer;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::ledger::{Origin, Scope, Settlement};
use super::operations::{self, Consumed, Failed, Place};
use super::subscriptions::{Subscription, Subscriptions};
use super::unsubscribing::Unsubscribing;
use super::{Busy, Command, Done, Next, Parts, Shared, Source};
use crate::broker::Outage;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::epochs::Epochs;
use crate::broker::amqp::gate::Member;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::incoming;
use crate::broker::amqp::queue::STREAM_OFFSET;
use crate::broker::backoff::Backoff;
use crate::delivery::{Item, Outbox};
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::Delivery;
use crate::session::{Fault, Verdict};

/// A connection that is being closed fails its operations before it says so.
const LOSS_DELAY: Duration = Duration::from_millis(100);

/// How long queues let those go first that publishes wait for, when all come back at once.
const TURN_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    context: Arc<Context>,
    epochs: Epochs,
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    session: SessionId,
    subscriptions: Subscriptions,
    unsubscribing: Option<Unsubscribing>,
    /// While publishes have to wait until it is back.
    member: Option<Member>,
    /// Of the present generation.
    since: Instant,
    place: Place,
    consumers: SelectAll<BoxStream<'static, Event>>,
    /// That there were.
    consumers_count: u64,
    /// One after the other, while deliveries and settlements go on.
    operation: Option<BoxFuture<'static, Outcome>>,
    /// Between two channels of a generation, and when the last was lost.
    backoff: Backoff,
    lost_at: Option<Instant>,
}

/// What a consumer says, by its number.
enum Event {
    Delivered(SubscriptionKey, u64, Box<AmqpDelivery>),
    Ended(SubscriptionKey, u64),
}

/// How an operation ended.
enum Outcome {
    Cancelled {
        key: SubscriptionKey,
        outcome: Result<(), Failed>,
    },
    Deleted(Result<(), Fault>),
    /// Whether it began with the channel that the session had, and may have lost since.
    Subscribed {
        key: SubscriptionKey,
        place: Place,
        had_channel: bool,
        outcome: Result<Consumed, Failed>,
    },
}

impl Worker {
    pub(super) fn new(
        context: Arc<Context>,
        epochs: Epochs,
        shared: Arc<Shared>,
        outbox: Arc<Outbox>,
        session: SessionId,
    ) -> Self {
        let pause @ [min, max] = pauses(&context);
        Self {
            context,
            epochs,
            shared,
            outbox,
            session,
            subscriptions: Subscriptions::new(pause),
            unsubscribing: None,
            member: None,
            since: Instant::now(),
            place: Place::default(),
            consumers: SelectAll::new(),
            consumers_count: 0,
            operation: None,
            backoff: Backoff::new(min, max),
            lost_at: None,
        }
    }

    /// Until the session wants no more, or its link is lost.
    pub(super) async fn run(mut self) {
        while let Some(generation) = self.next_generation().await {
            let ended = generation.tasks.ended();
            if ended.run_until_cancelled(self.serve(&generation)).await.is_some() || !self.is_held() {
                return;
            }
            self.lost();
        }
    }

    /// `None` when the session wants no more, and nothing is left to do.
    async fn next_generation(&mut self) -> Option<Arc<Generation>> {
        loop {
            match self.shared.next(self.busy()) {
                Next::Close => return None,
                Next::Command(command) => self.command(command),
                Next::Nothing => tokio::select! {
                    () = self.shared.changed.notified() => {}
                    generation = self.epochs.next() => return Some(generation),
                },
                // Of what the last one delivered.
                Next::Settle(_) => {}
            }
        }
    }

    async fn serve(&mut self, generation: &Generation) {
        self.since = Instant::now();
        if self.subscriptions.are_wanted() && !self.subscriptions.are_filled() {
            drop(timeout(TURN_WAIT, self.epochs.gate.opened(generation.number)).await);
        }
        loop {
            if self.member.as_ref().is_some_and(|it| it.is_behind(generation.number)) {
                self.come_back(generation.number);
            }
            self.begin(&generation.private);
            match self.shared.next(self.busy()) {
                Next::Close => return self.close().await,
                Next::Command(command) => self.command(command),
                Next::Nothing => self.wait(generation).await,
                Next::Settle(settlements) => self.settle(&settlements).await,
            }
        }
    }

    fn busy(&self) -> Busy {
        if self.operation.is_some() || self.unsubscribing.is_some() {
            Busy::Operation
        } else if self.subscriptions.are_waited_for() {
            Busy::Waiting
        } else {
            Busy::Nothing
        }
    }

    fn is_held(&self) -> bool {
        self.context.settings.outage == Outage::Hold
    }

    async fn wait(&mut self, generation: &Generation) {
        let due = self.next_due();
        // All are cancel-safe: a notification is kept, a delivery stays in its stream, an operation in its place.
        tokio::select! {
            () = self.shared.changed.notified() => {}
            outcome = ended(&mut self.operation) => self.finish(outcome, generation).await,
            Some(event) = self.consumers.next(), if !self.consumers.is_empty() => {
                match event {
                    Event::Delivered(key, number, delivery) => self.deliver(key, number, *delivery, &generation.private),
                    Event::Ended(key, number) => self.consumer_ended(key, number).await,
                }
                // The streams are ready as long as RabbitMQ is faster; others have to run, too.
                tokio::task::coop::consume_budget().await;
            }
            () = until(due) => {}
        }
    }

    /// When the next operation begins, if none is under way.
    fn next_due(&self) -> Option<Instant> {
        if self.operation.is_some() {
            return None;
        }
        let delete = self.unsubscribing.as_ref().and_then(Unsubscribing::due);
        let wanted = self.subscriptions.next_due().filter(|_| !self.shared.is_closing());
        delete.into_iter().chain(wanted).min()
    }

    /// The next operation, if it is time and none is under way.
    fn begin(&mut self, parts: &Parts) {
        if self.operation.is_some() || (self.unsubscribing.is_none() && !self.subscriptions.are_wanted()) {
            return;
        }
        let now = Instant::now();
        if let Some(queue) = self.unsubscribing.as_mut().and_then(|it| it.delete(now)) {
            let delete = operations::delete(parts.clone(), self.place.clone(), queue);
            self.operation = Some(delete.map(Outcome::Deleted).boxed());
        } else if let Some(subscription) = self.subscriptions.due(now).filter(|_| !self.shared.is_closing()) {
            let (consume, must_exist) = (subscription.asked(), subscription.must_exist);
            let (parts, session, mut place) = (parts.clone(), self.session, self.place.clone());
            let had_channel = place.channel.is_some();
            let operation = async move {
                let outcome = operations::subscribe(&parts, session, &mut place, &consume, must_exist).await;
                Outcome::Subscribed { key: consume.key, place, had_channel, outcome }
            };
            self.operation = Some(operation.boxed());
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Subscribe { consume, done } => self.subscriptions.want(consume, done, Instant::now()),
            Command::Unsubscribe { key, is_final, done } => self.unsubscribe(key, is_final, done),
        }
    }

    fn unsubscribe(&mut self, key: SubscriptionKey, is_final: bool, done: Done) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            // RabbitMQ has ended it before.
            drop(done.send(Ok(())));
            return;
        };
        let (source, claim) = (&subscription.consume.source, subscription.claim.take());
        let unsubscribing = Unsubscribing::new(done, source, is_final, claim, pauses(&self.context));
        if subscription.consumer.is_none() {
            self.subscriptions.remove(key);
            self.unsubscribing = unsubscribing.cancelled(Instant::now());
            return;
        }
        let (sender, drained) = oneshot::channel();
        subscription.drained = Some(sender);
        self.unsubscribing = Some(unsubscribing);
        let cancel = operations::cancel(self.context.clone(), self.place.clone(), operations::tag(key), drained);
        self.operation = Some(cancel.map(move |outcome| Outcome::Cancelled { key, outcome }).boxed());
    }

    fn deliver(&mut self, key: SubscriptionKey, number: u64, delivery: AmqpDelivery, parts: &Parts) {
        let (tag, redelivered, offset) = (delivery.delivery_tag, delivery.redelivered, stream_offset(&delivery));
        let origin = if offset.is_some() { Origin::Stream } else { Origin::Queue };
        let token = self.shared.delivered(tag, origin);
        let subscription = self.subscriptions.get_mut(key);
        let Some(subscription) = subscription.filter(|it| it.is_consumed(number) && it.drained.is_none()) else {
            self.shared.settle(tag, Verdict::Requeued);
            return;
        };
        subscription.delivered(offset);
        self.context.metrics.private_deliveries.inc();
        let message = incoming::message(&self.context, &parts.ids, delivery);
        // Refused when the session is over: then it stays unsettled, and is requeued with the channel.
        self.outbox.push(Delivery { subscription: key, message, token: Some(token), redelivered });
    }

    async fn settle(&mut self, settlements: &[Settlement]) {
        let Some(channel) = self.place.channel.clone() else { return };
        let (channel, context) = (&channel.0, self.context.clone());
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

    /// RabbitMQ ended it: its queue was deleted, or its node has gone; or its channel was closed.
    async fn consumer_ended(&mut self, key: SubscriptionKey, number: u64) {
        if self.place.channel.as_ref().is_none_or(|it| !it.0.status().connected()) {
            return self.channel_lost(&Fault::Unavailable).await;
        }
        let Some(subscription) = self.subscriptions.get_mut(key).filter(|it| it.is_consumed(number)) else { return };
        if let Some(drained) = subscription.drained.take() {
            self.subscriptions.remove(key);
            // Nobody waits any longer if it took too long.
            drained.send(()).unwrap_or_default();
        } else if let Source::Replies(_) = &subscription.consume.source {
            // Gone for certain: it was for this channel alone.
            if let Some(subscription) = self.subscriptions.remove(key) {
                self.tell_ended(key, &subscription);
            }
        } else {
            self.subscriptions.cancelled(key, Instant::now());
        }
    }

    fn tell_ended(&self, key: SubscriptionKey, subscription: &Subscription) {
        if let Source::Replies(queue) = &subscription.consume.source {
            queue.ended();
        }
        self.outbox.push_event(Item::SubscriptionEnded(key));
    }

    /// RabbitMQ closed the channel, and with it all that was consumed on it. That is consumed again on another one.
    async fn channel_lost(&mut self, fault: &Fault) {
        if self.place.channel.take().is_none() {
            return;
        }
        sleep(LOSS_DELAY).await;
        if self.place.home().is_some_and(|home| !home.line.is_connected()) {
            // All of this generation ends.
            pending::<()>().await;
        }
        warn!(%fault, subscriptions = self.subscriptions.len(), "RabbitMQ closed the channel of a session");
        self.consumers = SelectAll::new();
        self.shared.begin_scope();
        let now = Instant::now();
        // Whoever has had a channel for longer than the longest pause does not lose one after the other.
        if self.lost_at.replace(now).is_none_or(|it| now - it > 2 * self.context.settings.reconnect_delay_max) {
            self.backoff.reset();
        }
        self.subscriptions.channel_lost(now + self.backoff.pause(false, rand::random()));
    }

    /// The generation has ended, and what was on its way to RabbitMQ with it.
    fn lost(&mut self) {
        self.operation = None;
        self.consumers = SelectAll::new();
        self.place = Place::default();
        self.shared.begin_scope();
        let now = Instant::now();
        self.subscriptions.lost(now);
        self.unsubscribing = self.unsubscribing.take().and_then(|it| it.lost(now));
    }

    /// RabbitMQ requeues what is unsettled.
    async fn close(&mut self) {
        let Some(channel) = self.place.channel.take() else { return };
        if let Err(fault) = self.context.answer(channel.0.close(200, "OK".into())).await {
            warn!(%fault, "the channel of a session was not closed in order");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.end();
    }
}

fn pauses(context: &Context) -> [Duration; 2] {
    [context.settings.reconnect_delay_min, context.settings.reconnect_delay_max]
}

/// Waits for ever while there is none.
async fn ended(operation: &mut Option<BoxFuture<'static, Outcome>>) -> Outcome {
    let Some(running) = operation else { return pending().await };
    let outcome = running.await;
    *operation = None;
    outcome
}

/// Waits for ever if there is no such time.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// A stream says for each message where it is in it; other publishers can't give a header that type by STOMP.
fn stream_offset(delivery: &AmqpDelivery) -> Option<i64> {
    match delivery.properties.headers().as_ref()?.inner().get(STREAM_OFFSET)? {
        AMQPValue::LongLongInt(offset) => Some(*offset),
        _ => None,
    }
}

fn events(key: SubscriptionKey, number: u64, consumer: Consumer) -> impl futures::Stream<Item = Event> + Send {
    consumer
        // An error is the channel's, which is asked when the stream ends.
        .filter_map(move |it| ready(it.ok().map(|it| Event::Delivered(key, number, Box::new(it)))))
        .chain(stream::once(ready(Event::Ended(key, number))))
}
