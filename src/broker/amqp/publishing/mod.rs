//! Publishing: a few confirm channels, each with one task that writes to it and waits for its confirms.
//!
//! One session uses one channel, so its publishes keep their order. They wait in a queue that is bounded in bytes
//! for all sessions together; beyond it a publish fails at once with [`Fault::Full`], so what a session sent
//! before and after it stays in order, and the session is told which one is missing. A session is not read from long
//! before that: at `session.publishes_in_flight_max`. While RabbitMQ blocks, everything simply waits; while it is away
//! as well, with [`Outage::Hold`](crate::broker::Outage::Hold), but not for ever.
//!
//! What one session sends costs no other session anything, though they share a channel: see [`writer`].

mod backlog;
mod channel;
mod exchanges;
mod lanes;
mod outgoing;
mod outlet;
mod suspects;
mod window;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot};

use super::context::Context;
use super::declarer::Queue;
use super::epochs::Epochs;
use super::private::Replies;
use super::tasks::Tasks;
use crate::broker::Pending;
use crate::broker::room::{Bound, Room};
use crate::ident::SessionId;
use crate::lifecycle::Lifecycle;
use crate::session::Fault;
pub(super) use exchanges::Exchanges;
use outgoing::Outgoing;
use writer::Writer;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Room>,
    lifecycle: Lifecycle,
}

/// What is to be published, or why it can't be: that is answered in its turn, too.
pub(super) type Content = Result<Box<Routed>, Fault>;

#[derive(Debug)]
pub(super) struct Routed {
    pub(super) exchange: ShortString,
    /// A client has named it, so it may be missing.
    pub(super) is_exchange_unsure: bool,
    /// RabbitMQ says when it is in no queue, for the counter.
    pub(super) is_mandatory: bool,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// What has to be declared first.
    pub(super) queue: Option<Arc<Queue>>,
    /// What has to be consumed first, and becomes the `reply_to`.
    pub(super) replies: Option<Arc<Replies>>,
}

impl Routed {
    /// And not, by the default exchange, to the queue of that name.
    fn is_routed_by_exchange(&self) -> bool {
        !self.exchange.as_str().is_empty()
    }
}

pub(super) fn start(context: &Arc<Context>, tasks: &Tasks, epochs: &Epochs) -> Vec<Publisher> {
    let settings = &context.settings;
    let bound = Bound {
        bytes_max: settings.publish_queue_bytes_max,
        what: "The queue of messages for RabbitMQ",
        setting: "broker.amqp.publish_queue_bytes_max",
    };
    let room = Room::new(bound, context.metrics.publish_queue.waiting.clone(), &context.budget);
    let start = |_| {
        // Its queue is never full before the room is.
        let (queue, outgoing) = mpsc::channel(room.messages_max());
        tasks.spawn(Writer::new(context).run(epochs.clone(), outgoing));
        Publisher { queue, room: room.clone(), lifecycle: context.lifecycle.clone() }
    };
    (0..settings.publishers.max(1)).map(start).collect()
}

impl Publisher {
    /// Whether nothing waits, here or at the other publishers of the account.
    pub(super) fn is_idle(&self) -> bool {
        self.room.is_empty()
    }

    pub(super) fn publish(&self, session: SessionId, content: Content, size: usize) -> Pending {
        let place = match self.room.take(size) {
            Ok(place) => place,
            Err(fault) => return Pending::ready(Err(fault)),
        };
        let (done, answer) = oneshot::channel();
        match self.queue.try_send(Outgoing::new(session, content, place, self.lifecycle.hold(), done)) {
            Ok(()) => Pending::Waiting(answer),
            Err(_) => Pending::ready(Err(Fault::Unavailable)),
        }
    }
}

const NOT_FOUND: &str = "not_found";

/// What a client is told whose publish or exchange made RabbitMQ close a channel (E32). A connection that is closed is not
/// for what one client asked.
fn exception(context: &Context, error: &lapin::Error) -> Fault {
    if error.is_amqp_hard_error() { Fault::Unavailable } else { context.fault(error) }
}
