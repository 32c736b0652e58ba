//! A broker that is away for a while, so that tests of what stands on one need no RabbitMQ that fails.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::sync::oneshot;

use super::link::LinkState;
use crate::broker::{Outage, Pending};
use crate::session::Fault;
use crate::sync::lock;

/// Whether the broker is there, and what waits until it is.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Looked at without the lock by whoever finds the broker there.
    is_away: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    held: Vec<Held>,
    /// By their age.
    links: BTreeMap<u64, Weak<Mutex<LinkState>>>,
    last_link: u64,
}

type Held = Box<dyn FnOnce() + Send>;

impl Presence {
    /// Returns what [`Presence::leave`] is told.
    pub(super) fn join(&self, link: &Arc<Mutex<LinkState>>) -> Result<u64, Fault> {
        let mut state = self.lock();
        if state.outage == Some(Outage::Reject) {
            return Err(Fault::Unavailable);
        }
        state.last_link += 1;
        let number = state.last_link;
        state.links.insert(number, Arc::downgrade(link));
        Ok(number)
    }

    pub(super) fn leave(&self, number: u64) {
        self.lock().links.remove(&number);
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }

    /// Does it, now or when the broker is back.
    pub(super) fn run(&self, operation: impl FnOnce() -> Result<(), Fault> + Send + 'static) -> Pending {
        if self.is_away() {
            let mut state = self.lock();
            if state.outage == Some(Outage::Hold) {
                let (answer, pending) = oneshot::channel();
                // Who has gone meanwhile does not hear of it.
                state.held.push(Box::new(move || drop(answer.send(operation()))));
                return Pending::Waiting(pending);
            }
        }
        Pending::ready(operation())
    }

    pub(super) fn suspend(&self, outage: Outage) {
        let mut state = self.lock();
        state.outage = Some(outage);
        self.is_away.store(true, Ordering::Release);
        let links = state.links();
        drop(state);
        links.iter().for_each(|it| lock(it).suspend(outage));
    }

    pub(super) fn resume(&self) {
        loop {
            let mut state = self.lock();
            let held = mem::take(&mut state.held);
            if held.is_empty() {
                state.outage = None;
                self.is_away.store(false, Ordering::Release);
                let links = state.links();
                drop(state);
                return links.iter().for_each(|it| lock(it).resume());
            }
            drop(state);
            held.into_iter().for_each(|operation| operation());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn links(&self) -> Vec<Arc<Mutex<LinkState>>> {
        self.links.values().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("outage", &self.outage).field("held", &self.held.len()).finish_non_exhaustive()
    }
}
