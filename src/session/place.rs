//! From the `destination` header of a frame to where it goes.

use super::core::Core;
use super::refusal::Refusal;
use super::settings::Settings;
use crate::destination::{Destination, is_of_a_session};
use crate::ident::{Principal, SessionId};
use crate::stomp::Command;

/// As AMQP carries the key by which a user is found.
const USER_BYTES_MAX: usize = 255;

/// Destinations of handlers begin with it.
const APP: &str = "/app";

/// Of a SUBSCRIBE.
pub(super) fn to_subscribe(text: &str, core: &Core) -> Result<Destination, Refusal> {
    if let Some(destination) = core.settings.user_prefix.to_subscribe(text) {
        core.user.as_ref().map_or(Ok(()), check_user).map_err(|it| not_for(Command::Subscribe, text, it))?;
        return destination.map_err(Refusal::Destination);
    }
    parse(Command::Subscribe, text, &core.settings)
}

/// Of a SEND.
pub(super) fn to_send(text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    match settings.user_prefix.to_send(text) {
        Some(destination) => destination.map_err(Refusal::Destination),
        None => parse(Command::Send, text, settings),
    }
}

fn parse(command: Command, text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    if settings.has_routes
        && let Some(path) = text.strip_prefix(APP).filter(|it| it.starts_with('/'))
    {
        return Ok(Destination::App(path.into()));
    }
    let destination = settings.grammar.parse(text).map_err(Refusal::Destination)?;
    if is_raw(&destination) { Err(raw(command, text)) } else { Ok(destination) }
}

/// A queue of one session alone, by the name that it has at a broker: nobody is to reach that of another session.
pub(super) fn raw(command: Command, text: &str) -> Refusal {
    not_for(command, text, "it is what one session alone has; use the destination of its user")
}

pub(super) fn not_for(command: Command, destination: &str, remedy: &'static str) -> Refusal {
    Refusal::DestinationNotFor { command, destination: destination.to_owned(), remedy }
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

/// Why no SEND could name this user.
fn check_user(user: &Principal) -> Result<(), &'static str> {
    let name = user.name();
    if name.contains("%2F") {
        Err("the name of this user holds '%2F', which stands for a slash in destinations")
    } else if name.len() > USER_BYTES_MAX {
        Err("the name of this user has more than 255 bytes, and could not be routed")
    } else if SessionId::parse(name).is_some() {
        Err("the name of this user has the form of a session id, and would stand for that session in destinations")
    } else {
        Ok(())
    }
}
