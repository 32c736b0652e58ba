//! `/app`: clients in front, services behind.

mod calls;
mod replies;
pub(crate) mod service;
