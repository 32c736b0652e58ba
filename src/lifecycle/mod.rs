//! From start to stop: tracked tasks, readiness, drain. Does not know what the tasks do.

mod readiness;

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use readiness::{Latch, Readiness};

/// The life of this process. Cloning it clones a handle.
///
/// ```text
/// running ──drain()──▶ draining: not ready, nothing new, sessions end at their own pace ──stop()──▶ stopping: now
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    stopping: CancellationToken,
    tracker: TaskTracker,
}

impl Lifecycle {
    /// Runs a task that ends by itself when the process drains or stops.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Cancelled when the process begins to drain.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when whatever still runs has to end at once.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    pub fn drain(&self) {
        self.draining.cancel();
    }

    pub fn stop(&self) {
        self.draining.cancel();
        self.stopping.cancel();
    }

    /// Waits until every task has ended. Called after [`Lifecycle::drain`] or [`Lifecycle::stop`].
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many tasks run.
    pub fn tasks(&self) -> usize {
        self.tracker.len()
    }
}
