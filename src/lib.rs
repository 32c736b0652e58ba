//! stompgate: a gateway for STOMP clients over WebSocket, in front of RabbitMQ or on its own embedded broker.
//!
//! The modules and the direction of the arrows between them are described in `docs/ARCHITECTURE.md` and enforced by
//! `tests/architecture.rs`.

pub mod admin;
pub mod app;
pub mod auth;
pub mod broker;
pub mod config;
pub mod delivery;
pub mod destination;
pub mod driver;
pub mod handlers;
pub mod http;
pub mod ident;
pub mod lifecycle;
pub mod message;
pub mod pem;
pub mod registry;
pub mod session;
pub mod stomp;
mod sync;
pub mod telemetry;
pub mod transport;
