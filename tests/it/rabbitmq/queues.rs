//! Queues: what one session's troubles mean for the others, and what others can do to a queue.

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use stompgate::broker::amqp::Settings;
use stompgate::broker::{Link, Pending};
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault, Publish, Verdict};
use stompgate::stomp::Headers;

use super::Gateway;
use super::support::{eventually, foreign_channel, variable};
use crate::broker_contract::fixture::{body, token};

fn name(queue: &Destination) -> lapin::types::ShortString {
    let Destination::Queue(name) = queue else { panic!("{queue} is no queue") };
    (&**name).into()
}

/// Makes a queue that is not as the gateway would declare it.
async fn declare_with_length(channel: &Channel, queue: &Destination) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(10));
    channel.queue_declare(name(queue), options, arguments).await.unwrap();
}

fn publish(link: &mut Link, destination: &Destination, headers: &[(&str, &str)]) -> Pending {
    let (headers, body) = (Headers::from_iter(headers.iter().copied()), "x".into());
    link.publish(Publish { destination: destination.clone(), headers, body, reply_to: None })
}

#[tokio::test]
async fn a_deleted_queue_ends_its_subscription_and_no_other() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (gone, kept) = (fixture.queue("gone"), fixture.queue("kept"));
    let ended = session.subscribe(&gone).await;
    session.subscribe(&kept).await;
    foreign_channel().await.queue_delete(name(&gone), QueueDeleteOptions::default()).await.unwrap();
    match session.next_item().await {
        Item::SubscriptionEnded(key) => assert_eq!(key, ended),
        other => panic!("{other:?}"),
    }
    session.unsubscribe(ended).await;
    session.publish(&kept, "still here").await;
    session.expect(&["still here"]).await;
    gateway.stop().await;
}

/// The same session, which once declared it, must not be told by a closed channel that the queue is not there.
#[tokio::test]
async fn a_deleted_queue_can_be_subscribed_again_and_costs_no_other_subscription() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (gone, kept) = (fixture.queue("gone"), fixture.queue("kept"));
    session.subscribe(&kept).await;
    session.subscribe(&gone).await;
    foreign_channel().await.queue_delete(name(&gone), QueueDeleteOptions::default()).await.unwrap();
    assert!(matches!(session.next_item().await, Item::SubscriptionEnded(_)));
    session.subscribe(&gone).await;
    for queue in [&gone, &kept] {
        session.publish(queue, "still here").await;
        session.expect(&["still here"]).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_queue_that_was_declared_otherwise_is_refused_and_costs_nobody_a_channel() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (odd, even) = (fixture.queue("odd"), fixture.queue("even"));
    declare_with_length(&foreign_channel().await, &odd).await;
    let mut session = fixture.open().await;
    session.subscribe(&even).await;
    for _ in 0..2 {
        let (_, subscribe) = session.start_subscribe(&odd, AckMode::Auto, 1);
        let outcomes = [subscribe.await, session.start_publish(&odd, "x").await];
        for outcome in outcomes {
            let Err(Fault::Amqp { name: "precondition_failed", text }) = outcome else { panic!("{outcome:?}") };
            assert!(text.starts_with("PRECONDITION_FAILED - inequivalent arg 'x-max-length'"), "{text}");
            assert!(!text.contains("vhost"), "{text}");
        }
    }
    session.publish(&even, "still here").await;
    session.expect(&["still here"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_rabbitmq_would_close_a_channel_for_is_refused_in_its_turn_and_the_others_go_on() {
    let settings = Settings { publishers: 1, message_bytes_max: 1_000, ..Settings::default() };
    let gateway = Gateway::connected(settings).await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let topic = fixture.topic("a");
    other.subscribe(&topic).await;
    let bad = [("expiration", "soon"), ("user-id", "somebody"), ("CC", "x"), ("priority", "300")];
    let bad = bad.map(|header| publish(careless.link(), &topic, &[header]));
    let large = careless.start_publish(&topic, &"x".repeat(1_001));
    let good = careless.start_publish(&topic, "good");
    for refused in bad.into_iter().chain([large]) {
        let outcome = refused.await;
        assert!(matches!(outcome, Err(Fault::Refused(_))), "{outcome:?}");
    }
    assert_eq!(good.await, Ok(()));
    other.publish(&topic, "also good").await;
    other.expect(&["good", "also good"]).await;
    assert_eq!(gateway.metric("publishes_total", "failed"), 5.0);
    assert_eq!(gateway.metric("publishes_total", "confirmed"), 2.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_publish_beyond_the_bytes_that_may_wait_is_refused_by_the_name_of_the_bound() {
    let setting = "broker.amqp.publish_queue_bytes_max";
    let gateway = Gateway::connected(Settings { publish_queue_bytes_max: 10_000, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let topic = fixture.topic("a");
    let all = session.start_publish(&topic, &"x".repeat(10_000));
    let beyond = session.start_publish(&topic, "x");
    let what = "The queue of messages for RabbitMQ".to_owned();
    assert_eq!(beyond.await, Err(Fault::Full { what, max: 10_000, unit: "bytes", setting }));
    assert_eq!(all.await, Ok(()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_has_a_channel_only_while_it_has_queues() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    one.subscribe(&fixture.topic("a")).await;
    one.publish(&fixture.queue("a"), "x").await;
    assert_eq!(gateway.metric("private_channels", ""), 0.0);
    one.subscribe(&fixture.queue("a")).await;
    one.subscribe(&fixture.queue("b")).await;
    two.subscribe(&fixture.queue("a")).await;
    assert_eq!(gateway.metric("private_channels", ""), 2.0);
    one.close();
    eventually("the channel is closed", async || gateway.metric("private_channels", "") == 1.0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn settlements_are_counted_by_verdict() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let queue = fixture.queue("a");
    session.subscribe_with(&queue, AckMode::ClientIndividual, 10).await;
    session.publish_all(&queue, &["1", "2", "3"]).await;
    let tokens: Vec<_> = session.expect(&["1", "2", "3"]).await.iter().map(token).collect();
    session.settle(&tokens[..2], Verdict::Accepted);
    session.settle(&tokens[..1], Verdict::Accepted);
    session.settle(&tokens[2..], Verdict::Requeued);
    let again = session.receive().await;
    assert_eq!((body(&again), again.redelivered), ("3".to_owned(), true));
    let counts = ["accepted", "requeued", "discarded"].map(|it| gateway.metric("settlements_total", it));
    assert_eq!(counts, [2.0, 1.0, 0.0]);
    gateway.stop().await;
}

/// RabbitMQ lets a publisher send headers in frames of up to 128 KiB.
#[tokio::test]
async fn headers_as_large_as_a_publisher_may_send_arrive() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (topic, queue) = (fixture.topic("a"), fixture.queue("a"));
    session.subscribe(&topic).await;
    session.subscribe(&queue).await;
    let mut headers = FieldTable::default();
    headers.insert("large".into(), AMQPValue::LongString("x".repeat(120_000).into()));
    let properties = BasicProperties::default().with_headers(headers);
    let channel = foreign_channel().await;
    let Destination::Topic(key) = &topic else { panic!("{topic} is no topic") };
    for (exchange, key) in [("amq.topic", (&**key).into()), ("", name(&queue))] {
        let options = BasicPublishOptions::default();
        channel.basic_publish(exchange.into(), key, options, b"x", properties.clone()).await.unwrap();
        let delivery = session.receive().await;
        assert_eq!(delivery.message.headers().get("large").map(str::len), Some(120_000));
    }
    gateway.stop().await;
}

/// RabbitMQ tries each place of each `#` in turn, on the channel that publishes, which many sessions share.
#[tokio::test]
async fn a_pattern_that_would_keep_the_publishers_busy_is_refused() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let hashes = fixture.topic(&["#"; 6].join(".a."));
    for ack in [AckMode::Auto, AckMode::Client] {
        let (_, subscribe) = careless.start_subscribe(&hashes, ack, 1);
        let outcome = subscribe.await;
        assert!(matches!(&outcome, Err(Fault::Refused(text)) if text.contains("'#'")), "{outcome:?}");
    }
    other.publish(&fixture.topic(&["a"; 60].join(".")), "x").await;
    gateway.stop().await;
}

/// What a session needs to declare its queues is not for other sessions to use up.
#[tokio::test]
async fn sessions_that_take_all_channels_leave_publishing_to_queues_alone() {
    let url = format!("{}?channel_max=16", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let mut sessions = Vec::new();
    let refusal = loop {
        let mut session = fixture.open().await;
        let (_, subscribe) = session.start_subscribe(&fixture.queue("one"), AckMode::Auto, 1);
        match subscribe.await {
            Ok(()) => sessions.push(session),
            Err(fault) => break fault,
        }
    };
    assert!(matches!(&refusal, Fault::Refused(text) if text.contains("channel_max")), "{refusal:?}");
    for number in 0..16 {
        fixture.open().await.publish(&fixture.queue(&number.to_string()), "x").await;
    }
    // One that goes makes room for another.
    sessions.pop().expect("some were let in").close();
    let queue = fixture.queue("one");
    eventually("there is room again", async || {
        fixture.open().await.start_subscribe(&queue, AckMode::Auto, 1).1.await.is_ok()
    })
    .await;
    gateway.stop().await;
}
