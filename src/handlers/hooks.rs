//! Telling services what happens to sessions: at most once, in the order of each session, and nobody waits for it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::call::{Callee, Callees};
use super::metrics::Metrics;
use super::request::{Event, Notice};
use super::settings::Settings;
use super::target::{Outgoing, Wants};
use crate::lifecycle::{Held, Lifecycle};

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Hooks {
    /// What any hook is told.
    on: Arc<[Event]>,
    workers: Arc<[mpsc::Sender<Waiting>]>,
    metrics: Metrics,
    lifecycle: Lifecycle,
}

/// One hook, as a worker knows it.
#[derive(Clone, Debug)]
struct Live {
    on: Vec<Event>,
    callee: Callee,
}

/// A drain waits for it.
#[derive(Debug)]
struct Waiting {
    notice: Notice,
    _held: Held,
}

/// Calls of hooks at a time. A session is always the same worker's.
const WORKERS: usize = 16;

impl Hooks {
    pub(super) fn start(settings: &Settings, callees: &mut Callees, metrics: Metrics, lifecycle: &Lifecycle) -> Self {
        let live: Vec<_> = settings.hooks.iter().map(|it| (it.on.clone(), &it.target, it.timeout)).collect();
        let live: Vec<_> = live
            .into_iter()
            .map(|(on, target, timeout)| Live { on, callee: callees.callee(target, timeout, 0, settings) })
            .collect();
        let on: Arc<[Event]> = live.iter().flat_map(|it| it.on.clone()).collect();
        let live: Arc<[Live]> = live.into();
        let room = settings.hook_queue_max.div_ceil(WORKERS);
        let workers = if live.is_empty() { 0 } else { WORKERS };
        let start = |_| {
            let (sender, waiting) = mpsc::channel(room);
            let (live, stopping) = (Arc::clone(&live), lifecycle.stopping().clone());
            let metrics = metrics.clone();
            lifecycle.spawn_background(async move {
                // `None` when the process stops: what waits is lost.
                stopping.run_until_cancelled(work(&live, waiting, &metrics)).await;
            });
            sender
        };
        let workers = (0..workers).map(start).collect();
        Self { on, workers, metrics: metrics.clone(), lifecycle: lifecycle.clone() }
    }

    pub(super) fn wants(&self, event: Event) -> bool {
        self.on.contains(&event)
    }

    pub(super) fn tell(&self, notice: Notice) {
        if !self.wants(notice.event) {
            return;
        }
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(notice.sender.session);
        let worker = &self.workers[hash as usize % self.workers.len()];
        if worker.try_send(Waiting { notice, _held: self.lifecycle.hold() }).is_err() {
            self.metrics.hooks_dropped.inc();
        }
    }
}

async fn work(live: &[Live], mut waiting: mpsc::Receiver<Waiting>, metrics: &Metrics) {
    while let Some(Waiting { notice, _held }) = waiting.recv().await {
        for hook in live.iter().filter(|it| it.on.contains(&notice.event)) {
            let outcome = hook.callee.call(outgoing(&notice)).await;
            if let Err(failure) = &outcome {
                let (session, event) = (notice.sender.session, notice.event.as_str());
                tracing::info!(%session, event, cause = failure.detail, "a hook was not told");
            }
            metrics.called(notice.event, outcome.map(|_| ()).map_err(|it| it.cause));
        }
    }
}

fn outgoing(notice: &Notice) -> Outgoing {
    let delivery = notice.delivery();
    Outgoing {
        metadata: notice.metadata(),
        content_type: None,
        body: Bytes::new(),
        routing_key: notice.event.as_str().into(),
        delivery: delivery.into(),
        timeout: std::time::Duration::ZERO,
        wants: Wants::Nothing,
    }
}
