//! Topics of the embedded broker: who is subscribed to them, and to which of their messages.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::settings::Settings;
use crate::delivery::{Subscriber, Table};
use crate::destination::{Destination, Grammar, Pattern, Selector, Step, Syntax, ant};
use crate::message::Message;
use crate::session::Fault;
use crate::stomp::Headers;

/// The subscriptions without a queue, and how all of them are written.
#[derive(Debug)]
pub(super) struct Topics {
    syntax: Syntax,
    are_queues_topics: bool,
    plain: Table,
    selecting: Option<Selecting>,
}

/// Subscriptions that ask for some of the messages by a header of their SUBSCRIBE.
#[derive(Debug)]
struct Selecting {
    header: Box<str>,
    bytes_max: usize,
    table: Table<Selective>,
}

/// Compared by its subscriber, as it is found again by that alone.
#[derive(Debug)]
struct Selective {
    subscriber: Subscriber,
    selector: Arc<Selector>,
}

/// Words of a topic to send to, and `#` in a pattern: as many as with RabbitMQ. What it costs to find who is subscribed
/// grows with the words, for each pattern; with more `#` it would for topics of few words, too, which others send to.
const WORDS_MAX: usize = 32;
const HASHES_MAX: usize = 2;

impl Topics {
    pub(super) fn new(settings: &Settings) -> Self {
        let syntax = settings.patterns;
        let selecting = settings.selector_header.as_ref().map(|header| Selecting {
            header: header.clone(),
            bytes_max: settings.selector_bytes_max,
            table: Table::new(syntax),
        });
        Self { syntax, are_queues_topics: settings.queue_fan_out, plain: Table::new(syntax), selecting }
    }

    pub(super) fn grammar(&self) -> Grammar {
        match self.syntax {
            Syntax::Ant => Grammar::Plain,
            Syntax::Words => Grammar::RabbitMq,
        }
    }

    /// Whether a `/queue` is a topic.
    pub(super) fn are_queues_topics(&self) -> bool {
        self.are_queues_topics
    }

    /// What a message to that topic is looked up under. Ant patterns are about whole destinations.
    pub(super) fn key<'a>(&self, name: &'a str, message: &'a Message) -> Result<&'a str, Fault> {
        let (key, unit) = match self.syntax {
            Syntax::Ant => (message.destination(), "segments between slashes"),
            Syntax::Words => (name, "words between dots"),
        };
        check("A topic to send to has", unit, self.syntax.parts(name).count(), WORDS_MAX)?;
        Ok(key)
    }

    pub(super) fn pattern(&self, destination: &Destination) -> Result<Pattern, Fault> {
        let text = match (self.syntax, destination) {
            (Syntax::Words, Destination::Topic(name)) => name,
            (_, other) => &*self.grammar().show(other),
        };
        match self.syntax {
            Syntax::Ant => ant::check(text).map_err(|error| Fault::Refused(error.to_string()))?,
            Syntax::Words => {
                let hashes = self.syntax.steps(text).filter(|it| *it == Step::Any).count();
                check("A topic to subscribe to has", "times '#'", hashes, HASHES_MAX)?;
            }
        }
        Ok(Pattern::new(text))
    }

    /// What a SUBSCRIBE with these headers selects.
    pub(super) fn selector(&self, headers: &Headers) -> Result<Option<Arc<Selector>>, Fault> {
        let Some(selecting) = &self.selecting else { return Ok(None) };
        let Some(text) = headers.get(&selecting.header) else { return Ok(None) };
        let (length, max) = (text.len(), selecting.bytes_max);
        if length > max {
            let what = "A selector has at most";
            let text = format!("{what} {max} bytes, not {length} (broker.memory.selector_bytes_max)");
            return Err(Fault::Refused(text));
        }
        let selector = Selector::parse(text).map_err(|error| Fault::Refused(error.to_string()))?;
        Ok(Some(Arc::new(selector)))
    }

    pub(super) fn insert(&self, pattern: &Pattern, subscriber: Subscriber, selector: Option<Arc<Selector>>) {
        match (&self.selecting, selector) {
            (Some(it), Some(selector)) => it.table.insert(pattern, Selective { subscriber, selector }),
            (_, _) => self.plain.insert(pattern, subscriber),
        };
    }

    pub(super) fn remove(&self, pattern: &Pattern, subscriber: &Subscriber) {
        self.plain.remove(pattern, subscriber);
        if let Some(it) = &self.selecting {
            it.table.remove(pattern, subscriber);
        }
    }

    /// Returns how many subscriptions took it.
    pub(super) fn fan_out(&self, key: &str, message: &Message) -> usize {
        let mut reached = self.plain.fan_out(key, message);
        if let Some(it) = &self.selecting {
            it.table.for_each(key, |it| {
                reached += usize::from(selects(&it.selector, message) && it.subscriber.push(message))
            });
        }
        reached
    }
}

/// Whether a subscription with that selector is to be given the message.
pub(super) fn selects(selector: &Selector, message: &Message) -> bool {
    selector.matches(&|name| match name {
        "destination" => Some(message.destination()),
        "message-id" => Some(message.id()),
        name => message.headers().get(name),
    })
}

impl Borrow<Subscriber> for Selective {
    fn borrow(&self) -> &Subscriber {
        &self.subscriber
    }
}

impl PartialEq for Selective {
    fn eq(&self, other: &Self) -> bool {
        self.subscriber == other.subscriber
    }
}

impl Eq for Selective {}

impl Hash for Selective {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subscriber.hash(state);
    }
}

fn check(what: &str, unit: &str, count: usize, max: usize) -> Result<(), Fault> {
    if count <= max { Ok(()) } else { Err(Fault::Refused(format!("{what} at most {max} {unit}, not {count}"))) }
}
