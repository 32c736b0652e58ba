//! How long a publish waits: for its confirm, or, with `Outage::Hold`, for everything together.

use std::mem;
use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, Sleep};
use tracing::error;

use super::Writer;
use crate::broker::Outage;
use crate::broker::amqp::faults::{is_away, is_outage};
use crate::broker::amqp::publishing::outgoing::Outgoing;
use crate::broker::amqp::publishing::outlet::Outlet;
use crate::broker::amqp::publishing::window::{State, Write};
use crate::session::Fault;

/// When a publish has been held long enough. The time begins anew when RabbitMQ reads again after it had blocked the
/// connection.
#[derive(Clone, Copy)]
pub(super) struct Age {
    blocked_until: Option<Instant>,
    hold_time: Duration,
}

impl Age {
    pub(super) fn ends(self, called: Instant) -> Instant {
        self.blocked_until.map_or(called, |it| it.max(called)) + self.hold_time
    }
}

impl Writer {
    pub(super) fn holds(&self) -> bool {
        self.context.settings.outage == Outage::Hold
    }

    /// Whether no session is told of the fault: RabbitMQ is away, or slow, or a node of it is. It has refused nothing.
    pub(super) fn means_again(&self, fault: &Fault) -> bool {
        self.holds() && (is_outage(fault) || is_away(fault))
    }

    pub(super) fn age(&self) -> Age {
        Age { blocked_until: self.blocked_until(), hold_time: self.context.settings.hold_time }
    }

    fn blocked_until(&self) -> Option<Instant> {
        self.outlet.as_ref().and_then(Outlet::blocked_until).max(self.blocked_until)
    }

    /// Whether it was held for its whole time.
    pub(super) fn is_over(&self, publish: &Outgoing, now: Instant) -> bool {
        // The first says no to almost all, and asks nobody.
        self.holds()
            && now.saturating_duration_since(publish.called) >= self.context.settings.hold_time
            && self.age().ends(publish.called) <= now
    }

    /// What is told of a publish whose time is over.
    pub(super) fn expired(&self) -> Fault {
        self.context.metrics.publish_queue.expired.inc();
        Fault::Unavailable
    }

    /// Sets the timer to when something has waited long enough, if anything waits.
    pub(super) fn arm(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        timer.reset(deadline);
        true
    }

    fn deadline(&mut self) -> Option<Instant> {
        if !self.backlog.window.is_empty() {
            return self.front_deadline();
        }
        let oldest = if self.holds() { self.backlog.oldest() } else { None };
        oldest.map(|it| self.age().ends(it))
    }

    /// The time to confirm runs from when each message was written, so that those before it do not add to it, and anew
    /// when RabbitMQ reads again after it had blocked the connection.
    fn front_deadline(&mut self) -> Option<Instant> {
        let front = self.backlog.window.front()?;
        if self.context.settings.outage == Outage::Hold {
            let called = front.publish.called;
            return Some(self.age().ends(called));
        }
        let State::Confirming { written, .. } = front.state else { return None };
        let from = self.blocked_until().map_or(written, |it| written.max(it));
        Some(from + self.context.settings.operation_timeout)
    }

    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        if self.front_deadline().is_some_and(|it| it <= now) {
            self.expire_front();
        }
        if self.holds() {
            let age = self.age();
            for publish in self.backlog.take_overdue(|it| age.ends(it.called) <= now) {
                let fault = self.expired();
                self.give_up(publish, &fault);
            }
        }
    }

    fn expire_front(&mut self) {
        let Some(front) = self.backlog.window.front() else { return };
        let late = match mem::replace(&mut front.state, State::Waiting) {
            State::Confirming { confirm, .. } => Some(confirm.map(drop).boxed()),
            State::Writing(write) => Some(confirmed(write).boxed()),
            State::Answered(_) | State::Failed(_) | State::Waiting => None,
        };
        let fault = if self.holds() { self.expired() } else { self.context.timed_out() };
        self.answer_front(Err(fault));
        let (Some(late), Some(outlet)) = (late, &mut self.outlet) else { return };
        // With its channel, which would be closed if it were dropped. One that a late message may yet cost is not used
        // to tell others apart.
        let channel = if self.recovery.is_some() { outlet.channel.take() } else { outlet.channel.clone() };
        outlet.late.push(late.map(|()| drop(channel)).boxed());
        if outlet.late.len() > self.context.settings.publishes_in_flight_max {
            error!(late = outlet.late.len(), "RabbitMQ leaves too many publishes unanswered; connecting anew");
            outlet.generation.tasks.ended().cancel();
        }
    }
}

async fn confirmed(write: Write) {
    if let Ok(confirm) = write.await {
        drop(confirm.await);
    }
}
