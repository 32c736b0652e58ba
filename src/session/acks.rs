//! ACK and NACK: which deliveries wait for one, and which of them a frame settles.

use std::collections::BTreeMap;

use super::action::{AckMode, Verdict};
use super::refusal::Refusal;
use super::settings::AckScope;
use super::subscriptions::boolean;
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::AckToken;
use crate::stomp::{Command, Frame, Version};

/// A delivery that the client has to settle.
#[derive(Debug)]
struct Unsettled {
    subscription: SubscriptionKey,
    ack: AckMode,
    /// `None` if the back end does not wait for it.
    token: Option<AckToken>,
    is_orphan: bool,
}

/// Deliveries by their number in this session, which rises.
#[derive(Debug, Default)]
pub(super) struct Acks {
    unsettled: BTreeMap<u64, Unsettled>,
    delivered: u64,
    orphans: usize,
}

/// A checked ACK or NACK. It may wait in a transaction; what it covers is found when it takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Settling {
    number: u64,
    pub(super) verdict: Verdict,
}

impl Acks {
    /// Remembers a delivery and returns the id by which the client settles it: `<session>-<number>`.
    pub(super) fn delivered(
        &mut self,
        session: SessionId,
        subscription: SubscriptionKey,
        ack: AckMode,
        token: Option<AckToken>,
    ) -> String {
        self.delivered += 1;
        self.unsettled.insert(self.delivered, Unsettled { subscription, ack, token, is_orphan: false });
        format!("{session}-{}", self.delivered)
    }

    /// Forgets the oldest beyond so many. That many wait only of channels that the broker has lost, which gave it all back.
    pub(super) fn keep(&mut self, max: usize) {
        while self.unsettled.len() > max {
            let oldest = self.unsettled.first_key_value().map(|(number, _)| *number);
            oldest.and_then(|it| self.remove(it));
        }
    }

    /// That subscription is over. What it was delivered can still be settled.
    pub(super) fn orphan(&mut self, subscription: SubscriptionKey) {
        for it in self.unsettled.values_mut().filter(|it| it.subscription == subscription) {
            it.is_orphan = true;
            self.orphans += 1;
        }
    }

    /// Deliveries that wait for an ACK or NACK and whose subscription is over.
    pub(super) fn orphans(&self) -> usize {
        self.orphans
    }

    /// Reads an ACK or NACK, which must name a delivery that waits.
    ///
    /// STOMP 1.2 names it by `id`, the versions before by `message-id`.
    pub(super) fn check(&self, frame: &Frame, version: Version, session: SessionId) -> Result<Settling, Refusal> {
        let header = if version == Version::V1_2 { "id" } else { "message-id" };
        let id = frame.header(header).ok_or(Refusal::Missing { command: frame.command, header })?;
        let verdict = match (frame.command, boolean(frame, "requeue")?) {
            (Command::Nack, Some(false)) => Verdict::Discarded,
            // What nobody has handled is delivered again, unless the client says that it must not (S17).
            (Command::Nack, Some(true) | None) => Verdict::Requeued,
            (_, _) => Verdict::Accepted,
        };
        let parts = id.rsplit_once('-').and_then(|(owner, number)| Some((owner, number.parse().ok()?)));
        let (owner, number) = parts.ok_or(Refusal::AckMalformed { command: frame.command, header })?;
        if owner != session.to_string() || !self.unsettled.contains_key(&number) {
            return Err(Refusal::AckUnknown { id: id.to_owned(), number });
        }
        Ok(Settling { number, verdict })
    }

    /// Takes out what it covers. The mode is that of the delivery which is named.
    ///
    /// Nothing, if another frame settled it since it was checked.
    pub(super) fn settle(&mut self, settling: Settling, scope: AckScope) -> Vec<AckToken> {
        let Some(named) = self.remove(settling.number) else { return Vec::new() };
        let mut tokens = Vec::new();
        if named.ack == AckMode::Client {
            let is_covered = |it: &Unsettled| scope == AckScope::Session || it.subscription == named.subscription;
            let before = self.unsettled.range(..settling.number).filter(|(_, it)| is_covered(it));
            let numbers: Vec<u64> = before.map(|(number, _)| *number).collect();
            tokens.extend(numbers.into_iter().filter_map(|it| self.remove(it)?.token));
        }
        tokens.extend(named.token);
        tokens
    }

    fn remove(&mut self, number: u64) -> Option<Unsettled> {
        let removed = self.unsettled.remove(&number)?;
        self.orphans -= usize::from(removed.is_orphan);
        Some(removed)
    }
}
