//! Everything that lives on one account's connections. When one of them is lost all of it ends, and the links are told.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::bench::find_exchange;
use super::connection::{ConnectError, Role};
use super::context::Context;
use super::feeds::Feeds;
use super::ids::Ids;
use super::line::Line;
use super::one_of;
use super::private::{self, Homes};
use super::publishing::{self, Publisher};
use super::shared_line::SharedLine;
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
    /// The private lines are in `parts`.
    feeds_line: Line,
    publish_line: SharedLine,
    checks: SharedLine,
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Links {
    /// Whom to tell of the end; `None` once they were told.
    outboxes: Option<HashMap<SessionId, Arc<Outbox>>>,
    /// Since when there is none.
    unused_since: Instant,
}

impl Generation {
    /// Connects for private channels, which proves that RabbitMQ is there and takes the account; for publishing and for
    /// feeds once somebody needs that.
    pub(super) async fn connect(context: &Arc<Context>) -> Result<Arc<Self>, ConnectError> {
        let urls = context.settings.urls.len();
        context.first_url.store(rand::random_range(0..urls), Ordering::Relaxed);
        let tasks = Tasks::new(context.lifecycle.clone());
        let started = Self::start(context, &tasks).await;
        if started.is_err() {
            // What was begun ends with it.
            tasks.ended().cancel();
        }
        started.map(Arc::new)
    }

    async fn start(context: &Arc<Context>, tasks: &Tasks) -> Result<Self, ConnectError> {
        let pause = context.settings.reconnect_delay_min;
        let checks = SharedLine::new(&Line::new(context, tasks, Role::Checks), pause);
        let homes = Homes::open(context, tasks, &checks).await?;
        check_topic_exchange(context, &homes.first().line).await?;
        let publish_line = SharedLine::new(&Line::new(context, tasks, Role::Publish), pause);
        let feeds_line = Line::new(context, tasks, Role::Feeds);
        let ids = Arc::new(Ids::new());
        let publishers = publishing::start(context, tasks, &publish_line, &checks, &homes.first().declarer);
        let feeds = Feeds::start(context, tasks, &feeds_line, &checks, &ids);
        let parts = private::Parts { context: context.clone(), homes, ids };
        let links = Mutex::new(Links { outboxes: Some(HashMap::new()), unused_since: Instant::now() });
        Ok(Self { feeds, parts, tasks: tasks.clone(), publishers, feeds_line, publish_line, checks, links })
    }

    /// Connects what would be connected later, so that the first who needs it does not have to wait. Should it fail, they
    /// try again.
    pub(super) fn warm_up(&self) {
        for line in [self.feeds_line.clone(), self.publish_line.now()] {
            self.tasks.spawn(async move { drop(line.open().await) });
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.parts.context
    }

    /// From now on the outbox is told when this generation ends.
    pub(super) fn register(&self, session: SessionId, outbox: Arc<Outbox>) -> Result<(), Fault> {
        self.links().outboxes.as_mut().ok_or(Fault::Unavailable)?.insert(session, outbox);
        Ok(())
    }

    pub(super) fn unregister(&self, session: SessionId) {
        let mut links = self.links();
        links.unused_since = Instant::now();
        if let Some(outboxes) = links.outboxes.as_mut() {
            outboxes.remove(&session);
        }
    }

    /// Since when it has had no link; `None` while it has one.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let links = self.links();
        links.outboxes.as_ref().is_none_or(HashMap::is_empty).then_some(links.unused_since)
    }

    /// A session's publisher; always the same one, so that its publishes keep their order.
    pub(super) fn publisher(&self, session: SessionId) -> &Publisher {
        &self.publishers[one_of(self.publishers.len(), session)]
    }

    /// Ends all tasks, tells all links, and closes what is left of the connections.
    pub(super) async fn end(&self) {
        self.tasks.ended().cancel();
        let outboxes = self.links().outboxes.take();
        for outbox in outboxes.into_iter().flatten().map(|(_, outbox)| outbox) {
            outbox.push_event(Item::LinkLost);
        }
        for line in [self.feeds_line.clone(), self.publish_line.now(), self.checks.now()] {
            line.close().await;
        }
        self.parts.homes.close().await;
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Publishing to an exchange that does not exist would close the publishing channels, over and over.
async fn check_topic_exchange(context: &Context, line: &Line) -> Result<(), Fault> {
    let channel = line.channel().await?;
    context.answer(find_exchange(channel.clone(), context.topic_exchange.clone())).await?;
    context.answer(channel.close(200, "OK".into())).await
}
