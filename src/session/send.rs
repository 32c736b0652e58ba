//! SEND: what of it travels.

use super::action::Publish;
use super::place;
use super::refusal::Refusal;
use super::settings::Settings;
use super::subscriptions::{Subscriptions, TEMP_QUEUE};
use crate::destination::{Destination, Grammar};
use crate::ident::SubscriptionKey;
use crate::message::is_own_header;
use crate::stomp::{Command, Frame, Headers};

/// Headers of a SEND that speak to the gateway alone.
const NOT_PUBLISHED: [&str; 2] = ["receipt", "transaction"];

/// Checks a SEND, and takes it apart into what is published.
pub(super) fn publish(
    frame: Frame,
    subscriptions: &mut Subscriptions,
    settings: &Settings,
) -> Result<Publish, Refusal> {
    if frame.header("message-id").is_some() {
        return Err(Refusal::MessageIdSent);
    }
    let text = frame.header("destination").ok_or(Refusal::Missing { command: Command::Send, header: "destination" })?;
    let destination = place::to_send(text, settings)?;
    if matches!(destination, Destination::TempQueue(_)) {
        let remedy = "it is where answers come from; name it in reply-to";
        return Err(place::not_for(Command::Send, text, remedy));
    }
    check_expiration(frame.header("expiration"))?;
    // To a handler it is a header as others are: the answer has ways of its own.
    let asked = frame.header("reply-to").filter(|_| !matches!(destination, Destination::App(_)));
    let reply_to = reply_to(asked, subscriptions, settings)?;
    // A foreign broker reads the name of the temporary queue itself.
    let is_named_by_us = reply_to.is_some() && settings.grammar != Grammar::Foreign;
    let stays =
        |name: &str| is_own_header(name) || NOT_PUBLISHED.contains(&name) || (name == "reply-to" && is_named_by_us);
    let headers = frame.headers.iter().filter(|(name, _)| !stays(name)).collect::<Headers>();
    let is_receipted = frame.header("receipt").is_some();
    Ok(Publish { destination, headers, body: frame.body, reply_to, is_receipted })
}

/// Digits and nothing else, which is what both back ends read.
fn check_expiration(header: Option<&str>) -> Result<(), Refusal> {
    let is_valid = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit()) && it.parse::<u64>().is_ok();
    match header {
        Some(text) if !is_valid(text) => Err(Refusal::BadExpiration(text.to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// Only a temporary queue is the gateway's business; any other destination is passed on as it is (D30).
fn reply_to(
    header: Option<&str>,
    subscriptions: &mut Subscriptions,
    settings: &Settings,
) -> Result<Option<SubscriptionKey>, Refusal> {
    let Some(text) = header else { return Ok(None) };
    if settings.grammar == Grammar::Foreign {
        return text.strip_prefix(TEMP_QUEUE).map(|name| subscriptions.reply_key(name, settings)).transpose();
    }
    match settings.grammar.parse(text).map_err(Refusal::BadReplyTo)? {
        Destination::TempQueue(name) => subscriptions.reply_key(&name, settings).map(Some),
        Destination::AmqQueue(_)
        | Destination::Exchange { .. }
        | Destination::Queue(_)
        | Destination::ReplyQueue(_)
        | Destination::Topic(_)
        | Destination::App(_)
        | Destination::Foreign(_)
        | Destination::User { .. } => Ok(None),
    }
}
