//! A channel for declaring and binding, which a refusal may cost: it is opened anew for the next operation.

use std::future::Future;
use std::sync::Arc;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::context::Context;
use super::line::Line;
use crate::session::Fault;

/// One channel at a time, used for one operation at a time.
pub(super) struct Bench {
    context: Arc<Context>,
    line: Line,
    /// The channel, and how many operations it will still serve.
    channel: Option<(Channel, u32)>,
    /// A channel with an operation that was not answered in time. It may take effect yet, and RabbitMQ works on several
    /// channels at once: the next operation has to wait until this one is closed, or it could be undone.
    late: Option<Channel>,
    operations_max: u32,
}

impl Bench {
    /// `operations_max` is for how many operations one channel serves: the library remembers each queue that a channel
    /// declared for as long as the channel lives.
    pub(super) fn new(context: Arc<Context>, line: Line, operations_max: u32) -> Self {
        Self { context, line, channel: None, late: None, operations_max }
    }

    pub(super) async fn work<T, F>(&mut self, operation: impl FnOnce(Channel) -> F) -> Result<T, Fault>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        if let Some(late) = &self.late {
            match self.context.answer(late.close(200, "OK".into())).await {
                Err(fault @ Fault::TimedOut(_)) => return Err(fault),
                // If it can't be closed, it has been already.
                Ok(()) | Err(_) => self.late = None,
            }
        }
        // Left out of its place until the operation succeeded: a channel with a refused or a late answer is of no use.
        let (channel, left) = match self.channel.take() {
            Some((channel, left)) if channel.status().connected() && left > 0 => (channel, left),
            Some(_) | None => (self.line.channel().await?, self.operations_max),
        };
        let outcome = self.context.answer(operation(channel.clone())).await;
        match &outcome {
            Ok(_) => self.channel = Some((channel, left - 1)),
            Err(Fault::TimedOut(_)) => self.late = Some(channel),
            Err(_) => {}
        }
        outcome
    }
}

/// Whether the exchange is there. Of what kind it is does not matter to a passive declare.
pub(super) async fn find_exchange(channel: Channel, name: ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default()).await
}
