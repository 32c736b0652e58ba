//! Waits for the confirms of one channel, in the order of the publishes, and answers the sessions.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use lapin::{Confirmation, PublisherConfirm};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::broker::amqp::context::Context;
use crate::broker::amqp::line::Line;
use crate::broker::amqp::metrics::Counted;
use crate::session::Fault;

/// A message that was written, or could not be; its session waits for the answer.
pub(super) struct Unconfirmed {
    pub(super) confirm: Result<PublisherConfirm, Fault>,
    pub(super) done: oneshot::Sender<Result<(), Fault>>,
    pub(super) written: Instant,
    /// When it was written, if this one stands for its batch in the histogram.
    pub(super) observed_from: Option<Instant>,
    pub(super) in_flight: Option<Counted>,
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) async fn run(
    context: Arc<Context>,
    line: Line,
    mut written: mpsc::Receiver<Unconfirmed>,
    ended: CancellationToken,
) {
    // The library keeps a confirm that is dropped for ever, so one that is late is awaited nevertheless.
    let mut late = FuturesUnordered::new();
    // RabbitMQ was seen to block then: what was written before is given its time anew.
    let mut blocked = None;
    loop {
        // Both are cancel-safe: what is not taken stays where it is.
        let Unconfirmed { confirm, done, written, observed_from, in_flight, room } = tokio::select! {
            Some(_) = late.next(), if !late.is_empty() => continue,
            next = written.recv() => match next {
                Some(next) => next,
                None => return,
            },
        };
        let outcome = match confirm {
            Ok(mut confirm) => {
                let outcome = answer(&context, &line, &mut confirm, written, &mut blocked).await;
                if matches!(outcome, Err(Fault::TimedOut(_))) {
                    late.push(confirm);
                }
                outcome
            }
            Err(fault) => Err(fault),
        };
        if let (Some(from), Ok(())) = (observed_from, &outcome) {
            context.metrics.confirm_seconds.observe(from.elapsed().as_secs_f64());
        }
        context.metrics.published(&outcome);
        // Nobody listens when the session has gone meanwhile.
        drop(done.send(outcome));
        drop((in_flight, room));
        if late.len() > context.settings.publishes_in_flight_max {
            error!(late = late.len(), "RabbitMQ leaves too many publishes unanswered; connecting anew");
            ended.cancel();
        }
    }
}

/// The time of each message runs from when it was written, so that those before it do not add to it.
async fn answer(
    context: &Context,
    line: &Line,
    confirm: &mut PublisherConfirm,
    written: Instant,
    blocked: &mut Option<Instant>,
) -> Result<(), Fault> {
    loop {
        let deadline = blocked.map_or(written, |it| written.max(it)) + context.settings.operation_timeout;
        match timeout_at(deadline, &mut *confirm).await {
            Ok(Ok(Confirmation::Ack(_) | Confirmation::NotRequested)) => return Ok(()),
            Ok(Ok(Confirmation::Nack(_))) => return Err(Fault::Nacked),
            Ok(Err(error)) => return Err(context.fault(&error)),
            // RabbitMQ reads nothing from this connection now; publishes simply wait.
            Err(_) if line.is_blocked() => *blocked = Some(Instant::now()),
            Err(_) => return Err(context.timed_out()),
        }
    }
}
