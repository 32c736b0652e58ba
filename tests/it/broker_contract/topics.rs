//! Topics reach every matching subscription, once.

use stompgate::session::{AckMode, Verdict};

use super::fixture::{Fixture, body, done, token};

pub(crate) async fn a_topic_message_reaches_its_subscriber(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let key = reader.subscribe(&fixture.topic("a")).await;
    sender.publish(&fixture.topic("a"), "hello").await;
    let delivery = reader.expect(&["hello"]).await.remove(0);
    assert_eq!(delivery.subscription, key);
    assert_eq!(delivery.message.destination(), fixture.topic("a").to_string());
    assert!(!delivery.redelivered);
}

pub(crate) async fn what_is_published_after_a_subscribe_reaches_it(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    for round in 0..20 {
        let topic = fixture.topic(&format!("round.{round}"));
        reader.subscribe(&topic).await;
        sender.publish(&topic, "at once").await;
        reader.expect(&["at once"]).await;
    }
}

pub(crate) async fn a_topic_keeps_the_order_of_its_publisher(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe(&fixture.topic("a")).await;
    let bodies: Vec<_> = (0..200).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    sender.publish_all(&fixture.topic("a"), &bodies).await;
    reader.expect(&bodies).await;
}

pub(crate) async fn a_topic_message_reaches_all_of_many_subscribers(fixture: Fixture) {
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut reader = fixture.open().await;
        reader.subscribe(&fixture.topic("a")).await;
        readers.push(reader);
    }
    fixture.open().await.publish_all(&fixture.topic("a"), &["1", "2"]).await;
    for mut reader in readers {
        reader.expect(&["1", "2"]).await;
        reader.expect_nothing();
    }
}

pub(crate) async fn a_publisher_receives_what_it_is_subscribed_to(fixture: Fixture) {
    let mut session = fixture.open().await;
    session.subscribe(&fixture.topic("a")).await;
    session.publish(&fixture.topic("a"), "mine").await;
    session.expect(&["mine"]).await;
}

/// Publishes under each key, with the key as body, and expects those that match.
async fn check(fixture: &Fixture, pattern: &str, keys: &[&str], matching: &[&str]) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe(&fixture.topic(pattern)).await;
    reader.subscribe(&fixture.queue("end")).await;
    for key in keys {
        sender.publish(&fixture.topic(key), key).await;
    }
    sender.publish(&fixture.queue("end"), "end").await;
    // What goes to two destinations need not arrive in the order of the publishes.
    let mut received = Vec::new();
    while received.len() < matching.len() + 1 {
        received.push(body(&reader.receive().await));
    }
    received.retain(|it| it != "end");
    assert_eq!(received, matching, "{pattern}");
    reader.expect_nothing();
}

pub(crate) async fn a_star_stands_for_one_word(fixture: Fixture) {
    check(&fixture, "s.*", &["s.a", "s", "s.a.b", "x.a", "s.b"], &["s.a", "s.b"]).await;
    check(&fixture, "s.*.c", &["s.a.c", "s.c", "s.a.b", "s.a.b.c"], &["s.a.c"]).await;
}

pub(crate) async fn a_hash_stands_for_any_number_of_words(fixture: Fixture) {
    check(&fixture, "h.#", &["h", "h.a", "h.a.b", "x.h"], &["h", "h.a", "h.a.b"]).await;
    check(&fixture, "h.#.z", &["h.z", "h.a.z", "h.a.b.z", "h", "h.z.a"], &["h.z", "h.a.z", "h.a.b.z"]).await;
}

pub(crate) async fn wildcards_in_a_published_topic_are_words_like_others(fixture: Fixture) {
    check(&fixture, "w.a", &["w.*", "w.#", "w.a"], &["w.a"]).await;
    check(&fixture, "w.*", &["w.*", "w.#", "#"], &["w.*", "w.#"]).await;
}

pub(crate) async fn a_pattern_that_matches_in_many_ways_gets_it_once(fixture: Fixture) {
    check(&fixture, "#.m.#", &["m", "m.m.m", "a.m.b.m"], &["m", "m.m.m", "a.m.b.m"]).await;
    check(&fixture, "#.#", &["o.n.c.e"], &["o.n.c.e"]).await;
}

pub(crate) async fn overlapping_subscriptions_of_one_session_each_get_it_once(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let mut keys = Vec::new();
    for pattern in ["a.b", "a.b", "a.*", "a.#", "*.b"] {
        keys.push(reader.subscribe(&fixture.topic(pattern)).await);
    }
    sender.publish(&fixture.topic("a.b"), "once each").await;
    let mut reached = Vec::new();
    for _ in &keys {
        reached.push(reader.receive().await.subscription);
    }
    reached.sort_unstable();
    assert_eq!(reached, keys);
    reader.expect_nothing();
}

pub(crate) async fn an_unsubscribed_topic_is_silent(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let gone = reader.subscribe(&fixture.topic("a")).await;
    let kept = reader.subscribe(&fixture.topic("a")).await;
    reader.unsubscribe(gone).await;
    sender.publish_all(&fixture.topic("a"), &["1", "2"]).await;
    let deliveries = reader.expect(&["1", "2"]).await;
    assert!(deliveries.iter().all(|it| it.subscription == kept));
    reader.expect_nothing();
}

pub(crate) async fn a_topic_can_be_subscribed_again(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    for round in ["1", "2", "3"] {
        let key = reader.subscribe(&fixture.topic("a.*")).await;
        sender.publish(&fixture.topic("a.b"), round).await;
        assert_eq!(reader.expect(&[round]).await[0].subscription, key);
        reader.unsubscribe(key).await;
    }
    sender.publish(&fixture.topic("a.b"), "unheard").await;
    reader.expect_nothing();
}

pub(crate) async fn a_closed_link_leaves_the_others_of_its_topic_alone(fixture: Fixture) {
    let (mut sender, mut staying, mut leaving) = (fixture.open().await, fixture.open().await, fixture.open().await);
    for reader in [&mut staying, &mut leaving] {
        reader.subscribe(&fixture.topic("a")).await;
    }
    sender.publish(&fixture.topic("a"), "before").await;
    staying.expect(&["before"]).await;
    leaving.close();
    sender.publish(&fixture.topic("a"), "after").await;
    staying.expect(&["after"]).await;
}

pub(crate) async fn a_session_that_is_given_up_does_not_disturb_the_others(fixture: Fixture) {
    let (mut sender, mut healthy) = (fixture.open().await, fixture.open().await);
    let mut stuck = fixture.open_with(super::fixture::outbox_of(2)).await;
    for reader in [&mut healthy, &mut stuck] {
        reader.subscribe(&fixture.topic("a")).await;
    }
    sender.publish_all(&fixture.topic("a"), &["1", "2", "3", "4"]).await;
    healthy.expect(&["1", "2", "3", "4"]).await;
}

pub(crate) async fn an_acknowledged_topic_delivers_no_more_than_its_prefetch(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe_with(&fixture.topic("a.*"), AckMode::Client, 2).await;
    let witness = reader.subscribe(&fixture.topic("a.b")).await;
    sender.publish_all(&fixture.topic("a.b"), &["1", "2", "3"]).await;
    let mut acknowledged = Vec::new();
    let mut witnessed = 0;
    while witnessed < 3 || acknowledged.len() < 2 {
        let delivery = reader.receive().await;
        if delivery.subscription == witness { witnessed += 1 } else { acknowledged.push(delivery) }
    }
    reader.expect_nothing();
    reader.settle(&[token(&acknowledged[0]), token(&acknowledged[1])], Verdict::Accepted);
    reader.expect(&["3"]).await;
}

pub(crate) async fn subscribes_that_are_not_waited_for_take_effect_in_order(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let pending: Vec<_> =
        (0..20).map(|it| reader.start_subscribe(&fixture.topic(&format!("n{it}")), AckMode::Auto, 64).1).collect();
    for it in pending {
        done(it).await;
    }
    for it in 0..20 {
        sender.publish(&fixture.topic(&format!("n{it}")), "hello").await;
        reader.expect(&["hello"]).await;
    }
}
