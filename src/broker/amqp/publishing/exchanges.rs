//! Which exchanges are there. RabbitMQ closes the channel of a publish to one that is not, and many sessions share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::broker::amqp::addressed;
use crate::broker::amqp::bench::find_exchange;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::desk::Desk;
use crate::broker::amqp::shared_line::SharedLine;
use crate::broker::amqp::tasks::Tasks;
use crate::session::Fault;
use crate::sync::lock;

/// An exchange is asked for again when it was not used for so long.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Exchanges that are remembered. Beyond it all are forgotten, and asked for once more.
const KNOWN_MAX: usize = 1_024;

const WAITING_MAX: usize = 256;

/// What one generation knows of the exchanges of its virtual host. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(in crate::broker::amqp) struct Exchanges {
    known: Arc<Known>,
    checks: mpsc::Sender<Check>,
}

/// When each was last used. One that is missing is never remembered.
#[derive(Debug, Default)]
struct Known(Mutex<HashMap<ShortString, Instant>>);

#[derive(Debug)]
struct Check {
    exchange: ShortString,
    done: oneshot::Sender<Result<(), Fault>>,
}

impl Exchanges {
    pub(in crate::broker::amqp) fn start(context: &Arc<Context>, tasks: &Tasks, checks: &SharedLine) -> Self {
        let desk = Desk::new(context.clone(), checks.clone());
        let (checks, waiting) = mpsc::channel(WAITING_MAX);
        let known = Arc::new(Known::default());
        tasks.spawn(run(context.clone(), desk, known.clone(), waiting));
        Self { known, checks }
    }

    /// Whether it was there when it was last asked for, which was not long ago.
    pub(in crate::broker::amqp) fn is_known(&self, exchange: &ShortString) -> bool {
        self.known.renew(exchange, Instant::now())
    }

    /// A publish has shown that it is not there any more.
    pub(in crate::broker::amqp) fn forget(&self, exchange: &ShortString) {
        lock(&self.known.0).remove(exchange);
    }

    pub(in crate::broker::amqp) async fn check(&self, exchange: ShortString) -> Result<(), Fault> {
        let (done, answer) = oneshot::channel();
        // Fails when the connection is lost: the task that would answer has ended.
        self.checks.send(Check { exchange, done }).await.map_err(|_| Fault::Unavailable)?;
        answer.await.unwrap_or(Err(Fault::Unavailable))
    }
}

impl Known {
    fn insert(&self, exchange: ShortString, now: Instant) {
        let mut known = lock(&self.0);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(exchange, now);
    }

    fn renew(&self, exchange: &ShortString, now: Instant) -> bool {
        let mut known = lock(&self.0);
        match known.get_mut(exchange) {
            Some(used) if now.duration_since(*used) < KNOWN_FOR => {
                *used = now;
                true
            }
            Some(_) | None => false,
        }
    }
}

async fn run(context: Arc<Context>, mut desk: Desk, known: Arc<Known>, mut checks: mpsc::Receiver<Check>) {
    while let Some(Check { exchange, done }) = checks.recv().await {
        // Somebody else may have asked just before.
        let is_known = known.renew(&exchange, Instant::now());
        let outcome = if is_known {
            Ok(())
        } else if context.is_addressed(exchange.as_str()) {
            addressed::declare(&context, &mut desk, &exchange).await
        } else {
            desk.work(|it| find_exchange(it, exchange.clone())).await
        };
        if outcome.is_ok() {
            known.insert(exchange, Instant::now());
        }
        // Nobody listens when the generation has ended meanwhile.
        drop(done.send(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_exchange_is_known_for_a_while_after_its_last_use() {
        let (known, name) = (Known::default(), ShortString::from("x"));
        assert!(!known.renew(&name, Instant::now()));
        known.insert(name.clone(), Instant::now());
        for _ in 0..3 {
            tokio::time::advance(KNOWN_FOR - Duration::from_secs(1)).await;
            assert!(known.renew(&name, Instant::now()));
        }
        tokio::time::advance(KNOWN_FOR).await;
        assert!(!known.renew(&name, Instant::now()));
    }

    #[tokio::test]
    async fn not_more_exchanges_are_remembered_than_the_bound() {
        let known = Known::default();
        for number in 0..=KNOWN_MAX {
            known.insert(number.to_string().into(), Instant::now());
        }
        assert_eq!(known.0.lock().unwrap().len(), 1);
        assert!(known.renew(&KNOWN_MAX.to_string().into(), Instant::now()));
    }
}
