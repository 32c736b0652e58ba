//! The one task that publishes on a channel, and waits for the confirms: with two, the library would give confirms to
//! the wrong messages.
//!
//! RabbitMQ closes a channel for a publish that it refuses, and does not say which one it was. What it has not confirmed
//! is then published again, in order, each alone and confirmed before the next, so that each has a verdict of its own;
//! what it had taken before it closed the channel arrives twice. The same is done when the connection is lost alone.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use lapin::Channel;
use lapin::types::ShortString;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};
use tracing::error;

use super::channel::{Opened, open, publish_on};
use super::lanes::{Admitted, Lanes};
use super::suspects::Suspects;
use super::window::{Entry, State, Window};
use super::{NOT_FOUND, Outgoing, exception};
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::Queue;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::line::Line;
use crate::broker::amqp::shared_line::LOSSES_MAX;
use crate::ident::SessionId;
use crate::session::Fault;

/// Messages that are handed to the library at a time: enough for large writes.
const BATCH: usize = 64;

pub(super) struct Writer {
    context: Arc<Context>,
    generation: Arc<Generation>,
    /// Of the channel that is written to, or was.
    line: Option<Line>,
    channel: Option<Arc<Channel>>,
    opening: Option<BoxFuture<'static, Opened>>,
    lanes: Lanes<Outgoing>,
    preparations: FuturesUnordered<BoxFuture<'static, (SessionId, Result<(), Fault>)>>,
    /// Can be written. Bounded, as the lanes are, by the bytes of all that wait.
    ready: VecDeque<Outgoing>,
    /// Never more than may be in flight.
    window: Window,
    /// Confirms that did not come in time. The library keeps one that is dropped for ever.
    late: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Since the channel was lost, until all that had been written to it has a verdict.
    recovery: Option<Recovery>,
    suspects: Suspects<Outgoing>,
}

/// What was found out while publishing one by one.
#[derive(Default)]
struct Recovery {
    /// Exchanges that are missing, so that not each message to them costs a channel.
    missing: HashMap<ShortString, Fault>,
}

impl Recovery {
    /// Why it is of no use to write it again, if that was found out.
    fn missing(&self, publish: &Outgoing) -> Option<Fault> {
        publish.content.as_ref().ok().and_then(|it| self.missing.get(&it.exchange)).cloned()
    }
}

impl Writer {
    pub(super) fn new(context: &Arc<Context>, generation: &Arc<Generation>) -> Self {
        Self {
            context: context.clone(),
            generation: generation.clone(),
            line: None,
            channel: None,
            opening: None,
            lanes: Lanes::new(),
            preparations: FuturesUnordered::new(),
            ready: VecDeque::new(),
            window: Window::new(context.metrics.publishes_in_flight.clone()),
            late: FuturesUnordered::new(),
            recovery: None,
            suspects: Suspects::new(),
        }
    }

    pub(super) async fn run(mut self, outgoing: &mut mpsc::Receiver<Outgoing>) {
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
                opened = poll_fn(|cx| poll_opening(&mut self.opening, cx)) => self.opened(opened),
                Some((session, outcome)) = self.preparations.next(), if !self.preparations.is_empty() => {
                    self.prepared(session, outcome);
                }
                Some(()) = self.late.next(), if !self.late.is_empty() => {}
                count = outgoing.recv_many(&mut arrived, BATCH), if self.ready.len() < BATCH => {
                    if count == 0 {
                        return;
                    }
                    arrived.drain(..).for_each(|publish| self.admit(publish));
                }
                () = poll_fn(|cx| self.window.poll(cx)) => {}
                () = timer.as_mut(), if is_armed => {
                    is_armed = false;
                    self.expire_front();
                }
            }
        }
    }

    fn admit(&mut self, publish: Outgoing) {
        let session = publish.session;
        match self.lanes.admit(publish, |it| it.needs_preparation(&self.generation)) {
            Admitted::Ready(publish) => self.ready.push_back(publish),
            Admitted::Prepare => self.prepare(session),
            Admitted::Waits => {}
        }
    }

    /// Does what the first waiting publish of a session needs.
    fn prepare(&self, session: SessionId) {
        let publish = self.lanes.first(session).and_then(|it| it.content.as_ref().ok());
        let routed = publish.expect("a lane begins with a publish that needs something");
        let (queue, replies) = (routed.queue.clone(), routed.replies.clone());
        let exchange = routed.is_exchange_unsure.then(|| routed.exchange.clone());
        let generation = self.generation.clone();
        let prepared = async move {
            if let Some(queue) = queue {
                declare(&generation, &queue, session).await?;
            }
            if let Some(replies) = replies {
                replies.open().await?;
            }
            match exchange {
                Some(exchange) => generation.exchanges.check(exchange).await,
                None => Ok(()),
            }
        };
        self.preparations.push(prepared.map(move |outcome| (session, outcome)).boxed());
    }

    fn prepared(&mut self, session: SessionId, outcome: Result<(), Fault>) {
        if self.lanes.prepared(session, outcome, |it| it.needs_preparation(&self.generation), &mut self.ready) {
            self.prepare(session);
        }
    }

    /// Writes what can be written now, or what has to be written again.
    fn write(&mut self, cx: &mut task::Context<'_>) {
        if self.window.is_empty() {
            self.recovery = None;
        }
        if self.recovery.is_some() {
            return self.write_again(cx);
        }
        self.suspects.set_apart(&mut self.ready);
        let count = self.writable();
        if count == 0 || self.window.is_writing() {
            return;
        }
        let Some(channel) = self.channel() else {
            // What was written to a channel that is lost has to have its verdict first.
            if self.window.is_empty() {
                self.open();
            }
            return;
        };
        let mut begun = Some(Instant::now());
        for publish in self.take(count) {
            let (state, observed_from) = match &publish.content {
                Ok(content) => (State::Writing(publish_on(channel.clone(), content)), begun.take()),
                Err(fault) => (State::Answered(Err(fault.clone())), None),
            };
            self.window.push(publish, state, observed_from, cx);
        }
    }

    /// How many can be written together: a suspect's is alone in the window.
    fn writable(&mut self) -> usize {
        let front = self.window.front().map(|it| it.publish.session);
        if front.is_some_and(|it| self.suspects.contains(it)) {
            return 0;
        }
        if self.are_suspects_next() {
            return usize::from(self.window.is_empty());
        }
        let room = self.window_max().saturating_sub(self.window.len());
        self.ready.len().min(room).min(BATCH)
    }

    fn take(&mut self, count: usize) -> Vec<Outgoing> {
        if self.are_suspects_next() {
            return self.suspects.pop().into_iter().collect();
        }
        self.suspects.pass(count);
        self.ready.drain(..count).collect()
    }

    fn are_suspects_next(&self) -> bool {
        self.suspects.are_next(self.ready.len(), self.window_max())
    }

    fn window_max(&self) -> usize {
        self.context.settings.publishes_in_flight_max.max(1)
    }

    /// The front alone, if it is to be. What is behind it was written to a channel that is lost.
    fn write_again(&mut self, cx: &mut task::Context<'_>) {
        if !self.window.front().is_some_and(|it| matches!(it.state, State::Waiting)) {
            return;
        }
        let Some(channel) = self.channel() else { return self.open() };
        let content = self.window.front().and_then(|it| it.publish.content.as_ref().ok());
        if let Some(content) = content {
            let write = publish_on(channel, content);
            self.window.write_alone(write, cx);
            self.context.metrics.republished.inc();
        }
    }

    /// The confirm channel, unless RabbitMQ has closed it.
    fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.as_ref().filter(|it| it.status().connected()).cloned()
    }

    fn open(&mut self) {
        if self.opening.is_none() {
            self.opening = Some(open(self.context.clone(), self.generation.publish_line.clone()).boxed());
        }
    }

    fn opened(&mut self, opened: Opened) {
        self.opening = None;
        match opened {
            Ok((line, channel)) => (self.line, self.channel) = (Some(line), Some(Arc::new(channel))),
            Err(fault) if self.recovery.is_some() => self.answer_front(Err(fault)),
            // Nothing is before what is ready: for that, the window had to be empty.
            Err(fault) => {
                while let Some(publish) = self.ready.pop_front().or_else(|| self.suspects.pop()) {
                    let fault = publish.content.as_ref().err().unwrap_or(&fault).clone();
                    self.answer(publish, Err(fault));
                }
            }
        }
    }

    /// Answers what has a verdict, in order.
    fn settle(&mut self, cx: &mut task::Context<'_>) {
        while self.window.poll(cx).is_ready() {
            let Some(front) = self.window.front() else { return };
            match &front.state {
                State::Answered(outcome) => {
                    let outcome = outcome.clone();
                    self.answer_front(outcome);
                }
                State::Failed(error) => {
                    let error = error.clone();
                    self.front_failed(&error, cx);
                }
                State::Confirming { .. } | State::Waiting | State::Writing(_) => {}
            }
        }
    }

    /// The channel of the front was closed, or its connection: because of it, if it was alone there.
    fn front_failed(&mut self, error: &lapin::Error, cx: &mut task::Context<'_>) {
        // No other one can have cost the channel.
        let was_last = self.recovery.is_none() && self.window.len() == 1 && self.late.is_empty();
        let Some(front) = self.window.front() else { return };
        let is_culprit = error.is_amqp_soft_error() && (was_last || front.times_alone > 0);
        if is_culprit || front.times_alone > LOSSES_MAX {
            let session = front.publish.session;
            if !is_culprit {
                return self.answer_front(Err(Fault::Unavailable));
            }
            let fault = exception(&self.context, error);
            self.suspects.insert(session, Instant::now());
            self.convict(&fault);
            self.answer_front(Err(fault));
            return self.postpone(session, cx);
        }
        front.state = State::Waiting;
        let fault = self.recovery.get_or_insert_default().missing(&front.publish);
        if let Some(fault) = fault {
            self.answer_front(Err(fault));
        }
    }

    /// What else of the session has to be written again lets that of others pass.
    fn postpone(&mut self, session: SessionId, cx: &mut task::Context<'_>) {
        for publish in self.window.take_failed(session, cx) {
            match self.recovery.as_ref().and_then(|it| it.missing(&publish)) {
                Some(fault) => self.answer(publish, Err(fault)),
                None => {
                    self.context.metrics.republished.inc();
                    self.suspects.push(publish);
                }
            }
        }
    }

    /// Remembers what the front was refused for, if that holds for others as well.
    fn convict(&mut self, fault: &Fault) {
        let content = self.window.front().and_then(|it| it.publish.content.as_ref().ok());
        let (Some(content), Fault::Amqp { name: NOT_FOUND, .. }) = (content, fault) else { return };
        self.generation.exchanges.forget(&content.exchange);
        if let Some(recovery) = &mut self.recovery {
            recovery.missing.insert(content.exchange.clone(), fault.clone());
        }
    }

    fn answer_front(&mut self, outcome: Result<(), Fault>) {
        let Some(Entry { publish, observed_from, .. }) = self.window.pop() else { return };
        if let (Some(from), Ok(())) = (observed_from, &outcome) {
            self.context.metrics.confirm_seconds.observe(from.elapsed().as_secs_f64());
        }
        self.answer(publish, outcome);
    }

    fn answer(&self, publish: Outgoing, outcome: Result<(), Fault>) {
        self.context.metrics.published(&outcome);
        // Nobody listens when the session has gone meanwhile.
        drop(publish.done.send(outcome));
    }

    /// Sets the timer to when the front has waited long enough, if there is one that waits for RabbitMQ.
    fn arm(&mut self, timer: Pin<&mut Sleep>) -> bool {
        let Some(deadline) = self.front_deadline() else { return false };
        timer.reset(deadline);
        true
    }

    /// The time of each message runs from when it was written, so that those before it do not add to it, and anew when
    /// RabbitMQ reads again after it had blocked the connection.
    fn front_deadline(&mut self) -> Option<Instant> {
        let State::Confirming { written, .. } = self.window.front()?.state else { return None };
        let blocked_until = self.line.as_ref().and_then(Line::blocked_until);
        let from = blocked_until.map_or(written, |it| written.max(it));
        Some(from + self.context.settings.operation_timeout)
    }

    fn expire_front(&mut self) {
        if self.front_deadline().is_none_or(|it| it > Instant::now()) {
            return;
        }
        let Some(front) = self.window.front() else { return };
        let State::Confirming { confirm, .. } = mem::replace(&mut front.state, State::Waiting) else { return };
        // With its channel, which would be closed if it were dropped. One that a late message may yet cost is not used
        // to tell others apart.
        let channel = if self.recovery.is_some() { self.channel.take() } else { self.channel.clone() };
        self.late.push(confirm.map(|_| drop(channel)).boxed());
        self.answer_front(Err(self.context.timed_out()));
        if self.late.len() > self.context.settings.publishes_in_flight_max {
            error!(late = self.late.len(), "RabbitMQ leaves too many publishes unanswered; connecting anew");
            self.generation.tasks.ended().cancel();
        }
    }
}

/// Unless the session has declared it already.
async fn declare(generation: &Generation, queue: &Queue, session: SessionId) -> Result<(), Fault> {
    if !queue.is_declared(generation.number) {
        queue.keep(generation.private.homes.first().declare(queue, session).await?);
    }
    Ok(())
}

/// Never ready while no channel is being opened.
fn poll_opening(opening: &mut Option<BoxFuture<'static, Opened>>, cx: &mut task::Context<'_>) -> Poll<Opened> {
    opening.as_mut().map_or(Poll::Pending, |it| it.as_mut().poll(cx))
}
