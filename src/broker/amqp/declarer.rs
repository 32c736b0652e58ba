//! Declares, binds and deletes queues of sessions, on channels where nothing else happens: a refusal costs its channel.
//! Declares are tried at a [`Desk`] first, where that costs nobody else anything: any client can have them refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::bench::Bench;
use super::context::{Context, no_channel};
use super::desk::Desk;
use super::faults::is_outage;
use super::line::Line;
use super::one_of;
use super::private::Claim;
use super::queue::Declare;
use super::shared_line::SharedLine;
use super::tasks::Tasks;
use crate::session::Fault;
use crate::sync::lock;

/// Operations in flight at a time; those of one queue never overlap.
pub(super) const CHANNELS: usize = 4;
const WAITING_MAX: usize = 256;
const OPERATIONS_PER_CHANNEL: u32 = 1_000;

/// Of the connection, and gone with the consumer.
pub(super) const EXCLUSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: false, exclusive: true, auto_delete: true, nowait: false };

/// Asks whether the queue is there, and makes nothing.
const PASSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: true, durable: false, exclusive: false, auto_delete: false, nowait: false };

/// A queue that a session uses, and whether it has declared it (D10: at first use, and not again).
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: ShortString,
    pub(super) declare: Declare,
    /// The generation in which it was declared, or one of the two below.
    declared: AtomicU64,
    /// Of an exclusive one that lasts as long as the session.
    claim: Mutex<Option<Claim>>,
}

const NOT_YET: u64 = 0;
const REFUSED: u64 = u64::MAX;

impl Queue {
    pub(super) const fn new(name: ShortString, declare: Declare) -> Self {
        Self { name, declare, declared: AtomicU64::new(NOT_YET), claim: Mutex::new(None) }
    }

    pub(super) fn is_declared(&self, generation: u64) -> bool {
        self.declared.load(Ordering::Relaxed) == generation
    }

    /// The last attempt to declare it failed: another frame may say how it should be.
    pub(super) fn is_refused(&self) -> bool {
        self.declared.load(Ordering::Relaxed) == REFUSED
    }

    /// It is the session's from now on, whether it is consumed or not.
    pub(super) fn keep(&self, claim: Option<Claim>) {
        let before = std::mem::replace(&mut *lock(&self.claim), claim);
        drop(before);
    }
}

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Declarer {
    context: Arc<Context>,
    generation: u64,
    channels: Arc<[mpsc::Sender<Work>]>,
}

#[derive(Debug)]
struct Work {
    task: Task,
    /// Told the name of the queue.
    done: oneshot::Sender<Result<ShortString, Fault>>,
}

#[derive(Clone, Debug)]
enum Task {
    Bind { queue: ShortString, exchange: ShortString, key: ShortString },
    Declare { name: ShortString, declare: Declare },
    Delete { queue: ShortString, condition: Condition },
}

/// When a queue is deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Condition {
    Always,
    /// While it has neither messages nor consumers.
    Idle,
}

impl Declarer {
    pub(super) fn start(
        context: &Arc<Context>,
        tasks: &Tasks,
        line: &Line,
        checks: &SharedLine,
        generation: u64,
    ) -> Self {
        let start = |_| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            let bench = Bench::new(context.clone(), line.clone(), OPERATIONS_PER_CHANNEL);
            let desk = Desk::new(context.clone(), checks.clone());
            tasks.spawn(run(receiver, desk, bench, tasks.ended().clone()));
            sender
        };
        Self { context: context.clone(), generation, channels: (0..CHANNELS).map(start).collect() }
    }

    pub(super) async fn declare(&self, queue: &Queue) -> Result<(), Fault> {
        let task = Task::Declare { name: queue.name.clone(), declare: queue.declare.clone() };
        let answer = self.ask(channel_of(&queue.name), task).await;
        let declared = match &answer {
            Ok(_) => self.generation,
            Err(fault) if is_outage(fault) => NOT_YET,
            Err(_) => REFUSED,
        };
        queue.declared.store(declared, Ordering::Relaxed);
        answer.map(drop)
    }

    /// A queue for replies, which RabbitMQ names: nobody can guess it.
    pub(super) async fn declare_unnamed(&self, arguments: FieldTable) -> Result<ShortString, Fault> {
        let task = Task::Declare { name: ShortString::default(), declare: Declare { options: EXCLUSIVE, arguments } };
        self.ask(rand::random_range(0..CHANNELS), task).await
    }

    /// Whether the queue is there, and open to this connection.
    pub(super) async fn check(&self, queue: &ShortString) -> Result<(), Fault> {
        self.ask(channel_of(queue), check(queue)).await.map(drop)
    }

    /// What the exchange routes by `key` also goes to the queue.
    pub(super) async fn bind(&self, queue: &ShortString, exchange: ShortString, key: ShortString) -> Result<(), Fault> {
        self.ask(channel_of(queue), Task::Bind { queue: queue.clone(), exchange, key }).await.map(drop)
    }

    /// One that is not there is deleted as well (U6).
    pub(super) async fn delete(&self, queue: &ShortString, condition: Condition) -> Result<(), Fault> {
        self.ask(channel_of(queue), Task::Delete { queue: queue.clone(), condition }).await.map(drop)
    }

    async fn ask(&self, channel: usize, task: Task) -> Result<ShortString, Fault> {
        let channel = &self.channels[channel];
        let (done, answer) = oneshot::channel();
        let asked = async {
            // Fails when the connection is lost: the task that would answer has ended.
            channel.send(Work { task, done }).await.map_err(|_| Fault::Unavailable)?;
            answer.await.unwrap_or(Err(Fault::Unavailable))
        };
        timeout(self.context.settings.operation_timeout, asked).await.unwrap_or_else(|_| Err(self.context.timed_out()))
    }
}

/// What is asked of one queue never overlaps.
fn channel_of(queue: &ShortString) -> usize {
    one_of(CHANNELS, queue.as_str())
}

async fn run(mut work: mpsc::Receiver<Work>, mut desk: Desk, mut bench: Bench, ended: CancellationToken) {
    while let Some(Work { task, done }) = work.recv().await {
        if !done.is_closed() {
            let outcome = match try_out(&mut desk, &task).await {
                Some(outcome) => outcome,
                None => bench.work(|channel| carry_out(channel, task)).await,
            };
            if outcome == Err(no_channel()) {
                // The library never uses the number of a channel again that RabbitMQ has closed for a refusal.
                warn!("no channel is left to declare queues, for all that RabbitMQ has refused; connecting anew");
                ended.cancel();
            }
            // Nobody listens when the session has gone meanwhile.
            drop(done.send(outcome));
        }
    }
}

/// The outcome, unless only the connection of the sessions can tell: what is exclusive belongs to a connection.
async fn try_out(desk: &mut Desk, task: &Task) -> Option<Result<ShortString, Fault>> {
    let Task::Declare { name, declare } = task else { return None };
    if name.as_str().is_empty() {
        return None;
    }
    let outcome = desk.work(|channel| carry_out(channel, task.clone())).await;
    match (&outcome, declare.options.exclusive) {
        (Ok(_), true) => {
            let delete = Task::Delete { queue: name.clone(), condition: Condition::Always };
            desk.work(|channel| carry_out(channel, delete.clone())).await.err().map(Err)
        }
        (Err(fault), true) if is_locked(fault) => {
            // What is open to everybody is not exclusive, on no connection.
            let check = check(name);
            desk.work(|channel| carry_out(channel, check.clone())).await.is_ok().then_some(outcome)
        }
        (Err(fault), false) if declare.options.passive && is_locked(fault) => None,
        // It takes no connection for this.
        (Err(Fault::ConnectionLimit(_)), _) => None,
        (Ok(_) | Err(_), _) => Some(outcome),
    }
}

fn check(queue: &ShortString) -> Task {
    Task::Declare { name: queue.clone(), declare: Declare { options: PASSIVE, arguments: FieldTable::default() } }
}

fn is_locked(fault: &Fault) -> bool {
    matches!(fault, Fault::Amqp { name: "resource_locked", .. })
}

async fn carry_out(channel: Channel, task: Task) -> lapin::Result<ShortString> {
    match task {
        Task::Bind { queue, exchange, key } => {
            let options = QueueBindOptions { nowait: false };
            channel.queue_bind(queue.clone(), exchange, key, options, FieldTable::default()).await.map(|()| queue)
        }
        Task::Declare { name, declare: Declare { options, arguments } } => {
            channel.queue_declare(name, options, arguments).await.map(|it| it.name().clone())
        }
        Task::Delete { queue, condition } => {
            let is_idle = condition == Condition::Idle;
            let options = QueueDeleteOptions { if_unused: is_idle, if_empty: is_idle, nowait: false };
            channel.queue_delete(queue.clone(), options).await.map(|_| queue)
        }
    }
}
