//! What a driver waits for, in the order in which it looks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, Sleep};

use super::{Asked, Driver, InFlight, Opened, WRITE_BUFFER_MAX};
use crate::broker::Link;
use crate::delivery::Item;
use crate::ident::OpId;
use crate::session::{Answer, CloseReason, Fault, Input, Outcome, Phase};
use crate::stomp::is_printed_bytes;
use crate::transport::{Gone, Inbound};

/// Fewer than tokio lets a task do at a time: when that is used up, nothing can be written either.
const READS_IN_A_ROW_MAX: u32 = 32;

/// How long what a client has left behind may wait for a broker that does not answer, once the client has gone: others
/// may need its place.
const GONE_PATIENCE: Duration = Duration::from_secs(60);

/// What a client is told that sends binary data over SockJS.
const PRINTED: &str = "SockJS carries text, and bytes arrive as numbers: leave out forceBinaryWSFrames";

pub(super) enum Event {
    Done(OpId, Outcome),
    Drain,
    Flushed(Result<(), Gone>),
    Inbound(Inbound),
    Opened(OpId, Result<Opened, Fault>),
    Outbox,
    Stop,
    Timeout,
    WriteBlocked,
    WrittenInPart,
}

impl Driver {
    /// Deadlines come first, but for one read: what a client that never pauses sends must not hold them up, and what it
    /// sent while nobody ran must not pass for silence. Then answers of the broker, which free what the rest waits for.
    /// The flush comes last, so that all that is at hand goes out in one write. After some reads in a row it goes
    /// before them, so that its turn does come.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Event> {
        if timer.poll(cx).is_ready() {
            let read = if self.reads_in_a_row == 0 { self.poll_inbound(cx) } else { Poll::Pending };
            return if read.is_ready() { read } else { Poll::Ready(Event::Timeout) };
        }
        if let Some(opening) = &mut self.opening
            && let Poll::Ready(outcome) = opening.future.as_mut().poll(cx)
        {
            let op = opening.op;
            self.opening = None;
            return Poll::Ready(Event::Opened(op, outcome));
        }
        self.poll_calls(cx);
        if let Some(InFlight { op, step, .. }) = self.in_flight.front_mut()
            && let Poll::Ready(outcome) = step.poll(cx)
        {
            return Poll::Ready(Event::Done(*op, outcome));
        }
        let reads_first = self.reads_in_a_row < READS_IN_A_ROW_MAX;
        if reads_first && let Poll::Ready(event) = self.poll_inbound(cx) {
            return Poll::Ready(event);
        }
        if let Poll::Ready(event) = self.poll_outbound(cx) {
            return Poll::Ready(event);
        }
        if reads_first { Poll::Pending } else { self.poll_inbound(cx) }
    }

    /// Tells the session whether its client can be heard.
    pub(super) fn note_reading(&mut self) {
        let is_reading = self.wants_bytes();
        if is_reading != self.is_reading {
            self.is_reading = is_reading;
            self.handle(if is_reading { Input::ReadResumed } else { Input::ReadPaused });
        }
    }

    fn wants_bytes(&self) -> bool {
        // One byte more than a frame may have is what tells one that is too large from one that is not whole.
        self.session.wants_input()
            && self.has_room()
            && self.ended.is_none()
            && self.decoder.buffered() <= self.context.limits.frame_bytes_max
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.wants_bytes() { self.transport.poll_receive(cx).map(Event::Inbound) } else { Poll::Pending }
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let has_reader = self.transport.poll_room(cx).is_ready();
        // A session that is given up need not wait until its client reads again.
        let is_wanted = has_reader && self.has_room() && self.session.wants_deliveries();
        let waiting = if is_wanted { self.outbox.poll_ready(cx) } else { self.outbox.poll_overflowed(cx) };
        if waiting.is_ready() {
            return Poll::Ready(Event::Outbox);
        }
        if self.is_cut_off() || !self.has_unwritten() {
            return Poll::Pending;
        }
        let before = self.transport.taken();
        match self.transport.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(Event::Flushed(flushed)),
            Poll::Pending if self.transport.taken() > before => Poll::Ready(Event::WrittenInPart),
            Poll::Pending if self.is_write_blocked => Poll::Pending,
            Poll::Pending => Poll::Ready(Event::WriteBlocked),
        }
    }

    fn has_room(&self) -> bool {
        self.transport.buffered() < WRITE_BUFFER_MAX
    }

    /// Whether something waits to be written, or was written and the session has not heard of it: the answer to a ping
    /// takes along what waits.
    fn has_unwritten(&self) -> bool {
        self.transport.buffered() > 0 || self.is_write_blocked || !self.settle_when_written.is_empty()
    }

    /// Tells the session what happened.
    pub(super) fn take(&mut self, event: Event) {
        let is_read = matches!(event, Event::Inbound(_));
        self.reads_in_a_row = if is_read { self.reads_in_a_row + 1 } else { 0 };
        match event {
            Event::Done(op, outcome) => self.done(op, outcome),
            Event::Drain => self.pick_drain_moment(),
            Event::Flushed(Ok(())) => {
                self.is_write_blocked = false;
                self.handle(Input::Written);
                self.settle_written();
            }
            Event::Flushed(Err(Gone)) => self.end(Input::Gone),
            Event::Inbound(inbound) => self.receive(inbound),
            Event::Opened(op, outcome) => {
                let outcome = outcome.map(|Opened { link, user }| {
                    self.link = Some(link);
                    self.user = user;
                    Answer::Opened { principal: self.user.as_ref().map(|it| it.user().clone()) }
                });
                let is_let_in = outcome.is_ok();
                self.handle(Input::Done { op, outcome });
                if is_let_in {
                    self.tell_connected();
                }
            }
            Event::Outbox => self.deliver(),
            // What is pending is not waited for any more.
            Event::Stop => self.closed = Some(CloseReason::Draining),
            Event::Timeout => self.timeout(),
            Event::WriteBlocked => {
                self.is_write_blocked = true;
                self.handle(Input::WriteBlocked);
            }
            Event::WrittenInPart => {
                self.is_write_blocked = true;
                self.handle(Input::WrittenInPart);
            }
        }
    }

    fn done(&mut self, op: OpId, outcome: Outcome) {
        let outcome = match outcome {
            // If the link is lost for another reason than an outage, that is it.
            Err(Fault::Unavailable) => Err(self.link.as_ref().map_or(Fault::Unavailable, Link::fault)),
            outcome => outcome,
        };
        let is_done = matches!(outcome, Ok(Answer::Done));
        let answered = self.in_flight.pop_front();
        self.handle(Input::Done { op, outcome });
        let Some(InFlight { step, asked, .. }) = answered else { return };
        match asked {
            Asked::Call(subscribed) => {
                self.tell_subscribed(subscribed.filter(|_| is_done));
                self.finish_call(step);
            }
            Asked::Publish(at) if is_done => {
                self.context.metrics.confirm_seconds.observe(at.elapsed().as_secs_f64());
            }
            Asked::Publish(_) => {}
            Asked::Subscribe(subscribed) => self.tell_subscribed(subscribed.filter(|_| is_done)),
            Asked::Unsubscribe(key, id) => {
                self.outbox.forget(key);
                self.tell_unsubscribed(id);
            }
        }
    }

    fn receive(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Alive { bytes } => {
                self.context.metrics.received_pings.inc();
                self.handle(Input::Received { bytes });
            }
            Inbound::Data(bytes) if self.is_misread(&bytes) => self.end(Input::TransportViolated { rule: PRINTED }),
            Inbound::Data(bytes) => {
                self.context.metrics.received_bytes.inc_by(bytes.len() as u64);
                self.decoder.feed(&bytes);
                self.handle(Input::Received { bytes: bytes.len() });
            }
            Inbound::Gone => self.end(Input::Gone),
            Inbound::TooLarge { max } => self.end(Input::TransportMessageTooLarge { max }),
            Inbound::Violation { rule } => self.end(Input::TransportViolated { rule }),
        }
    }

    /// The first words of a client that sends binary data where only text can pass (T5).
    fn is_misread(&self, bytes: &[u8]) -> bool {
        let is_first = self.session.phase() == Phase::Connecting && self.decoder.buffered() == 0;
        self.transport.is_text_only() && is_first && is_printed_bytes(bytes)
    }

    /// Passes on what waits, as much as the transport should hold.
    fn deliver(&mut self) {
        while let Some(item) = self.outbox.pop() {
            self.handle(match item {
                Item::AfterLoss(it) => Input::Deliver { delivery: it.delivery, dropped: it.dropped },
                Item::Delivery(delivery) => Input::Deliver { delivery, dropped: 0 },
                Item::LinkLost => Input::LinkLost(self.link.as_ref().map_or(Fault::Unavailable, Link::fault)),
                Item::Overflowed => Input::Overflowed,
                Item::SubscriptionEnded(key) => Input::SubscriptionEnded { key },
            });
            self.carry_out();
            if self.transport.buffered() >= WRITE_BUFFER_MAX || !self.session.wants_deliveries() {
                break;
            }
        }
    }

    /// All sessions at once would come back all at once.
    fn pick_drain_moment(&mut self) {
        let delay = self.context.drain_period.mul_f64(rand::rng().random());
        self.drain_at = Some(Instant::now() + delay);
    }

    fn timeout(&mut self) {
        let now = Instant::now();
        if self.drain_at.is_some_and(|it| it <= now) {
            self.drain_at = None;
            self.drain();
        }
        if self.abandon_at.is_some_and(|it| it <= now) {
            self.abandon_at = None;
            self.handle(Input::Gone);
        }
        // What it sent can't be read at its rate any more when it is gone, only at once.
        if !self.session.wants_input() && self.transport.has_ended() {
            self.handle(Input::ReadEnded);
        }
        self.handle(Input::Timeout);
    }

    /// A client that is connected is not read from any more; what was read before still takes effect.
    fn drain(&mut self) {
        if self.session.phase() != Phase::Connected {
            self.handle(Input::Drain);
        } else {
            if self.ended.is_none() {
                self.end(Input::Drain);
            }
            self.handle(Input::Draining);
        }
    }

    /// Nothing is read any more, for that reason.
    fn end(&mut self, reason: Input) {
        if matches!(reason, Input::Gone) {
            self.abandon_at = Some(Instant::now() + GONE_PATIENCE);
        }
        self.ended = Some(reason);
        self.handle(Input::ReadEnded);
    }

    /// Nothing that is written would arrive.
    fn is_cut_off(&self) -> bool {
        self.ended.as_ref().is_some_and(|it| !matches!(it, Input::Drain))
    }
}
