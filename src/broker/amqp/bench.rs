//! A channel for declaring and binding, which a refusal may cost: it is opened anew for the next operation.

use std::future::Future;
use std::sync::Arc;

use lapin::{Channel, Connection};

use super::context::Context;
use crate::session::Fault;

/// One channel at a time, used for one operation at a time.
pub(super) struct Bench {
    context: Arc<Context>,
    connection: Arc<Connection>,
    /// The channel, and how many operations it will still serve.
    channel: Option<(Channel, u32)>,
    operations_max: u32,
}

impl Bench {
    /// `operations_max` is for how many operations one channel serves: the library remembers each queue that a channel
    /// declared for as long as the channel lives.
    pub(super) fn new(context: Arc<Context>, connection: Arc<Connection>, operations_max: u32) -> Self {
        Self { context, connection, channel: None, operations_max }
    }

    pub(super) async fn work<T, F>(&mut self, operation: impl FnOnce(Channel) -> F) -> Result<T, Fault>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        // Left out of its place until the operation succeeded: a channel with a refused or a late answer is of no use.
        let (channel, left) = match self.channel.take() {
            Some((channel, left)) if channel.status().connected() && left > 0 => (channel, left),
            Some(_) | None => (self.context.answer(self.connection.create_channel()).await?, self.operations_max),
        };
        let value = self.context.answer(operation(channel.clone())).await?;
        self.channel = Some((channel, left - 1));
        Ok(value)
    }
}
