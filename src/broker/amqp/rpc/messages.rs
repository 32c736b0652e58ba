//! Calls and answers as AMQP messages.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::broker::amqp::properties::{DIRECT_REPLY_TO, PROPERTY_BYTES_MAX, short};
use crate::handlers::{Outgoing, Response, Unanswered, Wants};
use crate::stomp::Headers;

/// What HTTP has in its first line.
const STATUS: &str = "stompgate-status";
const OK: u16 = 200;

/// Exchange, routing key, properties.
pub(super) type Prepared = (ShortString, ShortString, BasicProperties);

pub(super) fn prepare(exchange: &str, outgoing: &Outgoing, id: u64) -> Result<Prepared, Unanswered> {
    let short = |what: &str, text: &str| short(what, text).map_err(|it| Unanswered::Unsendable(it.to_string()));
    let size: usize = outgoing.metadata.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    if size > PROPERTY_BYTES_MAX {
        let text = format!("the headers of a call over RabbitMQ hold at most {PROPERTY_BYTES_MAX} bytes");
        return Err(Unanswered::Unsendable(text));
    }
    let mut table = FieldTable::default();
    for (name, value) in outgoing.metadata.iter() {
        table.insert(short("name of a header", name)?, AMQPValue::LongString(value.into()));
    }
    let ms = outgoing.timeout.as_millis().max(1).to_string();
    let mut properties = BasicProperties::default()
        .with_headers(table)
        .with_message_id(short("delivery", &outgoing.delivery)?)
        .with_expiration(short("expiration", &ms)?)
        .with_app_id("stompgate".into());
    if let Some(content_type) = &outgoing.content_type {
        properties = properties.with_content_type(short("content-type", content_type)?);
    }
    if outgoing.wants == Wants::Answer {
        properties = properties.with_reply_to(DIRECT_REPLY_TO.into()).with_correlation_id(id.to_string().into());
    }
    Ok((short("exchange", exchange)?, short("the path of the destination", &outgoing.routing_key)?, properties))
}

pub(super) fn response(answer: &Delivery) -> Response {
    let mut headers = Headers::new();
    if let Some(content_type) = answer.properties.content_type() {
        headers.push("content-type", content_type.as_str());
    }
    for (name, value) in answer.properties.headers().iter().flatten() {
        if let Some(value) = text(value) {
            headers.push(&name.as_str().to_ascii_lowercase(), &value);
        }
    }
    // A status that is none makes no sense, so the handler has a fault.
    let status = headers.get(STATUS).map_or(OK, |it| it.parse().unwrap_or(0));
    Response { status, headers, body: answer.data.clone().into() }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::Boolean(flag) => Some(flag.to_string()),
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::LongInt(number) => Some(number.to_string()),
        AMQPValue::LongLongInt(number) => Some(number.to_string()),
        AMQPValue::LongUInt(number) => Some(number.to_string()),
        AMQPValue::ShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortShortUInt(number) => Some(number.to_string()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::ShortUInt(number) => Some(number.to_string()),
        // These have no text that services would agree on.
        AMQPValue::ByteArray(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::Double(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Float(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::Void => None,
    }
}
