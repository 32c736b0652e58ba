//! Which deliveries of one channel the broker waits to hear about, and the fewest frames that tell it: without I/O.
//!
//! An unknown or repeated tag would make RabbitMQ close the channel, so every tag is looked up here first.

use std::collections::{BTreeMap, BTreeSet};

use crate::session::Verdict;

/// Delivery tags of one channel: 1, 2, 3 ... in the order in which RabbitMQ sent them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The highest tag that was seen.
    high: u64,
    /// Tags below `high` that RabbitMQ has sent and nobody has seen yet: they wait in the stream of another consumer.
    unseen: BTreeSet<u64>,
    /// Delivered, and not settled.
    outstanding: BTreeMap<u64, Origin>,
    /// Settled, and RabbitMQ has not been told.
    settled: BTreeMap<u64, Verdict>,
}

/// What kind of queue a delivery came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    Queue,
    /// Nothing is taken out of a stream, so there is nothing to give back; RabbitMQ closes the connection for a nack.
    Stream,
}

/// One basic.ack or basic.nack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Settlement {
    pub(super) tag: u64,
    pub(super) verdict: Verdict,
    pub(super) scope: Scope,
}

/// What a [`Settlement`] covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    One,
    /// The tag and everything before it that RabbitMQ still waits for.
    UpTo,
}

impl Ledger {
    /// RabbitMQ delivered a message.
    pub(super) fn delivered(&mut self, tag: u64, origin: Origin) {
        if tag > self.high {
            self.unseen.extend(self.high + 1..tag);
            self.high = tag;
        } else {
            self.unseen.remove(&tag);
        }
        self.outstanding.insert(tag, origin);
    }

    /// Says whether the tag was outstanding; if not, nothing happens.
    pub(super) fn settle(&mut self, tag: u64, verdict: Verdict) -> bool {
        let Some(origin) = self.outstanding.remove(&tag) else { return false };
        let verdict = match origin {
            Origin::Queue => verdict,
            Origin::Stream => Verdict::Accepted,
        };
        self.settled.insert(tag, verdict);
        true
    }

    /// What RabbitMQ has to be told now, in the order of the tags.
    ///
    /// Below the first tag that is outstanding or unseen, everything is settled: there one frame tells about all that
    /// follow each other with the same verdict. Above it, each needs a frame of its own.
    pub(super) fn take_settled(&mut self) -> Vec<Settlement> {
        let mut frames: Vec<Settlement> = Vec::new();
        let outstanding = self.outstanding.keys().next().copied().unwrap_or(u64::MAX);
        let floor = outstanding.min(self.unseen.first().copied().unwrap_or(u64::MAX));
        for (tag, verdict) in std::mem::take(&mut self.settled) {
            match frames.last_mut() {
                Some(last) if tag < floor && last.verdict == verdict => {
                    *last = Settlement { tag, verdict, scope: Scope::UpTo };
                }
                Some(_) | None => frames.push(Settlement { tag, verdict, scope: Scope::One }),
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use Verdict::{Accepted, Discarded, Requeued};

    use super::*;

    fn delivered(tags: impl IntoIterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::default();
        tags.into_iter().for_each(|it| ledger.delivered(it, Origin::Queue));
        ledger
    }

    fn check(mut ledger: Ledger, settle: &[(u64, Verdict)], expected: &[(u64, Verdict, Scope)]) -> Ledger {
        settle.iter().for_each(|(tag, verdict)| assert!(ledger.settle(*tag, *verdict)));
        let frames: Vec<_> = ledger.take_settled().iter().map(|it| (it.tag, it.verdict, it.scope)).collect();
        assert_eq!(frames, expected);
        assert_eq!(ledger.take_settled(), []);
        ledger
    }

    #[test]
    fn a_settled_prefix_is_told_in_one_frame() {
        let all = [(1, Accepted), (2, Accepted), (3, Accepted)];
        let ledger = check(delivered(1..=4), &all, &[(3, Accepted, Scope::UpTo)]);
        check(ledger, &[(4, Accepted)], &[(4, Accepted, Scope::One)]);
    }

    #[test]
    fn nothing_is_told_about_a_tag_before_that_is_outstanding() {
        let settled = [(2, Accepted), (3, Accepted)];
        let ledger = check(delivered(1..=3), &settled, &[(2, Accepted, Scope::One), (3, Accepted, Scope::One)]);
        check(ledger, &[(1, Requeued)], &[(1, Requeued, Scope::One)]);
    }

    #[test]
    fn nothing_is_told_about_a_tag_before_that_another_consumer_has_not_shown_yet() {
        let settled = [(1, Accepted), (3, Accepted), (4, Accepted)];
        let frames = [(1, Accepted, Scope::One), (3, Accepted, Scope::One), (4, Accepted, Scope::One)];
        let mut ledger = check(delivered([1, 3, 4]), &settled, &frames);
        ledger.delivered(2, Origin::Queue);
        ledger.delivered(5, Origin::Queue);
        check(ledger, &[(5, Accepted), (2, Accepted)], &[(5, Accepted, Scope::UpTo)]);
    }

    #[test]
    fn verdicts_that_differ_are_told_apart() {
        let settled = [(1, Accepted), (2, Accepted), (3, Requeued), (4, Discarded), (5, Discarded)];
        let frames = [(2, Accepted, Scope::UpTo), (3, Requeued, Scope::One), (5, Discarded, Scope::UpTo)];
        check(delivered(1..=6), &settled, &frames);
    }

    #[test]
    fn a_tag_that_is_not_outstanding_is_ignored() {
        let mut ledger = delivered(1..=2);
        assert!(!ledger.settle(0, Accepted) && !ledger.settle(3, Accepted));
        assert!(ledger.settle(1, Accepted) && !ledger.settle(1, Requeued));
        assert_eq!(ledger.take_settled().len(), 1);
        assert!(!ledger.settle(1, Accepted));
    }

    #[test]
    fn what_a_stream_delivered_is_only_ever_accepted() {
        let mut ledger = delivered(1..=1);
        (2..=3).for_each(|it| ledger.delivered(it, Origin::Stream));
        let settled = [(1, Requeued), (2, Requeued), (3, Discarded)];
        check(ledger, &settled, &[(1, Requeued, Scope::One), (3, Accepted, Scope::UpTo)]);
    }

    #[test]
    fn what_is_told_settles_each_delivery_once_and_never_an_unsettled_one() {
        use proptest::prelude::*;

        let steps = prop::collection::vec((1..40u64, 0..4u8), 1..120);
        proptest!(|(steps in steps)| {
            let (mut ledger, mut broker, mut expected) = (Ledger::default(), BTreeSet::new(), BTreeMap::new());
            let mut told = BTreeMap::new();
            for (tag, what) in steps {
                match what {
                    // RabbitMQ has sent all up to the highest, whichever of them were shown.
                    0 | 1 if !told.contains_key(&tag) && !ledger.outstanding.contains_key(&tag) && !expected.contains_key(&tag) => {
                        broker.extend((1..=tag).filter(|it| !told.contains_key(it)));
                        ledger.delivered(tag, Origin::Queue);
                    }
                    2 => {
                        let verdict = if tag % 3 == 0 { Requeued } else { Accepted };
                        if ledger.settle(tag, verdict) {
                            expected.insert(tag, verdict);
                        }
                    }
                    _ => {
                        for it in ledger.take_settled() {
                            let covered: Vec<u64> = match it.scope {
                                Scope::One => vec![it.tag],
                                Scope::UpTo => broker.range(..=it.tag).copied().collect(),
                            };
                            for tag in covered {
                                prop_assert!(broker.remove(&tag), "{} was told twice", tag);
                                prop_assert_eq!(expected.get(&tag), Some(&it.verdict));
                                told.insert(tag, it.verdict);
                            }
                        }
                    }
                }
            }
        });
    }
}
