//! The back end for brokers that speak STOMP: in front of one that does as the tests say, and in front of real ones,
//! RabbitMQ's plugin, ActiveMQ Classic and ActiveMQ Artemis.
//!
//! The latter run with the feature `test-rabbitmq` against the brokers of `STOMPGATE_TEST_STOMP_RABBITMQ`, `.._ACTIVEMQ` and
//! `.._ARTEMIS`, each `host:port`. `tests/brokers.sh start` makes the last two.

#[cfg(feature = "test-rabbitmq")]
mod brokers;
mod connecting;
mod links;
#[cfg(feature = "test-rabbitmq")]
mod outage;
mod support;
mod system;
mod tls;
mod upstream;
mod whole;

#[cfg(feature = "test-rabbitmq")]
pub(crate) use support::{Gateway, address};
