//! One lane: what it has bound, and the task that has RabbitMQ do it, in one generation after the other.
//!
//! A route is always bound and unbound in the same lane, one after the other.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::binder::{Binder, Held, Progress};
use super::bindings::{Bindings, Subscribed, Work};
use super::exchange::Route;
use super::{Feeds, Seat};
use crate::broker::Outage;
use crate::broker::amqp::generation::Generation;
use crate::session::Fault;
use crate::sync::lock;

/// Binds of one lane in flight while there is something to bind again; otherwise there is one. On a machine under heavy
/// load 1,000 binds took 2.7 to 4.9 s with 16 channels of one bind each, 2.7 to 6.2 s with 4, 6.1 to 6.8 s with one. A bind
/// is about 1 ms of processor time for RabbitMQ, so that more can only make up for waiting.
const BINDERS: usize = 4;

/// Before a bind is tried again that was not answered.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the task has ended: nothing is bound any more.
    bindings: Mutex<Option<State>>,
    /// Something changed that the task may have to act on.
    changed: Notify,
}

type State = Bindings<Route, Arc<Seat>, Waiter>;

/// Tells a subscriber what became of its bind.
pub(super) type Waiter = oneshot::Sender<Result<(), Fault>>;

impl Lane {
    pub(super) fn new() -> Self {
        let bindings = Bindings::new(|route: &Route| route.exchange.linger);
        Self { bindings: Mutex::new(Some(bindings)), changed: Notify::new() }
    }

    /// Says whether the route is bound already; if not, the waiter is told when it is.
    pub(super) fn subscribe(&self, seat: &Arc<Seat>, waiter: Waiter) -> bool {
        let subscribed = self.bindings().as_mut().map(|it| it.subscribe(&seat.route, seat.clone(), waiter));
        match subscribed {
            Some(Subscribed::Now(_)) => true,
            Some(Subscribed::Later) => {
                self.changed.notify_one();
                false
            }
            // The waiter is dropped, which says so.
            None => false,
        }
    }

    pub(super) fn unsubscribe(&self, seat: &Arc<Seat>) {
        self.with(|it| it.unsubscribe(&seat.route, seat, Instant::now()));
        self.changed.notify_one();
    }

    /// Calls `at_rest` whenever there is nothing to do.
    async fn next_work(&self, at_rest: impl Fn()) -> Work<Route> {
        loop {
            let next_due = {
                let mut bindings = self.bindings();
                let bindings = bindings.as_mut().expect("only the end of the task that asks here takes them away");
                if let Some(work) = bindings.next_work(Instant::now()) {
                    return work;
                }
                bindings.next_due()
            };
            at_rest();
            // A notification that came since is kept for the next who waits.
            match next_due {
                Some(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(due) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn next_again(&self) -> Option<Route> {
        self.with(Bindings::next_again)
    }

    pub(super) fn end_linger(&self) -> Option<Route> {
        self.with(Bindings::end_linger)
    }

    pub(super) fn bound(&self, route: &Route) -> Vec<Waiter> {
        self.with(|it| it.bound(route, Instant::now()))
    }

    pub(super) fn refused(&self, route: &Route) -> Vec<(Arc<Seat>, Option<Waiter>)> {
        self.with(|it| it.refused(route))
    }

    pub(super) fn was_bound(&self, route: &Route) -> bool {
        self.with(|it| it.was_bound(route))
    }

    pub(super) fn postpone(&self, route: Route) {
        self.with(|it| it.postpone(route, Instant::now() + PAUSE));
    }

    pub(super) fn unbound(&self, route: &Route) {
        self.with(|it| it.unbound(route));
    }

    pub(super) fn behind(&self) -> usize {
        self.with(|it| it.behind())
    }

    fn with<T: Default>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.bindings().as_mut().map_or_else(T::default, work)
    }

    fn bindings(&self) -> MutexGuard<'_, Option<State>> {
        lock(&self.bindings)
    }
}

/// Held by the task of a lane: however it ends, nobody waits any longer.
struct End<'a>(&'a Lane);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let bindings = self.0.bindings().take();
        drop(bindings);
    }
}

pub(super) async fn run(feeds: Feeds, number: usize) {
    let lane = &feeds.0.lanes[number];
    let _end = End(lane);
    let mut progress = Progress::new(&feeds);
    loop {
        let generation = feeds.0.epochs.next().await;
        generation.tasks.ended().run_until_cancelled(serve(&feeds, lane, &generation, &mut progress)).await;
        // In the next one all that has subscribers is bound again.
        lane.with(Bindings::lost);
        progress.lost(lane.behind());
        if feeds.0.context.settings.outage == Outage::Reject {
            for (seat, waiter) in lane.with(Bindings::take_waiters) {
                seat.refuse(waiter, Fault::Unavailable);
            }
        }
    }
}

/// Binds and unbinds, one at a time; and beside that, what was lost.
async fn serve(feeds: &Feeds, lane: &Lane, generation: &Generation, progress: &mut Progress) {
    let held = Held::new(feeds, lane, generation, progress);
    let again = join_all((1..BINDERS).map(|_| async {
        let mut binder = Binder::new(&held);
        while let Some(route) = lane.next_again() {
            binder.bind(route).await;
        }
        held.count();
    }));
    let all = async {
        let mut binder = Binder::new(&held);
        loop {
            match lane.next_work(|| held.count()).await {
                Work::Bind(route) => binder.bind(route).await,
                Work::Unbind(route) => binder.unbind(&route).await,
            }
        }
    };
    tokio::join!(again, all);
}
