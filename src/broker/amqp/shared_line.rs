//! A connection that several use, and the next one when it is lost: that of all publishers, and one for declaring.
//!
//! Not only the broker's troubles cost it: the library writes what waits in its queue for a channel that RabbitMQ has
//! closed meanwhile, and RabbitMQ closes the connection for that; and it never uses the number of such a channel again.
//! No session is to notice.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lapin::Channel;
use tokio::time::{Instant, sleep};

use super::bench::Bench;
use super::context::{Context, no_channel};
use super::line::Line;
use crate::session::Fault;

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

    /// The line of now. It is another one, after a pause, when the last was lost; when RabbitMQ is gone altogether the
    /// generation ends meanwhile.
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
        self.current.lock().expect("no panic while held")
    }
}

/// A [`Bench`] that goes on with the next connection.
pub(super) struct SharedBench {
    context: Arc<Context>,
    shared_line: SharedLine,
    operations_max: u32,
    /// None before the first operation.
    current: Option<(Line, Bench)>,
}

impl SharedBench {
    pub(super) const fn new(context: Arc<Context>, shared_line: SharedLine, operations_max: u32) -> Self {
        Self { context, shared_line, operations_max, current: None }
    }

    pub(super) async fn work<T, F>(&mut self, operation: impl Fn(Channel) -> F) -> Result<T, Fault>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let mut patience = Patience::default();
        loop {
            let (line, bench) = self.current().await;
            let begun = Instant::now();
            let outcome = bench.work(&operation).await;
            if !patience.tries_again(&outcome, line, begun).await {
                return outcome;
            }
        }
    }

    async fn current(&mut self) -> &mut (Line, Bench) {
        self.current.take_if(|it| it.0.is_lost());
        if self.current.is_none() {
            let line = self.shared_line.current().await;
            let bench = Bench::new(self.context.clone(), line.clone(), self.operations_max);
            self.current = Some((line, bench));
        }
        self.current.as_mut().expect("it was put there")
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
