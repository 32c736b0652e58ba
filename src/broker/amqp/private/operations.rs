//! What a SUBSCRIBE and an UNSUBSCRIBE ask of RabbitMQ, apart from the task that delivers and settles meanwhile.

use std::sync::Arc;

use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::ShortString;
use lapin::{Channel, Consumer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::exclusives::Claim;
use super::homes::Home;
use super::{Consume, Parts, Source};
use crate::broker::amqp::context::{Context, no_channel};
use crate::broker::amqp::declarer::{Condition, Declarer};
use crate::broker::amqp::metrics::Counted;
use crate::ident::{SessionId, SubscriptionKey};
use crate::session::Fault;

/// Where a session has its channel. Cloning it clones handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The same for all of its subscriptions.
    seat: Option<Arc<(Arc<Home>, OwnedSemaphorePermit)>>,
    pub(super) channel: Option<Arc<(Channel, Counted)>>,
}

/// What a subscribe has made.
#[derive(Debug)]
pub(super) struct Consumed {
    pub(super) name: ShortString,
    pub(super) consumer: Consumer,
    /// Of an exclusive queue.
    pub(super) claim: Option<Claim>,
}

#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) left: Left,
}

/// What is left of the channel after a subscribe that failed.
#[derive(Debug)]
pub(super) enum Left {
    Channel,
    /// The consumer is cancelled, but what it was given before is to be returned.
    Cancelled(Consumer),
    /// RabbitMQ refused, or nobody knows: either way the channel is of no use.
    Nothing,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, left: Left::Channel }
    }
}

/// A queue that can be consumed.
struct Prepared {
    name: ShortString,
    claim: Option<Claim>,
    /// Made for this subscription, and of no use if that fails. An exclusive one goes with its claim.
    is_new: bool,
}

impl Place {
    pub(super) fn home(&self) -> Option<&Arc<Home>> {
        self.seat.as_ref().map(|it| &it.0)
    }

    /// Leaves a home that could not be connected: there may be room in another one by now.
    pub(super) fn leave_unconnected(&mut self) {
        self.seat.take_if(|it| self.channel.is_none() && !it.0.line.is_connected());
    }

    fn take_seat(&mut self, parts: &Parts) -> Result<Arc<Home>, Fault> {
        if self.seat.is_none() {
            self.seat = Some(Arc::new(parts.homes.room()?));
        }
        self.home().cloned().ok_or(Fault::Unavailable)
    }

    async fn take_channel(&mut self, parts: &Parts) -> Result<(Arc<Home>, Channel), Fault> {
        loop {
            let home = self.take_seat(parts)?;
            if let Some(channel) = &self.channel {
                return Ok((home, channel.0.clone()));
            }
            match home.line.channel().await {
                Ok(channel) => {
                    let counted = Counted::new(&parts.context.metrics.private_channels);
                    self.channel = Some(Arc::new((channel, counted)));
                }
                Err(fault) if fault == no_channel() => {
                    home.fill();
                    self.seat = None;
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// Declare, prefetch, consume, bind: in this order (D17), so that nothing is missed and nothing overruns. A refusal
/// before `consume` costs nothing. What `must_exist` is not made.
pub(super) async fn subscribe(
    parts: &Parts,
    session: SessionId,
    place: &mut Place,
    consume: &Consume,
    must_exist: bool,
) -> Result<Consumed, Failed> {
    let _turn = parts.homes.turn().await;
    let (home, channel) = place.take_channel(parts).await?;
    if let Some(name) = consume.source.queue().filter(|_| must_exist) {
        home.declarer.check(name).await?;
    }
    let Prepared { name, claim, is_new } = prepare(parts, session, &home, &consume.source).await?;
    home.exclusives.check(&name, session)?;
    let consumer = match consume_on(parts, &channel, name.clone(), consume).await {
        Ok(consumer) => consumer,
        Err(fault) => {
            discard(&home.declarer, &name, is_new).await;
            return Err(Failed { fault, left: Left::Nothing });
        }
    };
    if let Source::Bound(bound) = &consume.source
        && let Err(fault) = home.declarer.bind(&name, bound.exchange.clone(), bound.key.clone()).await
    {
        let cancel = channel.basic_cancel(tag(consume.key), BasicCancelOptions { nowait: false });
        let cancelled = parts.context.answer(cancel).await;
        discard(&home.declarer, &name, is_new).await;
        let left = if cancelled.is_ok() { Left::Cancelled(consumer) } else { Left::Nothing };
        return Err(Failed { fault, left });
    }
    Ok(Consumed { name, consumer, claim })
}

pub(super) fn tag(key: SubscriptionKey) -> ShortString {
    ShortString::from(key.0.to_string())
}

async fn prepare(parts: &Parts, session: SessionId, home: &Home, source: &Source) -> Result<Prepared, Fault> {
    let declarer = &home.declarer;
    let (name, claim, is_new) = match source {
        Source::Bound(bound) => {
            let is_missing = !bound.queue.declare.options.exclusive && is_missing(declarer, &bound.queue.name).await?;
            (bound.queue.name.clone(), home.declare(&bound.queue, session).await?, is_missing)
        }
        Source::Declared(queue) => {
            let claim = home.declare(queue, session).await?;
            // Where it would be made for a SEND, it is the same one.
            if std::ptr::eq(home, &**parts.homes.first()) {
                queue.keep(claim.clone());
            }
            (queue.name.clone(), claim, false)
        }
        Source::Existing(name) => {
            declarer.check(name).await?;
            (name.clone(), None, false)
        }
        Source::Replies(_) => {
            let name = declarer.declare_unnamed(parts.context.exclusive_arguments()).await?;
            let claim = home.exclusives.claim(&name, session)?;
            claim.made();
            (name, Some(claim), false)
        }
    };
    Ok(Prepared { name, claim, is_new })
}

async fn is_missing(declarer: &Declarer, queue: &ShortString) -> Result<bool, Fault> {
    match declarer.check(queue).await {
        Ok(()) => Ok(false),
        Err(Fault::Amqp { name: "not_found", .. }) => Ok(true),
        Err(other) => Err(other),
    }
}

async fn consume_on(
    parts: &Parts,
    channel: &Channel,
    queue: ShortString,
    consume: &Consume,
) -> Result<Consumer, Fault> {
    let options = BasicConsumeOptions { no_local: false, no_ack: false, exclusive: false, nowait: false };
    let begin = async {
        channel.basic_qos(consume.prefetch.max(1), BasicQosOptions { global: false }).await?;
        channel.basic_consume(queue, tag(consume.key), options, consume.arguments.clone()).await
    };
    parts.context.answer(begin).await
}

/// What a failed subscribe has made, it takes away (D17), but not what was there before and may hold messages.
async fn discard(declarer: &Declarer, queue: &ShortString, is_new: bool) {
    if is_new {
        // Refused if somebody uses it by now.
        drop(declarer.delete(queue, Condition::Idle).await);
    }
}

/// Nothing is delivered any more once `drained` has come.
pub(super) async fn cancel(
    context: Arc<Context>,
    place: Place,
    tag: ShortString,
    drained: oneshot::Receiver<()>,
) -> Result<(), Failed> {
    let Some(channel) = &place.channel else { return Ok(()) };
    let cancel = async {
        // With the channel the consumer has gone as well, and `drained` is told or dropped.
        drop(channel.0.basic_cancel(tag, BasicCancelOptions { nowait: false }).await);
        drop(drained.await);
    };
    match timeout(context.settings.operation_timeout, cancel).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failed { fault: context.timed_out(), left: Left::Nothing }),
    }
}

pub(super) async fn delete(parts: Parts, place: Place, queue: ShortString) -> Result<(), Fault> {
    let home = place.home().unwrap_or_else(|| parts.homes.first());
    home.declarer.delete(&queue, Condition::Always).await
}

impl Source {
    /// What an UNSUBSCRIBE deletes beyond what RabbitMQ does by itself, and whether it is exclusive.
    pub(super) fn left_behind(&self, is_final: bool) -> Option<(ShortString, bool)> {
        let Self::Bound(bound) = self else { return None };
        let options = &bound.queue.declare.options;
        let is_left = (is_final && bound.is_topic) || (options.exclusive && !options.auto_delete);
        is_left.then(|| (bound.queue.name.clone(), options.exclusive))
    }

    /// Unless RabbitMQ names it, at its first use.
    fn queue(&self) -> Option<&ShortString> {
        match self {
            Self::Bound(bound) => Some(&bound.queue.name),
            Self::Declared(queue) => Some(&queue.name),
            Self::Existing(name) => Some(name),
            Self::Replies(_) => None,
        }
    }

    /// RabbitMQ deletes the queue with its consumer, if it was declared so.
    pub(super) fn consumed(&self, claim: Option<&Claim>) {
        let goes = match self {
            Self::Bound(bound) => bound.queue.declare.options.auto_delete,
            Self::Declared(queue) => queue.declare.options.auto_delete,
            Self::Existing(_) => false,
            Self::Replies(_) => true,
        };
        if goes {
            claim.iter().for_each(|it| it.gone());
        }
    }
}
