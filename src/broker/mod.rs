//! The port to whatever carries the messages: a closed set of back ends behind one [`Link`] per session.
//!
//! # What every back end guarantees
//!
//! - **Order of publishes.** *Calling* [`Link::publish`] fixes the order. Two messages of one link to one destination
//!   are delivered to each subscription in the order of the calls.
//! - **Confirmation.** The [`Pending`] of a publish resolves `Ok` once the broker answers for the message: it has been
//!   routed, and is in every queue it belongs to. A topic nobody is subscribed to is confirmed as well. On a fault the
//!   message is in none of them, or (a lost connection) nobody knows. It is there twice when the back end could not tell
//!   and had to publish it again. Publishes of one link resolve in their order.
//! - **Subscriptions.** Once a subscribe has resolved, everything published afterwards by anybody reaches it. Something
//!   published shortly before may reach it too. A topic subscription gets each message once, however many ways its
//!   pattern matches.
//! - **Topics** reach every matching subscription; **queues** give each message to one consumer, wait when there is
//!   none, and keep their order, also for what is delivered again.
//! - **Tokens.** A delivery with a token is unsettled until [`Link::settle`] is called for it, at most `prefetch` at a
//!   time and subscription. Closing the link requeues what is unsettled, in order and marked as redelivered; so does
//!   [`Verdict::Requeued`]. A token that is not (or no longer) outstanding is ignored.
//! - **After an unsubscribe** resolved, nothing more is pushed for its key. What was delivered before and is unsettled
//!   can still be settled, until the link closes.
//! - **Replies.** A publish with `reply_to` makes, at the first use of that key, a queue that belongs to this link, and
//!   says its address in a `reply-to` header. What is sent there is delivered under the key; the queue ends with the
//!   link, and is never unsubscribed.
//! - **Users.** A subscribe to [`Whom::Subscriber`] gets what is published to the user of its link
//!   ([`LinkRequest::user`]) or to its session, with the same `rest`: each message once, whichever gateway it was
//!   published through, in the order of its publisher. Acknowledgements are not waited for, and nothing is kept for who
//!   comes later: what reaches nobody is confirmed and counted.
//! - **Nothing waits for a client.** Deliveries are pushed to the session's [`Outbox`], whatever its client does.
//! - **Loss.** With [`Outage::Hold`] the link outlives the broker: its subscriptions come back by themselves, with a
//!   gap; what is asked of it meanwhile waits, a subscribe as long as it takes. Only what the broker refuses is refused.
//!   Otherwise, and when the broker does not let its account in any more, the link pushes [`Item::LinkLost`] once, and
//!   every pending operation resolves with a fault. A subscription that the broker ended alone, or did not take again,
//!   is reported by [`Item::SubscriptionEnded`].
//!
//! `tests/it/broker_contract/` holds every back end to these.

pub mod amqp;
mod availability;
mod backoff;
pub mod memory;
mod room;
pub mod stomp;
mod tls;
mod user;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::delivery::{MEMORY_SETTING, MemoryFull, Outbox};
use crate::ident::{Principal, SessionId};
use crate::message::AckToken;
use crate::session::{Credentials, Fault, Publish, Subscribe, Unsubscribe, Verdict};
#[allow(unused_imports)] // Named by the documentation above.
use crate::{delivery::Item, destination::Whom};
pub use tls::{Tls, TlsFiles, TlsKeys};

/// The configured back end. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub enum Broker {
    Amqp(amqp::Broker),
    Memory(memory::Broker),
    Stomp(stomp::Broker),
}

/// What becomes of sessions while the broker is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outage {
    /// They stay. What they send is held, within bounds; what they subscribe to comes back by itself.
    Hold,
    /// They end with an ERROR, and nobody is let in, as Spring's relay has it.
    Reject,
}

impl Outage {
    /// For the log.
    const fn consequence(self) -> &'static str {
        match self {
            Self::Hold => "sessions stay, and what they send is held (broker.outage)",
            Self::Reject => "sessions end (broker.outage)",
        }
    }
}

/// What a back end needs to know of a session.
#[derive(Debug)]
pub struct LinkRequest {
    pub session: SessionId,
    pub credentials: Credentials,
    /// Who the client is, if somebody has checked that or the broker is about to.
    pub user: Option<Principal>,
    pub outbox: Arc<Outbox>,
}

impl Broker {
    /// Opens the link of one session.
    pub async fn open(&self, request: LinkRequest) -> Result<Link, Fault> {
        match self {
            Self::Amqp(broker) => broker.open(request).await.map(Link::Amqp),
            Self::Memory(broker) => broker.open(request).map(Link::Memory),
            Self::Stomp(broker) => broker.open(request).await.map(Link::Stomp),
        }
    }
}

/// One session's end of the broker.
#[derive(Debug)]
pub enum Link {
    Amqp(amqp::Link),
    Memory(memory::Link),
    Stomp(stomp::Link),
}

impl Link {
    pub fn publish(&mut self, publish: Publish) -> Pending {
        match self {
            Self::Amqp(link) => link.publish(publish),
            Self::Memory(link) => link.publish(publish),
            Self::Stomp(link) => link.publish(publish),
        }
    }

    pub fn subscribe(&mut self, subscribe: Subscribe) -> Pending {
        match self {
            Self::Amqp(link) => link.subscribe(subscribe),
            Self::Memory(link) => link.subscribe(subscribe),
            Self::Stomp(link) => link.subscribe(subscribe),
        }
    }

    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Pending {
        match self {
            Self::Amqp(link) => link.unsubscribe(unsubscribe),
            Self::Memory(link) => link.unsubscribe(unsubscribe),
            Self::Stomp(link) => link.unsubscribe(unsubscribe),
        }
    }

    pub fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        match self {
            Self::Amqp(link) => link.settle(tokens, verdict),
            Self::Memory(link) => link.settle(tokens, verdict),
            Self::Stomp(link) => link.settle(tokens, verdict),
        }
    }

    /// Why it was lost, once it said so.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Amqp(link) => link.fault(),
            Self::Memory(_) => Fault::Unavailable,
            Self::Stomp(link) => link.fault(),
        }
    }

    /// Ends all subscriptions of this session and requeues what is unsettled. Dropping a link does the same.
    pub fn close(self) {}
}

/// What a client is told whose SEND would have to wait.
pub fn memory_full(full: MemoryFull) -> Fault {
    let what = "The memory for messages".to_owned();
    Fault::Full { what, max: full.bytes_max, unit: "bytes", setting: MEMORY_SETTING }
}

/// An operation that may take the broker some time.
#[derive(Debug)]
pub enum Pending {
    Both(Box<(Self, Self)>),
    /// `None` once it was polled.
    Ready(Option<Result<(), Fault>>),
    Waiting(oneshot::Receiver<Result<(), Fault>>),
}

impl Pending {
    pub fn ready(outcome: Result<(), Fault>) -> Self {
        Self::Ready(Some(outcome))
    }

    /// Done when both are, or failed when one has.
    pub fn both(one: Self, other: Self) -> Self {
        Self::Both(Box::new((one, other)))
    }
}

impl Future for Pending {
    type Output = Result<(), Fault>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this {
            Self::Both(both) => {
                ready!(Pin::new(&mut both.0).poll(cx))?;
                *this = std::mem::replace(&mut both.1, Self::Ready(None));
                Pin::new(this).poll(cx)
            }
            Self::Ready(outcome) => Poll::Ready(outcome.take().expect("a future is not polled after it was ready")),
            // A sender that was dropped belonged to a task that ended: the link is lost.
            Self::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|it| it.unwrap_or(Err(Fault::Unavailable))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::delivery::{Budget, Metrics};
    use crate::telemetry::Registry;

    #[tokio::test]
    async fn both_are_done_when_both_are_and_failed_when_one_has() {
        let waiting = || {
            let (answer, pending) = oneshot::channel();
            (answer, Pending::Waiting(pending))
        };
        let ((one, first), (other, second)) = (waiting(), waiting());
        let mut both = Pending::both(first, second);
        other.send(Ok(())).unwrap();
        assert_eq!((&mut both).now_or_never(), None);
        one.send(Ok(())).unwrap();
        assert_eq!(both.await, Ok(()));
        for faults in [[Err(Fault::Nacked), Ok(())], [Ok(()), Err(Fault::Nacked)]] {
            let [one, other] = faults.map(Pending::ready);
            assert_eq!(Pending::both(one, other).await, Err(Fault::Nacked));
        }
    }

    #[test]
    fn a_send_that_there_is_no_memory_for_is_refused_by_the_setting() {
        let budget = Budget::new(1_000, Metrics::new(&Registry::default()));
        let _share = budget.try_take(750).unwrap();
        let fault = budget.try_take(1).map_err(memory_full).unwrap_err();
        assert_eq!(fault.to_string(), "The memory for messages is full: 1000 bytes (limits.memory_bytes_max)");
    }
}
