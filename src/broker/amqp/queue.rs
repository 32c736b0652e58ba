//! What the headers of a frame say about the queue that it means, as AMQP has it (D10 to D14, D20, D40 to D54).
//! Without I/O.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use md5::{Digest, Md5};

use super::properties::{number, short};
use crate::ident::{Base64Url, SubscriptionId};
use crate::session::Fault;
use crate::stomp::Headers;

/// Arguments of queue.declare that are text (D44).
const TEXTS: [&str; 4] = ["x-dead-letter-exchange", "x-dead-letter-routing-key", MAX_AGE, QUEUE_TYPE];

/// Those that are whole numbers (D45). All others that begin with `x-` mean nothing here (D46).
const NUMBERS: [&str; 7] = [
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

const MAX_AGE: &str = "x-max-age";
const QUEUE_TYPE: &str = "x-queue-type";
const QUEUE_NAME: &str = "x-queue-name";
const PRIORITY: &str = "x-priority";
pub(super) const STREAM_OFFSET: &str = "x-stream-offset";
const STREAM_FILTER: &str = "x-stream-filter";
const STREAM_UNFILTERED: &str = "x-stream-match-unfiltered";

/// What the queue is for, which decides what it is unless the headers say otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A SUBSCRIBE to a `/queue`.
    Consumed,
    /// A SEND to a `/queue`, whose `persistent` is about the message (D41).
    Filled,
    /// A subscription to an `/exchange`.
    Exchange,
    /// A subscription to a `/topic`.
    Topic,
}

/// How a queue is declared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declare {
    pub(super) options: QueueDeclareOptions,
    pub(super) arguments: FieldTable,
}

impl Declare {
    pub(super) fn new(kind: Kind, headers: &Headers) -> Result<Self, Fault> {
        let persistent = boolean(headers, "persistent")?;
        let alias = persistent.filter(|_| kind != Kind::Filled);
        let durable = boolean(headers, "durable")?.or(alias);
        let (is_durable, is_exclusive, is_auto_deleted) = match (kind, durable) {
            (Kind::Consumed | Kind::Filled, None | Some(true)) => (true, false, false),
            (Kind::Topic, Some(true)) => (true, false, true),
            (Kind::Exchange, Some(true)) => (true, true, true),
            (_, None | Some(false)) => (false, true, true),
        };
        let exclusive = boolean(headers, "exclusive")?.unwrap_or(is_exclusive);
        let auto_delete = boolean(headers, "auto-delete")?.unwrap_or(is_auto_deleted);
        let arguments = arguments(headers)?;
        let options = |durable, exclusive, auto_delete| Self {
            options: QueueDeclareOptions { passive: false, durable, exclusive, auto_delete, nowait: false },
            arguments,
        };
        if is_replicated(headers) {
            // D47: they are never anything else.
            return Ok(options(true, false, auto_delete));
        }
        match (is_durable || exclusive, durable) {
            (true, _) => Ok(options(is_durable, exclusive, auto_delete)),
            (false, Some(false)) => Err(Fault::Refused(
                "durable:false with exclusive:false is a queue that RabbitMQ does not take from 4.3 on: write \
                 durable:true for one that is kept, or leave exclusive out for one of this session alone"
                    .to_owned(),
            )),
            (false, _) => Ok(options(false, true, true)),
        }
    }

    /// Arguments of those names that the headers did not give.
    pub(super) fn or_arguments(mut self, others: FieldTable) -> Self {
        for (name, value) in &others {
            if !self.arguments.contains_key(name.as_str()) {
                self.arguments.insert(name.clone(), value.clone());
            }
        }
        self
    }
}

/// Whether a subscription to an exchange needs a queue of its own for what its headers say.
pub(super) fn asks_for_its_own(headers: &Headers) -> bool {
    let others = ["auto-delete", "exclusive", QUEUE_NAME, PRIORITY, STREAM_OFFSET, STREAM_FILTER, STREAM_UNFILTERED];
    headers.iter().any(|(it, _)| others.contains(&it) || TEXTS.contains(&it) || NUMBERS.contains(&it))
}

/// The queue of a subscription to an exchange (D20), and whether chance has named it.
pub(super) fn name(
    headers: &Headers,
    key: &str,
    id: &SubscriptionId,
    is_durable: bool,
) -> Result<(ShortString, bool), Fault> {
    match headers.get(QUEUE_NAME) {
        Some("") => Err(Fault::Refused(format!("{QUEUE_NAME} must name a queue; leave it out to have one named"))),
        Some(name) => Ok((short(QUEUE_NAME, name)?, false)),
        None if is_durable => Ok((subscription_queue(durable_hash(key, id.as_str())), false)),
        None => Ok((subscription_queue(rand::random()), true)),
    }
}

/// Arguments of basic.consume (D51 to D54).
pub(super) fn consume_arguments(headers: &Headers) -> Result<FieldTable, Fault> {
    let mut arguments = FieldTable::default();
    if let Some(value) = headers.get(PRIORITY) {
        arguments.insert(PRIORITY.into(), AMQPValue::ShortShortInt(number(PRIORITY, value)?));
    }
    if let Some(offset) = headers.get(STREAM_OFFSET).map(stream_offset).transpose()?.flatten() {
        arguments.insert(STREAM_OFFSET.into(), offset);
    }
    if let Some(filter) = headers.get(STREAM_FILTER) {
        let values: Vec<_> = filter.split(',').map(|it| AMQPValue::LongString(it.into())).collect();
        arguments.insert(STREAM_FILTER.into(), AMQPValue::FieldArray(values.into()));
    }
    if let Some(value) = boolean(headers, STREAM_UNFILTERED)? {
        arguments.insert(STREAM_UNFILTERED.into(), AMQPValue::Boolean(value));
    }
    Ok(arguments)
}

fn arguments(headers: &Headers) -> Result<FieldTable, Fault> {
    let mut arguments = FieldTable::default();
    for name in TEXTS {
        if let Some(value) = headers.get(name).map(str::trim) {
            if name == MAX_AGE {
                check_age(value)?;
            }
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    for name in NUMBERS {
        if let Some(value) = headers.get(name) {
            arguments.insert(name.into(), AMQPValue::LongLongInt(number(name, value)?));
        }
    }
    Ok(arguments)
}

/// RabbitMQ 3.10 fails over any other, and closes the connection, which many sessions share.
fn check_age(value: &str) -> Result<(), Fault> {
    let number = value.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|it| it.is_ascii_digit()) {
        let text = format!("{MAX_AGE} must be a whole number and one of Y, M, D, h, m, s, as in 7D, not '{value}'");
        return Err(Fault::Refused(text));
    }
    Ok(())
}

fn is_replicated(headers: &Headers) -> bool {
    headers.get(QUEUE_TYPE).is_some_and(|it| matches!(it.trim(), "quorum" | "stream"))
}

/// Any other text means nothing (D52).
fn stream_offset(value: &str) -> Result<Option<AMQPValue>, Fault> {
    Ok(match value.split_once('=') {
        None if matches!(value, "first" | "last" | "next") => Some(AMQPValue::LongString(value.into())),
        Some(("offset", offset)) => Some(AMQPValue::LongLongInt(number(STREAM_OFFSET, offset)?)),
        Some(("timestamp", seconds)) => Some(AMQPValue::Timestamp(number(STREAM_OFFSET, seconds)?)),
        None | Some(_) => None,
    })
}

fn boolean(headers: &Headers, name: &str) -> Result<Option<bool>, Fault> {
    match headers.get(name) {
        None => Ok(None),
        Some("true" | "True") => Ok(Some(true)),
        Some("false" | "False") => Ok(Some(false)),
        Some(other) => Err(Fault::Refused(format!("{name} must be 'true' or 'false', not '{other}'"))),
    }
}

fn subscription_queue(bytes: [u8; 16]) -> ShortString {
    ShortString::from(format!("stomp-subscription-{}", Base64Url(bytes)))
}

/// RabbitMQ's plugin names the queue by the MD5 of an Erlang term: the pair of two strings.
fn durable_hash(key: &str, id: &str) -> [u8; 16] {
    let mut term = vec![131, 104, 2];
    for text in [key, id] {
        match u16::try_from(text.len()) {
            Ok(0) => term.push(106),
            Ok(length) => {
                term.push(107);
                term.extend(length.to_be_bytes());
                term.extend(text.as_bytes());
            }
            // A list of small integers, and the empty list that ends it.
            Err(_) => {
                term.push(108);
                term.extend(u32::try_from(text.len()).expect("a header is shorter than 4 GiB").to_be_bytes());
                term.extend(text.bytes().flat_map(|it| [97, it]));
                term.push(106);
            }
        }
    }
    Md5::digest(&term).into()
}

#[cfg(test)]
mod tests;
