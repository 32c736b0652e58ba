//! What waits in our queues at RabbitMQ: asked from time to time, because only RabbitMQ knows.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::Parts;
use crate::broker::amqp::bench::Bench;
use crate::broker::amqp::declarer::EXCLUSIVE;
use crate::broker::amqp::metrics::Share;
use crate::sync::lock;

/// Shorter than the interval at which metrics are usually read. With the most queues that a connection can have, asking
/// takes RabbitMQ a tenth of it.
const INTERVAL: Duration = Duration::from_secs(5);

/// The library remembers each queue that a channel declared, for as long as the channel lives.
const OPERATIONS_PER_CHANNEL: u32 = 1_000;

/// The queues that are consumed now. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues(Arc<Mutex<HashSet<ShortString>>>);

impl Queues {
    pub(super) fn count(&self) -> usize {
        self.with(|it| it.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashSet<ShortString>) -> T) -> T {
        work(&mut lock(&self.0))
    }
}

/// One of them, for as long as this lives.
pub(super) struct Listed {
    queues: Queues,
    name: ShortString,
}

impl Listed {
    pub(super) fn new(queues: &Queues, name: ShortString) -> Self {
        queues.with(|it| it.insert(name.clone()));
        Self { queues: queues.clone(), name }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.queues.with(|it| it.remove(&self.name));
    }
}

/// On a channel of its own. A passive declare changes nothing, and its answer has the number of messages.
pub(super) async fn run(parts: Parts) {
    let mut bench = Bench::new(parts.context.clone(), parts.line.clone(), OPERATIONS_PER_CHANNEL);
    let mut backlog = Share::new(&parts.context.metrics.feed_backlog);
    let mut again = interval(INTERVAL);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        let names: Vec<_> = parts.queues.with(|it| it.iter().cloned().collect());
        let mut messages = 0;
        for name in names {
            let options = QueueDeclareOptions { passive: true, ..EXCLUSIVE };
            let ask = |it: lapin::Channel| async move { it.queue_declare(name, options, FieldTable::default()).await };
            match bench.work(ask).await {
                Ok(queue) => messages += i64::from(queue.message_count()),
                Err(fault) => debug!(%fault, "a feed ended while RabbitMQ was asked for its backlog"),
            }
        }
        backlog.set(messages);
    }
}
