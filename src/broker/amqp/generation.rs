//! Everything that lives on one set of connections. When one of them is lost all of it ends, and the links are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};
use tokio::time::timeout;
use tracing::debug;

use super::connection::{ConnectError, Role, connect, watch};
use super::context::Context;
use super::declarer::Declarer;
use super::feeds::Feeds;
use super::ids::Ids;
use super::private;
use super::publishing::{self, Publisher};
use super::tasks::Tasks;
use crate::delivery::{Item, Outbox};
use crate::ident::SessionId;
use crate::session::Fault;

/// A connection that RabbitMQ blocks, or that is dead already, does not close in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) feeds: Feeds,
    pub(super) parts: private::Parts,
    pub(super) tasks: Tasks,
    publishers: Vec<Publisher>,
    connections: [Arc<Connection>; 3],
    /// Whom to tell of the end; `None` once they were told.
    links: Mutex<Option<HashMap<SessionId, Arc<Outbox>>>>,
}

impl Generation {
    pub(super) async fn connect(context: &Arc<Context>) -> Result<Arc<Self>, ConnectError> {
        let publish = Arc::new(connect(context, Role::Publish).await?);
        let feeds = Arc::new(connect(context, Role::Feeds).await?);
        let private = Arc::new(connect(context, Role::Private).await?);
        let tasks = Tasks::new(context.lifecycle.clone());
        let time = context.settings.operation_timeout;
        let start = Self::start(context, &tasks, [publish, feeds, private]);
        match timeout(time, start).await {
            Ok(Ok(generation)) => Ok(Arc::new(generation)),
            outcome => {
                // What was begun ends with it.
                tasks.ended().cancel();
                Err(outcome.map_or(ConnectError::TimedOut(time), |it| it.expect_err("the other case is above").into()))
            }
        }
    }

    async fn start(context: &Arc<Context>, tasks: &Tasks, connections: [Arc<Connection>; 3]) -> lapin::Result<Self> {
        let [publish, feeds, private] = &connections;
        check_topic_exchange(context, private).await?;
        let ids = Arc::new(Ids::new());
        let declarer = Declarer::start(context, tasks, private);
        let publishers = publishing::start(context, tasks, publish, &declarer);
        let feeds_started = Feeds::start(context, tasks, feeds, &ids).await?;
        let parts = private::Parts::new(context.clone(), private.clone(), declarer, ids);
        for (connection, role) in [(publish, Role::Publish), (feeds, Role::Feeds), (private, Role::Private)] {
            tasks.spawn(watch(context.clone(), connection.clone(), role, tasks.ended().clone()));
        }
        let links = Mutex::new(Some(HashMap::new()));
        Ok(Self { feeds: feeds_started, parts, tasks: tasks.clone(), publishers, connections, links })
    }

    pub(super) fn context(&self) -> &Context {
        &self.parts.context
    }

    /// From now on the outbox is told when this generation ends.
    pub(super) fn register(&self, session: SessionId, outbox: Arc<Outbox>) -> Result<(), Fault> {
        let mut links = self.links.lock().expect("no panic while held");
        links.as_mut().ok_or(Fault::Unavailable)?.insert(session, outbox);
        Ok(())
    }

    pub(super) fn unregister(&self, session: SessionId) {
        if let Some(links) = self.links.lock().expect("no panic while held").as_mut() {
            links.remove(&session);
        }
    }

    /// A session's publisher; always the same one, so that its publishes keep their order.
    pub(super) fn publisher(&self, session: SessionId) -> &Publisher {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(session);
        &self.publishers[hash as usize % self.publishers.len()]
    }

    /// Ends all tasks, tells all links, and closes what is left of the connections.
    pub(super) async fn end(&self) {
        self.tasks.ended().cancel();
        let links = self.links.lock().expect("no panic while held").take();
        for outbox in links.into_iter().flatten().map(|(_, outbox)| outbox) {
            outbox.push_event(Item::LinkLost);
        }
        for connection in &self.connections {
            match timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a connection was gone before it was closed"),
                Err(_) => debug!("a connection did not close in order"),
            }
        }
    }
}

/// Publishing to an exchange that does not exist would close the publishing channels, over and over.
async fn check_topic_exchange(context: &Context, connection: &Connection) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let options =
        ExchangeDeclareOptions { passive: true, durable: true, auto_delete: false, internal: false, nowait: false };
    let exchange = context.topic_exchange.clone();
    channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default()).await?;
    channel.close(200, "OK".into()).await
}
