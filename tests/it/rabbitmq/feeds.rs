//! Topics: what their subscribers cost RabbitMQ.

use std::time::Duration;

use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;

use super::Gateway;
use super::support::{eventually, rabbitmqctl};

/// How many bindings RabbitMQ has for a topic.
async fn bindings(topic: &Destination) -> usize {
    let Destination::Topic(key) = topic else { panic!("{topic} is no topic") };
    let lines = rabbitmqctl(&["list_bindings", "source_name", "routing_key"]).await;
    lines.iter().filter(|it| **it == format!("amq.topic\t{key}")).count()
}

#[tokio::test]
async fn a_thousand_subscribers_cost_the_broker_one_binding_and_one_delivery() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let topic = fixture.topic("news");
    let mut readers = Vec::new();
    for _ in 0..1_000 {
        let mut reader = fixture.open().await;
        reader.subscribe(&topic).await;
        readers.push(reader);
    }
    fixture.open().await.publish(&topic, "extra").await;
    for reader in &mut readers {
        reader.expect(&["extra"]).await;
    }
    assert_eq!(gateway.metric("feed_deliveries_total", ""), 1.0);
    assert_eq!(gateway.metric("feed_bindings", ""), 1.0);
    assert_eq!(gateway.metric("private_channels", ""), 0.0);
    assert_eq!(bindings(&topic).await, 1);
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_subscriber_binds_and_the_last_one_unbinds_after_the_linger() {
    let unbind_linger = Duration::from_millis(100);
    let gateway = Gateway::connected(Settings { unbind_linger, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let (mut first, mut second) = (fixture.open().await, fixture.open().await);
    let topic = fixture.topic("a.*");
    assert_eq!(bindings(&topic).await, 0);
    first.subscribe(&topic).await;
    let key = second.subscribe(&topic).await;
    assert_eq!(bindings(&topic).await, 1);
    first.close();
    assert_eq!(bindings(&topic).await, 1);
    second.unsubscribe(key).await;
    eventually("it is unbound", async || gateway.metric("feed_bindings", "") == 0.0).await;
    assert_eq!(bindings(&topic).await, 0);
    second.subscribe(&topic).await;
    assert_eq!(bindings(&topic).await, 1);
    second.publish(&fixture.topic("a.b"), "heard").await;
    second.expect(&["heard"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_topic_stays_bound_during_the_linger() {
    let unbind_linger = Duration::from_secs(3_600);
    let gateway = Gateway::connected(Settings { unbind_linger, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let topic = fixture.topic("a");
    let mut session = fixture.open().await;
    let key = session.subscribe(&topic).await;
    session.unsubscribe(key).await;
    session.close();
    assert_eq!(bindings(&topic).await, 1);
    // The gateway's queues, and with them their bindings, go with its connections.
    gateway.stop().await;
    eventually("nothing is left of it", async || bindings(&topic).await == 0).await;
}

#[tokio::test]
async fn a_message_for_patterns_of_all_shards_reaches_each_subscription_once() {
    let gateway = Gateway::connected(Settings { feed_shards: 3, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let mut keys = Vec::new();
    for words in ["a.b.c", "a.b.*", "a.*.c", "*.b.c", "a.#", "#", "a.*.*", "#.c"] {
        keys.push(session.subscribe(&fixture.topic(words)).await);
    }
    session.publish(&fixture.topic("a.b.c"), "x").await;
    let mut received = Vec::new();
    for _ in &keys {
        received.push(session.receive().await.subscription);
    }
    received.sort_unstable();
    assert_eq!(received, keys);
    let deliveries = gateway.metric("feed_deliveries_total", "");
    assert!((2.0..=3.0).contains(&deliveries), "one for each shard that has a pattern, not {deliveries}");
    session.expect_nothing();
    gateway.stop().await;
}

#[tokio::test]
async fn subscribers_who_come_and_go_while_the_pattern_is_unbound_miss_nothing() {
    let gateway = Gateway::connected(Settings { unbind_linger: Duration::ZERO, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let topic = fixture.topic("a");
    // With no linger each round meets the unbind of the one before: queued, in flight, or done.
    for round in 0..200 {
        let key = reader.subscribe(&topic).await;
        let body = round.to_string();
        sender.publish(&topic, &body).await;
        reader.expect(&[&body]).await;
        reader.unsubscribe(key).await;
    }
    eventually("all is unbound", async || gateway.metric("feed_bindings", "") == 0.0).await;
    gateway.stop().await;
}
