//! Publishing: a few confirm channels, each with one task that writes to it and waits for its confirms.
//!
//! One session uses one channel, so its publishes keep their order. They wait in a queue that is bounded in bytes
//! for all sessions together; beyond it a publish fails at once with [`Fault::Full`], so what a session sent
//! before and after it stays in order, and the session is told which one is missing. A session is not read from long
//! before that: at `session.publishes_in_flight_max`. While RabbitMQ blocks, everything simply waits.
//!
//! What one session sends costs no other session anything, though they share a channel: see [`writer`].

mod channel;
mod exchanges;
mod lanes;
mod suspects;
mod window;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::context::Context;
use super::declarer::Queue;
use super::epochs::Epochs;
use super::generation::Generation;
use super::private::Replies;
use super::tasks::Tasks;
use crate::broker::Pending;
use crate::ident::SessionId;
use crate::session::Fault;
pub(super) use exchanges::Exchanges;

/// What a message costs here beside its own bytes.
const OVERHEAD: usize = 512;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    room_max: usize,
}

/// What is to be published, or why it can't be: that is answered in its turn, too.
pub(super) type Content = Result<Box<Routed>, Fault>;

#[derive(Debug)]
pub(super) struct Routed {
    pub(super) exchange: ShortString,
    /// A client has named it, so it may be missing.
    pub(super) is_exchange_unsure: bool,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// What has to be declared first.
    pub(super) queue: Option<Arc<Queue>>,
    /// What has to be consumed first, and becomes the `reply_to`.
    pub(super) replies: Option<Arc<Replies>>,
}

#[derive(Debug)]
struct Outgoing {
    session: SessionId,
    content: Content,
    done: oneshot::Sender<Result<(), Fault>>,
    /// Its part of the bound, until it was answered.
    _room: OwnedSemaphorePermit,
}

pub(super) fn start(context: &Arc<Context>, tasks: &Tasks, epochs: &Epochs) -> Vec<Publisher> {
    let settings = &context.settings;
    let room_max = settings.publish_queue_bytes_max.min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(room_max));
    // So many have all the room: their queue is never full before that is.
    let messages_max = room_max / OVERHEAD + 1;
    let start = |_| {
        let (queue, outgoing) = mpsc::channel(messages_max);
        tasks.spawn(run(context.clone(), epochs.clone(), outgoing));
        Publisher { queue, room: room.clone(), room_max }
    };
    (0..settings.publishers.max(1)).map(start).collect()
}

/// The task of one publisher. What a generation leaves unanswered fails with it.
async fn run(context: Arc<Context>, epochs: Epochs, mut outgoing: mpsc::Receiver<Outgoing>) {
    loop {
        let generation = tokio::select! {
            generation = epochs.next() => generation,
            // Dropped unanswered, which says so.
            publish = outgoing.recv() => match publish {
                Some(_) => continue,
                None => return,
            },
        };
        let writer = writer::Writer::new(&context, &generation);
        generation.tasks.ended().run_until_cancelled(writer.run(&mut outgoing)).await;
    }
}

impl Publisher {
    pub(super) fn publish(&self, session: SessionId, content: Content, size: usize) -> Pending {
        // A message larger than the bound still passes when it has all the room for itself.
        let room = u32::try_from((size + OVERHEAD).min(self.room_max)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(room) else {
            let (what, setting) =
                ("The queue of messages for RabbitMQ".to_owned(), "broker.amqp.publish_queue_bytes_max");
            return Pending::ready(Err(Fault::Full { what, max: self.room_max, unit: "bytes", setting }));
        };
        let (done, answer) = oneshot::channel();
        match self.queue.try_send(Outgoing { session, content, done, _room: room }) {
            Ok(()) => Pending::Waiting(answer),
            Err(_) => Pending::ready(Err(Fault::Unavailable)),
        }
    }
}

impl lanes::Publish for Outgoing {
    fn session(&self) -> SessionId {
        self.session
    }

    fn fail(&mut self, fault: Fault) {
        self.content = Err(fault);
    }
}

impl Outgoing {
    /// Whether something has to be done before it can be written.
    fn needs_preparation(&self, generation: &Generation) -> bool {
        let Ok(routed) = &self.content else { return false };
        routed.queue.as_ref().is_some_and(|it| !it.is_declared(generation.number))
            || routed.replies.as_ref().is_some_and(|it| it.address().is_none())
            || (routed.is_exchange_unsure && !generation.exchanges.is_known(&routed.exchange))
    }
}

const NOT_FOUND: &str = "not_found";

/// What a client is told whose publish or exchange made RabbitMQ close a channel (E32). A connection that is closed is not
/// for what one client asked.
fn exception(context: &Context, error: &lapin::Error) -> Fault {
    if error.is_amqp_hard_error() { Fault::Unavailable } else { context.fault(error) }
}
