//! The back end for brokers that speak STOMP, on real ones: RabbitMQ's plugin, ActiveMQ Classic and ActiveMQ Artemis.
//!
//! They run with the feature `test-rabbitmq` against the brokers of `STOMPGATE_TEST_STOMP_RABBITMQ`, `.._ACTIVEMQ` and
//! `.._ARTEMIS`, each `host:port`. `tests/brokers.sh start` makes all three.

mod support;

pub(crate) use support::{Gateway, address};
