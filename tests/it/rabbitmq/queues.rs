//! Queues: what one session's troubles mean for the others, and what others can do to a queue.

use futures::FutureExt;
use futures::future::join_all;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use stompgate::broker::amqp::Settings;
use stompgate::broker::{Link, Pending};
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::ident::SessionId;
use stompgate::session::{AckMode, Fault, Publish, Unsubscribe, Verdict};
use stompgate::stomp::Headers;

use super::Gateway;
use super::outside::{asked, declared, is_gone, name};
use super::support::{eventually, foreign_channel, rabbitmqctl, variable};
use crate::broker_contract::fixture::{Session, body, done, token};

/// Makes a queue that is not as the gateway would declare it.
async fn declare_with_length(channel: &Channel, queue: &Destination) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(10));
    channel.queue_declare(name(queue), options, arguments).await.unwrap();
}

fn publish(link: &mut Link, destination: &Destination, headers: &[(&str, &str)]) -> Pending {
    let (headers, body) = (Headers::from_iter(headers.iter().copied()), "x".into());
    link.publish(Publish { destination: destination.clone(), headers, body, reply_to: None, is_receipted: true })
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
    // The test's own part of a topic has two words.
    other.publish(&fixture.topic(&["a"; 30].join(".")), "x").await;
    gateway.stop().await;
}

/// The same, with few `#` in each of many patterns. With a hundred of them and 120 words one publish took 0.8 s.
#[tokio::test]
async fn a_topic_of_more_words_than_rabbitmq_routes_in_time_is_refused_in_its_turn() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, topic) = (fixture.open().await, fixture.topic("a"));
    session.subscribe(&topic).await;
    let words = ["a"; 33].join(".");
    let exchange = Destination::Exchange { name: "amq.topic".into(), key: words.clone().into() };
    let before = session.start_publish(&topic, "before");
    let refused = [Destination::Topic(words.into()), exchange].map(|it| session.start_publish(&it, "x"));
    let after = session.start_publish(&topic, "after");
    for outcome in join_all(refused).await {
        assert!(matches!(&outcome, Err(Fault::Refused(text)) if text.contains("at most 32 words")), "{outcome:?}");
    }
    assert_eq!((before.await, after.await), (Ok(()), Ok(())));
    session.expect(&["before", "after"]).await;
    gateway.stop().await;
}

/// What a session needs to declare its queues is not for other sessions to use up.
#[tokio::test]
async fn sessions_that_fill_a_connection_are_followed_by_another_and_leave_publishing_to_queues_alone() {
    let url = format!("{}?channel_max=32", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (queue, mut sessions) = (fixture.queue("one"), Vec::new());
    // 15 channels each: one number is the connection's, 8 are for declaring, and a quarter for refusals.
    for _ in 0..40 {
        let mut session = fixture.open().await;
        session.subscribe(&queue).await;
        session.subscribe(&fixture.queue("two")).await;
        sessions.push(session);
    }
    assert_eq!(gateway.metric("connections", "private"), 3.0);
    assert_eq!(gateway.metric("private_channels", ""), 40.0);
    for number in 0..16 {
        fixture.open().await.publish(&fixture.queue(&number.to_string()), "x").await;
    }
    sessions[39].publish(&queue, "x").await;
    sessions.clear();
    eventually("the channels are closed", async || gateway.metric("private_channels", "") == 0.0).await;
    let mut session = fixture.open().await;
    session.subscribe(&queue).await;
    assert!(session.receive().await.redelivered);
    assert_eq!(gateway.metric("connections", "private"), 3.0);
    gateway.stop().await;
}

/// Each refusal costs a channel, and the library never uses its number again. Any client can have a queue refused.
#[tokio::test]
async fn refused_queues_do_not_use_up_the_channels_of_sessions() {
    let url = format!("{}?channel_max=32", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other, queue) = (fixture.open().await, fixture.open().await, fixture.queue("a"));
    other.subscribe(&queue).await;
    let refused = [
        (Destination::Queue("amq.made-up".into()), [("durable", "true"), ("exclusive", "false")]),
        (Destination::Queue("amq.made-up".into()), [("durable", "false"), ("exclusive", "true")]),
        (queue.clone(), [("x-message-ttl", "1"), ("durable", "true")]),
        (queue.clone(), [("durable", "false"), ("exclusive", "true")]),
        (fixture.queue("b"), [("x-max-priority", "1000"), ("exclusive", "true")]),
        (fixture.queue("c"), [("x-queue-type", "none"), ("durable", "true")]),
    ];
    for number in 0..20 {
        for (destination, headers) in &refused {
            let (_, pending) = careless.start_subscribe_as("id", destination, AckMode::Auto, headers);
            let outcome = pending.await;
            assert!(matches!(&outcome, Err(Fault::Amqp { .. })), "{destination} {headers:?}: {outcome:?}");
        }
        let body = number.to_string();
        fixture.open().await.publish(&queue, &body).await;
        other.expect(&[&body]).await;
        // That there is none yet is found out by a refusal, too.
        let key = careless.subscribe_durably(&fixture.topic("a"), &body).await;
        careless.unsubscribe_finally(key).await;
    }
    assert_eq!(gateway.metric("connects_total", "connected"), 1.0);
    gateway.stop().await;
}

/// Of a queue, until so many subscribes have been refused.
async fn refused(session: &mut Session, queue: &Destination, headers: &[(&str, &str)]) {
    for _ in 0..100 {
        let (_, pending) = session.start_subscribe_as("id", queue, AckMode::Auto, headers);
        let outcome = pending.await;
        assert!(matches!(&outcome, Err(Fault::Amqp { .. } | Fault::Refused(_))), "{outcome:?}");
    }
}

/// Each refusal costs a channel, and the library never uses its number again. With another session that has all there is,
/// three kinds of refusals use up all numbers many times over.
#[tokio::test]
async fn one_session_that_is_refused_all_the_time_costs_the_others_nothing() {
    let url = format!("{}?channel_max=32", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut hostile, mut other) = (fixture.open().await, fixture.open().await);
    let (queue, topic, taken) = (fixture.queue("a"), fixture.topic("a"), fixture.queue("taken"));
    other.subscribe(&queue).await;
    other.subscribe(&topic).await;
    // At declaring a queue, one for the connection alone, and at consuming one.
    refused(&mut hostile, &fixture.queue("b"), &[("x-queue-type", "none")]).await;
    other.publish(&fixture.queue("c"), "x").await;
    other.subscribe(&fixture.queue("c")).await;
    other.expect(&["x"]).await;
    refused(&mut hostile, &fixture.queue("b"), &[("exclusive", "true"), ("x-message-ttl", "-1")]).await;
    let foreign = foreign_channel().await;
    other.publish(&taken, "x").await;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = foreign.basic_consume(name(&taken), "".into(), options, FieldTable::default()).await.unwrap();
    refused(&mut hostile, &taken, &[]).await;
    drop(consumer);
    for (destination, body) in [(&queue, "1"), (&topic, "2")] {
        other.publish(destination, body).await;
        other.expect(&[body]).await;
    }
    // Whoever comes now has a connection with room.
    let mut late = fixture.open().await;
    late.subscribe_with(&topic, AckMode::Client, 1).await;
    late.publish(&topic, "3").await;
    late.expect(&["3"]).await;
    other.expect(&["3"]).await;
    assert_eq!(gateway.metric("connects_total", ""), 1.0);
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    gateway.stop().await;
}

/// Where it was not made, it is not deleted.
#[tokio::test]
async fn a_queue_of_another_is_not_deleted_for_an_exclusive_one_of_that_name_on_another_connection() {
    let url = format!("{}?channel_max=32", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let (fixture, mut sessions) = (gateway.fixture(), Vec::new());
    let (queue, mut second) = (fixture.queue("mine"), fixture.open().await);
    for _ in 0..15 {
        let mut session = fixture.open().await;
        session.subscribe(&fixture.queue("many")).await;
        sessions.push(session);
    }
    let (key, pending) = second.start_subscribe_as("id", &queue, AckMode::Auto, &[("exclusive", "true")]);
    pending.await.unwrap();
    assert_eq!(gateway.metric("connections", "private"), 2.0);
    second.unsubscribe(key).await;
    second.close();
    is_gone(&name(&queue)).await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    assert_eq!(declared(&name(&queue), durable, FieldTable::default()).await, 200);
    // The connections declare and delete in turn: what is deleted after it is gone when it would be.
    for number in 0..8 {
        let mut session = fixture.open().await;
        let last = fixture.queue(&format!("last-{number}"));
        session.publish_with(&last, &[("exclusive", "true")], b"x").await;
        session.close();
        is_gone(&name(&last)).await;
    }
    assert_eq!(asked(&name(&queue)).await, 200);
    gateway.stop().await;
}

/// Of a client that says so and goes: the queue would fill for ever.
#[tokio::test]
async fn u3_a_final_unsubscribe_right_before_the_end_of_a_session_deletes_the_queue() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, name(&fixture.queue("named")));
    let headers = [("durable", "true"), ("auto-delete", "false"), ("x-queue-name", queue.as_str())];
    let (key, pending) = session.start_subscribe_as("id", &fixture.topic("a"), AckMode::Client, &headers);
    pending.await.unwrap();
    drop(session.link().unsubscribe(Unsubscribe { key, is_final: true }));
    session.close();
    is_gone(&queue).await;
    gateway.stop().await;
}

#[tokio::test]
async fn three_hundred_sessions_with_queues_have_a_channel_each_on_one_connection() {
    let connection_name = format!("many-{}", SessionId::from_random(rand::random()));
    let gateway =
        Gateway::connected(Settings { connection_name: connection_name.clone(), ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut sessions = Vec::new();
    for number in 0..300 {
        let mut session = fixture.open().await;
        session.subscribe_with(&fixture.topic(&number.to_string()), AckMode::Client, 1).await;
        session.subscribe(&fixture.queue("shared")).await;
        sessions.push(session);
    }
    let connections = rabbitmqctl(&["list_connections", "client_properties", "channels"]).await;
    let private = format!("{connection_name} private");
    let ours: Vec<_> = connections.iter().filter(|it| it.contains(&private)).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    let channels: usize = ours[0].rsplit('\t').next().unwrap().parse().unwrap();
    assert!((301..=308).contains(&channels), "{channels} for 300 sessions and up to 8 for declaring");
    assert_eq!(gateway.metric("private_consumers", ""), 600.0);
    gateway.stop().await;
}

#[tokio::test]
async fn d11_an_amq_queue_is_consumed_as_it_is_and_a_missing_one_costs_nothing_else() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, odd, missing) = (fixture.open().await, fixture.queue("odd"), fixture.queue("missing"));
    declare_with_length(&foreign_channel().await, &odd).await;
    session.subscribe(&Destination::AmqQueue(name(&odd).as_str().into())).await;
    let (_, pending) =
        session.start_subscribe(&Destination::AmqQueue(name(&missing).as_str().into()), AckMode::Auto, 1);
    let outcome = pending.await;
    assert!(matches!(&outcome, Err(Fault::Amqp { name: "not_found", .. })), "{outcome:?}");
    assert_eq!(asked(&name(&missing)).await, 404);
    session.publish(&Destination::AmqQueue(name(&odd).as_str().into()), "x").await;
    let delivery = session.expect(&["x"]).await.remove(0);
    assert_eq!(delivery.message.destination(), odd.to_string());
    gateway.stop().await;
}

/// D40, G7: RabbitMQ would let every session of this gateway have it, until the gateway ends.
#[tokio::test]
async fn a_transient_queue_is_for_one_session_and_ends_with_it() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (consumed, filled) = (fixture.queue("consumed"), fixture.queue("filled"));
    let (mut owner, mut other) = (fixture.open().await, fixture.open().await);
    let transient = ("durable", "false");
    let (_, pending) = owner.start_subscribe_as("id", &consumed, AckMode::Auto, &[transient]);
    done(pending).await;
    done(publish(owner.link(), &filled, &[transient, ("auto-delete", "false")])).await;
    for queue in [&consumed, &filled] {
        assert_eq!(asked(&name(queue)).await, 405);
        for destination in [queue, &Destination::AmqQueue(name(queue).as_str().into())] {
            for headers in [&[][..], &[transient]] {
                let (_, pending) = other.start_subscribe_as("id", destination, AckMode::Auto, headers);
                let outcome = pending.await;
                assert!(matches!(&outcome, Err(Fault::Amqp { name: "resource_locked", .. })), "{outcome:?}");
            }
        }
    }
    owner.close();
    for queue in [&consumed, &filled] {
        is_gone(&name(queue)).await;
        eventually("it can be had by another", async || {
            other.start_subscribe_as("id", queue, AckMode::Auto, &[transient]).1.await.is_ok()
        })
        .await;
    }
    gateway.stop().await;
}

/// What a session has not made, it must not take away.
#[tokio::test]
async fn a_queue_that_is_refused_to_be_one_session_s_alone_is_left_as_it_was() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut owner, mut careless, kept) = (fixture.open().await, fixture.open().await, fixture.queue("kept"));
    owner.publish(&kept, "kept").await;
    let kept_name = name(&kept);
    for (destination, headers) in
        [(&kept, &[("durable", "false")][..]), (&fixture.topic("a"), &[("x-queue-name", kept_name.as_str())])]
    {
        let (_, pending) = careless.start_subscribe_as("id", destination, AckMode::Auto, headers);
        let outcome = pending.await;
        assert!(matches!(&outcome, Err(Fault::Amqp { .. })), "{outcome:?}");
    }
    let outcome = publish(careless.link(), &kept, &[("durable", "false")]).await;
    assert!(matches!(&outcome, Err(Fault::Amqp { .. })), "{outcome:?}");
    careless.close();
    // One that is deleted after it.
    let own = fixture.queue("own");
    let mut careful = fixture.open().await;
    done(publish(careful.link(), &own, &[("durable", "false")])).await;
    careful.close();
    is_gone(&name(&own)).await;
    owner.subscribe(&kept).await;
    owner.expect(&["kept"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_exclusive_queue_of_another_gateway_is_locked_and_costs_nothing_else() {
    let gateways = [Gateway::connected(Settings::default()).await, Gateway::connected(Settings::default()).await];
    let fixture = gateways[0].fixture();
    let (mut owner, mut other) = (fixture.open().await, gateways[1].fixture().open().await);
    let (locked, open) = (fixture.queue("locked"), fixture.queue("open"));
    other.subscribe(&open).await;
    let (_, pending) = owner.start_subscribe_as("id", &locked, AckMode::Auto, &[("exclusive", "true")]);
    done(pending).await;
    for destination in [&locked, &Destination::AmqQueue(name(&locked).as_str().into())] {
        let (_, pending) = other.start_subscribe(destination, AckMode::Auto, 1);
        let outcome = pending.await;
        assert!(matches!(&outcome, Err(Fault::Amqp { name: "resource_locked", .. })), "{outcome:?}");
    }
    other.publish(&open, "still here").await;
    other.expect(&["still here"]).await;
    for gateway in gateways {
        gateway.stop().await;
    }
}

/// The declare can't tell that the consumer will be refused, and RabbitMQ closes the channel for it.
#[tokio::test]
async fn a_refused_consumer_costs_the_session_s_other_subscriptions_nothing_but_a_redelivery() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, alone, open) = (fixture.open().await, fixture.queue("alone"), fixture.queue("open"));
    session.subscribe_with(&open, AckMode::Client, 5).await;
    session.publish(&open, "unsettled").await;
    let unsettled = session.expect(&["unsettled"]).await.remove(0);
    assert_eq!((gateway.metric("unsettled", ""), gateway.metric("private_consumers", "")), (1.0, 1.0));
    let channel = foreign_channel().await;
    channel.queue_declare(name(&alone), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(name(&alone), "alone".into(), options, FieldTable::default()).await.unwrap();
    let (_, pending) = session.start_subscribe(&alone, AckMode::Auto, 1);
    let outcome = pending.await;
    assert!(matches!(&outcome, Err(Fault::Amqp { name: "access_refused", .. })), "{outcome:?}");
    assert!(session.expect(&["unsettled"]).await[0].redelivered);
    assert_eq!((gateway.metric("unsettled", ""), gateway.metric("private_consumers", "")), (1.0, 1.0));
    // Of the channel that is no more.
    session.settle(&[token(&unsettled)], Verdict::Accepted);
    assert_eq!((gateway.metric("unsettled", ""), gateway.metric("stale_settlements_total", "")), (1.0, 1.0));
    session.publish(&open, "still here").await;
    session.expect(&["still here"]).await;
    drop(consumer);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_discarded_goes_where_the_queue_sends_dead_letters() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, queue, dead) = (fixture.open().await, fixture.queue("a"), fixture.queue("dead"));
    let to = name(&dead);
    let letters = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", to.as_str())];
    session.subscribe(&dead).await;
    let (_, pending) = session.start_subscribe_as("id", &queue, AckMode::ClientIndividual, &letters);
    done(pending).await;
    session.publish_all(&queue, &["accepted", "discarded"]).await;
    let tokens: Vec<_> = session.expect(&["accepted", "discarded"]).await.iter().map(token).collect();
    session.settle(&tokens[..1], Verdict::Accepted);
    session.settle(&tokens[1..], Verdict::Discarded);
    assert_eq!(session.expect(&["discarded"]).await[0].message.destination(), dead.to_string());
    gateway.stop().await;
}

/// A13: what RabbitMQ had sent for a subscription that ended goes back, whether the session has seen it or not.
#[tokio::test]
async fn a13_what_was_under_way_at_an_unsubscribe_is_delivered_to_others() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut gone, mut other, queue) = (fixture.open().await, fixture.open().await, fixture.queue("a"));
    let bodies: Vec<_> = (0..200).map(|it| it.to_string()).collect();
    other.publish_all(&queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (key, subscribing) = gone.start_subscribe(&queue, AckMode::Client, 150);
    done(subscribing).await;
    gone.unsubscribe(key).await;
    let mut seen = Vec::new();
    while let Some(Item::Delivery(delivery)) = gone.popped() {
        seen.push(token(&delivery));
    }
    // As a session does with what it has no subscription for.
    gone.settle(&seen, Verdict::Requeued);
    other.subscribe(&queue).await;
    let mut arrived = Vec::new();
    for _ in 0..200 {
        arrived.push(body(&other.receive().await));
    }
    arrived.sort_by_key(|it| it.parse::<u32>().unwrap());
    assert_eq!(arrived, bodies);
    gateway.stop().await;
}

#[tokio::test]
async fn deliveries_do_not_wait_for_the_subscribes_of_their_session() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, mut sender, queue) = (fixture.open().await, fixture.open().await, fixture.queue("a"));
    sender.publish(&queue, "first").await;
    session.subscribe_with(&queue, AckMode::Client, 1).await;
    let first = session.expect(&["first"]).await.remove(0);
    let mut last = None;
    for number in 0..100 {
        let (_, pending) = session.start_subscribe(&fixture.queue(&number.to_string()), AckMode::Auto, 1);
        last = Some(pending);
    }
    let mut last = last.expect("there were some");
    sender.publish(&queue, "second").await;
    session.settle(&[token(&first)], Verdict::Accepted);
    session.expect(&["second"]).await;
    assert!((&mut last).now_or_never().is_none(), "it was settled and delivered among them");
    done(last).await;
    gateway.stop().await;
}

/// RabbitMQ refuses each of these in its own way; some refusals would cost the connection that many sessions share.
#[tokio::test]
async fn no_header_costs_more_than_its_own_subscription() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut careless, mut other, kept) = (fixture.open().await, fixture.open().await, fixture.queue("kept"));
    other.subscribe(&kept).await;
    let refused: &[&[(&str, &str)]] = &[
        &[("x-queue-type", "no such type")],
        &[("x-queue-type", "")],
        &[("x-queue-type", "quorum"), ("auto-delete", "true")],
        &[("x-queue-type", "stream"), ("x-priority", "1")],
        &[("x-queue-type", "stream"), ("x-stream-max-segment-size-bytes", "-1")],
        &[("x-expires", "0")],
        &[("x-expires", "9223372036854775807")],
        &[("x-message-ttl", "-1")],
        &[("x-max-length", "-1")],
        &[("x-max-priority", "-1")],
        &[("x-dead-letter-routing-key", "without an exchange")],
        &[("x-queue-name", "amq.not-for-clients")],
        &[("x-stream-offset", "offset=-1")],
    ];
    let taken: &[&[(&str, &str)]] = &[
        &[("x-dead-letter-exchange", "no such exchange")],
        &[("x-priority", "-128")],
        &[("x-queue-type", "stream"), ("x-stream-offset", "offset=-1")],
        &[("x-queue-type", "stream"), ("x-stream-offset", "timestamp=18446744073709551615")],
        &[("x-queue-type", "stream"), ("x-max-age", "99999999999999999999Y")],
        &[("x-max-length", "0"), ("exclusive", "true"), ("auto-delete", "false")],
    ];
    let cases = refused.iter().map(|it| (it, false)).chain(taken.iter().map(|it| (it, true)));
    for (number, (headers, is_taken)) in cases.enumerate() {
        let queue = fixture.queue(&number.to_string());
        let topic = fixture.topic(&number.to_string());
        let destination = if headers[0].0 == "x-queue-name" { &topic } else { &queue };
        let (_, pending) = careless.start_subscribe_as("id", destination, AckMode::Client, headers);
        let outcome = pending.await;
        assert_eq!(outcome.is_ok(), is_taken, "{headers:?}: {outcome:?}");
        assert!(!matches!(outcome, Err(Fault::Unavailable)), "{headers:?}");
    }
    other.publish(&kept, "still here").await;
    other.expect(&["still here"]).await;
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    gateway.stop().await;
}
