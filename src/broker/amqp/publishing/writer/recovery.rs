//! What becomes of the window when its channel is lost.
//!
//! RabbitMQ closes a channel for a publish that it refuses, and does not say which one it was. What it has not confirmed
//! is then published again, in order, each alone and confirmed before the next, so that each has a verdict of its own;
//! what it had taken before it closed the channel arrives twice. The same is done when the connection is lost alone.

use std::collections::HashMap;
use std::task;

use lapin::types::ShortString;
use tokio::time::Instant;

use super::Writer;
use crate::broker::amqp::publishing::channel::publish_on;
use crate::broker::amqp::publishing::outgoing::Outgoing;
use crate::broker::amqp::publishing::window::State;
use crate::broker::amqp::publishing::{NOT_FOUND, exception};
use crate::broker::amqp::shared_line::LOSSES_MAX;
use crate::ident::SessionId;
use crate::session::Fault;

/// What was found out while publishing one by one.
#[derive(Default)]
pub(super) struct Recovery {
    /// Exchanges that are missing, so that not each message to them costs a channel.
    missing: HashMap<ShortString, Fault>,
}

impl Recovery {
    /// Why it is of no use to write it again, if that was found out.
    fn missing(&self, publish: &Outgoing) -> Option<Fault> {
        publish.content().and_then(|it| self.missing.get(&it.exchange)).cloned()
    }
}

impl Writer {
    /// The front alone, if it is to be. What is behind it was written to a channel that is lost.
    pub(super) fn write_again(&mut self, cx: &mut task::Context<'_>) {
        if !self.backlog.window.front().is_some_and(|it| matches!(it.state, State::Waiting)) {
            return;
        }
        let Some(channel) = self.channel() else { return self.open() };
        let content = self.backlog.window.front().and_then(|it| it.publish.content());
        if let Some(content) = content {
            let write = publish_on(channel, content);
            self.backlog.window.write_alone(write, cx);
            self.context.metrics.republished.inc();
        }
    }

    /// The channel of the front was closed, or its connection: because of it, if it was alone there.
    pub(super) fn front_failed(&mut self, error: &lapin::Error, cx: &mut task::Context<'_>) {
        // No other one can have cost the channel.
        let has_late = self.outlet.as_ref().is_some_and(|it| !it.late.is_empty());
        let was_last = self.recovery.is_none() && self.backlog.window.len() == 1 && !has_late;
        let Some(front) = self.backlog.window.front() else { return };
        let is_culprit = error.is_amqp_soft_error() && (was_last || front.times_alone > 0);
        if is_culprit || front.times_alone > LOSSES_MAX {
            let session = front.publish.session;
            if !is_culprit {
                return self.answer_front(Err(Fault::Unavailable));
            }
            let fault = self.context.needs_permissions(exception(&self.context, error));
            self.backlog.suspects.insert(session, Instant::now());
            self.convict(&fault);
            self.answer_front(Err(fault));
            return self.postpone(session, cx);
        }
        front.state = State::Waiting;
        let fault = self.recovery.get_or_insert_default().missing(&front.publish);
        if let Some(fault) = fault {
            self.answer_front(Err(fault));
        }
    }

    /// What else of the session has to be written again lets that of others pass.
    fn postpone(&mut self, session: SessionId, cx: &mut task::Context<'_>) {
        for publish in self.backlog.window.take_failed(session, cx) {
            match self.recovery.as_ref().and_then(|it| it.missing(&publish)) {
                Some(fault) => self.answer(publish, Err(fault)),
                None => {
                    self.context.metrics.republished.inc();
                    self.backlog.suspects.push(publish);
                }
            }
        }
    }

    /// Remembers what the front was refused for, if that holds for others as well.
    fn convict(&mut self, fault: &Fault) {
        let content = self.backlog.window.front().and_then(|it| it.publish.content());
        let (Some(content), Fault::Amqp { name: NOT_FOUND, .. }) = (content, fault) else { return };
        if let Some(outlet) = &self.outlet {
            outlet.generation.exchanges.forget(&content.exchange);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.missing.insert(content.exchange.clone(), fault.clone());
        }
    }
}
