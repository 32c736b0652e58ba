//! What is published arrives as it was.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::fixture::Fixture;

/// Publishes to a topic and to a queue, and compares what arrives.
async fn check_round_trip(fixture: Fixture, headers: &[(&str, &str)], body: &[u8]) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    for destination in [fixture.topic("a"), fixture.queue("a")] {
        reader.subscribe(&destination).await;
        sender.publish_with(&destination, headers, body).await;
        let delivery = reader.receive().await;
        assert!(delivery.message.body() == body, "{destination}: {} bytes", delivery.message.body().len());
        let received: HashMap<_, _> = delivery.message.headers().iter().collect();
        for (name, value) in headers {
            assert_eq!(received.get(name), Some(value), "{destination}: {name}");
        }
        assert_eq!(delivery.message.destination(), destination.to_string());
    }
}

pub(crate) async fn a_body_of_a_mebibyte_arrives(fixture: Fixture) {
    let body: Vec<u8> = (0..1024 * 1024_u32).map(|it| (it % 251) as u8).collect();
    check_round_trip(fixture, &[], &body).await;
}

pub(crate) async fn a_body_of_every_byte_arrives(fixture: Fixture) {
    let body: Vec<u8> = (0..=255).chain([0, 0, 0]).collect();
    check_round_trip(fixture, &[], &body).await;
}

pub(crate) async fn an_empty_body_arrives(fixture: Fixture) {
    check_round_trip(fixture, &[], b"").await;
}

pub(crate) async fn headers_of_any_text_arrive(fixture: Fixture) {
    let headers = [("grüße", "привет 水 🦀"), ("colon:", "a:b\nc\\d\r"), ("empty", ""), (" spaced ", "  x  ")];
    check_round_trip(fixture, &headers, b"x").await;
}

pub(crate) async fn many_headers_arrive(fixture: Fixture) {
    let headers: Vec<_> = (0..90).map(|it| (format!("name-{it}"), format!("value {it}"))).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    check_round_trip(fixture, &headers, b"x").await;
}

pub(crate) async fn headers_with_a_meaning_elsewhere_arrive(fixture: Fixture) {
    let headers = [
        ("content-type", "application/json"),
        ("correlation-id", "c-1"),
        ("priority", "4"),
        ("persistent", "true"),
        ("type", "order"),
        ("reply-to", "/queue/answers"),
        ("expiration", "600000"),
    ];
    check_round_trip(fixture, &headers, b"{}").await;
}

pub(crate) async fn message_ids_are_unique(fixture: Fixture) {
    let (mut one, mut two, mut reader) = (fixture.open().await, fixture.open().await, fixture.open().await);
    reader.subscribe(&fixture.topic("#")).await;
    let mut ids = HashSet::new();
    for _ in 0..10 {
        for sender in [&mut one, &mut two] {
            sender.publish(&fixture.topic("a"), "x").await;
            assert!(ids.insert(reader.receive().await.message.id().to_owned()));
        }
    }
}

pub(crate) async fn a_wildcard_subscription_is_shown_the_published_topic(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe(&fixture.topic("a.#")).await;
    sender.publish(&fixture.topic("a.b.c"), "x").await;
    assert_eq!(reader.receive().await.message.destination(), fixture.topic("a.b.c").to_string());
}

pub(crate) async fn an_expired_message_is_not_delivered(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let queue = fixture.queue("a");
    sender.publish_with(&queue, &[("expiration", "20")], b"short").await;
    sender.publish_with(&queue, &[("expiration", "600000")], b"long").await;
    sender.publish_with(&queue, &[("expiration", "20")], b"short").await;
    sender.publish(&queue, "forever").await;
    fixture.elapse(Duration::from_millis(50)).await;
    reader.subscribe(&queue).await;
    reader.expect(&["long", "forever"]).await;
    reader.expect_nothing();
}
