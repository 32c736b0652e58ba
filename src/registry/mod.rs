//! Who is connected: admission and counts of live connections, and of the sessions of each user.

mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use users::{TooMany, UserSession, Users};

/// Admits connections up to a bound. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Registry {
    live: Arc<AtomicUsize>,
    connections_max: usize,
}

/// The right to be connected; given back when it is dropped.
#[derive(Debug)]
pub struct Admission(Arc<AtomicUsize>);

impl Registry {
    pub fn new(connections_max: usize) -> Self {
        Self { live: Arc::default(), connections_max }
    }

    /// `None` at the bound.
    pub fn admit(&self) -> Option<Admission> {
        let admission = Admission(Arc::clone(&self.live));
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        // Dropping it takes the count back.
        (before < self.connections_max).then_some(admission)
    }

    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_over_the_bound_is_refused_until_another_one_leaves() {
        let registry = Registry::new(2);
        let (first, second) = (registry.admit(), registry.admit());
        assert!(first.is_some() && second.is_some() && registry.admit().is_none());
        assert_eq!(registry.live(), 2);
        drop(first);
        assert_eq!(registry.live(), 1);
        assert!(registry.admit().is_some());
    }
}
