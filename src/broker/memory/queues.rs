//! All queues of the embedded broker by name, and the lock of each.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::queue::{Consumer, ConsumerId, Full, Queue};
use super::topics::selects;
use crate::delivery::Table;
use crate::destination::{Destination, Pattern, Selector};
use crate::ident::SubscriptionId;
use crate::message::Message;
use crate::session::Fault;
use crate::sync::lock;

/// Which queue it is. Also says how long it stays.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Name {
    /// A durable subscription to a topic: stays until a final UNSUBSCRIBE.
    Durable { topic: Pattern, id: SubscriptionId },
    /// A subscription to a topic whose messages are acknowledged: stays as long as it. Found by nobody else.
    Private { topic: Pattern, selector: Option<Arc<Selector>> },
    /// Where replies to a session come to: stays as long as it.
    Reply(Box<str>),
    /// Stays while it is used or something is in it.
    Shared(Box<str>),
}

/// A queue that links share. Compared by identity: a name that was forgotten can come back for another queue.
#[derive(Clone, Debug)]
pub(super) struct Handle(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: Name,
    queue: Mutex<Queue>,
}

/// Each queue has a lock of its own. It is taken while a group of `bound` is locked, never the other way round, and
/// `by_name` is locked only while a name is looked up.
#[derive(Debug)]
pub(super) struct Queues {
    account: Arc<Account>,
    by_name: Mutex<HashMap<Name, Handle>>,
    /// Queues that take what is published to a topic.
    bound: Table<Handle>,
    swept: Mutex<Instant>,
}

/// How often a broker that is full looks through all queues for messages whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Queues {
    pub(super) fn new(account: Arc<Account>) -> Self {
        let swept = Mutex::new(Instant::now());
        let bound = Table::new(account.settings.patterns);
        Self { account, by_name: Mutex::default(), bound, swept }
    }

    /// To one queue. A [`Name::Reply`] has to be there already.
    pub(super) fn publish(&self, name: &Name, message: &Message) -> Result<(), Fault> {
        self.try_publish(name, message).or_else(|fault| match fault {
            Fault::Full { .. } if self.sweep() => self.try_publish(name, message),
            fault => Err(fault),
        })
    }

    /// To the queues of all subscriptions to that topic that have one.
    pub(super) fn publish_to_topic(&self, topic: &str, message: &Message) {
        self.bound.for_each(topic, |queue| {
            if !queue.name().takes(message) {
                return;
            }
            let expires = expiry(message);
            self.run(queue, |it, now| it.publish_dropping(message.clone(), expires, now));
        });
    }

    pub(super) fn consume(&self, name: &Name, id: ConsumerId, mut consumer: Consumer) -> Result<Handle, Fault> {
        loop {
            let queue = self.open(name)?;
            if let Some(topic) = name.topic() {
                self.bound.insert(topic, queue.clone());
            }
            match self.try_join(&queue, id, consumer) {
                Ok(()) => return Ok(queue),
                Err(it) => consumer = it,
            }
            // Somebody deleted it in the meantime, perhaps before it was bound again.
            self.forget(&queue);
        }
    }

    /// Changes a queue that is not over, and forgets it when nobody has a use for it afterwards.
    pub(super) fn run<T>(&self, queue: &Handle, change: impl FnOnce(&mut Queue, Instant) -> T) -> Option<T> {
        let mut state = queue.lock();
        if state.is_over() {
            return None;
        }
        let outcome = change(&mut state, Instant::now());
        let is_unused = matches!(queue.name(), Name::Shared(_)) && state.is_unused();
        if is_unused {
            state.end();
        }
        drop(state);
        if is_unused {
            self.forget(queue);
        }
        Some(outcome)
    }

    pub(super) fn delete(&self, queue: &Handle, by: ConsumerId) {
        queue.lock().delete(by);
        self.forget(queue);
    }

    fn try_publish(&self, name: &Name, message: &Message) -> Result<(), Fault> {
        loop {
            let queue = match name {
                Name::Reply(text) => {
                    self.find(name).ok_or_else(|| Fault::Refused(format!("no reply queue '{text}'")))?
                }
                Name::Durable { .. } | Name::Private { .. } | Name::Shared(_) => self.open(name)?,
            };
            let expires = expiry(message);
            if let Some(outcome) = self.run(&queue, |it, now| it.publish(message.clone(), expires, now)) {
                return outcome.map_err(|full| self.fault(full, name));
            }
            self.forget(&queue);
        }
    }

    /// Gives the consumer back when the queue is over.
    fn try_join(&self, queue: &Handle, id: ConsumerId, consumer: Consumer) -> Result<(), Consumer> {
        let mut consumer = Some(consumer);
        self.run(queue, |it, now| consumer.take().map(|consumer| it.join(id, consumer, now)));
        consumer.map_or(Ok(()), Err)
    }

    fn find(&self, name: &Name) -> Option<Handle> {
        self.names().get(name).cloned()
    }

    fn open(&self, name: &Name) -> Result<Handle, Fault> {
        let create =
            || Handle(Arc::new(Named { name: name.clone(), queue: Mutex::new(Queue::new(Arc::clone(&self.account))) }));
        if let Name::Private { .. } = name {
            return Ok(create());
        }
        let mut by_name = self.names();
        if let Some(queue) = by_name.get(name) {
            return Ok(queue.clone());
        }
        let max = self.account.settings.queues_max;
        if by_name.len() >= max {
            return Err(broker_full(max, "queues", "broker.memory.queues_max"));
        }
        let queue = create();
        by_name.insert(name.clone(), queue.clone());
        self.account.metrics.queues.inc();
        Ok(queue)
    }

    /// Takes a queue that is over out of all maps. Others may have done so, and the name may have a new queue.
    fn forget(&self, queue: &Handle) {
        if let Some(topic) = queue.name().topic() {
            self.bound.remove(topic, queue);
        }
        let mut by_name = self.names();
        if by_name.get(queue.name()) == Some(queue) {
            by_name.remove(queue.name());
            self.account.metrics.queues.dec();
            if by_name.len() * 4 < by_name.capacity() {
                let room = by_name.len() * 2;
                by_name.shrink_to(room);
            }
        }
    }

    /// Drops what has expired in any queue: one that nobody uses does not notice by itself. Says whether it did.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut swept = lock(&self.swept);
        if now.duration_since(*swept) < SWEEP_INTERVAL {
            return false;
        }
        *swept = now;
        drop(swept);
        let queues: Vec<_> = self.names().values().cloned().collect();
        for queue in queues {
            self.run(&queue, Queue::expire);
        }
        true
    }

    fn fault(&self, full: Full, name: &Name) -> Fault {
        let settings = &self.account.settings;
        let queue_full = |max, unit, setting| Fault::Full { what: name.to_string(), max, unit, setting };
        match full {
            Full::Broker => broker_full(settings.bytes_max, "bytes", "broker.memory.bytes_max"),
            Full::Bytes => queue_full(settings.queue_bytes_max, "bytes", "broker.memory.queue_bytes_max"),
            Full::Messages => queue_full(settings.queue_messages_max, "messages", "broker.memory.queue_messages_max"),
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<Name, Handle>> {
        lock(&self.by_name)
    }
}

impl Name {
    /// What the queue takes messages from, if that is a topic.
    fn topic(&self) -> Option<&Pattern> {
        match self {
            Self::Durable { topic, .. } | Self::Private { topic, .. } => Some(topic),
            Self::Reply(_) | Self::Shared(_) => None,
        }
    }

    fn takes(&self, message: &Message) -> bool {
        match self {
            Self::Private { selector: Some(selector), .. } => selects(selector, message),
            Self::Durable { .. } | Self::Private { selector: None, .. } | Self::Reply(_) | Self::Shared(_) => true,
        }
    }
}

/// The destination that reaches it, or the pattern of those that do.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable { topic, .. } | Self::Private { topic, .. } => f.write_str(topic.as_str()),
            Self::Reply(name) => Destination::ReplyQueue(name.clone()).fmt(f),
            Self::Shared(name) => Destination::Queue(name.clone()).fmt(f),
        }
    }
}

impl Handle {
    pub(super) fn name(&self) -> &Name {
        &self.0.name
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.0.queue)
    }

    /// Tells queues apart, in an order without meaning.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Handle {}

impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// When the `expiration` header says that the message is of no use any more. The session has refused what is no number;
/// a time too far to be told is as good as none.
fn expiry(message: &Message) -> Option<Instant> {
    let ms = message.headers().get("expiration")?.parse().ok()?;
    Instant::now().checked_add(Duration::from_millis(ms))
}

fn broker_full(max: usize, unit: &'static str, setting: &'static str) -> Fault {
    Fault::Full { what: "The embedded broker".to_owned(), max, unit, setting }
}
