//! What every state of a session has: its identity, its settings, its clock, and what it wants done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::action::{Action, Sent};
use super::rate::{Rate, Rates};
use super::refusal::Refusal;
use super::settings::Settings;
use super::timers::Timers;
use crate::ident::{OpId, Principal, SessionId};
use crate::stomp::{Command, Encoder, Version};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) id: SessionId,
    pub(super) settings: Arc<Settings>,
    /// Who the client is, once CONNECT was accepted; `None` if that is nobody's business.
    pub(super) user: Option<Principal>,
    pub(super) timers: Timers,
    pub(super) rates: Rates,
    /// Since when the gateway stops.
    pub(super) draining: Option<Instant>,
    /// The time of the input at hand.
    pub(super) now: Instant,
    /// Agreed on by CONNECT; until then that of a client that says nothing.
    pub(super) version: Version,
    actions: VecDeque<Action>,
    ops: u64,
}

impl Core {
    pub(super) fn new(id: SessionId, settings: Arc<Settings>, now: Instant) -> Self {
        let timers = Timers::new(now, settings.connect_wait, settings.ping_interval, settings.write_stall_max);
        let (version, rates) = (Version::V1_0, Rates::default());
        let actions = VecDeque::new();
        Self { id, settings, user: None, timers, rates, draining: None, now, version, actions, ops: 0 }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// The client has sent so much.
    pub(super) fn received(&mut self, rate: Rate, count: usize) {
        if self.rates.take(rate, count, self.now, &self.settings) {
            self.act(Action::Throttle(rate));
        }
    }

    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn next_op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    pub(super) fn transmit(&mut self, sent: Sent, bytes: Bytes) {
        self.timers.sent(self.now);
        self.act(Action::Transmit { sent, bytes });
    }

    /// Answers a frame that asked for a receipt and has taken effect.
    pub(super) fn receipt(&mut self, id: Option<&str>) {
        let Some(id) = id else { return };
        let mut frame = Encoder::new(self.version, Command::Receipt);
        frame.header("receipt-id", id);
        self.transmit(Sent::Receipt, frame.finish());
    }

    /// Says what is wrong, in the words of the refusal.
    pub(super) fn refuse(&mut self, refusal: &Refusal, receipt: Option<&str>) {
        let subscription = if let Refusal::SubscriptionEnded(it) = refusal { Some(it.id().as_str()) } else { None };
        self.error(refusal.title(), &refusal.text(), refusal.label(), receipt, subscription);
    }

    pub(super) fn error(
        &mut self,
        title: &str,
        text: &str,
        label: &str,
        receipt: Option<&str>,
        subscription: Option<&str>,
    ) {
        let mut frame = Encoder::new(self.version, Command::Error);
        frame.header("message", title);
        frame.header("content-type", "text/plain");
        frame.header("version", Version::SUPPORTED);
        frame.header("stompgate-error", label);
        for (name, value) in [("receipt-id", receipt), ("subscription", subscription)] {
            if let Some(value) = value {
                frame.header(name, value);
            }
        }
        self.transmit(Sent::Error, frame.body(text.as_bytes()));
    }
}
