//! One session's end of RabbitMQ.

mod publish;
mod subscribe;

use std::collections::HashMap;
use std::sync::Arc;

use super::declarer::Queue;
use super::feeds::Subscription;
use super::generation::Generation;
use super::private::Private;
use super::properties::short;
use crate::broker::{LinkRequest, Pending};
use crate::delivery::Outbox;
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::AckToken;
use crate::session::{Fault, Publish, Subscribe, Unsubscribe, Verdict};

/// Queues that a session is remembered to have declared. Beyond it all are forgotten, and declared once more.
const QUEUES_MAX: usize = 1_024;

/// Dropping it ends its subscriptions and requeues what is unsettled.
#[derive(Debug)]
pub struct Link {
    generation: Arc<Generation>,
    session: SessionId,
    outbox: Arc<Outbox>,
    topics: HashMap<SubscriptionKey, Subscription>,
    queues: HashMap<Box<str>, Arc<Queue>>,
    private: Option<Private>,
}

impl Link {
    pub(super) fn open(generation: Arc<Generation>, request: LinkRequest) -> Result<Self, Fault> {
        // With the one account that all share, the session's credentials say nothing to RabbitMQ.
        let LinkRequest { session, outbox, credentials: _ } = request;
        generation.register(session, outbox.clone())?;
        let (topics, queues) = (HashMap::new(), HashMap::new());
        Ok(Self { generation, session, outbox, topics, queues, private: None })
    }

    /// What can't be published waits for its turn as well, so that the answers keep the order of the calls.
    pub fn publish(&mut self, publish: Publish) -> Pending {
        let size = publish.size();
        let content = self.content(publish);
        self.generation.publisher(self.session).publish(self.session, content, size)
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        self.try_subscribe(subscribe).unwrap_or_else(|fault| Pending::ready(Err(fault)))
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        match (self.topics.remove(&unsubscribe.key), &self.private) {
            // Dropping it ends it.
            (Some(_), _) | (None, None) => Pending::ready(Ok(())),
            (None, Some(private)) => private.unsubscribe(unsubscribe.key),
        }
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        if let Some(private) = &self.private {
            let settled = private.settle(tokens, verdict);
            self.generation.context().metrics.settled(verdict, settled);
        }
    }

    /// The same one for each use of that name in this session (D10).
    fn queue(&mut self, name: &str) -> Result<Arc<Queue>, Fault> {
        if let Some(queue) = self.queues.get(name) {
            return Ok(queue.clone());
        }
        let queue = Arc::new(Queue::new(short("the name of a queue", name)?));
        if self.queues.len() >= QUEUES_MAX {
            self.queues.clear();
        }
        self.queues.insert(name.into(), queue.clone());
        Ok(queue)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.generation.unregister(self.session);
    }
}
