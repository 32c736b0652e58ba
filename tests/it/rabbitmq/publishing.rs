//! Publishing: to whatever a client names, on channels that many sessions share and that RabbitMQ closes for each mistake.

use std::time::Duration;

use futures::future::join_all;
use lapin::options::QueueDeleteOptions;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::session::Fault;
use tokio::time::Instant;

use super::Gateway;
use super::loss::{behind, broker_address};
use super::proxy::Proxy;
use super::support::{eventually, foreign_channel, variable};
use crate::broker_contract::fixture::{Fixture, body};

/// A fanout exchange that goes with its last binding, or when it is deleted.
pub(crate) async fn declare_exchange(channel: &Channel, name: &str, internal: bool) {
    let options = ExchangeDeclareOptions { internal, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), ExchangeKind::Fanout, options, FieldTable::default()).await.unwrap();
}

async fn delete_exchange(channel: &Channel, name: &str) {
    channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.unwrap();
}

fn exchange(name: &str) -> Destination {
    Destination::Exchange { name: name.into(), key: "k".into() }
}

fn name(destination: &Destination) -> ShortString {
    let text = destination.to_string();
    text.rsplit('/').next().unwrap().into()
}

fn not_found(exchange: &str) -> Fault {
    Fault::Amqp { name: "not_found", text: format!("NOT_FOUND - no exchange '{exchange}'") }
}

/// Without the bodies that came twice.
fn first_of_each(bodies: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    bodies.into_iter().filter(|it| seen.insert(it.clone())).collect()
}

/// Both sessions of a test publish on the same channel.
async fn one_publisher() -> Gateway {
    Gateway::connected(Settings { publishers: 1, ..Settings::default() }).await
}

fn test_name(fixture: &Fixture, name: &str) -> String {
    fixture.queue(name).to_string().replace("/queue/", "")
}

#[tokio::test]
async fn d13_a_missing_exchange_is_found_before_anything_is_published() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (topic, missing) = (fixture.topic("a"), test_name(&fixture, "missing"));
    other.subscribe(&topic).await;
    let before = careless.start_publish(&topic, "before");
    let refused = careless.start_publish(&exchange(&missing), "x");
    let after = careless.start_publish(&topic, "after");
    assert_eq!(refused.await, Err(not_found(&missing)));
    assert_eq!((before.await, after.await), (Ok(()), Ok(())));
    other.publish(&topic, "other").await;
    other.expect(&["before", "after", "other"]).await;
    // It is asked for each time: it may have been made meanwhile.
    declare_exchange(&foreign_channel().await, &missing, false).await;
    careless.publish(&exchange(&missing), "x").await;
    delete_exchange(&foreign_channel().await, &missing).await;
    assert_eq!(gateway.metric("republished_total", ""), 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn d13_d14_what_is_sent_to_an_exchange_is_routed_by_it() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (channel, name) = (foreign_channel().await, test_name(&fixture, "x"));
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(name.clone().into(), ExchangeKind::Direct, options, FieldTable::default()).await.unwrap();
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
    for key in ["", "k"] {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.name().clone(), name.clone().into(), key.into(), options, arguments).await.unwrap();
        let destination = Destination::Exchange { name: name.clone().into(), key: key.into() };
        session.publish(&destination, key).await;
        let message = channel.basic_get(queue.name().clone(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), (&*name, key));
        assert_eq!(message.data, key.as_bytes());
    }
    let unbound = Destination::Exchange { name: name.clone().into(), key: "nobody".into() };
    session.publish(&unbound, "rc1: unroutable, and confirmed").await;
    delete_exchange(&channel, &name).await;
    gateway.stop().await;
}

/// The exchange is deleted after the gateway has seen it, so only RabbitMQ's refusal can say that it is gone.
#[tokio::test]
async fn an_exception_costs_only_who_caused_it() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other, mut reader) = (fixture.open().await, fixture.open().await, fixture.open().await);
    let (queue, gone) = (fixture.queue("a"), test_name(&fixture, "gone"));
    let channel = foreign_channel().await;
    declare_exchange(&channel, &gone, false).await;
    careless.publish(&exchange(&gone), "x").await;
    other.publish(&queue, "first").await;
    delete_exchange(&channel, &gone).await;

    let bodies: Vec<String> = (0..1_000).map(|it| it.to_string()).collect();
    let mut pending = Vec::new();
    let mut refused = Vec::new();
    for (number, text) in bodies.iter().enumerate() {
        pending.push(other.start_publish(&queue, text));
        if number == 500 {
            refused.push(careless.start_publish(&exchange(&gone), "x"));
        }
    }
    for outcome in join_all(pending).await {
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(join_all(refused).await, [Err(not_found(&gone))]);
    reader.subscribe(&queue).await;
    let mut received = vec![body(&reader.receive().await)];
    while received.last() != bodies.last() {
        received.push(body(&reader.receive().await));
    }
    assert_eq!(first_of_each(received)[1..], bodies[..]);
    assert_eq!(gateway.metric("publishes_total", "confirmed"), 1_002.0);
    assert_eq!(gateway.metric("publishes_total", "failed"), 1.0);
    assert!(gateway.metric("republished_total", "") >= 1.0);
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    // At full speed again, and known to be gone.
    other.publish_all(&queue, &["1", "2"]).await;
    let republished = gateway.metric("republished_total", "");
    assert_eq!(careless.start_publish(&exchange(&gone), "x").await, Err(not_found(&gone)));
    assert_eq!(gateway.metric("republished_total", ""), republished);
    gateway.stop().await;
}
