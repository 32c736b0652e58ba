//! What was asked of the broker and is not answered yet, in the order of the asking.

use std::collections::VecDeque;
use std::time::Instant;

use super::refusal::Refusal;
use super::settings::Settings;
use crate::ident::{OpId, SubscriptionKey};

/// What to do once the broker has answered.
#[derive(Debug)]
pub(super) enum Then {
    /// Answer a SEND.
    Sent { receipt: Option<Box<str>>, bytes: usize },
    /// Answer a SEND of a COMMIT, and with the last of them the COMMIT; after a fault it is answered by an ERROR alone.
    Committed { receipt: Option<Box<str>>, commit: Option<Box<str>>, bytes: usize, part: Part },
    /// Answer a SUBSCRIBE that a handler answers, too: whatever comes next need not wait for that.
    Handled { receipt: Option<Box<str>>, key: SubscriptionKey, bytes: usize },
    /// Answer a SUBSCRIBE, or forget the subscription.
    Subscribed { receipt: Option<Box<str>>, key: SubscriptionKey, asked: Instant },
    /// Answer an UNSUBSCRIBE.
    Unsubscribed { receipt: Option<Box<str>> },
}

impl Then {
    fn wants_receipt(&self) -> bool {
        match self {
            Self::Committed { receipt, commit, .. } => receipt.is_some() || commit.is_some(),
            Self::Handled { receipt, .. }
            | Self::Sent { receipt, .. }
            | Self::Subscribed { receipt, .. }
            | Self::Unsubscribed { receipt } => receipt.is_some(),
        }
    }
}

/// Which SEND of a COMMIT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Last,
    Earlier,
}

#[derive(Debug, Default)]
pub(super) struct InFlight {
    waiting: VecDeque<(OpId, Then)>,
    publishes: usize,
    publish_bytes: usize,
    /// Subscribes and unsubscribes: nothing may overtake them.
    barriers: usize,
    /// Since when the SUBSCRIBE is pending; there is one at most.
    subscribing: Option<Instant>,
    /// A SEND of the COMMIT that is being answered has failed.
    is_commit_failed: bool,
}

/// What became of what was asked.
#[derive(Debug)]
pub(super) enum Effect {
    Refused(Refusal),
    Taken,
    /// It came to nothing. Only who asked for a RECEIPT is told, and only if there is something to tell.
    Untold(Option<Refusal>),
}

/// What an answer means for the client.
#[derive(Debug)]
pub(super) enum Answered {
    /// These frames have taken effect.
    Receipts([Option<Box<str>>; 2]),
    Refused {
        refusal: Refusal,
        receipt: Option<Box<str>>,
        /// That of the COMMIT, whose first failed SEND this is.
        commit: Option<Box<str>>,
        forget: Option<SubscriptionKey>,
    },
}

impl InFlight {
    pub(super) fn push(&mut self, op: OpId, then: Then) {
        match &then {
            Then::Sent { bytes, .. } | Then::Committed { bytes, .. } | Then::Handled { bytes, .. } => {
                self.publishes += 1;
                self.publish_bytes += bytes;
            }
            Then::Subscribed { asked, .. } => {
                self.barriers += 1;
                self.subscribing = Some(*asked);
            }
            Then::Unsubscribed { .. } => self.barriers += 1,
        }
        self.waiting.push_back((op, then));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a frame may be read while this is pending.
    pub(super) fn has_room(&self, settings: &Settings) -> bool {
        self.barriers == 0
            && self.publishes < settings.publishes_in_flight_max
            && self.publish_bytes < settings.publish_bytes_in_flight_max
    }

    /// Since when a RECEIPT of a SUBSCRIBE is owed; no MESSAGE of it may come first (S10).
    pub(super) fn subscribing(&self) -> Option<Instant> {
        self.subscribing
    }

    /// The broker answered the oldest.
    pub(super) fn answered(&mut self, op: OpId, effect: Effect) -> Answered {
        let Some((expected, then)) = self.waiting.pop_front() else { return Answered::Receipts([None, None]) };
        debug_assert_eq!(expected, op, "answers come in the order of the actions");
        let (fault, is_untold) = match effect {
            Effect::Refused(refusal) => (Some(refusal), false),
            Effect::Taken => (None, false),
            Effect::Untold(refusal) => (refusal.filter(|_| then.wants_receipt()), true),
        };
        let (receipt, forget) = match then {
            Then::Sent { receipt, bytes } => {
                self.published(bytes);
                (receipt, None)
            }
            Then::Committed { receipt, commit, bytes, part } => {
                self.published(bytes);
                return self.committed(
                    receipt.filter(|_| !is_untold || fault.is_some()),
                    commit,
                    part,
                    fault,
                    is_untold,
                );
            }
            Then::Handled { receipt, key, bytes } => {
                self.published(bytes);
                (receipt, Some(key))
            }
            Then::Subscribed { receipt, key, .. } => {
                self.barriers -= 1;
                self.subscribing = None;
                (receipt, Some(key))
            }
            Then::Unsubscribed { receipt } => {
                self.barriers -= 1;
                (receipt, None)
            }
        };
        match fault {
            Some(refusal) => Answered::Refused { refusal, receipt, commit: None, forget },
            None if is_untold => Answered::Receipts([None, None]),
            None => Answered::Receipts([receipt, None]),
        }
    }

    fn published(&mut self, bytes: usize) {
        self.publishes -= 1;
        self.publish_bytes -= bytes;
    }

    /// The COMMIT's own receipt is given with the last SEND, unless one of them failed: then the first ERROR carries it.
    fn committed(
        &mut self,
        receipt: Option<Box<str>>,
        commit: Option<Box<str>>,
        part: Part,
        fault: Option<Refusal>,
        is_untold: bool,
    ) -> Answered {
        let failed_before = std::mem::take(&mut self.is_commit_failed);
        let is_failed = failed_before || is_untold || fault.is_some();
        self.is_commit_failed = is_failed && part == Part::Earlier;
        match fault {
            Some(refusal) => {
                let commit = commit.filter(|_| !failed_before);
                Answered::Refused { refusal, receipt, commit, forget: None }
            }
            None if is_failed || part == Part::Earlier => Answered::Receipts([receipt, None]),
            None => Answered::Receipts([receipt, commit]),
        }
    }
}
