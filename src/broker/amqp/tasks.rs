//! The tasks of one generation of connections: tracked by the process, and over when the generation is.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::delivery::{Item, Outbox};
use crate::lifecycle::Lifecycle;

#[derive(Clone, Debug)]
pub(super) struct Tasks {
    lifecycle: Lifecycle,
    ended: CancellationToken,
}

/// Tells a session, when it is dropped, that its link is lost.
struct Alarm(Option<Arc<Outbox>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(outbox) = &self.0 {
            outbox.push_event(Item::LinkLost);
        }
    }
}

impl Tasks {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        let ended = lifecycle.stopping().child_token();
        Self { lifecycle, ended }
    }

    /// The task is dropped wherever it is when the generation ends; what it owed to others is dropped with it, and
    /// resolves there as [`Fault::Unavailable`](crate::session::Fault::Unavailable).
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.lifecycle.spawn_background(async move {
            // After a panic, what the task owed to others would never come.
            let guard = ended.clone().drop_guard();
            // `None` when it was dropped, which says nothing more.
            ended.run_until_cancelled(task).await;
            guard.disarm();
        });
    }

    /// The same for what is one session's alone, which loses its link if that panics.
    pub(super) fn spawn_for(&self, outbox: Arc<Outbox>, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.lifecycle.spawn_background(async move {
            let mut alarm = Alarm(Some(outbox));
            ended.run_until_cancelled(task).await;
            alarm.0 = None;
        });
    }

    /// Cancelled when the generation has ended; cancelling it ends the generation.
    pub(super) const fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}
