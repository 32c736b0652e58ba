//! How much a client may send in a second, as a plain value with time passed in.

use std::time::{Duration, Instant};

use super::settings::Settings;

/// What is bounded for each second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    Bytes,
    /// SENDs.
    Messages,
}

/// The buckets of one session, and whether one of them is empty.
#[derive(Debug, Default)]
pub(super) struct Rates {
    bytes: Bucket,
    messages: Bucket,
    /// Nothing is read before.
    paused_until: Option<Instant>,
    /// Nothing more comes, so there is nothing to slow down.
    is_lifted: bool,
}

/// Holds what one second brings and fills steadily. What was taken can be more than it held: the debt is waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// All that has to be known: how empty it is, as the time until it is full.
    full_at: Option<Instant>,
}

const BURST: Duration = Duration::from_secs(1);

impl Rates {
    /// The client has sent so much. Says whether that is why it is not read any more.
    pub(super) fn take(&mut self, rate: Rate, count: usize, now: Instant, settings: &Settings) -> bool {
        let (bucket, per_second) = match rate {
            Rate::Bytes => (&mut self.bytes, settings.bytes_per_second_max),
            Rate::Messages => (&mut self.messages, settings.messages_per_second_max),
        };
        if per_second == 0 || self.is_lifted {
            return false;
        }
        let room_at = bucket.take(count, per_second, now);
        let is_first = self.paused_until.is_none() && room_at > now;
        self.paused_until = self.paused_until.max(Some(room_at)).filter(|it| *it > now);
        is_first
    }

    pub(super) fn lift(&mut self) {
        (self.paused_until, self.is_lifted) = (None, true);
    }

    pub(super) fn pass(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|it| *it > now);
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}

impl Bucket {
    /// Takes so much, and returns when there is one more to take.
    fn take(&mut self, count: usize, per_second: usize, now: Instant) -> Instant {
        let full_at = self.full_at.map_or(now, |it| it.max(now)) + time_of(count, per_second);
        self.full_at = Some(full_at);
        let holds_one = full_at + time_of(1, per_second);
        holds_one.checked_sub(BURST).unwrap_or(now)
    }
}

/// How long it takes to fill up so much.
fn time_of(count: usize, per_second: usize) -> Duration {
    Duration::from_secs_f64(count as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket of ten a second, and its clock.
    struct Tap(Bucket, Instant);

    impl Tap {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
            let now = Instant::now();
            Self(Bucket::default(), now)
        }

        /// Takes so much, and says for how many milliseconds there is nothing.
        fn take(&mut self, count: usize) -> u128 {
            let room_at = self.0.take(count, 10, self.1);
            (room_at.saturating_duration_since(self.1) + Duration::from_micros(1)).as_millis()
        }

        fn pass(&mut self, ms: u64) {
            self.1 += Duration::from_millis(ms);
        }
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_one_at_a_time() {
        let mut tap = Tap::new();
        (0..9).for_each(|_| assert_eq!(tap.take(1), 0));
        assert_eq!(tap.take(1), 100);
        tap.pass(100);
        assert_eq!(tap.take(1), 100);
    }

    #[test]
    fn no_more_than_a_second_is_saved_up() {
        let mut tap = Tap::new();
        tap.take(5);
        tap.pass(3_600_000);
        assert_eq!((tap.take(9), tap.take(1)), (0, 100));
    }

    #[test]
    fn what_was_taken_beyond_is_waited_for() {
        let mut tap = Tap::new();
        assert_eq!(tap.take(100), 9_100);
        tap.pass(9_050);
        assert_eq!(tap.take(0), 50);
        tap.pass(51);
        assert_eq!(tap.take(0), 0);
    }
}
