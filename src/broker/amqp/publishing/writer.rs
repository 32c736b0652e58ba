//! The one task that publishes on a channel, and waits for the confirms: with two, the library would give confirms to
//! the wrong messages.
//!
//! It goes from generation to generation. With `Outage::Hold` so does everything that has no answer: it is published in
//! the next one, each session's in the order of its calls, or refused when its time is over.

mod age;
mod recovery;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll};

use lapin::Channel;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::backlog::{BATCH, Backlog};
use super::channel::publish_on;
use super::outgoing::{Outgoing, Turn};
use super::outlet::{Begin, Event, Outlet};
use super::window::{Counts, Entry, State};
use crate::broker::amqp::context::Context;
use crate::broker::amqp::epochs::Epochs;
use crate::broker::amqp::generation::Generation;
use crate::ident::SessionId;
use crate::session::Fault;
use recovery::Recovery;

pub(super) struct Writer {
    context: Arc<Context>,
    backlog: Backlog,
    /// Where it writes; nowhere between generations.
    outlet: Option<Outlet>,
    /// Of the last generation: what was written to queues there may yet be confirmed.
    former: Option<Arc<Channel>>,
    /// Until when a connection that is lost was blocked.
    blocked_until: Option<Instant>,
    /// Since the channel was lost, until all that had been written to it has a verdict.
    recovery: Option<Recovery>,
}

impl Writer {
    pub(super) fn new(context: &Arc<Context>) -> Self {
        let window_max = context.settings.publishes_in_flight_max;
        Self {
            context: context.clone(),
            backlog: Backlog::new(window_max, Counts::new(&context.metrics)),
            outlet: None,
            former: None,
            blocked_until: None,
            recovery: None,
        }
    }

    /// Until nobody can publish any more.
    pub(super) async fn run(mut self, epochs: Epochs, mut outgoing: mpsc::Receiver<Outgoing>) {
        loop {
            // Both are cancel-safe: what `work` has is in `self`.
            let generation = tokio::select! {
                generation = epochs.next() => generation,
                () = self.work(&mut outgoing) => return,
            };
            self.enter(&generation, &epochs);
            let work = self.work(&mut outgoing);
            if generation.tasks.ended().run_until_cancelled(work).await.is_some() {
                return;
            }
            self.leave();
        }
    }

    fn enter(&mut self, generation: &Arc<Generation>, epochs: &Epochs) {
        self.outlet = Some(Outlet::new(&self.context, generation, &epochs.gate));
        for publish in self.backlog.take_all() {
            self.admit(publish);
        }
        self.former = None;
    }

    fn leave(&mut self) {
        let outlet = self.outlet.take();
        if !self.holds() {
            // Dropped unanswered, which says so.
            *self = Self::new(&self.context);
            return;
        }
        self.recovery = None;
        self.backlog.end_generation();
        if let Some(outlet) = outlet {
            self.blocked_until = self.blocked_until.max(outlet.blocked_until());
            self.former = outlet.channel;
        }
    }

    async fn work(&mut self, outgoing: &mut mpsc::Receiver<Outgoing>) {
        let mut arrived = Vec::with_capacity(BATCH);
        let mut timer = pin!(sleep(self.context.settings.operation_timeout));
        let mut is_armed = false;
        loop {
            poll_fn(|cx| {
                self.settle(cx);
                self.write(cx);
                Poll::Ready(())
            })
            .await;
            is_armed = is_armed || self.arm(timer.as_mut());
            // All are cancel-safe: `recv_many` takes nothing unless it returns, the others keep their progress in `self`.
            // The front is polled before its time is looked at.
            tokio::select! {
                biased;
                event = poll_fn(|cx| poll_outlet(&mut self.outlet, cx)) => match event {
                    Event::Opened(outcome) => self.opened(outcome),
                    Event::Prepared(session, outcome) => {
                        self.prepared(session, outcome);
                        // It may have waited longer than all that did not need it.
                        is_armed = false;
                    }
                },
                count = outgoing.recv_many(&mut arrived, BATCH), if self.backlog.ready.len() < BATCH => {
                    if count == 0 {
                        return;
                    }
                    arrived.drain(..).for_each(|publish| self.admit(publish));
                }
                () = poll_fn(|cx| self.backlog.window.poll(cx)) => {}
                () = timer.as_mut(), if is_armed => {
                    is_armed = false;
                    self.expire();
                }
            }
        }
    }

    fn admit(&mut self, publish: Outgoing) {
        let session = publish.session;
        let needs_preparation = match &self.outlet {
            Some(outlet) => self.backlog.admit(publish, |it| it.needs_preparation(&outlet.generation)),
            None if self.holds() => self.backlog.admit(publish, |_| false),
            // Dropped unanswered, which says so.
            None => false,
        };
        if needs_preparation {
            self.prepare(session, Begin::Now);
        }
    }

    /// Does what the first waiting publish of a session needs.
    fn prepare(&self, session: SessionId, begin: Begin) {
        let (Some(outlet), Some(publish)) = (&self.outlet, self.backlog.lanes.first(session)) else { return };
        let deadline = self.holds().then(|| self.age().ends(publish.called));
        outlet.prepare(publish, begin, deadline);
    }

    fn prepared(&mut self, session: SessionId, mut outcome: Result<(), Fault>) {
        if let (Err(fault), Some(publish)) = (&outcome, self.backlog.lanes.first(session))
            && self.means_again(fault)
        {
            if !self.is_over(publish, Instant::now()) {
                return self.prepare(session, Begin::AfterPause);
            }
            outcome = Err(self.expired());
        }
        let Some(Outlet { generation, .. }) = &self.outlet else { return };
        if self.backlog.prepared(session, outcome, |it| it.needs_preparation(generation)) {
            self.prepare(session, Begin::Now);
        }
    }

    /// Writes what can be written now, or what has to be written again.
    fn write(&mut self, cx: &mut task::Context<'_>) {
        if self.outlet.is_none() {
            return;
        }
        if self.backlog.window.is_empty() {
            self.recovery = None;
        }
        if self.recovery.is_some() {
            return self.write_again(cx);
        }
        let count = self.backlog.writable();
        if count == 0 || self.backlog.window.is_writing() {
            return;
        }
        let Some(channel) = self.channel() else {
            // What was written to a channel that is lost has to have its verdict first.
            if self.backlog.window.is_empty() {
                self.open();
            }
            return;
        };
        let now = Instant::now();
        let mut begun = Some(now);
        for publish in self.backlog.take(count) {
            let (state, observed_from) = match &publish.turn {
                Turn::Write(_) if self.is_over(&publish, now) => (State::Answered(Err(self.expired())), None),
                Turn::Write(content) => {
                    if publish.losses > 0 {
                        self.context.metrics.republished.inc();
                    }
                    (State::Writing(publish_on(channel.clone(), content)), begun.take())
                }
                Turn::Answer(outcome) => (State::Answered(outcome.clone()), None),
            };
            self.backlog.window.push(publish, state, observed_from, cx);
        }
    }

    fn channel(&self) -> Option<Arc<Channel>> {
        self.outlet.as_ref().and_then(Outlet::channel)
    }

    fn open(&mut self) {
        if let Some(outlet) = &mut self.outlet {
            outlet.open(Begin::Now);
        }
    }

    fn opened(&mut self, outcome: Result<(), Fault>) {
        let Err(fault) = outcome else { return };
        let is_again = self.means_again(&fault);
        match &mut self.outlet {
            Some(outlet) if is_again => outlet.open(Begin::AfterPause),
            _ if self.recovery.is_some() => self.answer_front(Err(fault)),
            // Nothing is before what is ready: for that, the window had to be empty.
            _ => {
                while let Some(publish) = self.backlog.pop() {
                    self.give_up(publish, &fault);
                }
            }
        }
    }

    /// Answers what has a verdict, in order.
    fn settle(&mut self, cx: &mut task::Context<'_>) {
        while self.backlog.window.poll(cx).is_ready() {
            let Some(front) = self.backlog.window.front() else { return };
            match &front.state {
                State::Answered(outcome) => {
                    let outcome = outcome.clone();
                    self.answer_front(outcome);
                }
                // It is published again in the next generation.
                State::Failed(_) if self.outlet.is_none() => front.state = State::Waiting,
                State::Failed(error) => {
                    let error = error.clone();
                    self.front_failed(&error, cx);
                }
                State::Confirming { .. } | State::Waiting | State::Writing(_) => {}
            }
        }
    }

    fn answer_front(&mut self, outcome: Result<(), Fault>) {
        let Some(Entry { publish, observed_from, .. }) = self.backlog.window.pop() else { return };
        if let (Some(from), Ok(())) = (observed_from, &outcome) {
            self.context.metrics.confirm_seconds.observe(from.elapsed().as_secs_f64());
        }
        self.answer(publish, outcome);
    }

    /// It was not written, and will not be.
    fn give_up(&self, publish: Outgoing, fault: &Fault) {
        let outcome = match &publish.turn {
            Turn::Answer(outcome) => outcome.clone(),
            Turn::Write(_) => Err(fault.clone()),
        };
        self.answer(publish, outcome);
    }

    fn answer(&self, publish: Outgoing, outcome: Result<(), Fault>) {
        self.context.metrics.published(&outcome);
        // Nobody listens when the session has gone meanwhile.
        drop(publish.done.send(outcome));
    }
}

/// Never ready between generations.
fn poll_outlet(outlet: &mut Option<Outlet>, cx: &mut task::Context<'_>) -> Poll<Event> {
    outlet.as_mut().map_or(Poll::Pending, |it| it.poll(cx))
}
