//! What was sent, receipted and received of one sender, and whether that is what was promised.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tokio::time::Instant;

/// How long RabbitMQ may have held a message that it had confirmed and not delivered when it went away.
const EDGE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Receipted messages arrive, whatever happens.
    Queue,
    /// Those that RabbitMQ held when it went away may be lost.
    Topic,
}

/// When RabbitMQ was away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) begun: Instant,
    /// From now on it certainly takes nothing.
    pub(crate) gone: Instant,
    /// It accepts again.
    pub(crate) over: Instant,
}

/// One sender's messages to one destination, by their numbers, and those that each receiver got, as they came.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    kind: Kind,
    sent: Vec<Sent>,
    received: Vec<Vec<(usize, Instant)>>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    receipted: Option<Instant>,
}

/// The sum over ledgers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Account {
    pub(crate) sent: usize,
    pub(crate) receipted: usize,
    pub(crate) received: usize,
    /// Receipted, and not received by somebody who had to.
    pub(crate) lost: usize,
    /// Of topics, when RabbitMQ held them as it went away.
    pub(crate) lost_at_the_edge: usize,
    pub(crate) doubled: usize,
    /// Received more than once although RabbitMQ was not away since they were sent.
    pub(crate) doubled_without_reason: usize,
    /// Received for the first time after a later one.
    pub(crate) overtaken: usize,
}

impl Ledger {
    pub(crate) fn new(kind: Kind, receivers: usize) -> Self {
        Self { kind, sent: Vec::new(), received: vec![Vec::new(); receivers] }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of the message.
    pub(crate) fn send(&mut self, at: Instant) -> usize {
        self.sent.push(Sent { at, receipted: None });
        self.sent.len() - 1
    }

    pub(crate) fn receipt(&mut self, number: usize, at: Instant) {
        self.sent[number].receipted.get_or_insert(at);
    }

    pub(crate) fn receive(&mut self, receiver: usize, number: usize, at: Instant) {
        assert!(number < self.sent.len(), "message {number} was never sent");
        self.received[receiver].push((number, at));
    }

    /// Whether nothing more has to come.
    pub(crate) fn is_settled(&self, outages: &[Outage]) -> bool {
        let account = self.account(outages);
        account.receipted == account.sent && account.lost == 0 && self.has_ended()
    }

    /// Whether each receiver has the last one. What a topic loses, it loses before that.
    fn has_ended(&self) -> bool {
        let Some(last) = self.sent.len().checked_sub(1) else { return true };
        self.received.iter().all(|it| it.iter().any(|(number, _)| *number == last))
    }

    /// How many messages that were sent since every receiver has at least.
    pub(crate) fn arrived_since(&self, since: Instant) -> usize {
        let arrived = |them: &Vec<(usize, Instant)>| them.iter().filter(|(it, _)| since <= self.sent[*it].at).count();
        self.received.iter().map(arrived).min().unwrap_or_default()
    }

    /// When anybody first got anything since.
    pub(crate) fn first_since(&self, since: Instant) -> Option<Instant> {
        let first = |them: &Vec<(usize, Instant)>| them.iter().map(|it| it.1).find(|at| since <= *at);
        self.received.iter().filter_map(first).min()
    }

    /// What each receiver has not got although it was receipted: numbers, and when the first was sent and receipted.
    pub(crate) fn losses(&self, since: Instant) -> Vec<String> {
        let ago = |at: Instant| at.saturating_duration_since(since).as_secs_f64();
        let of = |received: &Vec<(usize, Instant)>| {
            let is_lost = |it: &usize| self.sent[*it].receipted.is_some() && !received.iter().any(|(got, _)| got == it);
            let lost: Vec<_> = (0..self.sent.len()).filter(is_lost).collect();
            let (first, last) = (*lost.first()?, *lost.last()?);
            let [sent, last_sent] = [first, last].map(|it| ago(self.sent[it].at));
            let [receipted, last_receipted] = [first, last].map(|it| self.sent[it].receipted.map_or(0.0, ago));
            let count = lost.len();
            Some(format!(
                "{count} of {first} to {last}, sent {sent:.3} to {last_sent:.3} s and receipted {receipted:.3} to \
                 {last_receipted:.3} s after the beginning of the outage"
            ))
        };
        self.received.iter().filter_map(of).collect()
    }

    pub(crate) fn account(&self, outages: &[Outage]) -> Account {
        let receipted = self.sent.iter().filter(|it| it.receipted.is_some()).count();
        let mut account = Account { sent: self.sent.len(), receipted, ..Account::default() };
        for received in &self.received {
            self.add(received, outages, &mut account);
        }
        account
    }

    fn add(&self, received: &[(usize, Instant)], outages: &[Outage], account: &mut Account) {
        let mut counts = vec![0_usize; self.sent.len()];
        let mut latest = 0;
        for (number, _) in received {
            counts[*number] += 1;
            let is_first = counts[*number] == 1;
            account.overtaken += usize::from(is_first && *number < latest);
            latest = latest.max(*number);
        }
        account.received += received.len();
        for (sent, count) in self.sent.iter().zip(counts) {
            match (count, sent.receipted) {
                (0, Some(receipted)) if self.may_be_lost(sent.at, receipted, outages) => account.lost_at_the_edge += 1,
                (0, Some(_)) => account.lost += 1,
                (0 | 1, _) => (),
                (times, _) => {
                    account.doubled += times - 1;
                    let has_reason = outages.iter().any(|it| sent.at < it.over);
                    account.doubled_without_reason += if has_reason { 0 } else { times - 1 };
                }
            }
        }
    }

    fn may_be_lost(&self, sent: Instant, receipted: Instant, outages: &[Outage]) -> bool {
        let is_held = |it: &Outage| it.begun <= sent + EDGE && sent <= it.gone && receipted < it.over;
        self.kind == Kind::Topic && outages.iter().any(is_held)
    }
}

impl Account {
    pub(crate) fn sum(accounts: impl Iterator<Item = Self>) -> Self {
        accounts.fold(Self::default(), |sum, it| Self {
            sent: sum.sent + it.sent,
            receipted: sum.receipted + it.receipted,
            received: sum.received + it.received,
            lost: sum.lost + it.lost,
            lost_at_the_edge: sum.lost_at_the_edge + it.lost_at_the_edge,
            doubled: sum.doubled + it.doubled,
            doubled_without_reason: sum.doubled_without_reason + it.doubled_without_reason,
            overtaken: sum.overtaken + it.overtaken,
        })
    }

    /// Whether every promise was kept.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { sent, receipted, lost, doubled_without_reason, overtaken, .. } = *self;
        sent > 0 && sent == receipted && lost == 0 && doubled_without_reason == 0 && overtaken == 0
    }
}

impl Display for Account {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { sent, receipted, received, lost, lost_at_the_edge, doubled, doubled_without_reason, overtaken } =
            self;
        write!(f, "sent {sent}, receipted {receipted}, received {received}, lost {lost}")?;
        write!(f, " (and {lost_at_the_edge} that RabbitMQ held), doubled {doubled}")?;
        write!(f, " ({doubled_without_reason} without reason), out of order {overtaken}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that receives, and an outage from second 10 to 20. A message is sent each second, from second 0 on.
    struct Case {
        zero: Instant,
        ledger: Ledger,
    }

    impl Case {
        fn new(kind: Kind, receipts: &[u64], received: &[(usize, u64)]) -> Self {
            let zero = Instant::now();
            let at = |seconds| zero + Duration::from_secs(seconds);
            let mut ledger = Ledger::new(kind, 1);
            for (number, receipt) in receipts.iter().enumerate() {
                assert_eq!(ledger.send(at(number as u64)), number);
                ledger.receipt(number, at(*receipt));
            }
            received.iter().for_each(|(number, second)| ledger.receive(0, *number, at(*second)));
            Self { zero, ledger }
        }

        fn outage(&self) -> [Outage; 1] {
            let at = |seconds| self.zero + Duration::from_secs(seconds);
            [Outage { begun: at(10), gone: at(11), over: at(20) }]
        }

        fn account(&self) -> Account {
            self.ledger.account(&self.outage())
        }
    }

    #[test]
    fn a_receipted_message_that_nobody_got_is_lost() {
        let case = Case::new(Kind::Queue, &[1, 2, 3], &[(0, 1), (2, 3)]);
        assert_eq!(case.account(), Account { sent: 3, receipted: 3, received: 2, lost: 1, ..Account::default() });
        assert!(!case.account().is_sound() && !case.ledger.is_settled(&case.outage()));
    }

    #[test]
    fn of_topics_only_what_rabbitmq_held_may_be_lost() {
        let receipts: Vec<u64> = (0..22).map(|it| if it < 12 { it } else { 21 }).collect();
        let all_but = |lost: usize| (0..22).filter(|it| *it != lost).map(|it| (it, 21)).collect::<Vec<_>>();
        for (number, excused) in [(7, false), (8, true), (9, true), (11, true), (12, false), (15, false)] {
            let account = Case::new(Kind::Topic, &receipts, &all_but(number)).account();
            assert_eq!((account.lost_at_the_edge, account.is_sound()), (usize::from(excused), excused), "{number}");
            assert!(!Case::new(Kind::Queue, &receipts, &all_but(number)).account().is_sound());
        }
        // Receipted after the end, so published again.
        let mut late = receipts;
        late[9] = 21;
        assert_eq!(Case::new(Kind::Topic, &late, &all_but(9)).account().lost, 1);
    }

    #[test]
    fn a_double_has_a_reason_if_it_was_sent_before_rabbitmq_was_back() {
        let receipts = [21; 22];
        let mut received: Vec<_> = (0..22).map(|it| (it, 21)).collect();
        received.push((19, 22));
        let account = Case::new(Kind::Queue, &receipts, &received).account();
        assert_eq!((account.doubled, account.doubled_without_reason, account.overtaken), (1, 0, 0));
        assert!(account.is_sound());
        received.push((20, 22));
        let case = Case::new(Kind::Queue, &receipts, &received);
        assert_eq!((case.account().doubled_without_reason, case.account().is_sound()), (1, false));
        assert_eq!(case.ledger.account(&[]).doubled_without_reason, 2);
    }

    #[test]
    fn order_is_that_of_first_deliveries() {
        let in_order = Case::new(Kind::Queue, &[3; 3], &[(0, 3), (1, 3), (0, 4), (1, 4), (2, 4)]);
        assert_eq!((in_order.account().overtaken, in_order.account().doubled), (0, 2));
        let overtaken = Case::new(Kind::Queue, &[3; 3], &[(0, 3), (2, 3), (1, 4)]);
        assert_eq!((overtaken.account().overtaken, overtaken.account().is_sound()), (1, false));
    }

    #[test]
    fn what_was_never_receipted_or_never_sent_is_not_sound() {
        let mut ledger = Ledger::new(Kind::Topic, 0);
        assert!(!ledger.account(&[]).is_sound());
        ledger.send(Instant::now());
        assert!(!ledger.account(&[]).is_sound());
    }

    #[test]
    fn what_arrived_is_what_the_last_receiver_has() {
        let mut case = Case::new(Kind::Topic, &[0, 1, 2], &[(0, 5), (1, 6), (2, 7)]);
        let at = |seconds| case.zero + Duration::from_secs(seconds);
        assert_eq!(case.ledger.arrived_since(at(1)), 2);
        assert_eq!(case.ledger.first_since(at(6)), Some(at(6)));
        case.ledger.received.push(vec![(0, at(8)), (2, at(9))]);
        assert_eq!(case.ledger.arrived_since(at(1)), 1);
    }
}
