//! From start to stop: tracked tasks, readiness, signals, drain. Does not know what the tasks do.

mod current;
mod guard;
mod readiness;
mod signals;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use current::Current;
pub use readiness::{Latch, Readiness};
pub use signals::{Asked, Signal, Signals};

/// The life of this process. Cloning it clones a handle.
///
/// ```text
/// running ──announce()──▶ not ready any more, else as before
///         ──drain()──▶ draining: nothing new, sessions end at their own pace ──stop()──▶ stopping: now
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    is_announced: Arc<AtomicBool>,
    draining: CancellationToken,
    stopping: CancellationToken,
    failed: CancellationToken,
    panics: Arc<AtomicU64>,
    /// What a drain waits for.
    tracker: TaskTracker,
    /// What the others need until the last of them has ended.
    background: TaskTracker,
}

/// How much time the end may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Between not being ready any more and the beginning of the drain: so that a balancer sees the one before the other.
    pub drain_delay: Duration,
    /// Over how long the sessions are told to go: so they don't all come back to another gateway at once.
    pub drain_period: Duration,
    /// How long all of them may take.
    pub drain_deadline: Duration,
}

/// What became of the tasks, and of all else that is held, that a drain waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    All,
    /// The deadline came before so many had ended.
    Left(usize),
}

/// Something that a drain waits for, beside tasks, until it is dropped.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is kept for its drop")] TaskTrackerToken);

/// For what has to end at once, before it is left to its fate: longer than a session waits for its client's close.
const STOP_WAIT: Duration = Duration::from_secs(3);

impl Default for Settings {
    fn default() -> Self {
        Self {
            drain_delay: Duration::ZERO,
            drain_period: Duration::from_secs(2),
            drain_deadline: Duration::from_secs(10),
        }
    }
}

impl Lifecycle {
    /// Runs a task that ends by itself when the process drains. A drain waits for it.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(self.guarded(task));
    }

    /// Runs a task that other tasks rely on while they drain, such as a broker's; it ends when the process stops.
    pub fn spawn_background<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.background.spawn(self.guarded(task));
    }

    /// The same task, made to fail the process when it panics: nothing could take its place.
    pub fn vital<F>(&self, task: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let (panics, failed) = (Arc::clone(&self.panics), self.failed.clone());
        guard::guarded(task, move || {
            panics.fetch_add(1, Ordering::Relaxed);
            failed.cancel();
        })
    }

    fn guarded<F>(&self, task: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let panics = Arc::clone(&self.panics);
        guard::guarded(task, move || {
            panics.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Cancelled when a task has panicked without which the process is of no use: it should drain and end.
    pub fn failed(&self) -> &CancellationToken {
        &self.failed
    }

    /// How many tasks have panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// A drain waits until this is dropped.
    pub fn hold(&self) -> Held {
        Held(self.tracker.token())
    }

    /// Cancelled when the process begins to drain.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when whatever still runs has to end at once.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Whether the process is about to drain, or does.
    pub fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Relaxed)
    }

    /// From now on nobody should send clients here.
    pub fn announce(&self) {
        self.is_announced.store(true, Ordering::Relaxed);
    }

    pub fn drain(&self) {
        self.announce();
        self.draining.cancel();
    }

    pub fn stop(&self) {
        self.drain();
        self.stopping.cancel();
    }

    /// Announces the drain, drains, at the deadline stops what is left, and at the end what runs in the background.
    pub async fn shut_down(&self, settings: Settings) -> Drained {
        self.announce();
        sleep(settings.drain_delay).await;
        self.drain();
        self.tracker.close();
        let drained = match timeout(settings.drain_deadline, self.tracker.wait()).await {
            Ok(()) => Drained::All,
            Err(_) => Drained::Left(self.tracker.len()),
        };
        self.stop();
        if timeout(STOP_WAIT, self.ended()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len() + self.background.len(), "tasks ignore the stop; abandoned");
        }
        drained
    }

    /// Waits until every task has ended. Called after [`Lifecycle::stop`].
    pub async fn ended(&self) {
        self.tracker.close();
        self.background.close();
        self.tracker.wait().await;
        self.background.wait().await;
    }

    /// How many tasks a drain would wait for.
    pub fn tasks(&self) -> usize {
        self.tracker.len()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Seconds that a shut-down took, and how it ended.
    async fn shut_down(lifecycle: &Lifecycle) -> (u64, Drained) {
        let begin = Instant::now();
        let drained = lifecycle.shut_down(Settings::default()).await;
        (begin.elapsed().as_secs(), drained)
    }

    /// A task that takes some time once the process drains.
    fn spawn_slow(lifecycle: &Lifecycle, takes: Duration) {
        let it = lifecycle.clone();
        lifecycle.spawn(async move {
            it.draining().cancelled().await;
            let _stopped = timeout(takes, it.stopping().cancelled()).await;
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_shut_down_is_over_as_soon_as_the_last_task_has_ended() {
        let lifecycle = Lifecycle::default();
        spawn_slow(&lifecycle, Duration::from_secs(2));
        spawn_slow(&lifecycle, Duration::from_secs(3));
        assert_eq!(shut_down(&lifecycle).await, (3, Drained::All));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_what_is_left_is_counted_and_stopped() {
        let lifecycle = Lifecycle::default();
        spawn_slow(&lifecycle, Duration::from_secs(2));
        spawn_slow(&lifecycle, Duration::from_secs(60));
        assert_eq!(shut_down(&lifecycle).await, (10, Drained::Left(1)));
        assert_eq!(lifecycle.tasks(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_the_stop_delays_it_by_three_seconds_at_most() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn(std::future::pending());
        assert_eq!(shut_down(&lifecycle).await, (13, Drained::Left(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_waited_for() {
        let lifecycle = Lifecycle::default();
        let held = lifecycle.hold();
        lifecycle.spawn_background(async move {
            let waited = timeout(Duration::from_secs(4), std::future::pending::<()>()).await;
            drop((waited, held));
        });
        assert_eq!(shut_down(&lifecycle).await, (4, Drained::All));
    }

    #[tokio::test(start_paused = true)]
    async fn the_background_runs_until_the_others_have_ended() {
        let lifecycle = Lifecycle::default();
        spawn_slow(&lifecycle, Duration::from_secs(2));
        let (sender, ended_at) = tokio::sync::oneshot::channel();
        let (it, begin) = (lifecycle.clone(), Instant::now());
        lifecycle.spawn_background(async move {
            it.stopping().cancelled().await;
            sender.send(begin.elapsed().as_secs()).unwrap();
        });
        assert_eq!(shut_down(&lifecycle).await, (2, Drained::All));
        assert_eq!(ended_at.await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_with_a_delay_is_announced_before_it_begins() {
        let lifecycle = Lifecycle::default();
        spawn_slow(&lifecycle, Duration::from_secs(2));
        let settings = Settings { drain_delay: Duration::from_secs(5), ..Settings::default() };
        let begin = Instant::now();
        let watching = async {
            assert!(timeout(Duration::from_secs(4), lifecycle.draining().cancelled()).await.is_err());
            assert!(lifecycle.is_announced());
        };
        let (drained, ()) = tokio::join!(lifecycle.shut_down(settings), watching);
        assert_eq!((drained, begin.elapsed().as_secs()), (Drained::All, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_ends_alone_and_is_counted() {
        let lifecycle = Lifecycle::default();
        spawn_slow(&lifecycle, Duration::from_secs(2));
        lifecycle.spawn(async { panic!("on purpose") });
        lifecycle.spawn_background(async { panic!("on purpose") });
        assert_eq!(shut_down(&lifecycle).await, (2, Drained::All));
        assert_eq!((lifecycle.panics(), lifecycle.failed().is_cancelled()), (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vital_task_that_panics_fails_the_process() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn(lifecycle.vital(std::future::ready(())));
        lifecycle.spawn(lifecycle.vital(async { panic!("on purpose") }));
        lifecycle.failed().cancelled().await;
        assert_eq!(lifecycle.panics(), 1);
    }

    #[test]
    fn a_drain_is_not_yet_a_stop() {
        let lifecycle = Lifecycle::default();
        lifecycle.drain();
        assert!(lifecycle.draining().is_cancelled() && !lifecycle.stopping().is_cancelled());
        lifecycle.stop();
        assert!(lifecycle.stopping().is_cancelled());
    }
}
