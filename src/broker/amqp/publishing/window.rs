//! What was handed to RabbitMQ and is not answered yet, in order, each with its content until then.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures::future::BoxFuture;
use lapin::{Confirmation, PublisherConfirm};
use prometheus::{IntCounter, IntGauge};
use tokio::time::Instant;

use super::outgoing::{Outgoing, Turn};
use crate::broker::amqp::metrics::{Counted, Metrics};
use crate::ident::SessionId;
use crate::session::Fault;

/// RabbitMQ's answer to one publish; that of the library, except in tests.
pub(super) trait Confirm: Future<Output = lapin::Result<Confirmation>> + Unpin {}

impl<C: Future<Output = lapin::Result<Confirmation>> + Unpin> Confirm for C {}

/// Resolves when the bytes were written.
pub(super) type Write<C = PublisherConfirm> = BoxFuture<'static, lapin::Result<C>>;

/// Only its front is answered, so the answers keep the order of the publishes.
pub(super) struct Window<C = PublisherConfirm> {
    entries: VecDeque<Entry<C>>,
    /// How many at the back are not known to be written.
    unwritten: usize,
    counts: Counts,
}

/// What is counted of it.
#[derive(Clone)]
pub(super) struct Counts {
    in_flight: IntGauge,
    /// Confirmed, and in no queue, where RabbitMQ was asked to say so.
    returned: IntCounter,
}

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { in_flight: metrics.publishes_in_flight.clone(), returned: metrics.users.absent.clone() }
    }
}

pub(super) struct Entry<C = PublisherConfirm> {
    pub(super) publish: Outgoing,
    pub(super) state: State<C>,
    /// When it was written first, if this one stands for its batch in the histogram.
    pub(super) observed_from: Option<Instant>,
    /// How often it was written while nothing else was on its channel: what happens to the channel is its doing then.
    pub(super) times_alone: u32,
    in_flight: Option<Counted>,
}

pub(super) enum State<C = PublisherConfirm> {
    Answered(Result<(), Fault>),
    Confirming {
        confirm: C,
        written: Instant,
    },
    /// The channel was lost, because of this one or of another.
    Failed(lapin::Error),
    /// To be written once more.
    Waiting,
    Writing(Write<C>),
}

impl<C: Confirm> Window<C> {
    pub(super) const fn new(counts: Counts) -> Self {
        Self { entries: VecDeque::new(), unwritten: 0, counts }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_writing(&self) -> bool {
        self.unwritten > 0
    }

    pub(super) fn front(&mut self) -> Option<&mut Entry<C>> {
        self.entries.front_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Entry<C>> {
        let entry = self.entries.pop_front();
        self.unwritten = self.unwritten.min(self.entries.len());
        entry
    }

    /// What the session has on a channel that is lost, unless some of it is not known to be: its order would be lost.
    pub(super) fn take_failed(&mut self, session: SessionId, cx: &mut Context<'_>) -> Vec<Outgoing> {
        let mut own = self.entries.iter_mut().filter(|it| it.publish.session == session);
        if own.any(|it| it.poll_answer(&self.counts, cx).is_pending()) {
            return Vec::new();
        }
        let is_taken = |it: &Entry<C>| it.publish.session == session && matches!(it.state, State::Failed(_));
        let (taken, kept): (VecDeque<_>, _) = mem::take(&mut self.entries).into_iter().partition(is_taken);
        self.entries = kept;
        self.unwritten = self.unwritten.min(self.entries.len());
        taken.into_iter().map(|it| it.publish).collect()
    }

    /// These have to be published again, whatever the broker has said of them or may yet say.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(&Outgoing) -> bool) {
        for entry in self.entries.iter_mut().filter(|it| is_forgotten(&it.publish)) {
            (entry.state, entry.in_flight) = (State::Waiting, None);
        }
    }

    /// Everything, in order, to be published again unless it has its answer.
    pub(super) fn take(&mut self) -> VecDeque<Outgoing> {
        self.unwritten = 0;
        let mut cx = Context::from_waker(Waker::noop());
        let entries = mem::take(&mut self.entries).into_iter();
        entries.map(|entry| entry.end(&self.counts, &mut cx)).collect()
    }

    /// Polls the write at once: that puts the frames into the library's queue, and so decides the order.
    pub(super) fn push(
        &mut self,
        publish: Outgoing,
        state: State<C>,
        observed_from: Option<Instant>,
        cx: &mut Context<'_>,
    ) {
        let mut entry = Entry { publish, state, observed_from, times_alone: 0, in_flight: None };
        if entry.poll_write(&self.counts, cx).is_pending() || self.unwritten > 0 {
            self.unwritten += 1;
        }
        self.entries.push_back(entry);
    }

    /// Writes the front again, while nothing else is on its channel.
    pub(super) fn write_alone(&mut self, write: Write<C>, cx: &mut Context<'_>) {
        let Some(front) = self.entries.front_mut() else { return };
        front.state = State::Writing(write);
        front.times_alone += 1;
        match front.poll_write(&self.counts, cx) {
            // What became of it is seen at the next poll.
            Poll::Ready(()) | Poll::Pending => {}
        }
    }

    /// Ready when the front can be taken or has failed, or when the last of what was being written has been.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let was_writing = self.is_writing();
        while let Some(entry) = self.entries.len().checked_sub(self.unwritten).and_then(|it| self.entries.get_mut(it)) {
            if entry.poll_write(&self.counts, cx).is_pending() {
                break;
            }
            self.unwritten -= 1;
        }
        let front = match self.entries.front_mut() {
            Some(entry) => entry.poll_answer(&self.counts, cx),
            None => Poll::Pending,
        };
        if was_writing && !self.is_writing() { Poll::Ready(()) } else { front }
    }
}

impl<C: Confirm> Entry<C> {
    /// What is left of it when no more answers come.
    fn end(mut self, counts: &Counts, cx: &mut Context<'_>) -> Outgoing {
        let poll = self.poll_answer(counts, cx);
        let Self { mut publish, state, .. } = self;
        match (poll, state) {
            (Poll::Ready(()), State::Answered(outcome)) => publish.turn = Turn::Answer(outcome),
            (Poll::Ready(()) | Poll::Pending, _) => publish.lost(),
        }
        publish
    }

    fn poll_write(&mut self, counts: &Counts, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Writing(write) = &mut self.state {
            self.state = match ready!(write.as_mut().poll(cx)) {
                Ok(confirm) => {
                    self.in_flight = Some(Counted::new(&counts.in_flight));
                    State::Confirming { confirm, written: Instant::now() }
                }
                Err(error) => State::Failed(error),
            };
        }
        Poll::Ready(())
    }

    fn poll_answer(&mut self, counts: &Counts, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_write(counts, cx));
        match &mut self.state {
            State::Answered(_) | State::Failed(_) => Poll::Ready(()),
            State::Confirming { confirm, .. } => {
                self.state = match ready!(Pin::new(confirm).poll(cx)) {
                    Ok(Confirmation::Ack(returned)) => {
                        // The library may hand it out with the confirm of another message, but only once.
                        counts.returned.inc_by(u64::from(returned.is_some()));
                        State::Answered(Ok(()))
                    }
                    Ok(Confirmation::NotRequested) => State::Answered(Ok(())),
                    Ok(Confirmation::Nack(_)) => State::Answered(Err(Fault::Nacked)),
                    Err(error) => State::Failed(error),
                };
                self.in_flight = None;
                Poll::Ready(())
            }
            State::Waiting | State::Writing(_) => Poll::Pending,
        }
    }
}
