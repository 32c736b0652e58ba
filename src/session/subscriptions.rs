//! SUBSCRIBE, UNSUBSCRIBE, and what a session is subscribed to.

use super::action::{AckMode, Holder, Subscribe, Unsubscribe};
use super::core::Core;
use super::name::SubscriptionName;
use super::place;
use super::refusal::{Limit, Refusal};
use super::settings::Settings;
use crate::destination::{Destination, is_of_a_session};
use crate::ident::{SubscriptionId, SubscriptionKey};
use crate::stomp::{Command, Frame, Version};

/// Prefix of the ids under which answers to `reply-to:/temp-queue/<name>` are delivered (D30).
pub(super) const TEMP_QUEUE: &str = "/temp-queue/";

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) key: SubscriptionKey,
    pub(super) name: SubscriptionName,
    pub(super) ack: AckMode,
    /// Deliveries that may wait for the client's ACK or NACK at a time.
    unsettled_max: u16,
    holder: Holder,
    /// There is something at the broker that outlives it, unless its UNSUBSCRIBE says that it shall not.
    is_kept: bool,
}

/// What an UNSUBSCRIBE took out.
#[derive(Debug)]
pub(super) struct Unsubscribed {
    pub(super) id: SubscriptionId,
    pub(super) holder: Holder,
    pub(super) unsubscribe: Unsubscribe,
}

/// Few for most clients, so a list in the order of the keys is smaller and faster than a map.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    live: Vec<Subscription>,
    keys: u32,
}

impl Subscriptions {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.position(key).map(|at| &self.live[at])
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        self.position(key).map(|at| self.live.remove(at))
    }

    pub(super) fn subscribe(&mut self, frame: Frame, core: &Core, orphans: usize) -> Result<Subscribe, Refusal> {
        let settings = &core.settings;
        let destination = destination(&frame, core)?;
        // What is answered once is neither acknowledged nor kept.
        let is_held = !matches!(destination, Destination::App(_));
        let is_durable = is_durable(&frame)? && is_held;
        let name = name(&frame)?.ok_or(Refusal::Missing { command: Command::Subscribe, header: "destination" })?;
        // STOMP asks for an id from 1.1 on; RabbitMQ's plugin never does.
        let is_id_needed = core.version != Version::V1_0 && settings.close_on_error;
        if is_id_needed && matches!(name, SubscriptionName::Destination(_)) {
            return Err(Refusal::Missing { command: Command::Subscribe, header: "id" });
        }
        let ack = ack_mode(frame.header("ack")).map(|it| if is_held { it } else { AckMode::Auto })?;
        let prefetch = prefetch(frame.header("prefetch-count"), settings)?;
        if self.by_name(&name).is_some() {
            return Err(Refusal::SubscriptionExists(name));
        }
        if self.live.len() >= settings.subscriptions_max {
            return Err(Refusal::Limit(Limit::Subscriptions { max: settings.subscriptions_max }));
        }
        let unsettled_max = if ack == AckMode::Auto { 0 } else { prefetch };
        let unsettled = self.live.iter().map(|it| usize::from(it.unsettled_max)).sum::<usize>() + orphans;
        if unsettled + usize::from(unsettled_max) > settings.unsettled_max {
            return Err(Refusal::Limit(Limit::Unsettled { max: settings.unsettled_max }));
        }
        let id = name.id().clone();
        // UNSUBSCRIBE never deletes the queue of a durable subscription to an exchange (U5).
        let is_kept = is_durable && matches!(destination, Destination::Topic(_) | Destination::Foreign(_));
        let holder = if is_held { Holder::Broker } else { Holder::Nobody };
        let key = self.add(name, ack, unsettled_max, holder, is_kept);
        Ok(Subscribe { key, id, destination, ack, prefetch, is_durable, headers: frame.headers })
    }

    /// Takes the subscription out: nothing that arrives for it later is passed on.
    pub(super) fn unsubscribe(&mut self, frame: &Frame) -> Result<Unsubscribed, Refusal> {
        let is_final = is_durable(frame)?;
        let name = name(frame)?.ok_or(Refusal::UnsubscribeUnnamed)?;
        let key = self.by_name(&name).map(|it| it.key);
        let removed = key.and_then(|it| self.remove(it)).ok_or(Refusal::SubscriptionUnknown(name))?;
        let unsubscribe = Unsubscribe { key: removed.key, is_final: is_final && removed.is_kept };
        Ok(Unsubscribed { id: removed.name.id().clone(), holder: removed.holder, unsubscribe })
    }

    /// The key for the answers that go to that private queue; the same one for each use of its name.
    pub(super) fn reply_key(&mut self, name: &str, settings: &Settings) -> Result<SubscriptionKey, Refusal> {
        let name = SubscriptionName::Id(SubscriptionId::new(&format!("{TEMP_QUEUE}{name}")));
        if let Some(known) = self.by_name(&name) {
            return Ok(known.key);
        }
        if self.live.len() >= settings.subscriptions_max {
            return Err(Refusal::Limit(Limit::Subscriptions { max: settings.subscriptions_max }));
        }
        Ok(self.add(name, AckMode::Auto, 0, Holder::Broker, false))
    }

    fn add(
        &mut self,
        name: SubscriptionName,
        ack: AckMode,
        unsettled_max: u16,
        holder: Holder,
        is_kept: bool,
    ) -> SubscriptionKey {
        self.keys += 1;
        let key = SubscriptionKey(self.keys);
        self.live.reserve_exact(1);
        self.live.push(Subscription { key, name, ack, unsettled_max, holder, is_kept });
        key
    }

    fn position(&self, key: SubscriptionKey) -> Option<usize> {
        self.live.binary_search_by_key(&key, |it| it.key).ok()
    }

    fn by_name(&self, name: &SubscriptionName) -> Option<&Subscription> {
        self.live.iter().find(|it| it.name == *name)
    }
}

/// The `destination` header of a SUBSCRIBE, if one can be subscribed to it.
fn destination(frame: &Frame, core: &Core) -> Result<Destination, Refusal> {
    let text =
        frame.header("destination").ok_or(Refusal::Missing { command: Command::Subscribe, header: "destination" })?;
    // The queue of a topic subscription may be given a name (D20).
    if let Some(queue) = frame.header("x-queue-name").filter(|it| is_of_a_session(it)) {
        return Err(place::raw(Command::Subscribe, queue));
    }
    match place::to_subscribe(text, core)? {
        Destination::TempQueue(_) => {
            Err(place::not_for(Command::Subscribe, text, "answers arrive by themselves; name it in reply-to"))
        }
        usual @ (Destination::AmqQueue(_)
        | Destination::Exchange { .. }
        | Destination::Queue(_)
        | Destination::ReplyQueue(_)
        | Destination::Topic(_)
        | Destination::App(_)
        | Destination::Foreign(_)
        | Destination::User { .. }) => Ok(usual),
    }
}

/// `None` if the frame has neither `id` nor `destination`.
fn name(frame: &Frame) -> Result<Option<SubscriptionName>, Refusal> {
    match (frame.header("id"), frame.header("destination")) {
        (Some(id), _) if id.starts_with(TEMP_QUEUE) => Err(Refusal::ReservedId(frame.command)),
        (Some(id), _) => Ok(Some(SubscriptionName::Id(SubscriptionId::new(id)))),
        (None, _) if is_durable(frame)? => Err(Refusal::DurableUnnamed),
        (None, destination) => Ok(destination.map(|it| SubscriptionName::Destination(SubscriptionId::new(it)))),
    }
}

fn ack_mode(header: Option<&str>) -> Result<AckMode, Refusal> {
    match header {
        None | Some("auto") => Ok(AckMode::Auto),
        Some("client") => Ok(AckMode::Client),
        Some("client-individual") => Ok(AckMode::ClientIndividual),
        Some(other) => Err(Refusal::BadAckMode(other.to_owned())),
    }
}

/// 0 is AMQP's word for no limit.
fn prefetch(header: Option<&str>, settings: &Settings) -> Result<u16, Refusal> {
    let Some(text) = header else { return Ok(settings.prefetch_default) };
    match text.trim().parse::<u32>() {
        Ok(0) => Ok(settings.prefetch_max),
        Ok(count) => Ok(u16::try_from(count).unwrap_or(u16::MAX).min(settings.prefetch_max)),
        Err(_) => Err(Refusal::BadPrefetch(text.to_owned())),
    }
}

/// `durable`, or its alias `persistent` (S24).
fn is_durable(frame: &Frame) -> Result<bool, Refusal> {
    Ok(boolean(frame, "durable")?.or(boolean(frame, "persistent")?).unwrap_or(false))
}

pub(super) fn boolean(frame: &Frame, header: &'static str) -> Result<Option<bool>, Refusal> {
    match frame.header(header) {
        None => Ok(None),
        Some("true" | "True") => Ok(Some(true)),
        Some("false" | "False") => Ok(Some(false)),
        Some(other) => Err(Refusal::BadBoolean { header, value: other.to_owned() }),
    }
}
