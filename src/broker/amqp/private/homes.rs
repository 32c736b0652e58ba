//! The connections that carry the private channels, and the declarer beside them.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tracing::warn;

use super::exclusives::{Claim, Exclusives};
use crate::broker::amqp::connection::{ConnectError, Role};
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::{self, Condition, Declarer, Queue};
use crate::broker::amqp::line::Line;
use crate::broker::amqp::shared_line::SharedLine;
use crate::broker::amqp::tasks::Tasks;
use crate::ident::SessionId;
use crate::session::Fault;
use crate::sync::lock;

/// Connections for private channels of one account. With the 2,047 channels that RabbitMQ allows by default these are
/// more sessions than one process holds.
const HOMES_MAX: usize = 64;

/// Sessions of one account that subscribe at a time. When all of them come back at once, each has its answers in time.
const SUBSCRIBES_MAX: usize = 64;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(in crate::broker::amqp) struct Homes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Context>,
    tasks: Tasks,
    checks: SharedLine,
    /// Channels that sessions may have on one connection.
    channels: usize,
    generation: u64,
    subscribes: Semaphore,
    first: Arc<Home>,
    /// Connected when first used, and kept.
    others: Mutex<Vec<Arc<Home>>>,
}

/// One connection: exclusive queues that are declared here can only be consumed here.
#[derive(Debug)]
pub(in crate::broker::amqp) struct Home {
    pub(in crate::broker::amqp) line: Line,
    pub(in crate::broker::amqp) declarer: Declarer,
    pub(in crate::broker::amqp) exclusives: Arc<Exclusives>,
    room: Arc<Semaphore>,
}

impl Homes {
    /// The first one is connected at once: it is what proves that RabbitMQ can be used.
    pub(in crate::broker::amqp) async fn open(
        context: &Arc<Context>,
        tasks: &Tasks,
        checks: &SharedLine,
        generation: u64,
    ) -> Result<Self, ConnectError> {
        let line = Line::new(context, tasks, Role::Private);
        line.open().await?;
        let channels = channels_for_sessions(line.channel_max().unwrap_or(u16::MAX));
        Ok(Self::new(context, tasks, checks, line, channels, generation))
    }

    fn new(
        context: &Arc<Context>,
        tasks: &Tasks,
        checks: &SharedLine,
        line: Line,
        channels: usize,
        generation: u64,
    ) -> Self {
        let first = Arc::new(Home::new(context, tasks, checks, line, channels, generation));
        let (context, tasks, checks) = (context.clone(), tasks.clone(), checks.clone());
        let (subscribes, others) = (Semaphore::new(SUBSCRIBES_MAX), Mutex::default());
        Self(Arc::new(Inner { context, tasks, checks, channels, generation, subscribes, first, others }))
    }

    /// Where queues are declared that no session has a channel for yet.
    pub(in crate::broker::amqp) fn first(&self) -> &Arc<Home> {
        &self.0.first
    }

    /// The right to subscribe, for as long as that takes.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.0.subscribes.acquire().await.expect("it is never closed")
    }

    /// A home with room for one channel more, and the right to it. The earlier ones are filled first.
    pub(super) fn room(&self) -> Result<(Arc<Home>, OwnedSemaphorePermit), Fault> {
        let Inner { context, tasks, checks, channels, generation, first, others, .. } = &*self.0;
        let mut others = lock(others);
        if let Some(found) = std::iter::once(first).chain(&*others).find_map(Home::seat) {
            return Ok(found);
        }
        if others.len() + 1 >= HOMES_MAX || *channels == 0 {
            if std::iter::once(first).chain(&*others).all(|it| it.room.is_closed()) {
                warn!("no channel is left on any connection, for all that RabbitMQ has refused; connecting anew");
                tasks.ended().cancel();
            }
            return Err(full(*channels));
        }
        let line = Line::new(context, tasks, Role::Private);
        let home = Arc::new(Home::new(context, tasks, checks, line, *channels, *generation));
        let seat = Home::seat(&home).ok_or_else(|| full(*channels));
        others.push(home);
        seat
    }

    pub(in crate::broker::amqp) async fn close(&self) {
        let others = lock(&self.0.others).clone();
        join_all(std::iter::once(&self.0.first).chain(&others).map(|home| home.line.close())).await;
    }
}

impl Home {
    fn new(
        context: &Arc<Context>,
        tasks: &Tasks,
        checks: &SharedLine,
        line: Line,
        channels: usize,
        generation: u64,
    ) -> Self {
        let declarer = Declarer::start(context, tasks, &line, checks, generation);
        let exclusives = Arc::<Exclusives>::default();
        tasks.spawn(delete_ended(exclusives.clone(), declarer.clone()));
        Self { line, declarer, exclusives, room: Arc::new(Semaphore::new(channels)) }
    }

    /// Declares a queue, whatever the session did before: somebody may have deleted it since. A publish would vanish
    /// then, and is not held to more (D10); a consumer would cost the session its channel, and all others on it.
    ///
    /// An exclusive one is the session's as long as it holds the claim.
    pub(in crate::broker::amqp) async fn declare(
        &self,
        queue: &Queue,
        session: SessionId,
    ) -> Result<Option<Claim>, Fault> {
        let is_exclusive = queue.declare.options.exclusive;
        let claim = is_exclusive.then(|| self.exclusives.claim(&queue.name, session)).transpose()?;
        self.declarer.declare(queue).await?;
        claim.iter().for_each(Claim::made);
        Ok(claim)
    }

    /// It takes no other session, because no number of a channel is left.
    pub(super) fn fill(&self) {
        self.room.close();
    }

    fn seat(self: &Arc<Self>) -> Option<(Arc<Self>, OwnedSemaphorePermit)> {
        self.room.clone().try_acquire_owned().ok().map(|permit| (self.clone(), permit))
    }
}

/// One number is the connection's own. Two are for each channel that declares, since the next may be opened before the
/// last is closed. A quarter is for the channels that RabbitMQ closes: the library does not use their numbers again.
fn channels_for_sessions(channel_max: u16) -> usize {
    (usize::from(channel_max) / 4 * 3).saturating_sub(1 + 2 * declarer::CHANNELS)
}

fn full(channels: usize) -> Fault {
    Fault::Refused(format!(
        "Sessions hold all channels for queues: RabbitMQ allows them {channels} on each of {HOMES_MAX} connections \
         (channel_max of RabbitMQ)"
    ))
}

/// An exclusive queue would otherwise last as long as the connection, which is not the session's.
async fn delete_ended(exclusives: Arc<Exclusives>, declarer: Declarer) {
    loop {
        let queue = exclusives.next_ended().await;
        if let Err(fault) = declarer.delete(&queue, Condition::Always).await {
            warn!(%fault, queue = queue.as_str(), "an exclusive queue of a session was not deleted");
        }
        exclusives.deleted(&queue);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::amqp::context::{Account, unbounded};
    use crate::broker::amqp::metrics::Metrics;
    use crate::lifecycle::Lifecycle;
    use crate::telemetry::Registry;

    fn homes(channels: usize) -> Homes {
        let lifecycle = Lifecycle::default();
        let metrics = Metrics::new(&Registry::default());
        let context = Arc::new(Context::new(Arc::default(), Account::Gateway, metrics, lifecycle.clone(), unbounded()));
        let tasks = Tasks::new(lifecycle);
        let line = Line::new(&context, &tasks, Role::Private);
        let checks = SharedLine::new(&line, Duration::ZERO);
        Homes::new(&context, &tasks, &checks, line, channels, 1)
    }

    fn is_first(homes: &Homes, home: &Home) -> bool {
        std::ptr::eq(&**homes.first(), home)
    }

    #[tokio::test]
    async fn a_full_connection_is_followed_by_another_and_filled_again_first() {
        let homes = homes(2);
        let seats: Vec<_> = (0..5).map(|_| homes.room().unwrap()).collect();
        let of_first: Vec<_> = seats.iter().map(|(home, _)| is_first(&homes, home)).collect();
        assert_eq!(of_first, [true, true, false, false, false]);
        assert!(Arc::ptr_eq(&seats[2].0, &seats[3].0) && !Arc::ptr_eq(&seats[3].0, &seats[4].0));
        drop(seats.into_iter().next());
        assert!(is_first(&homes, &homes.room().unwrap().0));
        homes.first().fill();
        assert!(!is_first(&homes, &homes.room().unwrap().0));
    }

    #[tokio::test]
    async fn there_are_so_many_connections_and_no_more() {
        let few = homes(1);
        let seats: Vec<_> = (0..HOMES_MAX).map(|_| few.room().unwrap()).collect();
        assert_eq!(few.room().unwrap_err(), full(1));
        drop(seats);
        assert!(few.room().is_ok());
        assert_eq!(homes(0).room().unwrap_err(), full(0));
    }

    #[tokio::test]
    async fn when_the_last_connection_is_used_up_all_begins_anew() {
        let homes = homes(1);
        for _ in 0..HOMES_MAX {
            let (home, _seat) = homes.room().unwrap();
            assert!(!homes.0.tasks.ended().is_cancelled());
            home.fill();
        }
        assert_eq!(homes.room().unwrap_err(), full(1));
        assert!(homes.0.tasks.ended().is_cancelled());
    }
}
