//! Tests over several modules together, in one binary.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod admin;
mod broker_contract;
mod client;
mod drain;
mod gateway;
mod handlers;
mod hostile;
mod http;
mod log;
#[path = "../process/mod.rs"]
mod process;
#[cfg(feature = "test-rabbitmq")]
mod rabbitmq;
mod reload;
mod sim;
mod simple_broker;
mod sockjs;
mod stomp_relay;
mod websocket;
