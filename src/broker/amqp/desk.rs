//! Where RabbitMQ is asked for what it may refuse, on a connection that nothing else depends on: each refusal costs a
//! channel, the library uses the number of none again, and the connection is replaced when all are used up.

use std::future::Future;
use std::sync::Arc;

use lapin::Channel;
use tokio::time::Instant;

use super::bench::Bench;
use super::context::Context;
use super::line::Line;
use super::shared_line::{Patience, SharedLine};
use crate::session::Fault;

const OPERATIONS_PER_CHANNEL: u32 = 1_000;

/// A channel of its own, used for one operation at a time.
pub(super) struct Desk {
    context: Arc<Context>,
    shared_line: SharedLine,
    place: Option<(Line, Bench)>,
}

impl Desk {
    pub(super) const fn new(context: Arc<Context>, shared_line: SharedLine) -> Self {
        Self { context, shared_line, place: None }
    }

    /// Again, should the connection be lost meanwhile.
    pub(super) async fn work<T, F>(&mut self, operation: impl Fn(Channel) -> F) -> Result<T, Fault>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let mut patience = Patience::default();
        loop {
            let (line, bench) = match self.place.take_if(|it| !it.0.is_lost()) {
                Some(place) => self.place.insert(place),
                None => {
                    let line = self.shared_line.current().await;
                    let bench = Bench::new(self.context.clone(), line.clone(), OPERATIONS_PER_CHANNEL);
                    self.place.insert((line, bench))
                }
            };
            let begun = Instant::now();
            let outcome = bench.work(&operation).await;
            if !patience.tries_again(&outcome, line, begun).await {
                return outcome;
            }
        }
    }
}
