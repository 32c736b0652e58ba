//! Sessions whose publishes have cost a channel: for a while theirs are written alone, so that the next one that does
//! has nothing to be published again, and the others' go first. Without I/O.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::Publish;
use crate::ident::SessionId;

const SUSPECTED_FOR: Duration = Duration::from_secs(10);

/// Beyond it those whose time is over are forgotten, and if there are none, all who have nothing waiting.
const SUSPECTS_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Suspects<P> {
    sessions: HashMap<SessionId, Suspect>,
    /// Their publishes, each session's in order.
    waiting: VecDeque<P>,
    /// Others' publishes that were written since the last one of theirs.
    passed: usize,
}

#[derive(Debug)]
struct Suspect {
    since: Instant,
    waiting: usize,
}

impl Suspect {
    /// While something of it waits, what comes later has to wait behind that.
    fn is_over(&self) -> bool {
        self.waiting == 0 && self.since.elapsed() >= SUSPECTED_FOR
    }
}

impl<P: Publish> Suspects<P> {
    pub(super) fn new() -> Self {
        Self { sessions: HashMap::new(), waiting: VecDeque::new(), passed: 0 }
    }

    pub(super) fn insert(&mut self, session: SessionId, now: Instant) {
        if self.sessions.len() >= SUSPECTS_MAX {
            self.sessions.retain(|_, it| !it.is_over());
        }
        if self.sessions.len() >= SUSPECTS_MAX {
            self.sessions.retain(|_, it| it.waiting > 0);
        }
        self.sessions.entry(session).or_insert(Suspect { since: now, waiting: 0 }).since = now;
    }

    pub(super) fn contains(&mut self, session: SessionId) -> bool {
        let is_over = self.sessions.get(&session).is_some_and(Suspect::is_over);
        if is_over {
            self.sessions.remove(&session);
        }
        self.sessions.contains_key(&session)
    }

    /// A publish of one of them waits from now on.
    pub(super) fn push(&mut self, publish: P) {
        if let Some(suspect) = self.sessions.get_mut(&publish.session()) {
            suspect.waiting += 1;
        }
        self.waiting.push_back(publish);
    }

    /// Their publishes go from `ready` to those that wait.
    pub(super) fn set_apart(&mut self, ready: &mut VecDeque<P>) {
        if self.sessions.is_empty() {
            return;
        }
        for _ in 0..ready.len() {
            let Some(publish) = ready.pop_front() else { return };
            if self.contains(publish.session()) { self.push(publish) } else { ready.push_back(publish) }
        }
    }

    /// Whether the next one is to be written before others: when there are none, or so many have gone first.
    pub(super) fn are_next(&self, others: usize, passed_max: usize) -> bool {
        !self.waiting.is_empty() && (others == 0 || self.passed >= passed_max)
    }

    pub(super) const fn pass(&mut self, others: usize) {
        self.passed += others;
    }

    pub(super) fn pop(&mut self) -> Option<P> {
        self.passed = 0;
        let publish = self.waiting.pop_front()?;
        self.left(&publish);
        Some(publish)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &P> {
        self.waiting.iter()
    }

    /// Those are taken out, in order.
    pub(super) fn take_if(&mut self, is_taken: impl Fn(&P) -> bool) -> Vec<P> {
        let (taken, waiting): (VecDeque<_>, _) = mem::take(&mut self.waiting).into_iter().partition(is_taken);
        self.waiting = waiting;
        taken.iter().for_each(|it| self.left(it));
        taken.into()
    }

    fn left(&mut self, publish: &P) {
        if let Some(suspect) = self.sessions.get_mut(&publish.session()) {
            suspect.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publish: whose it is, and its number.
    #[derive(Debug, Eq, PartialEq)]
    struct Sent(usize, u32);

    impl Publish for Sent {
        fn session(&self) -> SessionId {
            session(self.0)
        }

        fn fail(&mut self, _: crate::session::Fault) {}
    }

    fn session(number: usize) -> SessionId {
        let mut random = [0; 16];
        random[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_random(random)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_suspected_for_a_while() {
        let mut suspects = Suspects::<Sent>::new();
        suspects.insert(session(1), Instant::now());
        tokio::time::advance(SUSPECTED_FOR - Duration::from_secs(1)).await;
        assert!(suspects.contains(session(1)) && !suspects.contains(session(2)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!suspects.contains(session(1)));
        assert!(suspects.sessions.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_the_bound() {
        let mut suspects = Suspects::<Sent>::new();
        (0..=SUSPECTS_MAX).for_each(|it| suspects.insert(session(it), Instant::now()));
        assert_eq!(suspects.sessions.len(), 1);
        assert!(suspects.contains(session(SUSPECTS_MAX)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_suspect_sends_keeps_its_order_and_others_pass() {
        let mut suspects = Suspects::new();
        suspects.insert(session(1), Instant::now());
        let mut ready: VecDeque<_> = [Sent(1, 1), Sent(2, 2), Sent(1, 3)].into();
        suspects.set_apart(&mut ready);
        assert_eq!(ready, [Sent(2, 2)]);
        assert!(!suspects.are_next(1, 2));
        suspects.pass(2);
        assert!(suspects.are_next(1, 2));
        assert_eq!(suspects.pop(), Some(Sent(1, 1)));
        assert!(!suspects.are_next(1, 2) && suspects.are_next(0, 2));
        // Its time is over, but what it sent later must not go first.
        tokio::time::advance(SUSPECTED_FOR).await;
        ready.push_back(Sent(1, 4));
        suspects.set_apart(&mut ready);
        assert_eq!([suspects.pop(), suspects.pop(), suspects.pop()], [Some(Sent(1, 3)), Some(Sent(1, 4)), None]);
        assert!(!suspects.contains(session(1)));
    }
}
