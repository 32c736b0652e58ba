//! What each command does in a session that is connected.

use super::acks::{Acks, Settling};
use super::action::{AckMode, Action, Verdict};
use super::core::Core;
use super::in_flight::{Answered, Effect, InFlight, Part, Then};
use super::input::{Answer, Outcome};
use super::refusal::Refusal;
use super::send;
use super::subscriptions::{Subscriptions, Unsubscribed};
use super::transactions::{Kept, Transactions};
use crate::destination::Destination;
use crate::ident::{OpId, SubscriptionKey};
use crate::message::{Delivery, Marks};
use crate::stomp::{Command, Frame};

#[derive(Debug, Default)]
pub(super) struct Connected {
    pub(super) subscriptions: Subscriptions,
    acks: Acks,
    transactions: Transactions,
    pub(super) in_flight: InFlight,
    /// A SUBSCRIBE that waits for the SENDs before it: what they publish is not for it.
    deferred: Option<Frame>,
}

/// What follows from a frame beyond its actions.
#[derive(Debug)]
pub(super) enum Next {
    Continue,
    /// The client sent DISCONNECT: it is answered when nothing is pending any more.
    Disconnect {
        receipt: Option<Box<str>>,
    },
}

impl Connected {
    pub(super) fn wants_frames(&self, core: &Core) -> bool {
        self.deferred.is_none() && self.in_flight.has_room(&core.settings)
    }

    pub(super) fn wants_deliveries(&self) -> bool {
        self.in_flight.subscribing().is_none()
    }

    pub(super) fn frame(&mut self, core: &mut Core, frame: Frame) -> Result<Next, Refusal> {
        match frame.command {
            Command::Abort => {
                self.transactions.end(transaction(&frame)?)?;
                core.receipt(frame.header("receipt"));
            }
            Command::Ack | Command::Nack => self.settle(core, &frame)?,
            Command::Begin => {
                self.transactions.begin(transaction(&frame)?, &core.settings)?;
                core.receipt(frame.header("receipt"));
            }
            Command::Commit => self.commit(core, &frame)?,
            Command::Connect | Command::Stomp => return Err(Refusal::AlreadyConnected),
            Command::Disconnect => return Ok(Next::Disconnect { receipt: receipt(&frame) }),
            Command::Connected | Command::Error | Command::Message | Command::Receipt => {
                return Err(Refusal::ServerCommand(frame.command));
            }
            Command::Send => self.send(core, frame)?,
            Command::Subscribe if self.in_flight.is_empty() => self.subscribe(core, frame)?,
            Command::Subscribe => self.deferred = Some(frame),
            Command::Unsubscribe => {
                let Unsubscribed { id, holder, unsubscribe } = self.subscriptions.unsubscribe(&frame)?;
                self.acks.orphan(unsubscribe.key);
                let op = core.next_op();
                core.act(Action::Unsubscribe { op, id, holder, unsubscribe });
                self.in_flight.push(op, Then::Unsubscribed { receipt: receipt(&frame) });
            }
        }
        Ok(Next::Continue)
    }

    /// The broker answered the oldest action.
    pub(super) fn done(
        &mut self,
        core: &mut Core,
        op: OpId,
        outcome: Outcome,
    ) -> Result<(), (Refusal, Option<Box<str>>)> {
        let effect = match outcome {
            Ok(Answer::Done | Answer::Opened { .. }) => Effect::Taken,
            Ok(Answer::Untold(fault)) => Effect::Untold(fault.map(Refusal::Broker)),
            Err(fault) => Effect::Refused(Refusal::Broker(fault)),
        };
        match self.in_flight.answered(op, effect) {
            Answered::Receipts(receipts) => {
                receipts.iter().for_each(|it| core.receipt(it.as_deref()));
                Ok(())
            }
            Answered::Refused { refusal, receipt, commit, forget } => {
                forget.map(|key| self.subscriptions.remove(key));
                match (receipt, commit) {
                    // A client that goes on may wait for both.
                    (Some(own), commit @ Some(_)) if !core.settings.close_on_error => {
                        core.refuse(&refusal, Some(&own));
                        Err((refusal, commit))
                    }
                    (own, commit) => Err((refusal, own.or(commit))),
                }
            }
        }
    }

    /// A frame that can be read now that nothing is pending any more.
    pub(super) fn take_deferred(&mut self) -> Option<Frame> {
        self.deferred.take_if(|_| self.in_flight.is_empty())
    }

    pub(super) fn deliver(&mut self, core: &mut Core, delivery: Delivery, dropped: u64) {
        let Delivery { subscription: key, message, token, redelivered } = delivery;
        let Some(subscription) = self.subscriptions.get(key) else {
            requeue(core, token);
            return;
        };
        let name = subscription.name.in_messages();
        let frame = match (subscription.ack, token) {
            (AckMode::Client | AckMode::ClientIndividual, token) => {
                let ack_id = self.acks.delivered(core.id, key, subscription.ack, token);
                self.acks.keep(core.settings.unsettled_max);
                message.frame(core.version, name, Marks { ack_id: Some(&ack_id), dropped, redelivered })
            }
            (_, _) if redelivered || dropped > 0 => {
                message.frame(core.version, name, Marks { ack_id: None, dropped, redelivered })
            }
            (_, _) => message.shared_frame(core.version, name),
        };
        let is_auto = subscription.ack == AckMode::Auto;
        core.transmit(super::Sent::Message, frame);
        if let (true, Some(token)) = (is_auto, token) {
            core.act(Action::SettleWhenWritten(token));
        }
    }

    /// The broker ended a subscription.
    pub(super) fn subscription_ended(&mut self, key: SubscriptionKey) -> Option<Refusal> {
        self.acks.orphan(key);
        self.subscriptions.remove(key).map(|it| Refusal::SubscriptionEnded(it.name))
    }

    fn subscribe(&mut self, core: &mut Core, frame: Frame) -> Result<(), Refusal> {
        let receipt = receipt(&frame);
        let subscribe = self.subscriptions.subscribe(frame, core, self.acks.orphans())?;
        let (op, key) = (core.next_op(), subscribe.key);
        let then = if matches!(subscribe.destination, Destination::App(_)) {
            Then::Handled { receipt, key, bytes: subscribe.headers.size() }
        } else {
            Then::Subscribed { receipt, key, asked: core.now }
        };
        core.act(Action::Subscribe { op, subscribe });
        self.in_flight.push(op, then);
        Ok(())
    }

    fn send(&mut self, core: &mut Core, frame: Frame) -> Result<(), Refusal> {
        let receipt = receipt(&frame);
        let transaction: Option<Box<str>> = frame.header("transaction").map(Into::into);
        if let Some(id) = &transaction {
            self.transactions.check(id)?;
        }
        let publish = send::publish(frame, &mut self.subscriptions, &core.settings)?;
        if let Some(id) = transaction {
            return self.transactions.keep(&id, Kept::Publish { publish, receipt }, &core.settings);
        }
        let (op, bytes) = (core.next_op(), publish.size() + receipt.as_ref().map_or(0, |it| it.len()));
        core.act(Action::Publish { op, publish });
        self.in_flight.push(op, Then::Sent { receipt, bytes });
        Ok(())
    }

    fn settle(&mut self, core: &mut Core, frame: &Frame) -> Result<(), Refusal> {
        let transaction = frame.header("transaction");
        if let Some(id) = transaction {
            self.transactions.check(id)?;
        }
        let settling = self.acks.check(frame, core.version, core.id)?;
        if let Some(id) = transaction {
            self.transactions.keep(id, Kept::Settle(settling), &core.settings)?;
        } else {
            self.settled(core, settling);
        }
        core.receipt(frame.header("receipt"));
        Ok(())
    }

    /// Does what was kept, in order. Answered with the last SEND; at once if there is none.
    fn commit(&mut self, core: &mut Core, frame: &Frame) -> Result<(), Refusal> {
        let kept = self.transactions.end(transaction(frame)?)?;
        let mut sends = kept.iter().filter(|it| matches!(it, Kept::Publish { .. })).count();
        let is_done_at_once = sends == 0;
        for kept in kept {
            match kept {
                Kept::Publish { mut publish, receipt: own } => {
                    sends -= 1;
                    publish.is_receipted |= frame.header("receipt").is_some();
                    let part = if sends == 0 { Part::Last } else { Part::Earlier };
                    let (op, bytes) = (core.next_op(), publish.size());
                    core.act(Action::Publish { op, publish });
                    let then = Then::Committed { receipt: own, commit: receipt(frame), bytes, part };
                    self.in_flight.push(op, then);
                }
                Kept::Settle(settling) => self.settled(core, settling),
            }
        }
        if is_done_at_once {
            core.receipt(frame.header("receipt"));
        }
        Ok(())
    }

    fn settled(&mut self, core: &mut Core, settling: Settling) {
        let tokens = self.acks.settle(settling, core.settings.ack_scope);
        if !tokens.is_empty() {
            core.act(Action::Settle { tokens, verdict: settling.verdict });
        }
    }
}

/// Gives back what nobody here is subscribed to any more.
pub(super) fn requeue(core: &mut Core, token: Option<crate::message::AckToken>) {
    if let Some(token) = token {
        core.act(Action::Settle { tokens: vec![token], verdict: Verdict::Requeued });
    }
}

fn transaction(frame: &Frame) -> Result<&str, Refusal> {
    frame.header("transaction").ok_or(Refusal::Missing { command: frame.command, header: "transaction" })
}

fn receipt(frame: &Frame) -> Option<Box<str>> {
    frame.header("receipt").map(Into::into)
}
