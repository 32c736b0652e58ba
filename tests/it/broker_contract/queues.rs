//! Queues give each message to one consumer, wait, and keep their order.

use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Verdict};

use super::fixture::{Fixture, body, token};

pub(crate) async fn a_queue_message_waits_for_its_consumer(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3"]).await;
    sender.close();
    let key = reader.subscribe(&fixture.queue("a")).await;
    for delivery in reader.expect(&["1", "2", "3"]).await {
        assert_eq!(delivery.subscription, key);
        assert_eq!(delivery.message.destination(), fixture.queue("a").to_string());
        assert!(!delivery.redelivered);
    }
}

pub(crate) async fn a_queue_keeps_the_order_of_its_publisher(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe_with(&fixture.queue("a"), AckMode::Auto, 7).await;
    let bodies: Vec<_> = (0..200).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    sender.publish_all(&fixture.queue("a"), &bodies).await;
    reader.expect(&bodies).await;
}

pub(crate) async fn each_queue_message_goes_to_one_of_its_consumers(fixture: Fixture) {
    let (mut sender, mut one, mut two) = (fixture.open().await, fixture.open().await, fixture.open().await);
    for reader in [&mut one, &mut two] {
        reader.subscribe_with(&fixture.queue("a"), AckMode::Client, 5).await;
    }
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]).await;
    let (mut all, mut previous) = (Vec::new(), 0);
    for reader in [&mut one, &mut two] {
        for _ in 0..5 {
            let number: u32 = body(&reader.receive().await).parse().unwrap();
            assert!(previous < number, "each consumer sees the order of the queue");
            all.push(number);
            previous = number;
        }
        previous = 0;
        reader.expect_nothing();
    }
    all.sort_unstable();
    assert_eq!(all, (1..=10).collect::<Vec<_>>());
}

pub(crate) async fn consumers_with_credit_take_turns(fixture: Fixture) {
    let (mut sender, mut one, mut two) = (fixture.open().await, fixture.open().await, fixture.open().await);
    for reader in [&mut one, &mut two] {
        reader.subscribe_with(&fixture.queue("a"), AckMode::Client, 64).await;
    }
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3", "4"]).await;
    one.expect(&["1", "3"]).await;
    two.expect(&["2", "4"]).await;
}

pub(crate) async fn a_consumer_without_credit_is_passed_over(fixture: Fixture) {
    let (mut sender, mut slow, mut fast) = (fixture.open().await, fixture.open().await, fixture.open().await);
    slow.subscribe_with(&fixture.queue("a"), AckMode::Client, 2).await;
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3", "4", "5"]).await;
    let held = slow.expect(&["1", "2"]).await;
    fast.subscribe_with(&fixture.queue("a"), AckMode::Client, 64).await;
    fast.expect(&["3", "4", "5"]).await;
    slow.expect_nothing();
    slow.settle(&[token(&held[0])], Verdict::Accepted);
    // Answered after the settlement was heard, which by itself is answered by nothing.
    slow.subscribe(&fixture.queue("b")).await;
    sender.publish_all(&fixture.queue("a"), &["6", "7", "8"]).await;
    // One of them to the consumer that has credit for one, the others to the one that has more.
    assert!(["6", "7", "8"].contains(&&*body(&slow.receive().await)));
    fast.receive().await;
    fast.receive().await;
    slow.expect_nothing();
}

pub(crate) async fn every_ack_mode_is_held_to_its_prefetch(fixture: Fixture) {
    for (name, ack) in [("a", AckMode::Auto), ("c", AckMode::Client), ("i", AckMode::ClientIndividual)] {
        let (mut sender, mut slow, mut witness) = (fixture.open().await, fixture.open().await, fixture.open().await);
        slow.subscribe_with(&fixture.queue(name), ack, 1).await;
        sender.publish_all(&fixture.queue(name), &["1", "2"]).await;
        // Not settled by the fixture, unlike what `receive` returns.
        let Item::Delivery(first) = slow.next_item().await else { panic!("a delivery comes first") };
        assert_eq!(body(&first), "1");
        witness.subscribe(&fixture.queue(name)).await;
        witness.expect(&["2"]).await;
        slow.expect_nothing();
        slow.settle(&[token(&first)], Verdict::Accepted);
    }
}

pub(crate) async fn an_unsubscribed_consumer_is_passed_over(fixture: Fixture) {
    let (mut sender, mut gone, mut kept) = (fixture.open().await, fixture.open().await, fixture.open().await);
    let key = gone.subscribe(&fixture.queue("a")).await;
    kept.subscribe(&fixture.queue("a")).await;
    gone.unsubscribe(key).await;
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3"]).await;
    kept.expect(&["1", "2", "3"]).await;
    gone.expect_nothing();
}

pub(crate) async fn a_queue_without_consumers_keeps_what_comes(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let key = reader.subscribe(&fixture.queue("a")).await;
    sender.publish(&fixture.queue("a"), "1").await;
    reader.expect(&["1"]).await;
    reader.unsubscribe(key).await;
    sender.publish_all(&fixture.queue("a"), &["2", "3"]).await;
    reader.subscribe(&fixture.queue("a")).await;
    reader.expect(&["2", "3"]).await;
}

pub(crate) async fn wildcards_in_a_queue_name_are_part_of_the_name(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe(&fixture.queue("a.*")).await;
    sender.publish(&fixture.queue("a.b"), "another queue").await;
    sender.publish(&fixture.queue("a.*"), "this one").await;
    reader.expect(&["this one"]).await;
    reader.expect_nothing();
}

pub(crate) async fn a_queue_name_may_hold_slashes_and_any_letters(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let queue = fixture.queue("a/b grüße 水");
    reader.subscribe(&queue).await;
    sender.publish(&queue, "hello").await;
    let delivery = reader.expect(&["hello"]).await.remove(0);
    assert_eq!(Destination::parse(delivery.message.destination()), Ok(queue));
}

pub(crate) async fn a_queue_and_a_topic_of_one_name_are_two_things(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let topic = reader.subscribe(&fixture.topic("same")).await;
    let queue = reader.subscribe(&fixture.queue("same")).await;
    sender.publish(&fixture.topic("same"), "t").await;
    assert_eq!(reader.expect(&["t"]).await[0].subscription, topic);
    sender.publish(&fixture.queue("same"), "q").await;
    assert_eq!(reader.expect(&["q"]).await[0].subscription, queue);
    reader.expect_nothing();
}

pub(crate) async fn two_consumers_of_one_session_compete_too(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let one = reader.subscribe_with(&fixture.queue("a"), AckMode::Client, 1).await;
    let two = reader.subscribe_with(&fixture.queue("a"), AckMode::Client, 1).await;
    sender.publish_all(&fixture.queue("a"), &["1", "2", "3"]).await;
    let mut keys = [reader.receive().await.subscription, reader.receive().await.subscription];
    keys.sort_unstable();
    assert_eq!(keys, [one, two]);
    reader.expect_nothing();
}

/// A consumer is given up to its prefetch at once, before any client could have read some of it.
pub(crate) async fn a_backlog_larger_than_the_send_buffer_reaches_its_consumer(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let bodies: Vec<_> = (0..64).map(|it| format!("{it} {}", "x".repeat(32 * 1024))).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    sender.publish_all(&fixture.queue("a"), &bodies).await;
    reader.subscribe(&fixture.queue("a")).await;
    reader.expect(&bodies).await;
}
