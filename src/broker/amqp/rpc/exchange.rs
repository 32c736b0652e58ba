//! One channel of calls: those that are on their way, and their answers.

use std::collections::HashMap;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Consumer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Call, Done, Outcome, away, messages};
use crate::broker::amqp::context::Context;
use crate::broker::amqp::properties::DIRECT_REPLY_TO;
use crate::broker::amqp::publishing::Exchanges;
use crate::handlers::{Response, Unanswered, Wants};
use crate::session::Fault;

pub(super) struct Exchange {
    channel: Channel,
    answers: Consumer,
    response_bytes_max: usize,
    lost: CancellationToken,
    /// By correlation id.
    waiting: HashMap<u64, Done>,
    last_id: u64,
    published: FuturesUnordered<BoxFuture<'static, Published>>,
}

/// What RabbitMQ said of a publish.
struct Published {
    id: u64,
    wants: Wants,
    outcome: Result<Confirmation, Unanswered>,
}

/// Publishes that RabbitMQ has not answered for. While it blocks publishers there are more and more of them.
const PUBLISHED_MAX: usize = 1_024;

impl Exchange {
    pub(super) async fn open(
        context: &Context,
        channel: Channel,
        response_bytes_max: usize,
        lost: CancellationToken,
    ) -> Result<Self, Fault> {
        context.answer(channel.confirm_select(ConfirmSelectOptions { nowait: false })).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let (queue, tag, none) = (DIRECT_REPLY_TO.into(), ShortString::default(), FieldTable::default());
        let answers = context.answer(channel.basic_consume(queue, tag, options, none)).await?;
        let (waiting, published) = (HashMap::new(), FuturesUnordered::new());
        Ok(Self { channel, answers, response_bytes_max, lost, waiting, last_id: 0, published })
    }

    /// Until the channel or the connection is lost. What waits then is dropped, which tells it.
    pub(super) async fn serve(mut self, exchanges: &Exchanges, calls: &mut mpsc::Receiver<Call>) {
        let lost = self.lost.clone();
        loop {
            // All are cancel-safe: what is not taken stays where it is.
            tokio::select! {
                () = lost.cancelled() => return,
                answer = self.answers.next() => match answer {
                    Some(Ok(answer)) => self.answered(&answer),
                    Some(Err(_)) | None => return,
                },
                Some(published) = self.published.next() => {
                    self.published(published);
                    if !self.channel.status().connected() {
                        return;
                    }
                }
                call = calls.recv() => match call {
                    Some(call) => self.publish(call, exchanges),
                    None => return,
                },
            }
        }
    }

    fn publish(&mut self, call: Call, exchanges: &Exchanges) {
        let Call { exchange, outgoing, done } = call;
        if self.published.len() >= PUBLISHED_MAX {
            drop(done.send(Err(away(format!("RabbitMQ has not confirmed {PUBLISHED_MAX} calls")))));
            return;
        }
        self.last_id += 1;
        let (id, wants) = (self.last_id, outgoing.wants);
        let prepared = messages::prepare(&exchange, &outgoing, id);
        let (exchange, key, properties) = match prepared {
            Ok(prepared) => prepared,
            Err(unsendable) => {
                drop(done.send(Err(unsendable)));
                return;
            }
        };
        if self.waiting.len() >= PUBLISHED_MAX {
            // Those that were given up.
            self.waiting.retain(|_, it| !it.is_closed());
        }
        self.waiting.insert(id, done);
        let (channel, exchanges, body) = (self.channel.clone(), exchanges.clone(), outgoing.body);
        self.published.push(Box::pin(async move {
            let outcome = async {
                if !exchanges.is_known(&exchange) {
                    exchanges.check(exchange.clone()).await.map_err(unroutable)?;
                }
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let written = channel.basic_publish(exchange.clone(), key, options, &body, properties).await;
                let confirmed = match written {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                };
                confirmed.map_err(|error| {
                    exchanges.forget(&exchange);
                    away(error.to_string())
                })
            };
            Published { id, wants, outcome: outcome.await }
        }));
    }

    fn published(&mut self, published: Published) {
        let Published { id, wants, outcome } = published;
        let outcome = match (outcome, wants) {
            (Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))), _) => Err(Unanswered::Unroutable),
            (Ok(Confirmation::Nack(None)), _) => Err(away("RabbitMQ did not accept the message".to_owned())),
            (Ok(Confirmation::Ack(None) | Confirmation::NotRequested), Wants::Answer) => return,
            (Ok(Confirmation::Ack(None) | Confirmation::NotRequested), Wants::Nothing) => Ok(Response::nothing()),
            (Err(unanswered), _) => Err(unanswered),
        };
        self.done(id, outcome);
    }

    fn answered(&mut self, answer: &lapin::message::Delivery) {
        let id = answer.properties.correlation_id().as_ref().and_then(|it| it.as_str().parse().ok());
        // What nobody waits for any more came too late, or is not an answer at all.
        let Some(id) = id else { return };
        let outcome = if answer.data.len() > self.response_bytes_max {
            Err(Unanswered::TooLarge { max: self.response_bytes_max })
        } else {
            Ok(messages::response(answer))
        };
        self.done(id, outcome);
    }

    fn done(&mut self, id: u64, outcome: Outcome) {
        if let Some(done) = self.waiting.remove(&id) {
            drop(done.send(outcome));
        }
    }
}

fn unroutable(fault: Fault) -> Unanswered {
    match fault {
        Fault::Amqp { name: "not_found", .. } => Unanswered::Unroutable,
        fault => away(fault.to_string()),
    }
}
