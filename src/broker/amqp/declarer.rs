//! Declares and binds queues of sessions, on channels where nothing else happens: a refused declare costs its channel.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::bench::Bench;
use super::context::Context;
use super::line::Line;
use super::tasks::Tasks;
use crate::session::Fault;

/// Declares in flight at a time; those of one queue never overlap.
pub(super) const CHANNELS: usize = 4;
const WAITING_MAX: usize = 256;
const OPERATIONS_PER_CHANNEL: u32 = 1_000;

/// RabbitMQ 4.3 refuses queues that are neither durable nor exclusive.
const SHARED: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: true, exclusive: false, auto_delete: false, nowait: false };

/// Of the connection, and gone with the consumer.
pub(super) const EXCLUSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: false, exclusive: true, auto_delete: true, nowait: false };

/// A queue that a session uses, and whether it has declared it (D10: at first use, and not again).
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: ShortString,
    is_declared: AtomicBool,
}

impl Queue {
    pub(super) const fn new(name: ShortString) -> Self {
        Self { name, is_declared: AtomicBool::new(false) }
    }

    pub(super) fn is_declared(&self) -> bool {
        self.is_declared.load(Ordering::Relaxed)
    }
}

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Declarer {
    context: Arc<Context>,
    channels: Arc<[mpsc::Sender<Work>]>,
}

#[derive(Debug)]
struct Work {
    task: Task,
    done: oneshot::Sender<Result<(), Fault>>,
}

#[derive(Debug)]
enum Task {
    BindTopic { queue: ShortString, key: ShortString },
    DeclareExclusive(ShortString),
    DeclareShared(ShortString),
}

impl Declarer {
    pub(super) fn start(context: &Arc<Context>, tasks: &Tasks, line: &Line) -> Self {
        let start = |_| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let bench = Bench::new(context.clone(), line.clone(), OPERATIONS_PER_CHANNEL);
            tasks.spawn(run(context.clone(), receiver, bench));
            sender
        };
        Self { context: context.clone(), channels: (0..CHANNELS).map(start).collect() }
    }

    /// A queue that outlives the session, unless the session has declared it already.
    pub(super) async fn declare(&self, queue: &Queue) -> Result<(), Fault> {
        if queue.is_declared() { Ok(()) } else { self.declare_again(queue).await }
    }

    /// The same, whatever the session did before: somebody may have deleted the queue since. A publish would vanish
    /// then, and is not held to more (D10); a consumer would cost the session its channel, and all others on it.
    pub(super) async fn declare_again(&self, queue: &Queue) -> Result<(), Fault> {
        self.ask(&queue.name, Task::DeclareShared(queue.name.clone())).await?;
        queue.is_declared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A queue that is gone with its consumer, or with this connection.
    pub(super) async fn declare_exclusive(&self, queue: &ShortString) -> Result<(), Fault> {
        self.ask(queue, Task::DeclareExclusive(queue.clone())).await
    }

    /// What is published to the topics that `key` matches also goes to the queue.
    pub(super) async fn bind_topic(&self, queue: &ShortString, key: ShortString) -> Result<(), Fault> {
        self.ask(queue, Task::BindTopic { queue: queue.clone(), key }).await
    }

    async fn ask(&self, queue: &ShortString, task: Task) -> Result<(), Fault> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(queue.as_str());
        let channel = &self.channels[hash as usize % self.channels.len()];
        let (done, answer) = oneshot::channel();
        let asked = async {
            // Fails when the connection is lost: the task that would answer has ended.
            channel.send(Work { task, done }).await.map_err(|_| Fault::Unavailable)?;
            answer.await.unwrap_or(Err(Fault::Unavailable))
        };
        timeout(self.context.settings.operation_timeout, asked).await.unwrap_or_else(|_| Err(self.context.timed_out()))
    }
}

async fn run(context: Arc<Context>, mut work: mpsc::Receiver<Work>, mut bench: Bench) {
    while let Some(Work { task, done }) = work.recv().await {
        if !done.is_closed() {
            let outcome = bench.work(|channel| carry_out(&context, channel, task)).await;
            // Nobody listens when the session has gone meanwhile.
            drop(done.send(outcome));
        }
    }
}

async fn carry_out(context: &Context, channel: Channel, task: Task) -> lapin::Result<()> {
    match task {
        Task::BindTopic { queue, key } => {
            let options = QueueBindOptions { nowait: false };
            channel.queue_bind(queue, context.topic_exchange.clone(), key, options, FieldTable::default()).await
        }
        Task::DeclareExclusive(name) => {
            channel.queue_declare(name, EXCLUSIVE, context.exclusive_arguments()).await.map(drop)
        }
        Task::DeclareShared(name) => channel.queue_declare(name, SHARED, FieldTable::default()).await.map(drop),
    }
}
