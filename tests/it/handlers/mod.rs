//! `/app`: clients in front, services behind.

mod calls;
mod replies;
mod service;
