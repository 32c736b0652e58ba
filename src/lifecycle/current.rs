//! A value that is replaced while others use it.

use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// What holds now. Who has taken it keeps what they took. Cloning it clones a handle.
#[derive(Debug)]
pub struct Current<T>(Arc<Mutex<Arc<T>>>);

impl<T> Current<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(value))))
    }

    pub fn get(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0))
    }

    pub fn set(&self, value: T) {
        *lock(&self.0) = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
