//! One session's end of RabbitMQ.

mod publish;
mod subscribe;

use std::collections::HashMap;
use std::sync::Arc;

use super::declarer::Queue;
use super::feeds::Subscription;
use super::private::{Private, Replies, Settled};
use super::properties::short;
use super::queue::{Declare, Kind};
use super::relay::Relay;
use crate::broker::{LinkRequest, Pending};
use crate::delivery::Outbox;
use crate::ident::{Principal, SessionId, SubscriptionKey};
use crate::message::AckToken;
use crate::session::{Fault, Publish, Subscribe, Unsubscribe, Verdict};
use crate::stomp::Headers;

/// Queues that a session is remembered to have declared. Beyond it all are forgotten, and declared once more, except
/// those that are the session's alone.
const QUEUES_MAX: usize = 1_024;

const NOT_A_DESTINATION: Fault = Fault::Unsupported("not a destination of RabbitMQ");

/// Dropping it ends its subscriptions and requeues what is unsettled.
#[derive(Debug)]
pub struct Link {
    relay: Arc<Relay>,
    /// The generation of the time when it was opened.
    begun_in: u64,
    session: SessionId,
    user: Option<Principal>,
    outbox: Arc<Outbox>,
    /// What feeds serve.
    shared: HashMap<SubscriptionKey, Subscription>,
    queues: HashMap<Box<str>, Arc<Queue>>,
    replies: HashMap<SubscriptionKey, Arc<Replies>>,
    private: Option<Private>,
}

impl Link {
    pub(super) fn open(relay: Arc<Relay>, request: LinkRequest) -> Result<Self, Fault> {
        // The relay is that of the account that they chose, or of the one that all share.
        let LinkRequest { session, outbox, user, credentials: _ } = request;
        let begun_in = relay.register(session, outbox.clone())?;
        let (shared, queues, replies) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { relay, begun_in, session, user, outbox, shared, queues, replies, private: None })
    }

    /// What can't be published waits for its turn as well, so that the answers keep the order of the calls.
    pub fn publish(&mut self, publish: Publish) -> Pending {
        let size = publish.size();
        let content = self.relay.check(self.begun_in).and_then(|()| self.content(publish));
        self.relay.publisher(self.session).publish(self.session, content, size)
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        let checked = self.relay.check(self.begun_in);
        checked.and_then(|()| self.try_subscribe(subscribe)).unwrap_or_else(|fault| Pending::ready(Err(fault)))
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        match (self.shared.remove(&unsubscribe.key), &self.private) {
            // Dropping it ends it.
            (Some(_), _) | (None, None) => Pending::ready(Ok(())),
            (None, Some(private)) => private.unsubscribe(unsubscribe.key, unsubscribe.is_final),
        }
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        if let Some(private) = &self.private {
            let Settled { settled, stale } = private.settle(tokens, verdict);
            let metrics = &self.relay.context.metrics;
            metrics.settled(verdict, settled);
            metrics.stale_settlements.inc_by(stale as u64);
        }
    }

    pub(in crate::broker) fn fault(&self) -> Fault {
        self.relay.fault()
    }

    /// The queue of a SEND, as its headers want it if it is the first frame of this session that names it (D10).
    fn queue(&mut self, name: &str, headers: &Headers) -> Result<Arc<Queue>, Fault> {
        self.queue_for(Kind::Filled, name, headers)
    }

    fn queue_for(&mut self, kind: Kind, name: &str, headers: &Headers) -> Result<Arc<Queue>, Fault> {
        if let Some(queue) = self.queues.get(name).filter(|it| !it.is_refused()) {
            return Ok(queue.clone());
        }
        let declare = Declare::new(kind, headers)?;
        let short_name = short("the name of a queue", name)?;
        self.make_room(name)?;
        let queue = Arc::new(Queue::new(short_name, declare));
        self.queues.insert(name.into(), queue.clone());
        Ok(queue)
    }

    fn make_room(&mut self, name: &str) -> Result<(), Fault> {
        self.queues.remove(name);
        if self.queues.len() >= QUEUES_MAX {
            self.queues.retain(|_, it| it.declare.options.exclusive);
        }
        if self.queues.len() >= QUEUES_MAX {
            return Err(Fault::Refused(format!("A session has at most {QUEUES_MAX} queues for itself alone")));
        }
        Ok(())
    }

    /// Where replies come to that are delivered under that key; the same one for each use of it (D30).
    fn replies(&mut self, key: SubscriptionKey) -> Arc<Replies> {
        self.replies.retain(|_, it| !it.has_ended());
        if let Some(known) = self.replies.get(&key) {
            return known.clone();
        }
        let made = Arc::new(self.private().replies(key));
        self.replies.insert(key, made.clone());
        made
    }

    fn private(&mut self) -> &Private {
        let Relay { context, epochs, tasks, .. } = &*self.relay;
        let open = || Private::open(context, epochs, tasks, self.outbox.clone(), self.session);
        self.private.get_or_insert_with(open)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.relay.unregister(self.session);
    }
}
