//! From the `destination` header of a frame to where it goes.

use super::refusal::Refusal;
use crate::destination::Destination;

pub(super) fn parse(text: &str) -> Result<Destination, Refusal> {
    Destination::parse(text).map_err(Refusal::Destination)
}
