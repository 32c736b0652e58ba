//! Telling hooks what becomes of the session.

use super::Driver;
use crate::handlers::{Event, Notice};
use crate::ident::{SubscriptionId, SubscriptionKey};
use crate::session::Subscribe;

/// A subscription, as handlers and hooks are told of it.
pub(super) struct Subscribed {
    pub(super) key: SubscriptionKey,
    pub(super) id: SubscriptionId,
    pub(super) destination: Box<str>,
}

impl Driver {
    /// `None` if nobody wants to know.
    pub(super) fn subscribed(&self, subscribe: &Subscribe) -> Option<Box<Subscribed>> {
        self.wants(Event::Subscribed).then(|| {
            let (key, id) = (subscribe.key, subscribe.id.clone());
            Box::new(Subscribed { key, id, destination: subscribe.destination.to_string().into() })
        })
    }

    pub(super) fn tell_connected(&mut self) {
        self.tell(Event::Connected, |_| ());
    }

    pub(super) fn tell_disconnected(&mut self, reason: &'static str) {
        self.tell(Event::Disconnected, |it| it.reason = Some(reason));
    }

    pub(super) fn tell_subscribed(&mut self, subscribed: Option<Box<Subscribed>>) {
        let Some(subscribed) = subscribed else { return };
        self.tell(Event::Subscribed, |it| {
            it.destination = Some(subscribed.destination);
            it.subscription = Some(subscribed.id);
        });
    }

    pub(super) fn tell_unsubscribed(&mut self, id: SubscriptionId) {
        self.tell(Event::Unsubscribed, |it| it.subscription = Some(id));
    }

    fn wants(&self, event: Event) -> bool {
        self.context.handlers.as_ref().is_some_and(|it| it.wants(event))
    }

    fn tell(&mut self, event: Event, complete: impl FnOnce(&mut Notice)) {
        let Some(handlers) = self.context.handlers.as_ref().filter(|it| it.wants(event)) else { return };
        self.notices += 1;
        let (sender, number) = (self.sender(), self.notices);
        let mut notice = Notice { event, sender, number, destination: None, subscription: None, reason: None };
        complete(&mut notice);
        handlers.tell(notice);
    }
}
