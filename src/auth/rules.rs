//! What clients may use of the broker beyond topics and queues: what an operator has listed, and nothing else.

use std::str::FromStr;

use crate::destination::Destination;
use crate::stomp::Headers;

/// Decides about each SEND and SUBSCRIBE.
#[derive(Clone, Debug)]
pub enum Rules {
    /// The broker knows the clients, and has permissions for each.
    Broker,
    /// One of these has to open the destination.
    Listed(Vec<Rule>),
}

/// What a client wants to do at a destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    Send,
    Subscribe,
}

/// No rule opens that destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotOpen(pub String);

/// One item of `auth.allow`: `[send |subscribe ]<destination>[*]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// `None` for any.
    access: Option<Access>,
    opens: Opens,
}

/// Destinations as [`Destination`] prints them.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Opens {
    All { prefix: Box<str> },
    One(Box<str>),
}

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleError {
    #[error(
        "a rule is /exchange/NAME/KEY, /exchange/NAME, /amq/queue/NAME or /reply-queue/NAME (a slash in a name is %2F), \
         with `send ` or `subscribe ` before it if only that is meant, and `*` at the end for any rest"
    )]
    Malformed,
    #[error("/topic and /queue are open without a rule")]
    Needless,
}

/// The names that RabbitMQ gives to queues for replies. Nobody can guess them, so whoever knows one was told it.
const REPLY_NAMES: [&str; 2] = ["amq.gen-", "amq.rabbitmq.reply-to."];

/// How destinations begin that are closed without a rule, whichever broker reads them.
const CLOSED: [&str; 3] = ["/amq/", "/exchange/", "/reply-queue/"];

/// Stands for what a client has to name and has not, so that only a rule for anything opens it.
const ANYTHING: &str = "*";

impl Rules {
    /// `headers` are those of the frame: they may ask for a queue that publishes by itself.
    pub fn check(&self, access: Access, destination: &Destination, headers: &Headers) -> Result<(), NotOpen> {
        let Self::Listed(rules) = self else { return Ok(()) };
        if let Destination::Foreign(text) = destination {
            return match Destination::parse(text) {
                Ok(known) => self.check(access, &known, headers),
                // A foreign broker may read it more generously.
                Err(_) if CLOSED.iter().any(|it| text.starts_with(it)) => Err(NotOpen(text.to_string())),
                Err(_) => Ok(()),
            };
        }
        let (needs_rule, declares) = match (destination, access) {
            (Destination::Queue(_), _) | (Destination::Topic(_), Access::Subscribe) => (false, true),
            (Destination::Topic(_), Access::Send) | (Destination::TempQueue(_), _) => (false, false),
            (Destination::App(_) | Destination::Foreign(_) | Destination::User { .. }, _) => (false, false),
            (Destination::ReplyQueue(name), Access::Send) => {
                (!REPLY_NAMES.iter().any(|it| name.starts_with(it)), false)
            }
            (Destination::Exchange { .. }, Access::Subscribe) => (true, true),
            (Destination::AmqQueue(_) | Destination::Exchange { .. } | Destination::ReplyQueue(_), _) => (true, false),
        };
        if needs_rule {
            check_listed(rules, access, destination)?;
        }
        match dead_letters(headers).filter(|_| declares) {
            Some(destination) => check_listed(rules, Access::Send, &destination),
            None => Ok(()),
        }
    }
}

/// Nothing is open.
impl Default for Rules {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Rule {
    fn opens(&self, access: Access, destination: &str) -> bool {
        self.access.is_none_or(|it| it == access)
            && match &self.opens {
                // Without a key, an exchange is shown without the slash before it.
                Opens::All { prefix } => {
                    destination.starts_with(&**prefix) || prefix.strip_suffix('/') == Some(destination)
                }
                Opens::One(one) => **one == *destination,
            }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (access, destination) = if let Some(rest) = text.strip_prefix("send ") {
            (Some(Access::Send), rest)
        } else if let Some(rest) = text.strip_prefix("subscribe ") {
            (Some(Access::Subscribe), rest)
        } else {
            (None, text)
        };
        let opens = match destination.strip_suffix('*') {
            // What it is the beginning of has to be a destination.
            Some(prefix) => {
                let one = shown(&format!("{prefix}x"))?;
                Opens::All { prefix: one.strip_suffix('x').ok_or(RuleError::Malformed)?.into() }
            }
            None => Opens::One(shown(destination)?.into()),
        };
        Ok(Self { access, opens })
    }
}

/// The destination in the form in which it is compared.
fn shown(text: &str) -> Result<String, RuleError> {
    if !text.starts_with('/') {
        return Err(RuleError::Malformed);
    }
    match Destination::parse(text).map_err(|_| RuleError::Malformed)? {
        Destination::Queue(_) | Destination::Topic(_) => Err(RuleError::Needless),
        Destination::TempQueue(_) | Destination::App(_) | Destination::Foreign(_) | Destination::User { .. } => {
            Err(RuleError::Malformed)
        }
        it @ (Destination::AmqQueue(_) | Destination::Exchange { .. } | Destination::ReplyQueue(_)) => {
            Ok(it.to_string())
        }
    }
}

fn check_listed(rules: &[Rule], access: Access, destination: &Destination) -> Result<(), NotOpen> {
    let text = destination.to_string();
    if rules.iter().any(|it| it.opens(access, &text)) { Ok(()) } else { Err(NotOpen(text)) }
}

/// Where a queue that is declared with those headers publishes what expires in it, which is as good as a SEND (D44).
fn dead_letters(headers: &Headers) -> Option<Destination> {
    let name = headers.get("x-dead-letter-exchange")?.trim();
    let key = headers.get("x-dead-letter-routing-key").map_or(ANYTHING, str::trim).into();
    // The exchange without a name leads to queues.
    Some(if name.is_empty() { Destination::AmqQueue(key) } else { Destination::Exchange { name: name.into(), key } })
}

#[cfg(test)]
mod tests;
