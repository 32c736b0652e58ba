//! RabbitMQ, or the way to it, fails under load. Every message is accounted for, and every session has to live on.
//!
//! Each test has nodes of its own, which `tests/rabbitmq.sh` starts, and the gateway as a process of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod accounts;
mod alarm;
mod client;
mod cluster;
mod deleted;
mod gateway;
mod ledger;
mod load;
mod network;
mod node;
mod outages;
#[path = "../process/mod.rs"]
mod process;
#[path = "../it/rabbitmq/proxy.rs"]
#[allow(dead_code, reason = "other tests have other uses for it")]
mod proxy;
mod scale;
mod soak;
mod wait;
