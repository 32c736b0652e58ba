//! Sessions whose publishes have cost a channel: for a while theirs are written alone, so that the next one that does
//! has nothing to be published again. Without I/O.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ident::SessionId;

const SUSPECTED_FOR: Duration = Duration::from_secs(10);

/// Beyond it those whose time is over are forgotten, and if there are none, all.
const SUSPECTS_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<SessionId, Instant>);

impl Suspects {
    pub(super) fn insert(&mut self, session: SessionId, now: Instant) {
        if self.0.len() >= SUSPECTS_MAX {
            self.0.retain(|_, since| now.duration_since(*since) < SUSPECTED_FOR);
        }
        if self.0.len() >= SUSPECTS_MAX {
            self.0.clear();
        }
        self.0.insert(session, now);
    }

    pub(super) fn contains(&mut self, session: SessionId) -> bool {
        let Some(since) = self.0.get(&session) else { return false };
        if since.elapsed() >= SUSPECTED_FOR {
            self.0.remove(&session);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> SessionId {
        let mut random = [0; 16];
        random[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::from_random(random)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_suspected_for_a_while() {
        let mut suspects = Suspects::default();
        suspects.insert(session(1), Instant::now());
        tokio::time::advance(SUSPECTED_FOR - Duration::from_secs(1)).await;
        assert!(suspects.contains(session(1)) && !suspects.contains(session(2)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!suspects.contains(session(1)));
        assert!(suspects.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_the_bound() {
        let mut suspects = Suspects::default();
        (0..=SUSPECTS_MAX).for_each(|it| suspects.insert(session(it), Instant::now()));
        assert_eq!(suspects.0.len(), 1);
        assert!(suspects.contains(session(SUSPECTS_MAX)));
    }
}
