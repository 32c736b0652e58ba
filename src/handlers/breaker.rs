//! Leaves a target alone that fails again and again, so that nobody waits for it and it can come back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::lock;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: Arc<Mutex<State>>,
}

/// ```text
/// closed ──failures in a row──▶ open ──pause──▶ probing ──success──▶ closed
///                                 ▲                └──failure──▶ open
/// ```
#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// The target is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Open;

/// The right to one attempt. Dropped without a verdict, it says nothing of the target.
#[derive(Debug)]
pub(super) struct Attempt {
    breaker: Breaker,
    is_probe: bool,
}

/// What an attempt changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Closed,
    None,
    Opened,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, state: Arc::new(Mutex::new(State::Closed { failures: 0 })) }
    }

    pub(super) fn attempt(&self, now: Instant) -> Result<Attempt, Open> {
        let mut state = lock(&self.state);
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if until <= now => true,
            State::Open { .. } | State::Probing => return Err(Open),
        };
        if is_probe {
            *state = State::Probing;
        }
        Ok(Attempt { breaker: self.clone(), is_probe })
    }
}

impl Attempt {
    pub(super) fn succeeded(mut self) -> Change {
        let mut state = lock(&self.breaker.state);
        let was_probing = std::mem::take(&mut self.is_probe);
        // What was begun before the target was given up says nothing of now.
        if was_probing || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
        if was_probing { Change::Closed } else { Change::None }
    }

    pub(super) fn failed(mut self, now: Instant) -> Change {
        let mut state = lock(&self.breaker.state);
        let is_probe = std::mem::take(&mut self.is_probe);
        let failures = match *state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } | State::Probing if is_probe => self.breaker.failures_max,
            State::Open { .. } | State::Probing => return Change::None,
        };
        if failures < self.breaker.failures_max {
            *state = State::Closed { failures };
            return Change::None;
        }
        *state = State::Open { until: now + self.breaker.pause };
        if is_probe { Change::None } else { Change::Opened }
    }
}

/// A probe that was given up lets the next call try.
impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_probe {
            *lock(&self.breaker.state) = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn fail(breaker: &Breaker) -> Change {
        breaker.attempt(Instant::now()).unwrap().failed(Instant::now())
    }

    fn is_open(breaker: &Breaker) -> bool {
        breaker.attempt(Instant::now()).is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_begins_anew() {
        let breaker = Breaker::new(3, PAUSE);
        assert_eq!([fail(&breaker), fail(&breaker)], [Change::None; 2]);
        assert_eq!(breaker.attempt(Instant::now()).unwrap().succeeded(), Change::None);
        assert_eq!([fail(&breaker), fail(&breaker), fail(&breaker)], [Change::None, Change::None, Change::Opened]);
        assert!(is_open(&breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_call_tries_and_decides() {
        let breaker = Breaker::new(1, PAUSE);
        assert_eq!(fail(&breaker), Change::Opened);
        advance(PAUSE).await;
        let probe = breaker.attempt(Instant::now()).unwrap();
        assert!(is_open(&breaker));
        assert_eq!(probe.failed(Instant::now()), Change::None);
        assert!(is_open(&breaker));
        advance(PAUSE).await;
        assert_eq!(breaker.attempt(Instant::now()).unwrap().succeeded(), Change::Closed);
        assert!(!is_open(&breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_room_for_the_next() {
        let breaker = Breaker::new(1, PAUSE);
        fail(&breaker);
        advance(PAUSE).await;
        drop(breaker.attempt(Instant::now()).unwrap());
        assert!(breaker.attempt(Instant::now()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_before_it_opened_changes_nothing() {
        let breaker = Breaker::new(1, PAUSE);
        let [early, late] = [0; 2].map(|_| breaker.attempt(Instant::now()).unwrap());
        fail(&breaker);
        assert_eq!((early.succeeded(), late.failed(Instant::now())), (Change::None, Change::None));
        assert!(is_open(&breaker));
    }
}
