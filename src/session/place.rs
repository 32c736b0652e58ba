//! From the `destination` header of a frame to where it goes.

use super::core::Core;
use super::refusal::Refusal;
use super::settings::Settings;
use crate::destination::{Destination, is_of_a_session};
use crate::ident::SessionId;
use crate::stomp::Command;

/// As AMQP carries the key by which a user is found.
const USER_BYTES_MAX: usize = 255;

/// Of a SUBSCRIBE.
pub(super) fn to_subscribe(text: &str, core: &Core) -> Result<Destination, Refusal> {
    if let Some(destination) = core.settings.user_prefix.to_subscribe(text) {
        check_user(core)?;
        return destination.map_err(Refusal::Destination);
    }
    parse(Command::Subscribe, text)
}

/// Of a SEND.
pub(super) fn to_send(text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    match settings.user_prefix.to_send(text) {
        Some(destination) => destination.map_err(Refusal::Destination),
        None => parse(Command::Send, text),
    }
}

fn parse(command: Command, text: &str) -> Result<Destination, Refusal> {
    let destination = Destination::parse(text).map_err(Refusal::Destination)?;
    if is_raw(&destination) { Err(raw(command, text)) } else { Ok(destination) }
}

/// A queue of one session alone, by the name that it has at a broker: nobody is to reach that of another session.
pub(super) fn raw(command: Command, text: &str) -> Refusal {
    let remedy = "it is what one session alone has; use the destination of its user";
    Refusal::DestinationNotFor { command, destination: text.to_owned(), remedy }
}

fn is_raw(destination: &Destination) -> bool {
    match destination {
        Destination::AmqQueue(name)
        | Destination::Exchange { key: name, .. }
        | Destination::Queue(name)
        | Destination::ReplyQueue(name)
        | Destination::Topic(name) => is_of_a_session(name),
        Destination::App(_) | Destination::Foreign(_) | Destination::TempQueue(_) | Destination::User { .. } => false,
    }
}

/// Nobody could name the user in a SEND, or would name somebody else.
fn check_user(core: &Core) -> Result<(), Refusal> {
    let Some(name) = core.user.as_ref().map(|it| it.name()) else { return Ok(()) };
    let reason = if name.contains("%2F") {
        "holds '%2F', which stands for a slash there"
    } else if name.len() > USER_BYTES_MAX {
        "has more than 255 bytes"
    } else if SessionId::parse(name).is_some() {
        "has the form of a session id, which stands for that session there"
    } else {
        return Ok(());
    };
    Err(Refusal::UserName { name: name.to_owned(), reason })
}
