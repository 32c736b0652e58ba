//! What an answer means: replies, and what becomes of the frame.

use bytes::Bytes;

use super::actions;
use super::attributes::Attributes;
use super::failure::{Cause, Failure};
use super::request::{Event, Sender};
use super::settings::{OnError, Route};
use super::target::{Response, Unanswered};
use super::template::{self, Place};
use crate::destination::{Destination, Whom};
use crate::message::is_own_header;
use crate::stomp::Headers;

/// What follows from a frame to `/app`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handled {
    /// To be published in this order.
    pub replies: Vec<Reply>,
    pub outcome: Result<(), Failure>,
    /// Who hears of a failure, also of one to publish the replies.
    pub told: Told,
    /// The session ends when all is done.
    pub ends_session: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub to: To,
    pub headers: Headers,
    pub body: Bytes,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum To {
    /// Through the broker.
    Destination(Destination),
    /// To the SUBSCRIBE that is answered, and nobody else.
    Subscription,
}

/// Who is told of a failure, by an ERROR.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// Also by no RECEIPT, which would say that all went well.
    Nobody,
    Sender,
    WhoAskedForReceipt,
}

/// Where an answer belongs.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) place: &'a Place,
    pub(super) event: Event,
    pub(super) sender: &'a Sender,
    pub(super) attributes: &'a Attributes,
    pub(super) attribute_bytes_max: usize,
}

pub(super) const ACTIONS: &str = "application/vnd.stompgate.actions+json";
const SEND_TO: &str = "stompgate-send-to";
const SEND_TO_USER: &str = "stompgate-send-to-user";
const BROADCAST: &str = "stompgate-broadcast";
const STOMP: &str = "stomp-";

/// So much of a refusal is shown in an ERROR.
const REFUSAL_CHARS_MAX: usize = 1_000;

impl Handled {
    fn done(route: &Route, replies: Vec<Reply>) -> Self {
        Self { replies, outcome: Ok(()), told: Told::of(&route.on_error), ends_session: false }
    }
}

impl Told {
    pub(super) const fn of(on_error: &OnError) -> Self {
        match on_error {
            OnError::ErrorFrame => Self::Sender,
            OnError::Ignore | OnError::User(_) => Self::Nobody,
            OnError::ReceiptOnly => Self::WhoAskedForReceipt,
        }
    }
}

impl Asked<'_> {
    pub(super) fn handled(&self, outcome: Result<Response, Failure>) -> Handled {
        let handled = outcome.and_then(|response| self.answered(response));
        handled.unwrap_or_else(|failure| self.failed(failure))
    }

    fn answered(&self, response: Response) -> Result<Handled, Failure> {
        match response.status {
            200..300 => {}
            400..500 => return Err(refused(response)),
            status => return Err(Failure::new(Cause::Failed, format!("answered {status}"))),
        }
        let content_type = response.headers.get("content-type").unwrap_or_default();
        if content_type.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(ACTIONS)) {
            return actions::parse(self, &response.body).map_err(|why| Failure::new(Cause::Failed, why));
        }
        if response.body.is_empty() {
            return Ok(Handled::done(self.route, Vec::new()));
        }
        let to = self.destinations(&response).map_err(|why| Failure::new(Cause::Failed, why))?;
        let (headers, body) = (content(&response.headers), response.body);
        let reply = |to| Reply { to, headers: headers.clone(), body: body.clone() };
        Ok(Handled::done(self.route, to.into_iter().map(reply).collect()))
    }

    /// Where the body goes.
    fn destinations(&self, response: &Response) -> Result<Vec<To>, String> {
        let mut to = Vec::new();
        for text in listed(&response.headers, SEND_TO) {
            to.push(To::Destination(self.destination(text)?));
        }
        let broadcast = !response.headers.get(BROADCAST).is_some_and(|it| it.eq_ignore_ascii_case("false"));
        for text in listed(&response.headers, SEND_TO_USER) {
            to.push(To::Destination(self.of_sender(text, broadcast)?));
        }
        if !to.is_empty() {
            return Ok(to);
        }
        if self.event == Event::Subscribe {
            return Ok(vec![To::Subscription]);
        }
        let reply = self.route.reply.iter().map(|it| destination(&it.expand(self.place)).map(To::Destination));
        reply.collect()
    }

    /// With the variables of the route put in.
    pub(super) fn destination(&self, text: &str) -> Result<Destination, String> {
        destination(&template::expand(text, self.place))
    }

    /// Of all sessions of the sender, or of this one alone. Without a user there is only this one.
    pub(super) fn of_sender(&self, rest: &str, broadcast: bool) -> Result<Destination, String> {
        let whom = match &self.sender.user {
            Some(user) if broadcast => Whom::Name(user.name().into()),
            Some(_) | None => Whom::Session(self.sender.session),
        };
        of_user(whom, &template::expand(rest, self.place))
    }

    /// Told to the sender's destination, if the route says so.
    fn failed(&self, failure: Failure) -> Handled {
        let told = Told::of(&self.route.on_error);
        let mut replies = Vec::new();
        if let OnError::User(rest) = &self.route.on_error {
            match self.of_sender(rest, true) {
                Ok(to) => {
                    let (headers, body) = failure.message();
                    replies.push(Reply { to: To::Destination(to), headers, body });
                }
                Err(why) => tracing::warn!(route = %self.route.pattern, why, "on_error of a route can't be used"),
            }
        }
        Handled { replies, outcome: Err(failure), told, ends_session: false }
    }
}

/// A destination that the gateway may publish to.
pub(super) fn destination(text: &str) -> Result<Destination, String> {
    if let Some((name, rest)) = text.strip_prefix("/user/").and_then(|it| it.split_once('/')) {
        return of_user(Whom::Name(name.replace("%2F", "/").into()), &format!("/{rest}"));
    }
    match Destination::parse(text) {
        Ok(Destination::App(_) | Destination::TempQueue(_)) => Err(format!("a reply can't go to {text:?}")),
        Ok(usual) => Ok(usual),
        Err(error) => Err(format!("a reply can't go to {text:?}: {error}")),
    }
}

pub(super) fn of_user(whom: Whom, rest: &str) -> Result<Destination, String> {
    if rest.len() < 2 || !rest.starts_with('/') {
        return Err(format!("{rest:?} is no destination of a user: one is /queue/x"));
    }
    Ok(Destination::User { whom, rest: rest.into() })
}

/// What a reply says of its body, and headers that the handler adds.
fn content(headers: &Headers) -> Headers {
    let content_type = headers.get("content-type").map(|it| ("content-type", it));
    let added = headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(STOMP)?, value)));
    content_type.into_iter().chain(added.filter(|(name, _)| !is_own_header(name))).collect()
}

/// Of a header that may be there several times, or hold several values.
fn listed<'a>(headers: &'a Headers, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = headers.iter().filter(move |(it, _)| *it == name).flat_map(|(_, value)| value.split(','));
    values.map(str::trim).filter(|it| !it.is_empty())
}

fn refused(response: Response) -> Failure {
    let text = match str::from_utf8(&response.body) {
        Ok("") | Err(_) => format!("The handler refused this with {}", response.status),
        Ok(text) => text.chars().take(REFUSAL_CHARS_MAX).collect(),
    };
    let failure = Failure::new(Cause::Refused, format!("answered {}", response.status)).told(text);
    if response.body.is_empty() { failure } else { failure.with_body(content(&response.headers), response.body) }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        let cause = match unanswered {
            Unanswered::TooLarge { .. } | Unanswered::Unsendable(_) => Cause::Failed,
            Unanswered::Unreachable(_) | Unanswered::Unroutable => Cause::Unavailable,
        };
        Self::new(cause, unanswered.to_string())
    }
}

#[cfg(test)]
mod tests;
