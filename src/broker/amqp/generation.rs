//! Everything that lives on one account's connections. When one of them is lost all of it ends, and the links are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};
use tokio::time::timeout;

use super::connection::{ConnectError, Role};
use super::context::Context;
use super::feeds::Feeds;
use super::ids::Ids;
use super::line::Line;
use super::private::{self, Homes};
use super::publishing::{self, Publisher};
use super::tasks::Tasks;
use crate::delivery::{Item, Outbox};
use crate::ident::SessionId;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) feeds: Feeds,
    pub(super) parts: private::Parts,
    pub(super) tasks: Tasks,
    publishers: Vec<Publisher>,
    /// For publishing and for feeds; the private ones are in `parts`.
    lines: [Line; 2],
    /// Whom to tell of the end; `None` once they were told.
    links: Mutex<Option<HashMap<SessionId, Arc<Outbox>>>>,
}

impl Generation {
    /// Connects for private channels, which proves that RabbitMQ is there and takes the account; for publishing and for
    /// feeds once somebody needs that.
    pub(super) async fn connect(context: &Arc<Context>) -> Result<Arc<Self>, ConnectError> {
        let tasks = Tasks::new(context.lifecycle.clone());
        let time = context.settings.operation_timeout;
        let started = timeout(time, Self::start(context, &tasks)).await.unwrap_or(Err(ConnectError::TimedOut(time)));
        if started.is_err() {
            // What was begun ends with it.
            tasks.ended().cancel();
        }
        started.map(Arc::new)
    }

    async fn start(context: &Arc<Context>, tasks: &Tasks) -> Result<Self, ConnectError> {
        let homes = Homes::open(context, tasks).await?;
        check_topic_exchange(context, homes.first().line.open().await?.create_channel().await?).await?;
        let (publish, feeds) = (Line::new(context, tasks, Role::Publish), Line::new(context, tasks, Role::Feeds));
        let ids = Arc::new(Ids::new());
        let publishers = publishing::start(context, tasks, &publish, &homes.first().declarer);
        let started = Feeds::start(context, tasks, &feeds, &ids);
        let parts = private::Parts { context: context.clone(), homes, ids };
        let (tasks, links) = (tasks.clone(), Mutex::new(Some(HashMap::new())));
        Ok(Self { feeds: started, parts, tasks, publishers, lines: [publish, feeds], links })
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
        for line in &self.lines {
            line.close().await;
        }
        self.parts.homes.close().await;
    }
}

/// Publishing to an exchange that does not exist would close the publishing channels, over and over.
async fn check_topic_exchange(context: &Context, channel: Channel) -> lapin::Result<()> {
    let options =
        ExchangeDeclareOptions { passive: true, durable: true, auto_delete: false, internal: false, nowait: false };
    let exchange = context.topic_exchange.clone();
    channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default()).await?;
    channel.close(200, "OK".into()).await
}
