//! How locks are taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Also if somebody has panicked who held it: that is counted and logged where it happened, and must not spread to all
/// who come after.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
