//! What happens again and again, and is told once in a while.

use std::time::Duration;

use tokio::time::Instant;

/// The same is told once in that time.
const PAUSE: Duration = Duration::from_secs(60);

/// One kind of trouble. The time is an argument.
#[derive(Debug, Default)]
pub struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It has happened. How often since it was last told, if it is to be told now.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|it| now < it + PAUSE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_a_minute_with_how_often_it_was() {
        let (mut trouble, begun) = (Seldom::default(), Instant::now());
        let told: Vec<_> = (0..130)
            .filter_map(|second| trouble.happened(begun + Duration::from_secs(second)).map(|it| (second, it)))
            .collect();
        assert_eq!(told, [(0, 1), (60, 60), (120, 60)]);
    }
}
