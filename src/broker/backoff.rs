//! Pauses between attempts to connect: each up to twice as long as the one before, shortened by chance so that many
//! gateways do not come back at the same moment.

use std::time::Duration;

/// So many times the longest pause is one after a refusal: a broker has work with each login, and logs it.
const REFUSED: u32 = 5;

#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    pub(super) const fn reset(&mut self) {
        self.next = self.min;
    }

    /// `chance` is from 0 to 1; the pause is between half and all of what is due.
    pub(super) fn pause(&mut self, is_refused: bool, chance: f64) -> Duration {
        let due = self.next.min(if is_refused { self.max * REFUSED } else { self.max });
        self.next = due * 2;
        due.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_refusals_pauses_grow_longer_than_without_an_answer() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause(true, 1.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff.pause(false, 1.0).as_millis(), 1_000);
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause(false, 1.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.pause(false, 0.0).as_millis(), 100);
        assert_eq!(backoff.pause(false, 0.5).as_millis(), 300);
    }
}
