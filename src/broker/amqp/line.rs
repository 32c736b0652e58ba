//! One connection of a generation, opened when it is first needed. Cloning it clones a handle.

use std::sync::Arc;
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::OnceCell;
use tokio::time::timeout;
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
}

impl Line {
    pub(super) fn new(context: &Arc<Context>, tasks: &Tasks, role: Role) -> Self {
        let (context, tasks) = (context.clone(), tasks.clone());
        Self(Arc::new(Inner { context, tasks, role, connection: OnceCell::new() }))
    }

    /// Connects, unless that has been done. A connection that is lost later ends its generation.
    pub(super) async fn open(&self) -> Result<&Arc<Connection>, ConnectError> {
        let Inner { context, tasks, role, connection } = &*self.0;
        connection
            .get_or_try_init(async || {
                let connection = Arc::new(connect(context, *role).await?);
                tasks.spawn(watch(context.clone(), connection.clone(), *role, tasks.ended().clone()));
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

    /// Whether RabbitMQ reads nothing from the connection for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.connection.get().is_some_and(|it| it.status().blocked())
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
