//! Whether this process should be sent clients.

use crate::sync::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The latches of everything that must be usable. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<Latch>>>);

/// One thing that must be usable; not so at first.
#[derive(Clone, Debug)]
pub struct Latch {
    name: &'static str,
    is_set: Arc<AtomicBool>,
}

impl Readiness {
    pub fn latch(&self, name: &'static str) -> Latch {
        let latch = Latch { name, is_set: Arc::default() };
        lock(&self.0).push(latch.clone());
        latch
    }

    /// Names of what is not usable now; ready means there is none.
    pub fn missing(&self) -> Vec<&'static str> {
        let latches = lock(&self.0);
        latches.iter().filter(|it| !it.is_set()).map(|it| it.name).collect()
    }
}

impl Latch {
    pub fn set(&self, usable: bool) {
        self.is_set.store(usable, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }
}
