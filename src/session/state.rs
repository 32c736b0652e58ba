//! The states of a session and the way between them.
//!
//! ```text
//!                 CONNECT                opened                 DISCONNECT, drain
//! AwaitingConnect ───────▶ Opening ─────────────▶ Connected ────────────────────▶ Leaving
//!        ▲                    │                      │                               │ nothing pending
//!        └─────── refused ◀───┘                      │                               ▼
//!  (close_on_error is off)    └── refused, timers, faults, the client is gone ──▶ Closed
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::{Action, Sent};
use super::close::CloseReason;
use super::connect::Opening;
use super::connected::{Connected, Next, requeue};
use super::core::Core;
use super::input::{Answer, Input, Outcome};
use super::rate::Rate;
use super::refusal::Refusal;
use super::settings::Settings;
use super::timers::Due;
use crate::ident::{OpId, SessionId};
use crate::message::Delivery;
use crate::stomp::{Command, Frame, Version};

/// One STOMP session. See the module's documentation.
#[derive(Debug)]
pub struct Session {
    core: Core,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitingConnect,
    Opening(Opening),
    Connected(Box<Connected>),
    /// Nothing is read any more; what is pending is waited for.
    Leaving {
        connected: Box<Connected>,
        receipt: Option<Box<str>>,
        reason: CloseReason,
    },
    Closed,
}

/// Where a session is, as an operator sees it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    Connecting,
    Connected,
    Closing,
}

/// What a broker that is there may need for a SUBSCRIBE.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(1);

impl Session {
    pub fn new(id: SessionId, settings: Arc<Settings>, now: Instant) -> Self {
        Self { core: Core::new(id, settings, now), state: State::AwaitingConnect }
    }

    /// Takes note of something that happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.core.now = now;
        self.core.rates.pass(now);
        if matches!(self.state, State::Closed) {
            return;
        }
        match input {
            Input::Deliver { delivery, dropped } => self.deliver(delivery, dropped),
            Input::Done { op, outcome } => self.done(op, outcome),
            Input::Dismissed => self.dismiss(),
            Input::Drain => self.drain(),
            Input::Draining => self.core.draining = Some(now),
            Input::Frame(frame) => self.frame(frame),
            Input::Gone => self.close(CloseReason::Gone, None),
            Input::LinkLost(fault) => self.close(CloseReason::link_lost(fault), None),
            Input::ReadEnded => self.core.rates.lift(),
            Input::ReadPaused => self.core.timers.read_paused(now),
            Input::ReadResumed => self.core.timers.read_resumed(now),
            Input::Received { bytes } => {
                self.core.timers.heard(now);
                self.core.received(Rate::Bytes, bytes);
            }
            Input::Malformed { error, receipt } => self.close(CloseReason::Malformed(error), receipt.as_deref()),
            Input::Overflowed => self.close(CloseReason::SlowConsumer, None),
            Input::SubscriptionEnded { key } => {
                let connected = match &mut self.state {
                    State::Connected(it) | State::Leaving { connected: it, .. } => it,
                    State::AwaitingConnect | State::Opening(_) | State::Closed => return,
                };
                if let Some(refusal) = connected.subscription_ended(key) {
                    self.refuse(refusal, None);
                }
            }
            Input::Timeout => self.timeout(),
            Input::TransportMessageTooLarge { max } => self.close(CloseReason::MessageTooLarge { max }, None),
            Input::TransportViolated { rule } => self.close(CloseReason::TransportViolated { rule }, None),
            Input::WriteBlocked => self.core.timers.blocked(now),
            Input::Written => self.core.timers.written(),
            Input::WrittenInPart => self.core.timers.written_in_part(now),
        }
    }

    /// The next thing to carry out. Empty it after every [`Session::handle`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.core.next_action()
    }

    /// When [`Input::Timeout`] is wanted, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [self.core.timers.next(), self.core.rates.paused_until(), self.subscribe_deadline()];
        all.into_iter().flatten().min().filter(|_| !matches!(self.state, State::Closed))
    }

    /// Whether the client may send more. If not, leave it where it is.
    pub fn wants_input(&self) -> bool {
        self.core.rates.paused_until().is_none()
    }

    /// Whether a frame can take effect now. If not, leave what was received where it is.
    pub fn wants_frames(&self) -> bool {
        if !self.wants_input() {
            return false;
        }
        match &self.state {
            State::AwaitingConnect => true,
            State::Connected(connected) => connected.wants_frames(&self.core),
            State::Opening(_) | State::Leaving { .. } | State::Closed => false,
        }
    }

    /// Whether a delivery may be written now. If not, leave it where it waits.
    pub fn wants_deliveries(&self) -> bool {
        match &self.state {
            State::Connected(connected) => connected.wants_deliveries(),
            State::AwaitingConnect | State::Opening(_) | State::Leaving { .. } | State::Closed => false,
        }
    }

    /// What was agreed on; `None` before CONNECT was accepted.
    pub fn version(&self) -> Option<Version> {
        match self.state {
            State::Connected(_) | State::Leaving { .. } => Some(self.core.version),
            State::AwaitingConnect | State::Opening(_) | State::Closed => None,
        }
    }

    /// Whether its client may expect to hear from it every so often.
    pub fn promises_heartbeats(&self) -> bool {
        self.core.timers.sends_heartbeats()
    }

    /// How many subscriptions it holds.
    pub fn subscriptions(&self) -> usize {
        match &self.state {
            State::Connected(it) | State::Leaving { connected: it, .. } => it.subscriptions.len(),
            State::AwaitingConnect | State::Opening(_) | State::Closed => 0,
        }
    }

    pub fn phase(&self) -> Phase {
        match self.state {
            State::AwaitingConnect | State::Opening(_) => Phase::Connecting,
            State::Connected(_) => Phase::Connected,
            State::Leaving { .. } | State::Closed => Phase::Closing,
        }
    }

    fn frame(&mut self, frame: Frame) {
        if frame.command == Command::Send {
            self.core.received(Rate::Messages, 1);
        }
        let receipt: Option<Box<str>> = frame.header("receipt").map(Into::into);
        let next = match &mut self.state {
            State::AwaitingConnect if matches!(frame.command, Command::Connect | Command::Stomp) => {
                Opening::begin(&mut self.core, &frame).map(|opening| {
                    self.state = State::Opening(opening);
                    Next::Continue
                })
            }
            State::AwaitingConnect => Err(Refusal::NotConnected),
            State::Connected(connected) => connected.frame(&mut self.core, frame),
            State::Opening(_) | State::Leaving { .. } | State::Closed => return,
        };
        match next {
            Ok(Next::Continue) => {}
            Ok(Next::Disconnect { receipt }) => self.leave(CloseReason::Disconnected, receipt),
            Err(refusal) => self.refuse(refusal, receipt.as_deref()),
        }
    }

    fn done(&mut self, op: OpId, outcome: Outcome) {
        match &mut self.state {
            State::Opening(opening) if opening.op == op => self.opened(outcome),
            State::Connected(connected) => {
                let result = connected.done(&mut self.core, op, outcome);
                let deferred = connected.take_deferred();
                if let Err((refusal, receipt)) = result {
                    self.refuse(refusal, receipt.as_deref());
                }
                if let Some(frame) = deferred {
                    self.frame(frame);
                }
            }
            State::Leaving { connected, .. } => {
                if let Err((refusal, receipt)) = connected.done(&mut self.core, op, outcome) {
                    self.core.refuse(&refusal, receipt.as_deref());
                }
                self.left();
            }
            State::AwaitingConnect | State::Opening(_) | State::Closed => {}
        }
    }

    fn opened(&mut self, outcome: Outcome) {
        let State::Opening(opening) = std::mem::replace(&mut self.state, State::AwaitingConnect) else { return };
        match outcome {
            Ok(answer) => {
                let user = match answer {
                    Answer::Opened { principal } => principal,
                    Answer::Done | Answer::Untold(_) => None,
                };
                opening.finish(&mut self.core, user);
                self.state = State::Connected(Box::default());
            }
            Err(fault) => self.refuse(Refusal::Broker(fault), opening.receipt.as_deref()),
        }
    }

    fn deliver(&mut self, delivery: Delivery, dropped: u64) {
        match &mut self.state {
            State::Connected(connected) => connected.deliver(&mut self.core, delivery, dropped),
            State::Leaving { .. } => requeue(&mut self.core, delivery.token),
            State::AwaitingConnect | State::Opening(_) | State::Closed => {}
        }
    }

    fn drain(&mut self) {
        match self.state {
            State::Connected(_) => self.leave(CloseReason::Draining, None),
            State::AwaitingConnect | State::Opening(_) => self.close(CloseReason::Draining, None),
            State::Leaving { .. } | State::Closed => {}
        }
    }

    /// Where it is leaving already, it goes on to do so.
    fn dismiss(&mut self) {
        if matches!(self.state, State::Connected(_)) {
            self.leave(CloseReason::Dismissed, None);
        }
    }

    /// Ends the session once nothing is pending, so that every receipt that can be given is.
    fn leave(&mut self, reason: CloseReason, receipt: Option<Box<str>>) {
        if let State::Connected(connected) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Leaving { connected, receipt, reason };
            self.left();
        }
    }

    fn left(&mut self) {
        let State::Leaving { connected, receipt, reason } = &mut self.state else { return };
        if connected.in_flight.is_empty() {
            let (receipt, reason) = (receipt.take(), reason.clone());
            self.core.receipt(receipt.as_deref());
            self.close(reason, None);
        }
    }

    /// When the session ends in a drain though a SUBSCRIBE is pending: nobody needs that any more, and a broker that is
    /// away may not answer before the drain is over.
    fn subscribe_deadline(&self) -> Option<Instant> {
        let State::Connected(connected) = &self.state else { return None };
        Some(self.core.draining?.max(connected.in_flight.subscribing()?) + SUBSCRIBE_PATIENCE)
    }

    fn timeout(&mut self) {
        if self.subscribe_deadline().is_some_and(|it| it <= self.core.now) {
            return self.close(CloseReason::Draining, None);
        }
        self.core.timers.excuse_late_tick(self.core.now, self.core.settings.connect_wait);
        let ms = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        while let Some(due) = self.core.timers.due(self.core.now) {
            match due {
                Due::Connect => {
                    let ms = ms(self.core.settings.connect_wait);
                    return self.close(CloseReason::ConnectTimeout { ms }, None);
                }
                Due::HeartBeat => self.core.transmit(Sent::HeartBeat, bytes::Bytes::from_static(b"\n")),
                Due::Ping => {
                    self.core.timers.pinged(self.core.now);
                    self.core.act(Action::Ping);
                }
                // While much waits for the client, so does the ping; it is given up as stalled if it does not take it.
                Due::Silence(_) if self.core.timers.is_blocked() => {
                    self.core.timers.heard(self.core.now);
                }
                Due::Silence(silence) => return self.close(CloseReason::HeartBeatLost { ms: ms(silence) }, None),
                Due::Stall(stall) => return self.close(CloseReason::WriteStalled { ms: ms(stall) }, None),
            }
        }
    }

    /// Answers with an ERROR, after which the session goes on or does not.
    fn refuse(&mut self, refusal: Refusal, receipt: Option<&str>) {
        if self.core.settings.close_on_error || refusal.ends_session() {
            self.close(CloseReason::Refused(refusal), receipt);
        } else {
            self.core.refuse(&refusal, receipt);
        }
    }

    /// `receipt` is that of the frame which is at fault, if one is.
    fn close(&mut self, reason: CloseReason, receipt: Option<&str>) {
        let closing = reason.closing();
        if let CloseReason::Refused(refusal) = &reason {
            self.core.refuse(refusal, receipt);
        } else if let Some((title, text)) = &closing.error {
            self.core.error(title, text, closing.label, receipt, None);
        }
        self.core.act(Action::Close(reason));
        self.state = State::Closed;
    }
}
