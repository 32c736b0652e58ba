//! Something that is made once in each generation, when it is first needed.

use std::sync::{Arc, Mutex};

use crate::sync::lock;
use tokio::sync::OnceCell;

#[derive(Debug)]
pub(super) struct PerGeneration<T>(Mutex<(u64, Arc<OnceCell<T>>)>);

impl<T> PerGeneration<T> {
    /// That of the generation with this number. A later one takes the place of those before it.
    pub(super) fn of(&self, number: u64) -> Arc<OnceCell<T>> {
        let mut newest = lock(&self.0);
        if newest.0 < number {
            *newest = (number, Arc::default());
        }
        // Who is late makes one that nobody else sees.
        if newest.0 == number { newest.1.clone() } else { Arc::default() }
    }
}

impl<T> Default for PerGeneration<T> {
    fn default() -> Self {
        Self(Mutex::new((0, Arc::default())))
    }
}
