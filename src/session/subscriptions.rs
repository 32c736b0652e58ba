//! SUBSCRIBE, UNSUBSCRIBE, and what a session is subscribed to.

use super::action::{AckMode, Subscribe, Unsubscribe};
use super::refusal::{Limit, Refusal};
use super::settings::Settings;
use crate::destination::Destination;
use crate::ident::{SubscriptionId, SubscriptionKey};
use crate::stomp::{Command, Frame, Version};

/// Prefix of the ids under which answers to `reply-to:/temp-queue/<name>` are delivered (D30).
pub(super) const TEMP_QUEUE: &str = "/temp-queue/";

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) key: SubscriptionKey,
    pub(super) id: SubscriptionId,
    pub(super) ack: AckMode,
    is_durable: bool,
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

    pub(super) fn subscribe(
        &mut self,
        frame: &Frame,
        version: Version,
        settings: &Settings,
    ) -> Result<Subscribe, Refusal> {
        let destination = destination(frame)?;
        let id = subscription_id(frame, version)?;
        if id.starts_with(TEMP_QUEUE) {
            return Err(not_for(Command::Subscribe, id, "ids of that form belong to the answers of reply-to"));
        }
        let ack = ack_mode(frame.header("ack"))?;
        let prefetch = prefetch(frame.header("prefetch-count"), settings)?;
        let is_durable = is_durable(frame)?;
        if self.by_id(id).is_some() {
            return Err(Refusal::SubscriptionExists { id: id.to_owned() });
        }
        if self.live.len() >= settings.subscriptions_max {
            return Err(Refusal::Limit(Limit::Subscriptions { max: settings.subscriptions_max }));
        }
        let id = SubscriptionId::new(id);
        let key = self.add(id.clone(), ack, is_durable);
        let headers = frame.headers.clone();
        Ok(Subscribe { key, id, destination, ack, prefetch, is_durable, headers })
    }

    /// Takes the subscription out: nothing that arrives for it later is passed on.
    pub(super) fn unsubscribe(&mut self, frame: &Frame, version: Version) -> Result<Unsubscribe, Refusal> {
        let id = match frame.header("id") {
            Some(id) => id,
            None if version == Version::V1_0 => frame
                .header("destination")
                .ok_or(Refusal::Missing { command: Command::Unsubscribe, header: "destination' or 'id" })?,
            None => return Err(Refusal::Missing { command: Command::Unsubscribe, header: "id" }),
        };
        if id.starts_with(TEMP_QUEUE) {
            return Err(not_for(Command::Unsubscribe, id, "the answers of reply-to last as long as the session"));
        }
        let is_final = is_durable(frame)?;
        let unknown = || Refusal::SubscriptionUnknown { id: id.to_owned() };
        let key = self.by_id(id).map(|it| it.key).ok_or_else(unknown)?;
        let was_durable = self.remove(key).is_some_and(|it| it.is_durable);
        Ok(Unsubscribe { key, is_final: is_final && was_durable })
    }

    /// The key for the answers that go to that private queue; the same one for each use of its name.
    pub(super) fn reply_key(&mut self, name: &str, settings: &Settings) -> Result<SubscriptionKey, Refusal> {
        let id = format!("{TEMP_QUEUE}{name}");
        if let Some(known) = self.by_id(&id) {
            return Ok(known.key);
        }
        if self.live.len() >= settings.subscriptions_max {
            return Err(Refusal::Limit(Limit::Subscriptions { max: settings.subscriptions_max }));
        }
        Ok(self.add(SubscriptionId::new(&id), AckMode::Auto, false))
    }

    fn add(&mut self, id: SubscriptionId, ack: AckMode, is_durable: bool) -> SubscriptionKey {
        self.keys += 1;
        let key = SubscriptionKey(self.keys);
        self.live.reserve_exact(1);
        self.live.push(Subscription { key, id, ack, is_durable });
        key
    }

    fn position(&self, key: SubscriptionKey) -> Option<usize> {
        self.live.binary_search_by_key(&key, |it| it.key).ok()
    }

    fn by_id(&self, id: &str) -> Option<&Subscription> {
        self.live.iter().find(|it| it.id.as_str() == id)
    }
}

/// The `destination` header of a SUBSCRIBE, if one can be subscribed to it.
fn destination(frame: &Frame) -> Result<Destination, Refusal> {
    let text =
        frame.header("destination").ok_or(Refusal::Missing { command: Command::Subscribe, header: "destination" })?;
    match Destination::parse(text).map_err(Refusal::Destination)? {
        Destination::TempQueue(_) => {
            Err(not_for(Command::Subscribe, text, "answers arrive by themselves; name it in reply-to"))
        }
        usual @ (Destination::AmqQueue(_)
        | Destination::Exchange { .. }
        | Destination::Queue(_)
        | Destination::ReplyQueue(_)
        | Destination::Topic(_)) => Ok(usual),
    }
}

/// STOMP 1.0 need not name its subscriptions; they are told apart by destination then.
fn subscription_id(frame: &Frame, version: Version) -> Result<&str, Refusal> {
    match frame.header("id") {
        Some(id) => Ok(id),
        None if version == Version::V1_0 => Ok(frame.header("destination").unwrap_or_default()),
        None => Err(Refusal::Missing { command: Command::Subscribe, header: "id" }),
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

fn prefetch(header: Option<&str>, settings: &Settings) -> Result<u16, Refusal> {
    let Some(text) = header else { return Ok(settings.prefetch_default) };
    match text.trim().parse::<u32>() {
        Ok(count) if count > 0 => Ok(u16::try_from(count).unwrap_or(u16::MAX).min(settings.prefetch_max)),
        Ok(_) | Err(_) => Err(Refusal::BadPrefetch(text.to_owned())),
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

fn not_for(command: Command, destination: &str, remedy: &'static str) -> Refusal {
    Refusal::DestinationNotFor { command, destination: destination.to_owned(), remedy }
}
