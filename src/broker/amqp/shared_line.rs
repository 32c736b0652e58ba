//! A connection that can be lost without its generation, that of all publishers for one, and the next one when it is.
//!
//! Not only the broker's troubles cost it: the library writes what waits in its queue for a channel that RabbitMQ has
//! closed meanwhile, and RabbitMQ closes the connection for that. No session is to notice.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::context::no_channel;
use super::line::Line;
use crate::session::Fault;
use crate::sync::lock;

/// Connections that may be lost under one operation. It could be what they are lost for.
pub(super) const LOSSES_MAX: u32 = 3;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct SharedLine {
    current: Arc<Mutex<Line>>,
    pause: Duration,
}

impl SharedLine {
    pub(super) fn new(line: &Line, pause: Duration) -> Self {
        Self { current: Arc::new(Mutex::new(line.clone())), pause }
    }

    /// The line of now, whether it is lost or not.
    pub(super) fn now(&self) -> Line {
        self.lock().clone()
    }

    /// A line that can be used. It is another one, after a pause, when the last was lost; when RabbitMQ is gone
    /// altogether the generation ends meanwhile.
    pub(super) async fn current(&self) -> Line {
        if self.lock().is_lost() {
            sleep(self.pause).await;
        }
        let mut current = self.lock();
        if current.is_lost() {
            *current = current.another();
        }
        current.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        lock(&self.current)
    }
}

/// Says when to try an operation again that failed for no fault of its own.
#[derive(Debug, Default)]
pub(super) struct Patience {
    losses: u32,
}

impl Patience {
    pub(super) async fn tries_again<T>(&mut self, outcome: &Result<T, Fault>, line: &Line, begun: Instant) -> bool {
        let Err(fault) = outcome else { return false };
        // The library never uses the number of a channel again that RabbitMQ has closed: this connection is used up.
        if *fault == no_channel() {
            line.close().await;
        }
        if line.is_lost() {
            self.losses += 1;
            return self.losses <= LOSSES_MAX;
        }
        matches!(fault, Fault::TimedOut(_)) && line.blocked_until().is_some_and(|it| it >= begun)
    }
}
