//! One connection of a generation, opened when it is first needed. Cloning it clones a handle.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use lapin::{Channel, Connection};

use super::connection::{ConnectError, Role, close, connect, watch};
use super::context::Context;
use super::tasks::Tasks;
use crate::session::Fault;

#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    tasks: Tasks,
    role: Role,
    connection: OnceLock<Arc<Connection>>,
    /// Gone with the last who waits for it.
    attempt: Mutex<Option<WeakShared<Attempt>>>,
}

type Attempt = BoxFuture<'static, Result<Arc<Connection>, ConnectError>>;

impl Line {
    pub(super) fn new(context: &Arc<Context>, tasks: &Tasks, role: Role) -> Self {
        let (context, tasks) = (context.clone(), tasks.clone());
        Self(Arc::new(Inner { context, tasks, role, connection: OnceLock::new(), attempt: Mutex::default() }))
    }

    /// Connects, unless that has been done. Who asks meanwhile shares the attempt, and its outcome. A connection that is
    /// lost later ends its generation.
    pub(super) async fn open(&self) -> Result<Arc<Connection>, ConnectError> {
        match self.0.connection.get() {
            Some(connection) => Ok(connection.clone()),
            None => self.attempt().await,
        }
    }

    fn attempt(&self) -> Shared<Attempt> {
        let mut attempt = self.0.attempt.lock().expect("no panic while held");
        if let Some(begun) = attempt.as_ref().and_then(WeakShared::upgrade) {
            return begun;
        }
        let begun = self.clone().connect().boxed().shared();
        *attempt = begun.downgrade();
        begun
    }

    async fn connect(self) -> Result<Arc<Connection>, ConnectError> {
        let Inner { context, tasks, role, connection, .. } = &*self.0;
        // The attempt before this one may have succeeded since its outcome was looked for.
        if let Some(connection) = connection.get() {
            return Ok(connection.clone());
        }
        let connected = tasks.ended().run_until_cancelled(connect(context, *role)).await;
        let connected = Arc::new(connected.unwrap_or(Err(Fault::Unavailable.into()))?);
        tasks.spawn(watch(context.clone(), connected.clone(), *role, tasks.ended().clone()));
        Ok(connection.get_or_init(|| connected).clone())
    }

    /// A new channel, on a connection that is opened if it is not there yet.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        let context = &self.0.context;
        let connection = self.open().await.map_err(|error| error.fault(context))?;
        context.answer(connection.create_channel()).await
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
        if let Some(connection) = self.0.connection.get() {
            close(connection).await;
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.0.role)
    }
}
