//! What a writer has at RabbitMQ in one generation: a confirm channel, and what has to be done before something can be
//! written to it.

use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join};
use futures::stream::{FuturesUnordered, StreamExt};
use lapin::Channel;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::channel::{Opened, open};
use super::outgoing::Outgoing;
use crate::broker::Outage;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::Queue;
use crate::broker::amqp::gate::Gate;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::line::Line;
use crate::ident::SessionId;
use crate::session::Fault;

/// How long subscribers are waited for in a new generation. Thousands of topics are bound within it; should RabbitMQ not
/// answer one of them, all other messages are not to wait for its operation timeout, again and again.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// Before what failed for RabbitMQ being away is tried again in the same generation, which may be about to end.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Outlet {
    context: Arc<Context>,
    pub(super) generation: Arc<Generation>,
    gate: Gate,
    /// Of the channel that is written to, or was.
    line: Option<Line>,
    pub(super) channel: Option<Arc<Channel>>,
    opening: Option<BoxFuture<'static, Opened>>,
    preparations: FuturesUnordered<BoxFuture<'static, (SessionId, Result<(), Fault>)>>,
    /// Confirms that did not come in time. The library keeps one that is dropped for ever.
    pub(super) late: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// When something is begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begin {
    AfterPause,
    Now,
}

#[derive(Debug)]
pub(super) enum Event {
    Opened(Result<(), Fault>),
    Prepared(SessionId, Result<(), Fault>),
}

impl Outlet {
    pub(super) fn new(context: &Arc<Context>, generation: &Arc<Generation>, gate: &Gate) -> Self {
        Self {
            context: context.clone(),
            generation: generation.clone(),
            gate: gate.clone(),
            line: None,
            channel: None,
            opening: None,
            preparations: FuturesUnordered::new(),
            late: FuturesUnordered::new(),
        }
    }

    /// The confirm channel, unless RabbitMQ has closed it.
    pub(super) fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.as_ref().filter(|it| it.status().connected()).cloned()
    }

    /// Until when RabbitMQ has read nothing from its connection.
    pub(super) fn blocked_until(&self) -> Option<Instant> {
        self.line.as_ref().and_then(Line::blocked_until)
    }

    /// Opens a channel, unless that is under way.
    pub(super) fn open(&mut self, begin: Begin) {
        if self.opening.is_some() {
            return;
        }
        let opened = open(self.context.clone(), self.generation.publish_line.clone());
        let (gate, number) = (self.gate.clone(), self.generation.number);
        let holds = self.context.settings.outage == Outage::Hold;
        let opened = async move {
            begin.wait().await;
            if holds { join(opened, are_back(gate, number)).await.0 } else { opened.await }
        };
        self.opening = Some(opened.boxed());
    }

    /// Does what a publish needs before it can be written, until then.
    pub(super) fn prepare(&self, publish: &Outgoing, begin: Begin, deadline: Option<Instant>) {
        let session = publish.session;
        let routed = publish.content().expect("a lane begins with a publish that needs something");
        let (queue, replies) = (routed.queue.clone(), routed.replies.clone());
        let exchange = routed.is_exchange_unsure.then(|| routed.exchange.clone());
        let generation = self.generation.clone();
        let prepared = async move {
            begin.wait().await;
            if let Some(queue) = queue {
                declare(&generation, &queue, session).await?;
            }
            if let Some(replies) = replies
                && let Err(fault) = replies.open().await
                && !replies.is_over()
            {
                return Err(fault);
            }
            match exchange {
                Some(exchange) => generation.exchanges.check(exchange).await,
                None => Ok(()),
            }
        };
        let prepared = async move {
            let outcome = match deadline {
                Some(deadline) => timeout_at(deadline, prepared).await.unwrap_or(Err(Fault::Unavailable)),
                None => prepared.await,
            };
            (session, outcome)
        };
        self.preparations.push(prepared.boxed());
    }

    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Event> {
        while let Poll::Ready(Some(())) = self.late.poll_next_unpin(cx) {}
        if let Some(Poll::Ready(opened)) = self.opening.as_mut().map(|it| it.as_mut().poll(cx)) {
            self.opening = None;
            let outcome = opened.map(|(line, channel)| {
                (self.line, self.channel) = (Some(line), Some(Arc::new(channel)));
            });
            return Poll::Ready(Event::Opened(outcome));
        }
        match self.preparations.poll_next_unpin(cx) {
            Poll::Ready(Some((session, outcome))) => Poll::Ready(Event::Prepared(session, outcome)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Begin {
    async fn wait(self) {
        match self {
            Self::AfterPause => sleep(PAUSE).await,
            Self::Now => {}
        }
    }
}

/// Waits for those who would hear of what is published. Whoever is later than that misses something.
async fn are_back(gate: Gate, generation: u64) {
    drop(timeout(BACK_WITHIN, gate.opened(generation)).await);
}

/// Unless the session has declared it already.
async fn declare(generation: &Generation, queue: &Queue, session: SessionId) -> Result<(), Fault> {
    if !queue.is_declared(generation.number) {
        queue.keep(generation.private.homes.first().declare(queue, session).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn subscribers_are_waited_for_and_not_for_ever() {
        let gate = Gate::new();
        let (mut member, begun) = (gate.join(), Instant::now());
        gate.begin(1);
        let mut waiting = are_back(gate.clone(), 1).boxed();
        assert_eq!((&mut waiting).now_or_never(), None);
        member.is_back(1);
        assert_eq!(waiting.now_or_never(), Some(()));
        gate.begin(2);
        are_back(gate, 2).await;
        assert_eq!(begun.elapsed(), BACK_WITHIN);
    }
}
