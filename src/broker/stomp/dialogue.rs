//! What passes between one session and its upstream connection, as a value: no sockets, no clock, no tasks.
//!
//! It outlives connections. What was asked and not answered, and what is subscribed, is written again in the next one;
//! what was delivered in one is forgotten with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::asked::{Asked, GivenUp, Number, Patience, State, What};
use super::deliveries::Deliveries;
use super::frames;
use super::metrics::{Loss, Metrics};
use super::settings::Settings;
use super::subscriptions::Subscriptions;
use crate::broker::room::Room;
use crate::broker::{Outage, Pending};
use crate::delivery::{Item, Outbox};
use crate::ident::SubscriptionKey;
use crate::message::{AckToken, Delivery};
use crate::session::{Fault, Publish, Subscribe, Unsubscribe, Verdict};
use crate::stomp::{Command, Frame, Version};

#[derive(Debug)]
pub(super) struct Dialogue {
    settings: Arc<Settings>,
    metrics: Metrics,
    room: Arc<Room>,
    outbox: Arc<Outbox>,
    /// That of the gateway's account, which clients are not told.
    hidden: Box<str>,
    subscriptions: Subscriptions,
    deliveries: Deliveries,
    asked: Asked,
    /// What waits for the connection of now.
    output: VecDeque<Output>,
    /// Of the connection of now; `None` while there is none.
    version: Option<Version>,
    /// Why there will be no other connection.
    over: Option<Fault>,
}

#[derive(Debug)]
enum Output {
    Frame(Bytes),
    Operation(Number),
}

/// Why a connection can't be used any more.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) loss: Loss,
    /// What a client is told whose session ends with it.
    pub(super) fault: Fault,
}

/// How the receipts begin that are asked for when something is subscribed again.
const AGAIN: char = 'r';

impl Dialogue {
    pub(super) fn new(
        settings: Arc<Settings>,
        metrics: Metrics,
        room: Arc<Room>,
        outbox: Arc<Outbox>,
        hidden: &str,
    ) -> Self {
        Self {
            settings,
            metrics,
            room,
            outbox,
            hidden: hidden.into(),
            subscriptions: Subscriptions::default(),
            deliveries: Deliveries::default(),
            asked: Asked::default(),
            output: VecDeque::new(),
            version: None,
            over: None,
        }
    }

    pub(super) fn publish(&mut self, publish: &Publish, now: Instant) -> Pending {
        let place = self.refusal().and_then(|()| self.room.take(publish.size()));
        let what = place.map(|place| {
            let reply_to = publish.reply_to.and_then(|key| self.reply_to(key, publish));
            let number = self.asked.next_number().to_string();
            let receipt = publish.is_receipted.then_some(number.as_str());
            let frame = frames::send(publish, reply_to.as_deref(), receipt);
            What::Publish { frame, is_receipted: publish.is_receipted, _place: place }
        });
        self.ask(what, now)
    }

    pub(super) fn subscribe(&mut self, subscribe: Subscribe, now: Instant) -> Pending {
        let what = self.refusal().map(|()| {
            let key = subscribe.key;
            self.subscriptions.add(subscribe, &self.settings.queue_prefixes);
            What::Subscribe(key)
        });
        self.ask(what, now)
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe, now: Instant) -> Pending {
        let Unsubscribe { key, is_final } = unsubscribe;
        let Some(subscription) = self.subscriptions.remove(key).filter(|_| self.version.is_some()) else {
            return Pending::ready(Ok(()));
        };
        self.deliveries.forget(key);
        let number = self.asked.next_number().to_string();
        self.ask(Ok(What::Unsubscribe(subscription.end(is_final, &number))), now)
    }

    pub(super) fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        for token in tokens {
            let version = self.version.unwrap_or(Version::V1_2);
            match self.deliveries.settle(*token, verdict, version) {
                Some(frame) => self.output.push_back(Output::Frame(frame)),
                None => self.metrics.stale_settlements.inc(),
            }
        }
    }

    /// Why it is over, once it is.
    pub(super) const fn over(&self) -> Option<&Fault> {
        self.over.as_ref()
    }

    /// A connection is there, of that version.
    pub(super) fn connected(&mut self, version: Version) {
        self.version = Some(version);
        self.deliveries.begin();
        let again = self.subscriptions.again(|key| format!("{AGAIN}{}", key.0)).map(Output::Frame);
        self.output = again.chain(self.asked.waiting().map(Output::Operation)).collect();
    }

    /// The connection is gone. With [`Outage::Hold`] there will be another one.
    pub(super) fn lost(&mut self, lost: Lost) {
        self.metrics.lost(lost.loss);
        self.disconnected();
        if self.settings.outage == Outage::Reject {
            self.end(lost.fault);
        }
    }

    /// The same, where the gateway goes on without sessions.
    pub(super) fn disconnected(&mut self) {
        self.version = None;
        self.output.clear();
        self.deliveries.begin();
        let again = self.asked.lost();
        self.metrics.republished.inc_by(again as u64);
    }

    /// There will be no other connection: the session hears of it once.
    pub(super) fn end(&mut self, fault: Fault) {
        if self.over.is_none() {
            self.version = None;
            self.asked.fail_all(&fault);
            self.over = Some(fault);
            self.outbox.push_event(Item::LinkLost);
        }
    }

    /// Something the broker sent.
    pub(super) fn frame(&mut self, frame: Frame) -> Result<(), Lost> {
        match frame.command {
            Command::Message => {
                self.message(frame);
                Ok(())
            }
            Command::Receipt => {
                self.receipt(frame.header("receipt-id").unwrap_or_default());
                Ok(())
            }
            Command::Error => self.error(&frame),
            other => Err(Lost::malformed(&format!("unexpected {} frame", other.as_str()))),
        }
    }

    /// Moves frames that are to be written to the end of `bytes`, until it holds so many.
    pub(super) fn write(&mut self, bytes: &mut BytesMut, max: usize, now: Instant) {
        while bytes.len() < max {
            match self.output.pop_front() {
                Some(Output::Frame(frame)) => bytes.extend_from_slice(&frame),
                Some(Output::Operation(number)) => self.write_operation(number, bytes, now),
                None => return,
            }
        }
    }

    /// When [`Dialogue::expire`] is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.deadline(self.patience())
    }

    /// Gives up what has waited for too long. A broker that does not answer a SUBSCRIBE or UNSUBSCRIBE has lost the
    /// connection: nobody would know what is subscribed.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), Lost> {
        let patience = self.patience();
        let GivenUp { publishes, others } = self.asked.given_up(patience, now);
        let fault = match self.version {
            Some(_) => Fault::TimedOut(milliseconds(patience.publish)),
            None => Fault::Unavailable,
        };
        for number in publishes {
            self.metrics.expired.inc();
            self.asked.answer(number, Err(fault.clone()));
        }
        let Some(number) = others.first().copied() else { return Ok(()) };
        let fault = Fault::TimedOut(milliseconds(patience.others));
        self.refuse(number, fault.clone());
        Err(Lost { loss: Loss::Unanswered, fault })
    }

    fn refusal(&self) -> Result<(), Fault> {
        match &self.over {
            Some(fault) => Err(fault.clone()),
            None if self.version.is_none() && self.settings.outage == Outage::Reject => Err(Fault::Unavailable),
            None => Ok(()),
        }
    }

    fn ask(&mut self, what: Result<What, Fault>, now: Instant) -> Pending {
        let number = self.asked.next_number();
        Pending::Waiting(match what {
            Ok(what) => {
                let pending = self.asked.push(what, None, now);
                if self.version.is_some() {
                    self.output.push_back(Output::Operation(number));
                }
                pending
            }
            // So that the answers keep the order of the calls.
            Err(fault) => self.asked.push(What::Refused, Some(Err(fault)), now),
        })
    }

    /// Answers are delivered under that key from now on. Of brokers with temporary queues, RabbitMQ subscribes them by
    /// itself, under their own name as id. Returns the header, unless the SEND has it.
    fn reply_to(&mut self, key: SubscriptionKey, publish: &Publish) -> Option<String> {
        let given = publish.headers.get("reply-to");
        let own = given.is_none().then(|| format!("/temp-queue/stompgate-{}", key.0));
        let name = given.or(own.as_deref()).filter(|name| self.subscriptions.find(name).is_none());
        if let Some(name) = name {
            self.subscriptions.add_replies(key, name);
        }
        own
    }

    fn message(&mut self, frame: Frame) {
        let found = self.subscriptions.find(frame.header("subscription").unwrap_or_default());
        let Some((subscription, known)) = found else {
            self.metrics.unknown_deliveries.inc();
            return;
        };
        let max = self.settings.unsettled_max;
        let token = known.is_settled.then(|| self.deliveries.add(subscription, &frame, max)).flatten();
        let redelivered = frame.header("redelivered") == Some("true");
        self.metrics.delivered.inc();
        // A session that is over takes nothing; what it had is the broker's again when its connection ends.
        self.outbox.push(Delivery { subscription, message: frames::message(frame), token, redelivered });
    }

    fn receipt(&mut self, id: &str) {
        let Ok(number) = id.parse::<Number>() else { return };
        if let Some(What::Subscribe(key)) = self.asked.get_mut(number).map(|it| &it.what) {
            self.subscriptions.answered(*key);
        }
        self.asked.answer(number, Ok(()));
    }

    /// Brokers name the frame that is at fault, or they do not: then nobody knows what became of any.
    fn error(&mut self, frame: &Frame) -> Result<(), Lost> {
        self.metrics.errors.inc();
        let fault = frames::error(frame, &self.hidden);
        tracing::debug!(error = ?fault, "an ERROR of the broker");
        let receipt = frame.header("receipt-id").unwrap_or_default();
        if receipt.parse::<Number>().is_ok_and(|number| self.refuse(number, fault.clone())) {
            return Ok(());
        }
        let again = receipt.strip_prefix(AGAIN).and_then(|it| it.parse().ok()).map(SubscriptionKey);
        // RabbitMQ names the subscription when it ends one, for example because its queue was deleted.
        let ended = || frame.header("subscription").and_then(|id| self.subscriptions.find(id)).map(|(key, _)| key);
        if let Some(key) = again.or_else(ended).filter(|key| self.subscriptions.remove(*key).is_some()) {
            self.deliveries.forget(key);
            self.outbox.push_event(Item::SubscriptionEnded(key));
            return Ok(());
        }
        self.end(fault.clone());
        Err(Lost { loss: Loss::Error, fault })
    }

    /// Says whether somebody waited for it.
    fn refuse(&mut self, number: Number, fault: Fault) -> bool {
        if let Some(What::Subscribe(key)) = self.asked.get_mut(number).map(|it| &it.what) {
            self.subscriptions.remove(*key);
        }
        self.asked.answer(number, Err(fault))
    }

    fn write_operation(&mut self, number: Number, bytes: &mut BytesMut, now: Instant) {
        // It may have been given up meanwhile.
        let Some(operation) = self.asked.get_mut(number).filter(|it| matches!(it.state, State::Waiting)) else {
            return;
        };
        operation.state = State::Written(now);
        match &operation.what {
            What::Publish { frame, is_receipted, .. } => {
                bytes.extend_from_slice(frame);
                self.metrics.published.inc();
                if !is_receipted {
                    self.asked.answer(number, Ok(()));
                }
            }
            What::Refused => {}
            What::Subscribe(key) => match self.subscriptions.frame(*key, &number.to_string()) {
                Some(frame) => bytes.extend_from_slice(&frame),
                // It was unsubscribed before it was written.
                None => drop(self.asked.answer(number, Ok(()))),
            },
            What::Unsubscribe(frame) => bytes.extend_from_slice(frame),
        }
    }

    fn patience(&self) -> Patience {
        let Settings { outage, hold_time, operation_timeout, .. } = *self.settings;
        let publish = if outage == Outage::Hold { hold_time } else { operation_timeout };
        Patience { publish, others: operation_timeout }
    }
}

impl Lost {
    /// The words of Spring's relay. What else is known is for the log: it may name hosts.
    pub(super) fn malformed(what: &str) -> Self {
        Self { loss: Loss::Malformed, fault: Fault::LinkBroken(format!("Transport failure: {what}")) }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
