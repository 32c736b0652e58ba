//! What only a real RabbitMQ can show: what the gateway costs it, and what happens when it is lost.
//!
//! They run with the feature `test-rabbitmq` against the broker of `STOMPGATE_TEST_AMQP_URL`; those that ask it for its
//! own view use the program of `STOMPGATE_TEST_RABBITMQCTL`. `tests/rabbitmq.sh start` makes both.

mod accounts;
mod drain;
mod durable;
mod exchange;
mod failover;
mod feeds;
mod feeds_kinds;
mod feeds_limits;
mod feeds_pace;
mod feeds_random;
mod feeds_refused;
mod gateways;
mod handlers;
mod loss;
mod mapping;
mod node;
mod outage_accounts;
mod outage_feeds;
mod outage_private;
mod outage_publishing;
mod outside;
mod proxy;
mod publishing;
mod queues;
mod replies;
mod rows;
mod scale;
mod streams;
mod support;
mod tls;
mod users;
mod whole;

pub(crate) use support::{Gateway, eventually, variable};
