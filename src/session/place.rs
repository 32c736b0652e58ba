//! From the `destination` header of a frame to where it goes.

use super::refusal::Refusal;
use super::settings::Settings;
use crate::destination::Destination;

pub(super) fn parse(text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    settings.grammar.parse(text).map_err(Refusal::Destination)
}
