//! What an operator decides about handlers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;

use super::pattern::{Pattern, Separator};
use super::request::Event;
use super::template::Template;
use super::web::Tls;

/// The same for all sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    pub routes: Vec<Route>,
    pub hooks: Vec<Hook>,
    pub separator: Separator,
    /// Signs each request over HTTP.
    pub secret: Option<Secret>,
    /// For targets with `https://`.
    pub tls: Option<Tls>,
    /// How long connecting to an HTTP service may take.
    pub connect_timeout: Duration,
    /// What a frame may take as headers of a request.
    pub header_bytes_max: usize,
    /// What handlers may remember of a session.
    pub attribute_bytes_max: usize,
    /// The body of an answer.
    pub response_bytes_max: usize,
    /// Failures in a row after which a target is left alone.
    pub breaker_failures: u32,
    /// For how long; then one call tries it.
    pub breaker_pause: Duration,
    /// Events that wait for hooks.
    pub hook_queue_max: usize,
}

/// What becomes of the frames to some destinations.
#[derive(Clone, Debug)]
pub struct Route {
    pub pattern: Pattern,
    /// [`Event::Send`], [`Event::Subscribe`] or both.
    pub on: Vec<Event>,
    pub target: Target,
    /// All attempts together.
    pub timeout: Duration,
    pub concurrency: Concurrency,
    /// Calls under way at a time, of all sessions.
    pub calls_max: usize,
    /// Attempts after the first one.
    pub retries: u32,
    pub on_error: OnError,
    /// Where the answer to a SEND goes that does not say where.
    pub reply: Vec<Template>,
}

/// Who is told of sessions and subscriptions.
#[derive(Clone, Debug)]
pub struct Hook {
    pub on: Vec<Event>,
    pub target: Target,
    pub timeout: Duration,
}

/// Who answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The name of an exchange.
    Amqp(Box<str>),
    Http(Uri),
}

/// A text that names no target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoTarget;

/// Whether calls of one session wait for one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Concurrency {
    PerSession,
    Unordered,
}

/// What the client is told of a frame that was not handled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OnError {
    ErrorFrame,
    Ignore,
    ReceiptOnly,
    /// A message to that destination of the sender, such as `/queue/errors`.
    User(Box<str>),
}

/// Before the name of an exchange.
const AMQP: &str = "amqp:";

const EXCHANGE_BYTES_MAX: usize = 255;

/// Never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Box<str>);

impl Default for Settings {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            hooks: Vec::new(),
            separator: Separator::Slash,
            secret: None,
            tls: None,
            connect_timeout: Duration::from_secs(2),
            header_bytes_max: 8 * 1024,
            attribute_bytes_max: 1024,
            response_bytes_max: 1024 * 1024,
            breaker_failures: 10,
            breaker_pause: Duration::from_secs(5),
            hook_queue_max: 10_000,
        }
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if let Some(exchange) = text.strip_prefix(AMQP) {
            let is_name = (1..=EXCHANGE_BYTES_MAX).contains(&exchange.len());
            return is_name.then(|| Self::Amqp(exchange.into())).ok_or(NoTarget);
        }
        let url: Uri = text.parse().map_err(|_| NoTarget)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        // A login would be sent to nobody.
        let has_host = url.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'));
        if is_http && has_host { Ok(Self::Http(url)) } else { Err(NoTarget) }
    }
}

impl FromStr for OnError {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match (text, text.strip_prefix("user:")) {
            ("error-frame", _) => Ok(Self::ErrorFrame),
            ("ignore", _) => Ok(Self::Ignore),
            ("receipt-only", _) => Ok(Self::ReceiptOnly),
            (_, Some(rest)) if rest.starts_with('/') && rest.len() > 1 => Ok(Self::User(rest.into())),
            _ => Err(()),
        }
    }
}

impl Route {
    /// Nothing would say which of both is meant.
    pub fn is_as_good_as(&self, other: &Self) -> bool {
        self.pattern.is_like(&other.pattern) && self.on.iter().any(|it| other.on.contains(it))
    }
}

impl Settings {
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.routes.iter().map(|it| &it.target).chain(self.hooks.iter().map(|it| &it.target))
    }
}

impl Target {
    pub const fn is_amqp(&self) -> bool {
        matches!(self, Self::Amqp(_))
    }

    /// Whether there have to be certificates that are trusted.
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Http(url) if url.scheme_str() == Some("https"))
    }
}

impl Secret {
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorFrame => f.write_str("error-frame"),
            Self::Ignore => f.write_str("ignore"),
            Self::ReceiptOnly => f.write_str("receipt-only"),
            Self::User(rest) => write!(f, "user:{rest}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp(exchange) => write!(f, "{AMQP}{exchange}"),
            Self::Http(url) => write!(f, "{url}"),
        }
    }
}
