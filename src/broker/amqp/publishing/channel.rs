//! A channel in confirm mode: how one is opened, and how a message is written to it.

use std::sync::Arc;

use futures::FutureExt;
use lapin::Channel;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use tokio::time::Instant;

use super::Routed;
use super::window::Write;
use crate::broker::amqp::context::Context;
use crate::broker::amqp::line::Line;
use crate::broker::amqp::shared_line::{Patience, SharedLine};
use crate::session::Fault;

pub(super) type Opened = Result<(Line, Channel), Fault>;

pub(super) async fn open(context: Arc<Context>, shared_line: SharedLine) -> Opened {
    let mut patience = Patience::default();
    loop {
        let (line, begun) = (shared_line.current().await, Instant::now());
        let opened = async {
            let channel = line.channel().await?;
            context.answer(channel.confirm_select(ConfirmSelectOptions { nowait: false })).await?;
            Ok(channel)
        };
        let outcome = opened.await;
        if !patience.tries_again(&outcome, &line, begun).await {
            return outcome.map(|channel| (line, channel));
        }
    }
}

/// The content stays where it is: it may have to be published again.
pub(super) fn publish_on(channel: Arc<Channel>, content: &Routed) -> Write {
    let Routed { exchange, key, properties, body, replies, .. } = content;
    let (exchange, key, body) = (exchange.clone(), key.clone(), body.clone());
    let properties = match replies.as_ref().and_then(|it| it.address()) {
        Some(address) => properties.clone().with_reply_to(address),
        None => properties.clone(),
    };
    // It is confirmed either way; what nobody waits for vanishes, as with RabbitMQ's own plugin.
    let options = BasicPublishOptions { mandatory: content.is_mandatory, immediate: false };
    async move { channel.basic_publish(exchange, key, options, &body, properties).await }.boxed()
}
