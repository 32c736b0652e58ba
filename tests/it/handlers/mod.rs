//! `/app`: clients in front, services behind.

mod replies;
mod service;
