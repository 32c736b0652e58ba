//! The connections that carry the private channels, and the declarer beside them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::broker::amqp::connection::{ConnectError, Role};
use crate::broker::amqp::context::{Context, no_channel};
use crate::broker::amqp::declarer::{self, Declarer};
use crate::broker::amqp::line::Line;
use crate::broker::amqp::tasks::Tasks;
use crate::session::Fault;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(in crate::broker::amqp) struct Homes {
    first: Arc<Home>,
}

/// One connection: exclusive queues that are declared here can only be consumed here.
#[derive(Debug)]
pub(in crate::broker::amqp) struct Home {
    pub(in crate::broker::amqp) line: Line,
    pub(in crate::broker::amqp) declarer: Declarer,
    /// Channels that sessions may have.
    room: Arc<Semaphore>,
}

impl Homes {
    /// The first one is connected at once: it is what proves that RabbitMQ can be used.
    pub(in crate::broker::amqp) async fn open(context: &Arc<Context>, tasks: &Tasks) -> Result<Self, ConnectError> {
        let line = Line::new(context, tasks, Role::Private);
        line.open().await?;
        let declarer = Declarer::start(context, tasks, &line);
        // The channels that declare are on the same connection, whose channels are counted with the one of number 0. A
        // declare that was refused may need another one before the last is closed.
        let channels = usize::from(line.channel_max().unwrap_or(u16::MAX));
        let room = Arc::new(Semaphore::new(channels.saturating_sub(1 + 2 * declarer::CHANNELS)));
        Ok(Self { first: Arc::new(Home { line, declarer, room }) })
    }

    /// Where queues are declared that no session has a channel for yet.
    pub(in crate::broker::amqp) fn first(&self) -> &Home {
        &self.first
    }

    /// A home with room for one channel more, and the right to it.
    #[expect(clippy::unused_async, reason = "another connection would be opened here")]
    pub(in crate::broker::amqp) async fn room(&self) -> Result<(Arc<Home>, OwnedSemaphorePermit), Fault> {
        let permit = self.first.room.clone().try_acquire_owned().map_err(|_| no_channel())?;
        Ok((self.first.clone(), permit))
    }

    pub(in crate::broker::amqp) async fn close(&self) {
        self.first.line.close().await;
    }
}
