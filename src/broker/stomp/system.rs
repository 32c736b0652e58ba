//! The system connection: what the gateway itself sends and hears. It tells whether the broker is there.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::link::Link;
use crate::broker::Pending;
use crate::delivery::{Item, Outbox};
use crate::destination::Destination;
use crate::ident::{SubscriptionId, SubscriptionKey};
use crate::message::Message;
use crate::session::{AckMode, Publish, Subscribe, Verdict};
use crate::stomp::Headers;
use crate::sync::lock;

/// What may be delivered to one subscription of the gateway's own and not settled.
const PREFETCH: u16 = 64;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct System(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    outbox: Arc<Outbox>,
}

#[derive(Debug)]
struct State {
    link: Link,
    listeners: HashMap<SubscriptionKey, mpsc::Sender<Message>>,
    last_key: u32,
}

impl System {
    pub(super) fn new(link: Link, outbox: Arc<Outbox>) -> Self {
        let state = Mutex::new(State { link, listeners: HashMap::new(), last_key: 0 });
        Self(Arc::new(Inner { state, outbox }))
    }

    /// With [`Outage::Reject`](crate::broker::Outage::Reject) it fails at once while the broker is away.
    pub fn publish(&self, publish: Publish) -> Pending {
        lock(&self.0.state).link.publish(publish)
    }

    /// Messages go to the listener; those for which it has no room are dropped. It lasts as long as the gateway, over
    /// connections.
    pub fn subscribe(&self, destination: &str, listener: mpsc::Sender<Message>) -> Pending {
        let mut state = lock(&self.0.state);
        state.last_key += 1;
        let key = SubscriptionKey(state.last_key);
        state.listeners.insert(key, listener);
        state.link.subscribe(Subscribe {
            key,
            id: SubscriptionId::new(""),
            destination: Destination::Foreign(destination.into()),
            ack: AckMode::Auto,
            prefetch: PREFETCH,
            is_durable: false,
            headers: Headers::new(),
        })
    }

    /// Hands out what comes, until the process stops.
    pub(super) async fn distribute(self) {
        loop {
            poll_fn(|cx| self.0.outbox.poll_ready(cx)).await;
            match self.0.outbox.pop() {
                Some(Item::Delivery(delivery)) => {
                    let mut state = lock(&self.0.state);
                    let listener = state.listeners.get(&delivery.subscription);
                    if listener.is_some_and(|it| it.try_send(delivery.message).is_err()) {
                        tracing::debug!("a message for the gateway itself found no room");
                    }
                    state.link.settle(delivery.token.as_slice(), Verdict::Accepted);
                }
                Some(Item::SubscriptionEnded(key)) => {
                    tracing::warn!("the STOMP broker ended a subscription of the gateway's own");
                    lock(&self.0.state).listeners.remove(&key);
                }
                Some(Item::AfterLoss(_)) | None => {}
                Some(Item::LinkLost | Item::Overflowed) => return,
            }
        }
    }
}
