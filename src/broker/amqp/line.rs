//! One connection of a generation, opened when it is first needed. Cloning it clones a handle.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use lapin::{Channel, Connection};
use tokio::time::Instant;

use super::connection::{ConnectError, Role, close, connect, watch};
use super::context::Context;
use super::tasks::Tasks;
use crate::session::Fault;
use crate::sync::lock;

#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    tasks: Tasks,
    role: Role,
    connection: OnceLock<Arc<Connection>>,
    /// Gone with the last who waits for it.
    attempt: Mutex<Option<WeakShared<Attempt>>>,
    /// Why there was no connection, and when. Clients ask for one as often as they send.
    failure: Mutex<Option<(ConnectError, Instant)>>,
    /// When RabbitMQ last ceased to block the connection.
    unblocked: Arc<Mutex<Option<Instant>>>,
}

type Attempt = BoxFuture<'static, Result<Arc<Connection>, ConnectError>>;

impl Line {
    pub(super) fn new(context: &Arc<Context>, tasks: &Tasks, role: Role) -> Self {
        let (context, tasks) = (context.clone(), tasks.clone());
        let (attempt, failure, unblocked) = (Mutex::default(), Mutex::default(), Arc::default());
        Self(Arc::new(Inner { context, tasks, role, connection: OnceLock::new(), attempt, failure, unblocked }))
    }

    /// The same, not connected yet.
    pub(super) fn another(&self) -> Self {
        let Inner { context, tasks, role, .. } = &*self.0;
        Self::new(context, tasks, *role)
    }

    /// Connects, unless that has been done. Who asks meanwhile shares the attempt, and its outcome; who asks shortly after
    /// it failed, that. A connection that is lost later ends its generation, except those of the publishers and for checks:
    /// they go on with [another](Self::another).
    pub(super) async fn open(&self) -> Result<Arc<Connection>, ConnectError> {
        match self.0.connection.get() {
            Some(connection) => Ok(connection.clone()),
            None => self.attempt().await,
        }
    }

    fn attempt(&self) -> Shared<Attempt> {
        let mut attempt = lock(&self.0.attempt);
        if let Some(begun) = attempt.as_ref().and_then(WeakShared::upgrade) {
            return begun;
        }
        let begun = self.clone().connect().boxed().shared();
        *attempt = begun.downgrade();
        begun
    }

    async fn connect(self) -> Result<Arc<Connection>, ConnectError> {
        let Inner { context, tasks, role, connection, unblocked, .. } = &*self.0;
        // The attempt before this one may have ended since its outcome was looked for.
        if let Some(connection) = connection.get() {
            return Ok(connection.clone());
        }
        if let Some((error, at)) = &*self.failure()
            && at.elapsed() < context.settings.reconnect_delay_min
        {
            return Err(error.clone());
        }
        let connected = tasks.ended().run_until_cancelled(connect(context, *role)).await;
        let connected = connected.unwrap_or(Err(Fault::Unavailable.into()));
        *self.failure() = connected.as_ref().err().map(|error| (error.clone(), Instant::now()));
        let connected = Arc::new(connected?);
        let lost = match role {
            Role::Calls | Role::Feeds | Role::Private => tasks.ended().clone(),
            Role::Checks | Role::Publish => tasks.ended().child_token(),
        };
        tasks.spawn(watch(context.clone(), connected.clone(), *role, lost, unblocked.clone()));
        Ok(connection.get_or_init(|| connected).clone())
    }

    fn failure(&self) -> MutexGuard<'_, Option<(ConnectError, Instant)>> {
        lock(&self.0.failure)
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

    pub(super) fn context(&self) -> &Context {
        &self.0.context
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
        *lock(&self.0.unblocked)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::broker::amqp::context::{Account, unbounded};
    use crate::broker::amqp::metrics::Metrics;
    use crate::broker::amqp::settings::Settings;
    use crate::lifecycle::Lifecycle;
    use crate::telemetry::Registry;

    /// A line to somebody who accepts and says nothing.
    async fn line(settings: Settings) -> (Line, Lifecycle, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let settings = Arc::new(Settings { urls: vec![url], ..settings });
        let (metrics, lifecycle) = (Metrics::new(&Registry::default()), Lifecycle::default());
        let context = Arc::new(Context::new(settings, Account::Gateway, metrics, lifecycle.clone(), unbounded()));
        (Line::new(&context, &Tasks::new(lifecycle.clone()), Role::Publish), lifecycle, listener)
    }

    /// Five who ask at a time, and how many connections that makes.
    async fn ask(line: &Line, listener: &TcpListener) -> usize {
        for outcome in futures::future::join_all((0..5).map(|_| line.open())).await {
            assert!(matches!(&outcome, Err(ConnectError::TimedOut(_))), "{outcome:?}");
        }
        assert!(!line.is_connected());
        std::iter::from_fn(|| listener.accept().now_or_never()).count()
    }

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn all_who_ask_at_a_time_share_one_attempt_and_its_outcome() {
        let settings = Settings { connect_timeout: SHORT, reconnect_delay_min: Duration::ZERO, ..Settings::default() };
        let (line, _lifecycle, listener) = line(settings).await;
        assert_eq!([ask(&line, &listener).await, ask(&line, &listener).await], [1, 1]);
    }

    #[tokio::test]
    async fn after_a_failure_there_is_a_pause() {
        let (connect_timeout, reconnect_delay_min) = (SHORT, Duration::from_secs(60));
        let settings = Settings { connect_timeout, reconnect_delay_min, ..Settings::default() };
        let (line, _lifecycle, listener) = line(settings).await;
        assert_eq!([ask(&line, &listener).await, ask(&line, &listener).await], [1, 0]);
    }

    #[tokio::test]
    async fn an_attempt_ends_when_the_process_stops() {
        let (line, lifecycle, _listener) = line(Settings::default()).await;
        let (outcome, ()) = tokio::join!(line.open(), async { lifecycle.stop() });
        assert!(matches!(outcome, Err(ConnectError::Fault(Fault::Unavailable))), "{outcome:?}");
    }
}
