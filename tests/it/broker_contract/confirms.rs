//! A publish is confirmed, whoever listens, and publishes keep their order.

use futures::FutureExt;

use super::fixture::{Fixture, body, done};

pub(crate) async fn a_topic_without_subscribers_is_confirmed(fixture: Fixture) {
    let mut sender = fixture.open().await;
    sender.publish(&fixture.topic("nobody"), "x").await;
    let key = sender.subscribe(&fixture.topic("nobody")).await;
    sender.unsubscribe(key).await;
    sender.publish(&fixture.topic("nobody"), "x").await;
    sender.expect_nothing();
}

pub(crate) async fn publishes_are_confirmed_in_their_order(fixture: Fixture) {
    let mut sender = fixture.open().await;
    let destinations = [fixture.queue("a"), fixture.topic("b"), fixture.queue("c")];
    let mut pending: Vec<_> =
        (0..60).map(|it| sender.start_publish(&destinations[it % destinations.len()], "x")).collect();
    let last = pending.pop().expect("there are 60");
    done(last).await;
    for earlier in pending {
        earlier.now_or_never().expect("confirmed before the last").expect("the broker does it");
    }
}

pub(crate) async fn publishes_to_several_destinations_keep_their_order_in_each(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let destinations = [fixture.queue("a"), fixture.topic("b"), fixture.queue("c")];
    let mut keys = Vec::new();
    for destination in &destinations {
        keys.push(reader.subscribe(destination).await);
    }
    let pending: Vec<_> = (0..90).map(|it| sender.start_publish(&destinations[it % 3], &it.to_string())).collect();
    let mut received = [const { Vec::new() }; 3];
    for _ in &pending {
        let delivery = reader.receive().await;
        let index = keys.iter().position(|it| *it == delivery.subscription).expect("it is one of them");
        received[index].push(body(&delivery).parse::<usize>().unwrap());
    }
    for (index, numbers) in received.iter().enumerate() {
        assert_eq!(*numbers, (index..90).step_by(3).collect::<Vec<_>>());
    }
    for it in pending {
        done(it).await;
    }
}

pub(crate) async fn a_link_that_closes_keeps_what_was_confirmed(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    sender.publish_all(&fixture.queue("a"), &["1", "2"]).await;
    drop(sender);
    reader.subscribe(&fixture.queue("a")).await;
    reader.expect(&["1", "2"]).await;
}
