//! What follows from the answers of RabbitMQ to a SUBSCRIBE or an UNSUBSCRIBE.

use futures::StreamExt;
use lapin::Consumer;
use tokio::time::Instant;
use tracing::debug;

use super::{Outcome, Worker, events};
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::metrics::Counted;
use crate::broker::amqp::private::Source;
use crate::broker::amqp::private::cause::Cause;
use crate::broker::amqp::private::operations::{Consumed, Failed, Left, Place};
use crate::ident::SubscriptionKey;
use crate::session::Fault;

impl Worker {
    pub(super) async fn finish(&mut self, outcome: Outcome, generation: &Generation) {
        let failed = match outcome {
            Outcome::Cancelled { key, outcome } => self.cancelled(key, outcome),
            Outcome::Deleted(outcome) => {
                self.deleted(outcome);
                None
            }
            Outcome::Subscribed { key, place, had_channel, outcome } => {
                self.subscribed(key, place, had_channel, outcome, generation.number)
            }
        };
        self.come_back(generation.number);
        // Last, as all of this may end meanwhile.
        if let Some(fault) = failed {
            self.channel_lost(&fault).await;
        }
    }

    /// For what the channel was lost, if it was.
    fn cancelled(&mut self, key: SubscriptionKey, outcome: Result<(), Failed>) -> Option<Fault> {
        self.subscriptions.remove(key);
        let unsubscribing = self.unsubscribing.take()?;
        match outcome {
            Err(Failed { fault, .. }) if !self.is_held() => {
                unsubscribing.tell(Err(fault.clone()));
                Some(fault)
            }
            // Without its channel the consumer has ended as well.
            outcome => {
                self.unsubscribing = unsubscribing.cancelled(Instant::now());
                outcome.err().map(|it| it.fault)
            }
        }
    }

    fn deleted(&mut self, outcome: Result<(), Fault>) {
        let Some(mut unsubscribing) = self.unsubscribing.take() else { return };
        match outcome {
            Ok(()) => unsubscribing.deleted(),
            Err(fault) if self.is_held() && Cause::of(&fault) == Cause::Outage => {
                unsubscribing.postpone(Instant::now());
                self.unsubscribing = Some(unsubscribing);
            }
            Err(fault) => unsubscribing.tell(Err(fault)),
        }
    }

    /// For what the channel was lost, if it was.
    fn subscribed(
        &mut self,
        key: SubscriptionKey,
        mut place: Place,
        had_channel: bool,
        outcome: Result<Consumed, Failed>,
        generation: u64,
    ) -> Option<Fault> {
        let was_lost = had_channel && self.place.channel.is_none();
        place.channel.take_if(|_| was_lost);
        place.leave_unconnected();
        self.place = place;
        let Failed { fault, left } = match outcome {
            Ok(_) if was_lost => Fault::Unavailable.into(),
            Err(Failed { fault, .. }) if was_lost => fault.into(),
            Ok(consumed) => {
                self.consumed(key, consumed, generation);
                return None;
            }
            Err(failed) => failed,
        };
        self.not_consumed(key, &fault);
        match left {
            Left::Cancelled(consumer) => {
                self.listen(key, consumer);
                None
            }
            Left::Channel => None,
            Left::Nothing => Some(fault),
        }
    }

    fn consumed(&mut self, key: SubscriptionKey, consumed: Consumed, generation: u64) {
        let Consumed { name, consumer, claim } = consumed;
        let Some(subscription) = self.subscriptions.get(key) else { return };
        let source = &subscription.consume.source;
        source.consumed(claim.as_ref());
        let is_filled = source.is_filled();
        let claim = match source {
            Source::Replies(queue) => {
                queue.opened(generation, name, claim);
                None
            }
            _ => claim,
        };
        let counted = Counted::new(&self.context.metrics.private_consumers);
        let number = self.listen(key, consumer);
        self.subscriptions.consumed(key, (number, counted), claim);
        if is_filled && self.member.is_none() {
            self.member = Some(self.epochs.gate.join());
        }
    }

    fn listen(&mut self, key: SubscriptionKey, consumer: Consumer) -> u64 {
        self.consumers_count += 1;
        self.consumers.push(events(key, self.consumers_count, consumer).boxed());
        self.consumers_count
    }

    /// What was not refused is asked for again.
    fn not_consumed(&mut self, key: SubscriptionKey, fault: &Fault) {
        let Some(subscription) = self.subscriptions.get(key) else { return };
        let cause = Cause::of(fault);
        let is_again = if subscription.was_consumed {
            cause.may_pass(self.since.elapsed())
        } else {
            self.is_held() && cause == Cause::Outage
        };
        debug!(%fault, is_again, "RabbitMQ did not let a session consume");
        if is_again {
            self.subscriptions.postpone(key, cause != Cause::Outage, Instant::now());
        } else if let Some(mut subscription) = self.subscriptions.remove(key) {
            subscription.tell(&Err(fault.clone()));
            if subscription.was_consumed {
                self.tell_ended(key, &subscription);
            }
        }
    }

    /// Publishes wait no longer, if RabbitMQ has answered for all that they would miss.
    pub(super) fn come_back(&mut self, generation: u64) {
        match (self.subscriptions.are_back(), &mut self.member) {
            (None, member) => *member = None,
            (Some(true), Some(member)) => member.is_back(generation),
            (Some(_), _) => {}
        }
    }
}
