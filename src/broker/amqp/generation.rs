//! One account's connections, and everything that lives on them. When one that consumes is lost all of it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{join, join_all};

use super::bench::find_exchange;
use super::connection::{ConnectError, Role};
use super::context::{Account, Context};
use super::feeds;
use super::ids::Ids;
use super::line::Line;
use super::private::{self, Homes};
use super::publishing::Exchanges;
use super::shared_line::SharedLine;
use super::tasks::Tasks;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Generation {
    /// Rises with each one of the process.
    pub(super) number: u64,
    pub(super) feeds: feeds::Parts,
    pub(super) private: private::Parts,
    pub(super) publish_line: SharedLine,
    pub(super) exchanges: Exchanges,
    pub(super) tasks: Tasks,
    checks: SharedLine,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Generation {
    /// Connects for private channels, which proves that RabbitMQ is there and takes the account; for publishing and for
    /// feeds once somebody needs that, as with the gateway's account somebody always does.
    pub(super) async fn connect(context: &Arc<Context>) -> Result<Arc<Self>, ConnectError> {
        let urls = context.settings.urls.len();
        context.first_url.store(rand::random_range(0..urls), Ordering::Relaxed);
        let tasks = Tasks::new(context.lifecycle.clone());
        // What was begun ends with an attempt that fails, or is given up.
        let begun = tasks.ended().clone().drop_guard();
        let generation = Arc::new(Self::start(context, &tasks).await?);
        begun.disarm();
        Ok(generation)
    }

    async fn start(context: &Arc<Context>, tasks: &Tasks) -> Result<Self, ConnectError> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pause = context.settings.reconnect_delay_min;
        let checks = SharedLine::new(&Line::new(context, tasks, Role::Checks), pause);
        let homes = Homes::open(context, tasks, &checks, number).await?;
        let publish_line = SharedLine::new(&Line::new(context, tasks, Role::Publish), pause);
        let ids = Arc::new(Ids::new());
        let feeds = feeds::Parts::start(context, tasks, &checks, &ids, number);
        if context.account == Account::Gateway {
            for line in [feeds.line.clone(), publish_line.now()] {
                // Should it fail, those who need it try again.
                tasks.spawn(async move { drop(line.open().await) });
            }
        }
        check_topic_exchange(context, &homes.first().line).await?;
        let exchanges = Exchanges::start(context, tasks, &checks);
        let private = private::Parts { context: context.clone(), homes, ids };
        Ok(Self { number, feeds, private, publish_line, exchanges, tasks: tasks.clone(), checks })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.tasks.ended().is_cancelled()
    }

    /// Ends all tasks, and closes what is left of the connections.
    pub(super) async fn end(&self) {
        self.tasks.ended().cancel();
        let lines = [self.feeds.line.clone(), self.publish_line.now(), self.checks.now()];
        // At a time: each may take its time-out.
        join(join_all(lines.iter().map(Line::close)), self.private.homes.close()).await;
    }
}

/// Publishing to an exchange that does not exist would close the publishing channels, over and over.
async fn check_topic_exchange(context: &Context, line: &Line) -> Result<(), Fault> {
    let channel = line.channel().await?;
    context.answer(find_exchange(channel.clone(), context.topic_exchange.clone())).await?;
    context.answer(channel.close(200, "OK".into())).await
}
