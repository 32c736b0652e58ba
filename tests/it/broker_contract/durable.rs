//! Durable subscriptions to topics, and queues for replies.

use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault, Verdict};

use super::fixture::{Fixture, body, token};

pub(crate) async fn a_durable_subscription_keeps_what_comes_while_nobody_is_connected(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe_durably(&fixture.topic("a.*"), "mine").await;
    reader.close();
    sender.publish_all(&fixture.topic("a.b"), &["1", "2"]).await;
    let mut again = fixture.open().await;
    again.subscribe_durably(&fixture.topic("a.*"), "mine").await;
    again.expect(&["1", "2"]).await;
    sender.publish(&fixture.topic("a.c"), "3").await;
    again.expect(&["3"]).await;
}

pub(crate) async fn two_sessions_with_one_durable_id_compete(fixture: Fixture) {
    let (mut sender, mut one, mut two) = (fixture.open().await, fixture.open().await, fixture.open().await);
    one.subscribe_durably(&fixture.topic("a"), "shared").await;
    two.subscribe_durably(&fixture.topic("a"), "shared").await;
    sender.publish_all(&fixture.topic("a"), &["1", "2", "3", "4"]).await;
    one.expect(&["1", "3"]).await;
    two.expect(&["2", "4"]).await;
    one.close();
    let returned = two.expect(&["1", "3"]).await;
    assert!(returned.iter().all(|it| it.redelivered));
}

pub(crate) async fn durable_subscriptions_differ_by_id_and_by_topic(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let keys = [
        reader.subscribe_durably(&fixture.topic("a"), "x").await,
        reader.subscribe_durably(&fixture.topic("a"), "y").await,
        reader.subscribe_durably(&fixture.topic("b"), "x").await,
    ];
    sender.publish(&fixture.topic("a"), "1").await;
    let mut reached = [reader.receive().await.subscription, reader.receive().await.subscription];
    reached.sort_unstable();
    assert_eq!(reached, keys[..2]);
    reader.expect_nothing();
}

pub(crate) async fn an_unsubscribe_keeps_a_durable_subscription_unless_it_is_final(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let key = reader.subscribe_durably(&fixture.topic("a"), "mine").await;
    reader.unsubscribe(key).await;
    sender.publish(&fixture.topic("a"), "kept").await;
    let key = reader.subscribe_durably(&fixture.topic("a"), "mine").await;
    reader.expect(&["kept"]).await;
    reader.unsubscribe_finally(key).await;
    sender.publish(&fixture.topic("a"), "for nobody").await;
    reader.subscribe_durably(&fixture.topic("a"), "mine").await;
    sender.publish(&fixture.topic("a"), "new").await;
    reader.expect(&["new"]).await;
    reader.expect_nothing();
}

pub(crate) async fn a_final_unsubscribe_ends_the_other_sessions_of_that_id(fixture: Fixture) {
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    let mine = one.subscribe_durably(&fixture.topic("a"), "shared").await;
    let theirs = two.subscribe_durably(&fixture.topic("a"), "shared").await;
    one.unsubscribe_finally(mine).await;
    assert!(matches!(two.next_item().await, Item::SubscriptionEnded(key) if key == theirs));
    one.expect_nothing();
}

pub(crate) async fn replies_come_to_the_session_that_asked(fixture: Fixture) {
    let (mut client, mut server, mut other) = (fixture.open().await, fixture.open().await, fixture.open().await);
    server.subscribe(&fixture.queue("service")).await;
    let key = client.new_key(AckMode::Auto);
    let mut addresses = Vec::new();
    for question in ["one?", "two?"] {
        client.ask(&fixture.queue("service"), key, question).await;
        let request = server.expect(&[question]).await.remove(0);
        let address = request.message.headers().get("reply-to").expect("the back end writes it").to_owned();
        addresses.push(address.clone());
        // Anybody may answer who was told the address.
        let replier = if question == "one?" { &mut server } else { &mut other };
        replier.publish(&Destination::parse(&address).unwrap(), "answer").await;
        let answer = client.expect(&["answer"]).await.remove(0);
        assert_eq!(answer.subscription, key);
        let name = address.strip_prefix("/reply-queue/").expect("an address for replies");
        assert!(answer.message.destination().ends_with(&format!("/{name}")), "{:?}", answer.message.destination());
    }
    assert_eq!(addresses[0], addresses[1], "one reply queue for all uses of its name");
}

pub(crate) async fn two_names_for_replies_are_two_queues(fixture: Fixture) {
    let (mut client, mut server) = (fixture.open().await, fixture.open().await);
    server.subscribe(&fixture.queue("service")).await;
    for question in ["one?", "two?"] {
        let key = client.new_key(AckMode::Auto);
        client.ask(&fixture.queue("service"), key, question).await;
        let request = server.expect(&[question]).await.remove(0);
        let address = Destination::parse(request.message.headers().get("reply-to").unwrap()).unwrap();
        server.publish(&address, "answer").await;
        assert_eq!(client.expect(&["answer"]).await[0].subscription, key);
    }
}

pub(crate) async fn a_reply_queue_ends_with_its_session(fixture: Fixture) {
    let (mut client, mut server) = (fixture.open().await, fixture.open().await);
    server.subscribe(&fixture.queue("service")).await;
    let key = client.new_key(AckMode::Auto);
    client.ask(&fixture.queue("service"), key, "?").await;
    let request = server.receive().await;
    let address = Destination::parse(request.message.headers().get("reply-to").unwrap()).unwrap();
    client.close();
    let outcome = server.start_publish(&address, "too late").await;
    assert!(matches!(outcome, Err(Fault::Refused(_))), "{outcome:?}");
}

pub(crate) async fn a_reply_queue_that_never_was_takes_nothing(fixture: Fixture) {
    let mut sender = fixture.open().await;
    let outcome = sender.start_publish(&Destination::ReplyQueue("guessed".into()), "x").await;
    assert!(matches!(outcome, Err(Fault::Refused(_))), "{outcome:?}");
}

pub(crate) async fn a_durable_subscription_returns_what_is_unsettled(fixture: Fixture) {
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe_durably(&fixture.topic("a"), "mine").await;
    sender.publish_all(&fixture.topic("a"), &["1", "2", "3"]).await;
    let deliveries = reader.expect(&["1", "2", "3"]).await;
    reader.settle(&[token(&deliveries[1])], Verdict::Accepted);
    drop(reader);
    let mut again = fixture.open().await;
    again.subscribe_durably(&fixture.topic("a"), "mine").await;
    let returned = again.expect(&["1", "3"]).await;
    assert!(returned.iter().all(|it| it.redelivered), "{:?}", returned.iter().map(body).collect::<Vec<_>>());
}
