//! From the `destination` header of a frame to where it goes.

use super::refusal::Refusal;
use super::settings::{Grammar, Settings};
use crate::destination::{Destination, DestinationError};

pub(super) fn parse(text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    match settings.destinations {
        Grammar::Foreign if text.is_empty() => Err(Refusal::Destination(DestinationError::Blank)),
        Grammar::Foreign => Ok(Destination::Foreign(text.into())),
        Grammar::RabbitMq => Destination::parse(text).map_err(Refusal::Destination),
    }
}
