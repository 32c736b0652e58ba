//! The one task that publishes on a channel: with two, the library would give confirms to the wrong messages.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use futures::stream::{FuturesUnordered, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, PublisherConfirm};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::confirms::Unconfirmed;
use super::lanes::{Admitted, Lanes};
use super::{Outgoing, Routed};
use crate::broker::amqp::context::Context;
use crate::broker::amqp::declarer::Declarer;
use crate::broker::amqp::line::Line;
use crate::broker::amqp::metrics::Counted;
use crate::ident::SessionId;
use crate::session::Fault;

/// Messages that are handed to the library at a time: enough for large writes.
const BATCH: usize = 64;

pub(super) struct Writer {
    context: Arc<Context>,
    line: Line,
    declarer: Declarer,
    channel: Option<Channel>,
    lanes: Lanes<Outgoing>,
    declares: FuturesUnordered<BoxFuture<'static, (SessionId, Result<(), Fault>)>>,
    /// Bounded: as many wait for their confirms as may be in flight.
    written: mpsc::Sender<Unconfirmed>,
}

/// Resolves when the bytes were written.
type Write<'a> = Pin<Box<MaybeDone<BoxFuture<'a, lapin::Result<PublisherConfirm>>>>>;

impl Writer {
    pub(super) fn new(
        context: &Arc<Context>,
        line: &Line,
        declarer: &Declarer,
        written: mpsc::Sender<Unconfirmed>,
    ) -> Self {
        Self {
            context: context.clone(),
            line: line.clone(),
            declarer: declarer.clone(),
            channel: None,
            lanes: Lanes::new(),
            declares: FuturesUnordered::new(),
            written,
        }
    }

    pub(super) async fn run(mut self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut arrived = Vec::with_capacity(BATCH);
        let mut ready = Vec::with_capacity(BATCH);
        loop {
            // Both are cancel-safe: `recv_many` takes nothing unless it returns, a declare stays in its set.
            tokio::select! {
                Some((session, outcome)) = self.declares.next(), if !self.declares.is_empty() => {
                    if self.lanes.declared(session, outcome, &mut ready) {
                        self.declare(session);
                    }
                }
                count = outgoing.recv_many(&mut arrived, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    for publish in arrived.drain(..) {
                        self.admit(publish, &mut ready);
                    }
                }
            }
            if !ready.is_empty() {
                self.write(std::mem::take(&mut ready)).await;
            }
        }
    }

    fn admit(&mut self, publish: Outgoing, ready: &mut Vec<Outgoing>) {
        let session = publish.session;
        match self.lanes.admit(publish) {
            Admitted::Ready(publish) => ready.push(publish),
            Admitted::Declare => self.declare(session),
            Admitted::Waits => {}
        }
    }

    /// Declares what the first waiting publish of a session needs.
    fn declare(&self, session: SessionId) {
        let queue = self.lanes.first(session).and_then(Outgoing::queue).cloned();
        let queue = queue.expect("a lane begins with a publish that needs a declare");
        let declarer = self.declarer.clone();
        self.declares.push(async move { (session, declarer.declare(&queue).await) }.boxed());
    }

    /// Writes a batch, and hands it to the task that waits for the confirms, in order.
    async fn write(&mut self, batch: Vec<Outgoing>) {
        let channel = self.channel().await;
        let mut writes: Vec<Result<Write<'_>, Fault>> = Vec::with_capacity(batch.len());
        for publish in &batch {
            writes.push(match (&channel, &publish.content) {
                (_, Err(fault)) | (Err(fault), Ok(_)) => Err(fault.clone()),
                (Ok(channel), Ok(content)) => Ok(Box::pin(maybe_done(publish_on(channel, content)))),
            });
        }
        let begun = Instant::now();
        // The first poll puts the frames into the library's queue, so this decides the order.
        poll_fn(|cx| {
            for write in writes.iter_mut().flatten() {
                match write.as_mut().poll(cx) {
                    Poll::Ready(()) | Poll::Pending => {}
                }
            }
            Poll::Ready(())
        })
        .await;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(match write {
                // Without a deadline: it is how the broker holds publishers back, and heart-beats find a dead one.
                Ok(mut write) => {
                    write.as_mut().await;
                    let written = write.as_mut().take_output().expect("it has just completed, and is taken once");
                    written.map_err(|error| self.context.fault(&error))
                }
                Err(fault) => Err(fault),
            });
        }
        self.hand_over(batch, outcomes, begun).await;
    }

    async fn hand_over(
        &mut self,
        batch: Vec<Outgoing>,
        outcomes: Vec<Result<PublisherConfirm, Fault>>,
        begun: Instant,
    ) {
        let (written, mut sample) = (Instant::now(), Some(begun));
        for (publish, confirm) in batch.into_iter().zip(outcomes) {
            let observed_from = if confirm.is_ok() { sample.take() } else { None };
            let in_flight = confirm.is_ok().then(|| Counted::new(&self.context.metrics.publishes_in_flight));
            let Outgoing { done, room, .. } = publish;
            let unconfirmed = Unconfirmed { confirm, done, written, observed_from, in_flight, room };
            // Fails only when everything ends; the senders that are dropped then say so.
            if self.written.send(unconfirmed).await.is_err() {
                return;
            }
        }
    }

    /// The confirm channel, opened anew when RabbitMQ closed the last one.
    async fn channel(&mut self) -> Result<Channel, Fault> {
        if let Some(channel) = self.channel.as_ref().filter(|it| it.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.line.channel().await?;
        self.context.answer(channel.confirm_select(ConfirmSelectOptions { nowait: false })).await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }
}

fn publish_on<'a>(channel: &'a Channel, content: &'a Routed) -> BoxFuture<'a, lapin::Result<PublisherConfirm>> {
    let Routed { exchange, key, properties, body, .. } = content;
    // Never mandatory: what nobody waits for vanishes, as with RabbitMQ's own plugin, and is confirmed.
    let options = BasicPublishOptions { mandatory: false, immediate: false };
    channel.basic_publish(exchange.clone(), key.clone(), options, body, properties.clone()).boxed()
}
