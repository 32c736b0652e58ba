//! Keeps publishes back, after RabbitMQ was away, until those who would hear of them have come back: what is published
//! before a topic is bound again reaches nobody. Cloning it clones a handle.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    generation: u64,
    members: usize,
    /// Members that are not back yet in this generation.
    behind: usize,
}

/// One that publishes wait for.
#[derive(Debug)]
pub(super) struct Member {
    gate: Gate,
    /// The last generation in which it was back.
    back_in: u64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// From now on all members are behind.
    pub(super) fn begin(&self, generation: u64) {
        self.0.send_modify(|it| *it = State { generation, behind: it.members, ..*it });
    }

    /// Whoever joins has nothing to bring back.
    pub(super) fn join(&self) -> Member {
        let mut back_in = 0;
        self.0.send_if_modified(|it| {
            it.members += 1;
            back_in = it.generation;
            false
        });
        Member { gate: self.clone(), back_in }
    }

    /// Returns when all members are back in this generation, or when there is another one.
    pub(super) async fn opened(&self, generation: u64) {
        let is_open = |it: &State| it.generation > generation || (it.generation == generation && it.behind == 0);
        self.0.subscribe().wait_for(is_open).await.map(drop).expect("this holds the other end");
    }
}

impl Member {
    pub(super) const fn is_behind(&self, generation: u64) -> bool {
        self.back_in < generation
    }

    /// Everything that was subscribed before is again, or will not be.
    pub(super) fn is_back(&mut self, generation: u64) {
        if !self.is_behind(generation) {
            return;
        }
        self.back_in = generation;
        // Thousands may wait: only the last one wakes them.
        self.gate.0.send_if_modified(|it| {
            it.behind -= usize::from(it.generation == generation);
            it.behind == 0
        });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let back_in = self.back_in;
        self.gate.0.send_if_modified(|it| {
            it.members -= 1;
            it.behind -= usize::from(back_in < it.generation);
            it.behind == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_open(gate: &Gate, generation: u64) -> bool {
        gate.opened(generation).now_or_never().is_some()
    }

    #[test]
    fn it_opens_when_the_last_member_is_back_or_gone() {
        let gate = Gate::new();
        let (mut one, two) = (gate.join(), gate.join());
        assert!(is_open(&gate, 0), "nothing was lost yet");
        gate.begin(1);
        let late = gate.join();
        assert!(!is_open(&gate, 1));
        one.is_back(1);
        one.is_back(1);
        assert!(!is_open(&gate, 1));
        drop(two);
        assert!(is_open(&gate, 1));
        drop(late);
        assert!(is_open(&gate, 1));
    }

    #[test]
    fn who_is_behind_in_one_generation_may_be_back_in_the_next() {
        let gate = Gate::new();
        let mut member = gate.join();
        gate.begin(1);
        gate.begin(2);
        assert!(is_open(&gate, 1) && !is_open(&gate, 2));
        member.is_back(1);
        assert!(!is_open(&gate, 2));
        member.is_back(2);
        assert!(is_open(&gate, 2));
    }
}
