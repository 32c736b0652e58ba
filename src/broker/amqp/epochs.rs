//! Which generation there is now, for what outlives generations. Cloning it clones a handle.

use std::sync::Arc;

use tokio::sync::watch;

use super::gate::Gate;
use super::generation::Generation;

#[derive(Clone, Debug)]
pub(super) struct Epochs {
    current: watch::Sender<Option<Arc<Generation>>>,
    /// For what is published in the one of now.
    pub(super) gate: Gate,
}

impl Epochs {
    pub(super) fn new() -> Self {
        Self { current: watch::Sender::new(None), gate: Gate::new() }
    }

    /// The one that can be used, if there is one.
    pub(super) fn now(&self) -> Option<Arc<Generation>> {
        self.current.borrow().clone().filter(|it| !it.has_ended())
    }

    /// Waits for one that can be used.
    pub(super) async fn next(&self) -> Arc<Generation> {
        let is_usable = |it: &Option<Arc<Generation>>| it.as_ref().is_some_and(|it| !it.has_ended());
        let mut changes = self.current.subscribe();
        let found = changes.wait_for(is_usable).await.expect("this holds the other end");
        found.clone().expect("it was asked for")
    }

    pub(super) fn set(&self, generation: Option<Arc<Generation>>) {
        if let Some(generation) = &generation {
            self.gate.begin(generation.number);
        }
        self.current.send_replace(generation);
    }
}
