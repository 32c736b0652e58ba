//! What only a real RabbitMQ can show: what the gateway costs it, and what happens when it is lost.
//!
//! They run with the feature `test-rabbitmq` against the broker of `STOMPGATE_TEST_AMQP_URL`; those that ask it for its
//! own view use the program of `STOMPGATE_TEST_RABBITMQCTL`. `tests/rabbitmq.sh start` makes both.

mod durable;
mod feeds;
mod loss;
mod outside;
mod proxy;
mod queues;
mod replies;
mod streams;
mod support;

pub(crate) use support::Gateway;
