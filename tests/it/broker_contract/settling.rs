//! Acknowledgements, redelivery and what a closed link leaves behind.

use stompgate::destination::Destination;
use stompgate::message::AckToken;
use stompgate::session::{AckMode, Verdict};

use super::fixture::{Fixture, Session, token};

/// A reader that has received `1`, `2` and `3` of five messages and settled none.
async fn three_of_five(fixture: &Fixture, queue: &Destination) -> (Session, Vec<AckToken>) {
    let mut reader = fixture.open().await;
    reader.publish_all(queue, &["1", "2", "3", "4", "5"]).await;
    reader.subscribe_with(queue, AckMode::ClientIndividual, 3).await;
    let tokens = reader.expect(&["1", "2", "3"]).await.iter().map(token).collect();
    (reader, tokens)
}

/// What a new consumer of that queue gets, and for each whether it is marked as redelivered.
async fn expect_left(fixture: &Fixture, queue: &Destination, left: &[(&str, bool)]) {
    let mut reader = fixture.open().await;
    reader.subscribe(queue).await;
    let bodies: Vec<_> = left.iter().map(|(body, _)| *body).collect();
    let deliveries = reader.expect(&bodies).await;
    let redelivered: Vec<_> = deliveries.iter().map(|it| it.redelivered).collect();
    assert_eq!(redelivered, left.iter().map(|(_, it)| *it).collect::<Vec<_>>(), "{bodies:?}");
    // The queue has nothing between this and the last one.
    reader.publish(queue, "end").await;
    reader.expect(&["end"]).await;
}

pub(crate) async fn what_is_accepted_is_gone(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens, Verdict::Accepted);
    reader.expect(&["4", "5"]).await;
    reader.close();
    expect_left(&fixture, &queue, &[("4", true), ("5", true)]).await;
}

pub(crate) async fn what_is_discarded_is_gone(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens[1..2], Verdict::Discarded);
    reader.expect(&["4"]).await;
    reader.close();
    expect_left(&fixture, &queue, &[("1", true), ("3", true), ("4", true), ("5", false)]).await;
}

pub(crate) async fn what_is_requeued_comes_again_before_what_is_younger(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens, Verdict::Requeued);
    let again = reader.expect(&["1", "2", "3"]).await;
    assert!(again.iter().all(|it| it.redelivered));
    let tokens: Vec<_> = again.iter().map(token).collect();
    reader.settle(&tokens, Verdict::Accepted);
    let rest = reader.expect(&["4", "5"]).await;
    assert!(rest.iter().all(|it| !it.redelivered));
}

pub(crate) async fn what_is_requeued_can_go_to_another_consumer(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut one, tokens) = three_of_five(&fixture, &queue).await;
    let mut two = fixture.open().await;
    two.subscribe_with(&queue, AckMode::Client, 64).await;
    two.expect(&["4", "5"]).await;
    let key = one.subscribe(&fixture.queue("another")).await;
    one.unsubscribe(key).await;
    one.settle(&tokens[..1], Verdict::Requeued);
    // Whoever has credit gets it; the first has credit for one again.
    one.close();
    let deliveries = two.expect(&["1", "2", "3"]).await;
    assert!(deliveries.iter().all(|it| it.redelivered));
}

pub(crate) async fn a_closed_link_returns_what_is_unsettled_in_order(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (reader, _) = three_of_five(&fixture, &queue).await;
    reader.close();
    let left = [("1", true), ("2", true), ("3", true), ("4", false), ("5", false)];
    expect_left(&fixture, &queue, &left).await;
}

pub(crate) async fn a_dropped_link_returns_what_is_unsettled_as_well(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens[..1], Verdict::Accepted);
    reader.expect(&["4"]).await;
    drop(reader);
    expect_left(&fixture, &queue, &[("2", true), ("3", true), ("4", true), ("5", false)]).await;
}

pub(crate) async fn a_consumer_that_waits_gets_what_a_closed_link_returns(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (reader, _) = three_of_five(&fixture, &queue).await;
    let mut waiting = fixture.open().await;
    waiting.subscribe(&queue).await;
    waiting.expect(&["4", "5"]).await;
    reader.close();
    let deliveries = waiting.expect(&["1", "2", "3"]).await;
    assert!(deliveries.iter().all(|it| it.redelivered));
}

pub(crate) async fn settling_gives_credit_back(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe_with(&fixture.queue("a"), AckMode::Client, 1).await;
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3"]).await;
    for (expected, verdict) in [("1", Verdict::Accepted), ("2", Verdict::Discarded), ("3", Verdict::Accepted)] {
        let delivery = reader.expect(&[expected]).await.remove(0);
        reader.expect_nothing();
        reader.settle(&[token(&delivery)], verdict);
    }
}

pub(crate) async fn an_unknown_token_is_ignored(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    let unknown = |scope, tag| AckToken { scope, tag };
    let known = tokens[0];
    for verdict in [Verdict::Accepted, Verdict::Discarded, Verdict::Requeued] {
        reader.settle(&[unknown(known.scope, u64::MAX), unknown(u64::MAX, known.tag), unknown(0, 0)], verdict);
    }
    reader.settle(&tokens, Verdict::Accepted);
    reader.expect(&["4", "5"]).await;
}

pub(crate) async fn settling_twice_changes_nothing(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens, Verdict::Accepted);
    reader.settle(&tokens, Verdict::Accepted);
    reader.settle(&tokens, Verdict::Requeued);
    let rest: Vec<_> = reader.expect(&["4", "5"]).await.iter().map(token).collect();
    reader.settle(&[rest[0], rest[0], rest[1]], Verdict::Accepted);
    reader.publish(&queue, "6").await;
    reader.expect(&["6"]).await;
    reader.close();
    expect_left(&fixture, &queue, &[("6", true)]).await;
}

pub(crate) async fn the_token_of_one_delivery_does_not_settle_the_next(fixture: Fixture) {
    let queue = fixture.queue("a");
    let (mut reader, tokens) = three_of_five(&fixture, &queue).await;
    reader.settle(&tokens[..1], Verdict::Requeued);
    let again = reader.expect(&["1"]).await.remove(0);
    assert_ne!(token(&again), tokens[0]);
    reader.settle(&tokens[..1], Verdict::Accepted);
    reader.close();
    let left = [("1", true), ("2", true), ("3", true), ("4", false), ("5", false)];
    expect_left(&fixture, &queue, &left).await;
}

pub(crate) async fn what_was_delivered_is_settled_after_the_unsubscribe_too(fixture: Fixture) {
    let (queue, mut reader) = (fixture.queue("a"), fixture.open().await);
    reader.publish_all(&queue, &["1", "2", "3"]).await;
    let key = reader.subscribe_with(&queue, AckMode::Client, 2).await;
    let tokens: Vec<_> = reader.expect(&["1", "2"]).await.iter().map(token).collect();
    reader.unsubscribe(key).await;
    reader.settle(&tokens[..1], Verdict::Accepted);
    reader.close();
    expect_left(&fixture, &queue, &[("2", true), ("3", false)]).await;
}

pub(crate) async fn what_is_unsettled_stays_so_after_the_unsubscribe(fixture: Fixture) {
    let (queue, mut holder, mut other) = (fixture.queue("a"), fixture.open().await, fixture.open().await);
    holder.publish_all(&queue, &["1", "2"]).await;
    let key = holder.subscribe_with(&queue, AckMode::Client, 1).await;
    let held = holder.expect(&["1"]).await.remove(0);
    holder.unsubscribe(key).await;
    other.subscribe(&queue).await;
    other.expect(&["2"]).await;
    other.publish(&queue, "3").await;
    other.expect(&["3"]).await;
    holder.settle(&[token(&held)], Verdict::Requeued);
    let again = other.expect(&["1"]).await.remove(0);
    assert!(again.redelivered);
    holder.expect_nothing();
}

pub(crate) async fn many_tokens_are_settled_at_once(fixture: Fixture) {
    let (queue, mut reader) = (fixture.queue("a"), fixture.open().await);
    let bodies: Vec<_> = (0..100).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    reader.publish_all(&queue, &bodies).await;
    reader.subscribe_with(&queue, AckMode::Client, 90).await;
    let tokens: Vec<_> = reader.expect(&bodies[..90]).await.iter().map(token).collect();
    reader.settle(&tokens, Verdict::Accepted);
    reader.expect(&bodies[90..]).await;
}

pub(crate) async fn tokens_of_two_subscriptions_are_settled_together(fixture: Fixture) {
    let (one, two, mut reader) = (fixture.queue("one"), fixture.queue("two"), fixture.open().await);
    for queue in [&one, &two] {
        reader.publish_all(queue, &["1", "2"]).await;
        reader.subscribe_with(queue, AckMode::Client, 1).await;
    }
    let tokens: Vec<_> = reader.expect(&["1", "1"]).await.iter().map(token).collect();
    reader.settle(&tokens, Verdict::Accepted);
    reader.expect(&["2", "2"]).await;
    reader.expect_nothing();
}
