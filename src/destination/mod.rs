//! Where a frame is sent to or subscribed from: the grammar of destinations, wildcard patterns, and selectors.
//!
//! Row ids (D1 ..) are those of `docs/PROTOCOL.md`. Nothing here knows whether a destination exists, who may use it or
//! which back end serves it.

pub mod ant;
mod grammar;
mod pattern;
mod selector;
mod syntax;
mod user;

use std::fmt;

use crate::ident::SessionId;

pub use grammar::Grammar;
pub use pattern::Pattern;
pub use selector::{Selector, SelectorError};
pub use syntax::{Step, Syntax};
pub use user::{UserPrefix, UserPrefixError, is_of_a_session};

/// A `destination` header, taken apart.
///
/// | text | meaning |
/// |---|---|
/// | `/topic/K` | everybody who is subscribed gets it; `K` is words between dots, `*` and `#` in a subscription |
/// | `/queue/N` | one of the consumers gets it, and it waits until there is one |
/// | `N` (no slash at all) | the same as `/queue/N` (D1) |
/// | `/exchange/X/K`, `/exchange/X` | the exchange `X` of the broker, with the routing or binding key `K`, or none |
/// | `/amq/queue/N` | a queue that exists at the broker, as it is |
/// | `/temp-queue/N` | only in `reply-to`: a queue of this session alone |
/// | `/reply-queue/Q` | what a `reply-to` came back as |
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Destination {
    AmqQueue(Box<str>),
    /// `/app` and what follows it, `/orders/7`: answered by a handler, and never seen by a broker.
    App(Box<str>),
    Exchange {
        name: Box<str>,
        key: Box<str>,
    },
    /// As it was written, for a broker that has a grammar of its own.
    Foreign(Box<str>),
    Queue(Box<str>),
    ReplyQueue(Box<str>),
    TempQueue(Box<str>),
    Topic(Box<str>),
    /// `/user/queue/x` in a subscription, `/user/NAME/queue/x` in a SEND; `rest` is `/queue/x`. [`UserPrefix`] reads
    /// it.
    User {
        whom: Whom,
        rest: Box<str>,
    },
}

/// Whose a destination below `/user` is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Whom {
    /// Of all sessions of the user with that name.
    Name(Box<str>),
    /// Of that session alone.
    Session(SessionId),
    /// Of who subscribes.
    Subscriber,
}

/// Why a destination can't be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DestinationError {
    #[error("Destination cannot be blank")]
    Blank,
    #[error("'{rest}' is not a valid {kind} destination: {remedy}")]
    Invalid { kind: &'static str, rest: String, remedy: &'static str },
    #[error("destination is {length} bytes long, and at most {max} can be routed")]
    TooLong { length: usize, max: usize },
    #[error(
        "'{0}' is not a valid destination.\nValid destination types are: /temp-queue, /exchange, /topic, /queue, \
         /amq/queue, /reply-queue/."
    )]
    Unknown(String),
}

/// AMQP carries names and routing keys as short strings.
const NAME_BYTES_MAX: usize = 255;

const NEEDS_NAME: &str = "it needs a name";
const SLASHES: &str = "separate words with dots, or write a slash in a name as %2F";

impl Destination {
    /// Parses the grammar D1. Only `%2F` is decoded, to a slash in a name (D2).
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        if text.is_empty() {
            return Err(DestinationError::Blank);
        }
        if !text.contains('/') {
            return name(text).map(Self::Queue);
        }
        let Some((kind, rest)) = text.strip_prefix('/').map(|it| it.split_once('/').unwrap_or((it, ""))) else {
            return Err(DestinationError::Unknown(text.to_owned()));
        };
        let after_kind = &text[1 + kind.len()..];
        match kind {
            "amq" => match rest.strip_prefix("queue").map(|it| (it, it.strip_prefix('/'))) {
                Some(("", None)) => Err(invalid("amqqueue", "", NEEDS_NAME)),
                Some((after_kind, Some(rest))) => segment("amqqueue", rest, after_kind).map(Self::AmqQueue),
                Some(_) | None => Err(DestinationError::Unknown(text.to_owned())),
            },
            "queue" => segment("queue", rest, after_kind).map(Self::Queue),
            "reply-queue" if rest.is_empty() => Err(invalid("reply_queue", after_kind, NEEDS_NAME)),
            "reply-queue" => name(rest).map(Self::ReplyQueue),
            "temp-queue" => segment("temp_queue", rest, after_kind).map(Self::TempQueue),
            "topic" => segment("topic", rest, after_kind).map(Self::Topic),
            "exchange" => exchange(rest, after_kind),
            _ => Err(DestinationError::Unknown(text.to_owned())),
        }
    }
}

/// The destination as a MESSAGE shows it: D3 encodes what D1 would take apart.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::AmqQueue(name) => ("/amq/queue/", name),
            Self::App(rest) => return write!(f, "/app{rest}"),
            Self::Foreign(text) => return f.write_str(text),
            Self::User { whom, rest } => {
                return match whom {
                    Whom::Name(name) => write_name(f, "/user/", name).and_then(|()| f.write_str(rest)),
                    Whom::Session(id) => write!(f, "/user/{id}{rest}"),
                    Whom::Subscriber => write!(f, "/user{rest}"),
                };
            }
            Self::Exchange { name, key } => {
                write_name(f, "/exchange/", name)?;
                return if key.is_empty() { Ok(()) } else { write_name(f, "/", key) };
            }
            Self::Queue(name) => ("/queue/", name),
            Self::ReplyQueue(name) => ("/reply-queue/", name),
            Self::TempQueue(name) => ("/temp-queue/", name),
            Self::Topic(name) => ("/topic/", name),
        };
        write_name(f, kind, name)
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, before: &str, name: &str) -> fmt::Result {
    f.write_str(before)?;
    name.split_inclusive('/').try_for_each(|part| match part.strip_suffix('/') {
        Some(part) => write!(f, "{part}%2F"),
        None => f.write_str(part),
    })
}

/// A name, and a key unless it ends there.
fn exchange(rest: &str, after_kind: &str) -> Result<Destination, DestinationError> {
    let (exchange, key) = rest.split_once('/').unwrap_or((rest, ""));
    if exchange.is_empty() {
        return Err(invalid("exchange", after_kind, NEEDS_NAME));
    }
    if key.contains('/') {
        return Err(invalid("exchange", after_kind, SLASHES));
    }
    Ok(Destination::Exchange { name: name(exchange)?, key: name(key)? })
}

fn segment(kind: &'static str, rest: &str, after_kind: &str) -> Result<Box<str>, DestinationError> {
    if rest.is_empty() {
        return Err(invalid(kind, after_kind, NEEDS_NAME));
    }
    if rest.contains('/') {
        return Err(invalid(kind, after_kind, SLASHES));
    }
    name(rest)
}

fn name(text: &str) -> Result<Box<str>, DestinationError> {
    let name = text.replace("%2F", "/");
    if name.len() > NAME_BYTES_MAX {
        return Err(DestinationError::TooLong { length: name.len(), max: NAME_BYTES_MAX });
    }
    Ok(name.into())
}

fn invalid(kind: &'static str, rest: &str, remedy: &'static str) -> DestinationError {
    DestinationError::Invalid { kind, rest: rest.to_owned(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Destination, shown: &str) {
        let parsed = Destination::parse(text).unwrap();
        assert_eq!(parsed, expected);
        assert_eq!(parsed.to_string(), shown);
    }

    fn refused(text: &str) -> String {
        Destination::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn d1_each_form_is_recognised() {
        check("/topic/a.b", Destination::Topic("a.b".into()), "/topic/a.b");
        check("/queue/a", Destination::Queue("a".into()), "/queue/a");
        check("a", Destination::Queue("a".into()), "/queue/a");
        check("/amq/queue/a", Destination::AmqQueue("a".into()), "/amq/queue/a");
        let exchange = |name: &str, key: &str| Destination::Exchange { name: name.into(), key: key.into() };
        check("/exchange/x%2Fy/a.b", exchange("x/y", "a.b"), "/exchange/x%2Fy/a.b");
        check("/exchange/x", exchange("x", ""), "/exchange/x");
        check("/exchange/x/", exchange("x", ""), "/exchange/x");
        check("/temp-queue/a", Destination::TempQueue("a".into()), "/temp-queue/a");
        check("/reply-queue/a/b", Destination::ReplyQueue("a/b".into()), "/reply-queue/a%2Fb");
    }

    #[test]
    fn d2_only_upper_case_2f_is_decoded() {
        check("/queue/a%2Fb%2f%20", Destination::Queue("a/b%2f%20".into()), "/queue/a%2Fb%2f%20");
    }

    #[test]
    fn d1_what_is_no_destination_says_what_would_be() {
        assert_eq!(refused(""), "Destination cannot be blank");
        for unknown in ["foo/bar", "/something/x", "/Queue/x", "//", "/amq", "/amq/topic/x", "/amq/queues"] {
            assert!(refused(unknown).contains("is not a valid destination"), "{unknown}");
        }
        assert_eq!(refused("/queue"), "'' is not a valid queue destination: it needs a name");
        assert_eq!(refused("/queue/"), "'/' is not a valid queue destination: it needs a name");
        assert!(refused("/topic/a/b").starts_with("'/a/b' is not a valid topic destination: separate words with dots"));
        assert!(refused("/exchange").starts_with("'' is not a valid exchange destination"));
        assert!(refused("/exchange//k").starts_with("'//k' is not a valid exchange destination"));
        assert!(refused("/exchange/a/b/c").starts_with("'/a/b/c' is not a valid exchange destination"));
        assert!(refused("/amq/queue").starts_with("'' is not a valid amqqueue destination"));
        assert!(refused("/amq/queue/a/b").starts_with("'/a/b' is not a valid amqqueue destination"));
    }

    #[test]
    fn a_name_longer_than_amqp_can_carry_is_refused() {
        assert!(Destination::parse(&format!("/topic/{}", "k".repeat(255))).is_ok());
        assert!(refused(&format!("/topic/{}", "k".repeat(256))).contains("at most 255"));
    }
}
