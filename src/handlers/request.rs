//! What a handler is told: of a frame to `/app`, or that something has happened to a session.

use bytes::Bytes;

use super::attributes::Attributes;
use super::template::Place;
use crate::ident::{Principal, SessionId, SubscriptionId};
use crate::message::is_own_header;
use crate::stomp::Headers;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    Connected,
    Disconnected,
    Send,
    Subscribe,
    Subscribed,
    Unsubscribed,
}

impl Event {
    pub const ALL: [Self; 6] =
        [Self::Connected, Self::Disconnected, Self::Send, Self::Subscribe, Self::Subscribed, Self::Unsubscribed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Send => "send",
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
        }
    }
}

/// Whose frame it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sender {
    pub session: SessionId,
    pub user: Option<Principal>,
}

/// A SEND or a SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct Request {
    pub event: Event,
    /// Behind `/app`, with its slash.
    pub path: Box<str>,
    pub sender: Sender,
    /// Of that session; no other request has it.
    pub number: u64,
    /// Of a SUBSCRIBE.
    pub subscription: Option<SubscriptionId>,
    pub headers: Headers,
    pub body: Bytes,
    /// Of the session.
    pub attributes: Attributes,
}

/// What has happened to a session, for hooks.
#[derive(Clone, Debug)]
pub struct Notice {
    pub event: Event,
    pub sender: Sender,
    /// Of that session; no other notice has it.
    pub number: u64,
    pub destination: Option<Box<str>>,
    pub subscription: Option<SubscriptionId>,
    /// Why the session ended: a word of the metric `sessions_closed_total`.
    pub reason: Option<&'static str>,
}

/// The same for every target: names in the case that they are written with, and values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metadata(Vec<(String, String)>);

/// Headers of frames that speak to the gateway alone, or are told in another way.
const NOT_TOLD: [&str; 6] = ["content-type", "id", "login", "passcode", "receipt", "transaction"];

impl Request {
    pub(super) fn delivery(&self) -> String {
        format!("{}-{}", self.sender.session, self.number)
    }

    pub(super) fn metadata(&self, place: &Place) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.say("Event", self.event.as_str());
        metadata.say("Destination", &format!("/app{}", self.path));
        metadata.say("Path", &self.path);
        for (name, value) in &place.variables {
            metadata.say(&format!("Var-{name}"), value);
        }
        metadata.sender(&self.sender);
        if let Some(id) = &self.subscription {
            metadata.say("Subscription", id.as_str());
        }
        metadata.say("Delivery", &self.delivery());
        for (name, value) in self.attributes.all() {
            metadata.say(&format!("Attribute-{name}"), &value);
        }
        for (name, value) in self.headers.iter() {
            if !is_own_header(name) && !NOT_TOLD.contains(&name) {
                metadata.add(format!("Stomp-{name}"), value);
            }
        }
        metadata
    }
}

impl Notice {
    pub(super) fn delivery(&self) -> String {
        format!("{}-hook-{}", self.sender.session, self.number)
    }

    pub(super) fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.say("Event", self.event.as_str());
        metadata.sender(&self.sender);
        let details = [
            ("Destination", self.destination.as_deref()),
            ("Subscription", self.subscription.as_ref().map(SubscriptionId::as_str)),
            ("Reason", self.reason),
        ];
        for (name, value) in details {
            if let Some(value) = value {
                metadata.say(name, value);
            }
        }
        metadata.say("Delivery", &self.delivery());
        metadata
    }
}

impl Metadata {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Bytes of all names and values.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// What the gateway says itself: no client can, as its headers begin with `Stomp-`.
    pub(super) fn say(&mut self, name: &str, value: &str) {
        self.add(format!("Stompgate-{name}"), value);
    }

    fn sender(&mut self, sender: &Sender) {
        self.say("Session", &sender.session.to_string());
        if let Some(user) = &sender.user {
            self.say("User", user.name());
        }
    }

    /// The first of a name counts, and services read names without regard to case.
    fn add(&mut self, name: String, value: &str) {
        if !self.0.iter().any(|(it, _)| it.eq_ignore_ascii_case(&name)) {
            self.0.push((name, value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_told_with_all_that_a_handler_may_need() {
        let headers = [
            ("content-type", "a/b"),
            ("x", "1"),
            ("X", "2"),
            ("receipt", "r"),
            ("passcode", "secret"),
            ("stompgate-user", "root"),
        ];
        let request = Request {
            event: Event::Subscribe,
            path: "/orders/7".into(),
            sender: Sender { session: SessionId::from_random([0; 16]), user: Some(Principal::new("ann")) },
            number: 5,
            subscription: Some(SubscriptionId::new("s")),
            headers: headers.into_iter().collect(),
            body: Bytes::new(),
            attributes: Attributes::default(),
        };
        let place = Place { path: "/orders/7".into(), variables: vec![("id".into(), "7".into())] };
        let told: Vec<_> = request.metadata(&place).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let expected = [
            "Stompgate-Event: subscribe",
            "Stompgate-Destination: /app/orders/7",
            "Stompgate-Path: /orders/7",
            "Stompgate-Var-id: 7",
            "Stompgate-Session: AAAAAAAAAAAAAAAAAAAAAA",
            "Stompgate-User: ann",
            "Stompgate-Subscription: s",
            "Stompgate-Delivery: AAAAAAAAAAAAAAAAAAAAAA-5",
            "Stomp-x: 1",
        ];
        assert_eq!(told, expected);
    }
}
