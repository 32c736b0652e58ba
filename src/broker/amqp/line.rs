//! One connection of a generation, opened when it is first needed. Cloning it clones a handle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::connection::{ConnectError, Role, connect, watch};
use super::context::Context;
use super::tasks::Tasks;
use crate::session::Fault;

/// A connection that RabbitMQ blocks, or that is dead already, does not close in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Context>,
    tasks: Tasks,
    role: Role,
    connection: OnceCell<Arc<Connection>>,
    /// When RabbitMQ last ceased to block the connection.
    unblocked: Arc<Mutex<Option<Instant>>>,
}

impl Line {
    pub(super) fn new(context: &Arc<Context>, tasks: &Tasks, role: Role) -> Self {
        let (context, tasks) = (context.clone(), tasks.clone());
        Self(Arc::new(Inner { context, tasks, role, connection: OnceCell::new(), unblocked: Arc::default() }))
    }

    /// The same, not connected yet.
    pub(super) fn another(&self) -> Self {
        let Inner { context, tasks, role, .. } = &*self.0;
        Self::new(context, tasks, *role)
    }

    /// Connects, unless that has been done. A connection that is lost later ends its generation, except that of the
    /// publishers: they go on with [another](Self::another).
    pub(super) async fn open(&self) -> Result<&Arc<Connection>, ConnectError> {
        let Inner { context, tasks, role, connection, unblocked } = &*self.0;
        connection
            .get_or_try_init(async || {
                let connection = Arc::new(connect(context, *role).await?);
                let lost = match role {
                    Role::Feeds | Role::Private => tasks.ended().clone(),
                    Role::Publish => tasks.ended().child_token(),
                };
                tasks.spawn(watch(context.clone(), connection.clone(), *role, lost, unblocked.clone()));
                Ok(connection)
            })
            .await
    }

    /// A new channel, on a connection that is opened if it is not there yet.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        let context = &self.0.context;
        let connection = self.open().await.map_err(|error| error.fault(context))?;
        let opened = async {
            loop {
                match connection.create_channel().await {
                    // The library refuses the number of a channel that RabbitMQ has closed, for what it was closed for:
                    // the next number may be a good one.
                    Err(error) if error.is_amqp_soft_error() => {}
                    outcome => return outcome,
                }
            }
        };
        context.answer(opened).await
    }

    /// Whether the connection is there, and can be used.
    pub(super) fn is_connected(&self) -> bool {
        self.0.connection.get().is_some_and(|it| it.status().connected())
    }

    /// Whether the connection was there, and is there no more.
    pub(super) fn is_lost(&self) -> bool {
        self.0.connection.get().is_some_and(|it| !it.status().connected())
    }

    /// Until when RabbitMQ has read nothing from the connection: now, while it does not; none if it always has.
    pub(super) fn blocked_until(&self) -> Option<Instant> {
        if self.0.connection.get().is_some_and(|it| it.status().blocked()) {
            return Some(Instant::now());
        }
        *self.0.unblocked.lock().expect("no panic while held")
    }

    /// What RabbitMQ granted; none before the connection is open.
    pub(super) fn channel_max(&self) -> Option<u16> {
        self.0.connection.get().map(|it| it.configuration().channel_max())
    }

    pub(super) async fn close(&self) {
        let Some(connection) = self.0.connection.get() else { return };
        match timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "a connection was gone before it was closed"),
            Err(_) => debug!("a connection did not close in order"),
        }
    }
}
