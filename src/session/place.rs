//! From the `destination` header of a frame to where it goes.

use super::refusal::Refusal;
use super::settings::Settings;
use crate::destination::Destination;

/// Destinations of handlers begin with it.
const APP: &str = "/app";

pub(super) fn parse(text: &str, settings: &Settings) -> Result<Destination, Refusal> {
    if settings.has_routes
        && let Some(path) = text.strip_prefix(APP).filter(|it| it.starts_with('/'))
    {
        return Ok(Destination::App(path.into()));
    }
    Destination::parse(text).map_err(Refusal::Destination)
}
