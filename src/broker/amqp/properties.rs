//! Headers of a SEND as AMQP properties (P1), and AMQP properties as headers of a MESSAGE (P2).
//!
//! Many sessions publish on one channel, and RabbitMQ closes a channel for a property it does not like: whatever it
//! would do that for is refused here.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::context::Account;
use crate::destination::Destination;
use crate::message::is_own_header;
use crate::session::Fault;
use crate::stomp::Headers;

/// Properties and headers travel in one AMQP frame, which must not be larger than what was agreed for publishing.
pub(super) const PROPERTY_BYTES_MAX: usize = 30 * 1024;

/// What RabbitMQ takes as an expiration, in milliseconds.
const EXPIRATION_MAX: u64 = u32::MAX as u64;

/// Where RabbitMQ itself answers, on the channel of the request, which with the gateway many share and none consumes.
pub(super) const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

pub(super) fn to_amqp(headers: &Headers, account: &Account) -> Result<BasicProperties, Fault> {
    // Each entry of the table costs a few bytes more than its text.
    if headers.size() + 8 * headers.len() > PROPERTY_BYTES_MAX {
        return Err(refused(format!("The headers of a message for RabbitMQ hold at most {PROPERTY_BYTES_MAX} bytes")));
    }
    let mut properties = BasicProperties::default();
    let mut table = FieldTable::default();
    for (place, (name, value)) in headers.iter().enumerate() {
        // The first one of a name counts.
        if headers.iter().take(place).any(|(earlier, _)| earlier == name) {
            continue;
        }
        properties = match name {
            "amqp-message-id" => properties.with_message_id(short(name, value)?),
            "app-id" => properties.with_app_id(short(name, value)?),
            "content-encoding" => properties.with_content_encoding(short(name, value)?),
            "content-type" => properties.with_content_type(short(name, value)?),
            "correlation-id" => properties.with_correlation_id(short(name, value)?),
            "expiration" => properties.with_expiration(expiration(value)?),
            "persistent" if matches!(value, "true" | "True") => properties.with_delivery_mode(2),
            "persistent" => properties,
            "priority" => properties.with_priority(number(name, value)?),
            "reply-to" => properties.with_reply_to(reply_to(value)?),
            "timestamp" => properties.with_timestamp(number(name, value)?),
            "type" => properties.with_type(short(name, value)?),
            "BCC" | "CC" => return Err(refused(format!("RabbitMQ takes no text in the header '{name}'"))),
            "user-id" => properties.with_user_id(user_id(value, account)?),
            _ => {
                table.insert(short("name of a header", name)?, AMQPValue::LongString(value.into()));
                properties
            }
        };
    }
    Ok(if table.inner().is_empty() { properties } else { properties.with_headers(table) })
}

pub(super) fn from_amqp(properties: &BasicProperties) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in properties.headers().iter().flatten() {
        if is_own_header(name.as_str()) {
            continue;
        }
        match value {
            AMQPValue::LongString(text) => headers.push(name.as_str(), &String::from_utf8_lossy(text.as_bytes())),
            AMQPValue::LongInt(number) => headers.push(name.as_str(), &number.to_string()),
            AMQPValue::LongLongInt(number) => headers.push(name.as_str(), &number.to_string()),
            // The other types have no text that a publisher and a client would agree on.
            AMQPValue::Boolean(_)
            | AMQPValue::ByteArray(_)
            | AMQPValue::DecimalValue(_)
            | AMQPValue::Double(_)
            | AMQPValue::FieldArray(_)
            | AMQPValue::FieldTable(_)
            | AMQPValue::Float(_)
            | AMQPValue::LongUInt(_)
            | AMQPValue::ShortInt(_)
            | AMQPValue::ShortShortInt(_)
            | AMQPValue::ShortShortUInt(_)
            | AMQPValue::ShortString(_)
            | AMQPValue::ShortUInt(_)
            | AMQPValue::Timestamp(_)
            | AMQPValue::Void => {}
        }
    }
    let mut push = |name: &str, value: Option<&str>| value.into_iter().for_each(|it| headers.push(name, it));
    let text = |value: &Option<ShortString>| value.as_ref().map(|it| it.as_str().to_owned());
    push("app-id", text(properties.app_id()).as_deref());
    push("user-id", text(properties.user_id()).as_deref());
    push("type", text(properties.kind()).as_deref());
    push("timestamp", properties.timestamp().map(|it| it.to_string()).as_deref());
    push("amqp-message-id", text(properties.message_id()).as_deref());
    push("expiration", text(properties.expiration()).as_deref());
    push("reply-to", text(properties.reply_to()).map(shown_reply_to).as_deref());
    push("correlation-id", text(properties.correlation_id()).as_deref());
    push("priority", properties.priority().map(|it| it.to_string()).as_deref());
    push("persistent", properties.delivery_mode().map(shown_delivery_mode).as_deref());
    push("content-encoding", text(properties.content_encoding()).as_deref());
    push("content-type", text(properties.content_type()).as_deref());
    headers
}

/// AMQP names and short properties have at most 255 bytes.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, Fault> {
    ShortString::try_new(text)
        .map_err(|_| refused(format!("{what} is {} bytes long; RabbitMQ takes at most 255", text.len())))
}

pub(super) fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Fault> {
    value.trim().parse().map_err(|_| refused(format!("{name} must be a whole number in its range, not '{value}'")))
}

fn expiration(value: &str) -> Result<ShortString, Fault> {
    let is_valid =
        value.bytes().all(|it| it.is_ascii_digit()) && value.parse().is_ok_and(|it: u64| it <= EXPIRATION_MAX);
    if !is_valid {
        let text = format!("expiration must be a number of milliseconds up to {EXPIRATION_MAX}, not '{value}'");
        return Err(refused(text));
    }
    short("expiration", value)
}

/// RabbitMQ takes only the name of the account, which says nothing of a client when all share one.
fn user_id(value: &str, account: &Account) -> Result<ShortString, Fault> {
    match account {
        Account::Client { login, .. } if **login == *value => short("user-id", value),
        Account::Client { login, .. } => {
            Err(refused(format!("user-id must be '{login}', who is logged in, not '{value}'")))
        }
        Account::Gateway => {
            let text = "'user-id' can't be sent: RabbitMQ takes only the name of the account, which all sessions share";
            Err(refused(text.to_owned()))
        }
    }
}

/// D30: a reply-to must be a destination, and travels as it is.
fn reply_to(value: &str) -> Result<ShortString, Fault> {
    if value == DIRECT_REPLY_TO {
        return Err(refused(format!("reply-to: '{value}' needs a channel of its own; use /temp-queue/NAME")));
    }
    match Destination::parse(value) {
        Ok(Destination::TempQueue(_)) => Err(refused(format!("reply-to: '{value}' belongs to another session"))),
        Ok(
            Destination::AmqQueue(_)
            | Destination::Exchange { .. }
            | Destination::Queue(_)
            | Destination::ReplyQueue(_)
            | Destination::Topic(_)
            | Destination::App(_)
            | Destination::Foreign(_)
            | Destination::User { .. },
        ) => short("reply-to", value),
        Err(error) => Err(refused(format!("reply-to: {error}"))),
    }
}

/// D30: what a client can SEND to, for whatever an AMQP publisher wrote.
fn shown_reply_to(reply_to: String) -> String {
    let known = ["/exchange", "/topic", "/queue", "/amq/queue", "/reply-queue/"];
    if known.iter().any(|it| reply_to.starts_with(it)) { reply_to } else { format!("/reply-queue/{reply_to}") }
}

fn shown_delivery_mode(mode: u8) -> String {
    if mode == 2 { "true".to_owned() } else { mode.to_string() }
}

fn refused(text: String) -> Fault {
    Fault::Refused(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&str, &str)]) -> BasicProperties {
        to_amqp(&headers.iter().copied().collect(), &Account::Gateway).unwrap()
    }

    fn check_refused(name: &str, value: &str, expected: &str) {
        match to_amqp(&Headers::from_iter([(name, value)]), &Account::Gateway) {
            Err(Fault::Refused(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{name}:{value} became {other:?}"),
        }
    }

    #[test]
    fn p1_and_p2_are_inverse_for_every_property() {
        let headers = [
            ("x-own", "kept: as it is"),
            ("app-id", "a"),
            ("type", "t"),
            ("timestamp", "1700000000"),
            ("amqp-message-id", "m"),
            ("expiration", "60000"),
            ("reply-to", "/queue/answers"),
            ("correlation-id", "c"),
            ("priority", "7"),
            ("persistent", "true"),
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
        ];
        assert_eq!(from_amqp(&sent(&headers)), headers.iter().copied().collect());
    }

    #[test]
    fn p1_only_persistent_true_sets_the_delivery_mode() {
        assert_eq!(*sent(&[("persistent", "True")]).delivery_mode(), Some(2));
        assert_eq!(*sent(&[("persistent", "false")]).delivery_mode(), None);
        assert_eq!(*sent(&[]).delivery_mode(), None);
        assert!(sent(&[("content-type", "x")]).headers().is_none());
    }

    #[test]
    fn p1_the_first_of_repeated_headers_travels() {
        let headers = from_amqp(&sent(&[("a", "1"), ("a", "2"), ("priority", "3"), ("priority", "high")]));
        assert_eq!(headers, Headers::from_iter([("a", "1"), ("priority", "3")]));
        assert_eq!(*sent(&[("persistent", "false"), ("persistent", "true")]).delivery_mode(), None);
    }

    #[test]
    fn what_would_close_a_shared_channel_is_refused() {
        check_refused("expiration", "1s", "number of milliseconds");
        check_refused("expiration", "", "number of milliseconds");
        check_refused("expiration", "-1", "number of milliseconds");
        check_refused("expiration", "4294967296", "number of milliseconds");
        check_refused("priority", "256", "whole number");
        check_refused("priority", "high", "whole number");
        check_refused("timestamp", "now", "whole number");
        check_refused("CC", "other", "takes no text");
        check_refused("BCC", "other", "takes no text");
        check_refused("user-id", "guest", "all sessions share");
        check_refused("correlation-id", &"c".repeat(256), "256 bytes long");
        check_refused(&"n".repeat(256), "v", "name of a header is 256 bytes long");
        check_refused("x", &"v".repeat(PROPERTY_BYTES_MAX), "hold at most");
        check_refused("reply-to", "/bogus/x", "reply-to: '/bogus/x'");
        check_refused("reply-to", "amq.rabbitmq.reply-to", "needs a channel of its own");
    }

    #[test]
    fn p1_a_user_id_is_the_login_or_refused() {
        let account = Account::Client { login: "jo".into(), passcode: "p".into(), vhost: "/".into() };
        let sent = |value| to_amqp(&Headers::from_iter([("user-id", value)]), &account);
        assert_eq!(sent("jo").unwrap().user_id().as_ref().map(ShortString::as_str), Some("jo"));
        let refusal = "user-id must be 'jo', who is logged in, not 'root'".to_owned();
        assert_eq!(sent("root"), Err(Fault::Refused(refusal)));
    }

    #[test]
    fn p1_blanks_around_a_number_do_not_matter_and_bounds_pass() {
        let properties = sent(&[("priority", " 255 "), ("expiration", "4294967295"), ("timestamp", "0")]);
        assert_eq!((*properties.priority(), *properties.timestamp()), (Some(255), Some(0)));
    }

    #[test]
    fn p2_only_text_and_whole_numbers_come_out_of_the_table() {
        let mut table = FieldTable::default();
        table.insert("text".into(), AMQPValue::LongString("t".into()));
        table.insert("int".into(), AMQPValue::LongInt(-1));
        table.insert("long".into(), AMQPValue::LongLongInt(1 << 40));
        table.insert("bool".into(), AMQPValue::Boolean(true));
        table.insert("x-death".into(), AMQPValue::FieldArray(Vec::new().into()));
        for name in [
            "ack",
            "content-length",
            "destination",
            "message-id",
            "stompgate-error",
            "user-name",
            "x-dropped",
            " ack\t",
        ] {
            table.insert(name.into(), AMQPValue::LongString("spoofed".into()));
        }
        let headers = from_amqp(&BasicProperties::default().with_headers(table));
        let expected = [("int", "-1"), ("long", "1099511627776"), ("text", "t")];
        assert_eq!(headers, expected.into_iter().collect());
    }

    #[test]
    fn d30_a_reply_to_comes_out_as_something_a_client_can_send_to() {
        let check = |reply_to: &str, shown: &str| {
            let headers = from_amqp(&BasicProperties::default().with_reply_to(reply_to.into()));
            assert_eq!(headers.get("reply-to"), Some(shown));
        };
        check("amq.gen-xyz", "/reply-queue/amq.gen-xyz");
        check("/queue/q", "/queue/q");
        check("/topic/t", "/topic/t");
    }

    #[test]
    fn p2_other_delivery_modes_come_out_as_numbers() {
        let headers = from_amqp(&BasicProperties::default().with_delivery_mode(1));
        assert_eq!(headers.get("persistent"), Some("1"));
    }
}
