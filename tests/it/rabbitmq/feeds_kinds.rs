//! Subscriptions of exchanges of every kind: what they receive, and what they cost RabbitMQ.

use std::collections::HashSet;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault};

use super::Gateway;
use super::exchange::{Exchange, unique};
use super::support::{eventually, rabbitmqctl, variable};
use crate::broker_contract::fixture::Session;

const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Headers, ExchangeKind::Topic];

async fn refusal(session: &mut Session, exchange: &Exchange, key: &str) -> String {
    let (_, pending) = session.start_subscribe(&exchange.with_key(key), AckMode::Auto, 1);
    pending.await.expect_err("it is refused").to_string()
}

#[tokio::test]
async fn what_is_sent_right_behind_a_subscribe_is_seen_at_every_kind_of_exchange() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    for kind in KINDS {
        let exchange = Exchange::declare(kind.clone()).await;
        let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
        for round in 0..20 {
            let destination = exchange.with_key(&format!("key.{round}"));
            let key = reader.subscribe(&destination).await;
            let body = format!("{kind:?} {round}");
            sender.publish(&destination, &body).await;
            let deliveries = reader.expect(&[&body]).await;
            assert_eq!(deliveries[0].message.destination(), destination.to_string());
            reader.unsubscribe(key).await;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn subscribers_of_one_key_share_a_queue_that_gets_each_message_once() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let exchange = Exchange::declare(ExchangeKind::Fanout).await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = fixture.open().await;
        reader.subscribe(&exchange.with_key("k")).await;
        readers.push(reader);
    }
    exchange.publish("another.key", "for all").await;
    for reader in &mut readers {
        let deliveries = reader.expect(&["for all"]).await;
        assert_eq!(deliveries[0].message.destination(), format!("/exchange/{}/another.key", exchange.name));
    }
    assert_eq!(gateway.metric("feed_queues", ""), 1.0);
    assert_eq!(gateway.metric("feed_bindings", ""), 1.0);
    assert_eq!(gateway.metric("feed_deliveries_total", ""), 1.0);
    assert_eq!(exchange.bindings().await.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn topic_exchanges_share_shards_and_others_have_a_queue_for_each_key() {
    for kind in KINDS {
        let gateway = Gateway::connected(Settings { feed_shards: 3, ..Settings::default() }).await;
        let exchange = Exchange::declare(kind.clone()).await;
        let mut session = gateway.fixture().open().await;
        assert_eq!(gateway.metric("feed_queues", ""), 0.0, "nothing is opened before it is needed");
        session.subscribe(&exchange.with_key("only.one")).await;
        assert_eq!(gateway.metric("feed_queues", ""), 1.0, "{kind:?}");
        for number in 0..29 {
            session.subscribe(&exchange.with_key(&format!("{number}.*"))).await;
        }
        let expected = if kind == ExchangeKind::Topic { 3 } else { 30 };
        let bindings = exchange.bindings().await;
        let queues: HashSet<_> = bindings.iter().map(|(queue, _)| queue).collect();
        assert_eq!((bindings.len(), queues.len()), (30, expected), "{kind:?}");
        assert_eq!(gateway.metric("feed_queues", ""), expected as f64, "{kind:?}");
        assert_eq!(gateway.metric("feed_bindings", ""), 30.0, "{kind:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn the_predeclared_exchanges_are_served_by_what_their_names_say() {
    let gateway = Gateway::connected(Settings { feed_shards: 1, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let run = unique("predeclared");
    let mut queues = 0;
    for (name, is_shared) in [
        ("amq.topic", true),
        ("amq.direct", false),
        ("amq.fanout", false),
        ("amq.headers", false),
        ("amq.match", false),
    ] {
        let destination = |key: &str| format!("/exchange/{name}/{run}.{key}");
        for key in ["a", "b"] {
            session.subscribe(&Destination::parse(&destination(key)).unwrap()).await;
        }
        queues += if is_shared { 1 } else { 2 };
        assert_eq!(gateway.metric("feed_queues", ""), f64::from(queues), "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_a_direct_exchange_holds_stars_and_hashes_as_letters() {
    let gateway = Gateway::connected(Settings::default()).await;
    let exchange = Exchange::declare(ExchangeKind::Direct).await;
    let mut session = gateway.fixture().open().await;
    let star = session.subscribe(&exchange.with_key("a.*")).await;
    let hash = session.subscribe(&exchange.with_key("#")).await;
    let plain = session.subscribe(&exchange.with_key("a.b")).await;
    for (key, subscription) in [("a.b", plain), ("a.*", star), ("#", hash), ("a.b", plain)] {
        exchange.publish(key, key).await;
        assert_eq!(session.expect(&[key]).await[0].subscription, subscription);
    }
    session.expect_nothing();
    gateway.stop().await;
}

#[tokio::test]
async fn exchanges_that_do_not_exist_are_refused_and_leave_nothing_behind() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    let existing = Exchange::declare(ExchangeKind::Topic).await;
    one.subscribe(&existing.with_key("a")).await;
    for number in 0..50 {
        let missing = Destination::Exchange { name: format!("no.such.{number}").into(), key: "a".into() };
        let (_, pending) = two.start_subscribe(&missing, AckMode::Auto, 1);
        let text = pending.await.expect_err("there is none").to_string();
        assert!(text.contains(&format!("no exchange 'no.such.{number}'")), "{text}");
    }
    assert_eq!(gateway.metric("feed_queues", ""), 1.0);
    assert_eq!(gateway.metric("feed_bindings", ""), 1.0);
    existing.publish("a", "still heard").await;
    one.expect(&["still heard"]).await;
    two.expect_nothing();
    gateway.stop().await;
}

#[tokio::test]
async fn an_exchange_can_be_used_as_soon_as_it_exists_and_is_known_anew_after_it_was_deleted() {
    let gateway = Gateway::connected(Settings::default()).await;
    let mut session = gateway.fixture().open().await;
    let exchange = Exchange::declare(ExchangeKind::Topic).await;
    exchange.delete().await;
    let text = refusal(&mut session, &exchange, "a").await;
    assert!(text.contains(&format!("no exchange '{}'", exchange.name)), "{text}");
    exchange.declare_again(ExchangeKind::Topic).await;
    session.subscribe(&exchange.with_key("a")).await;
    exchange.publish("a", "topic").await;
    session.expect(&["topic"]).await;
    exchange.delete().await;
    let text = refusal(&mut session, &exchange, "b").await;
    assert!(text.contains(&format!("no exchange '{}'", exchange.name)), "{text}");
    // As another kind, where the gateway must not choose by the key.
    exchange.declare_again(ExchangeKind::Fanout).await;
    session.subscribe(&exchange.with_key("a")).await;
    exchange.publish("x", "fanout").await;
    session.expect(&["fanout"]).await;
    session.expect_nothing();
    gateway.stop().await;
}

#[tokio::test]
async fn the_queue_of_a_key_goes_after_the_linger_of_its_last_subscriber() {
    let unbind_linger = Duration::from_millis(200);
    let gateway = Gateway::connected(Settings { unbind_linger, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let exchange = Exchange::declare(ExchangeKind::Direct).await;
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    one.subscribe(&exchange.with_key("a")).await;
    let key = two.subscribe(&exchange.with_key("a")).await;
    one.close();
    exchange.publish("a", "for one").await;
    two.expect(&["for one"]).await;
    two.unsubscribe(key).await;
    // It is the same one still.
    let key = two.subscribe(&exchange.with_key("a")).await;
    let before = exchange.bindings().await;
    assert_eq!(before.len(), 1);
    two.unsubscribe(key).await;
    eventually("the queue is gone", async || gateway.metric("feed_queues", "") == 0.0).await;
    assert_eq!(gateway.metric("feed_bindings", ""), 0.0);
    eventually("its binding, too", async || exchange.bindings().await.is_empty()).await;
    two.subscribe(&exchange.with_key("a")).await;
    exchange.publish("a", "anew").await;
    two.expect(&["anew"]).await;
    assert_ne!(exchange.bindings().await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn subscribers_who_come_and_go_while_queues_of_keys_close_get_each_message_once() {
    let gateway = Gateway::connected(Settings { unbind_linger: Duration::ZERO, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let exchange = Exchange::declare(ExchangeKind::Fanout).await;
    let mut reader = fixture.open().await;
    for round in 0..100 {
        let key = reader.subscribe(&exchange.with_key("a")).await;
        let body = round.to_string();
        exchange.publish("a", &body).await;
        reader.expect(&[&body]).await;
        reader.unsubscribe(key).await;
    }
    reader.expect_nothing();
    eventually("all is closed", async || gateway.metric("feed_queues", "") == 0.0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn keys_take_channels_up_to_a_bound_and_leave_the_rest_to_topics() {
    let url = format!("{}?channel_max=40", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], unbind_linger: Duration::ZERO, ..Settings::default() });
    gateway.is_ready().await;
    let mut session = gateway.fixture().open().await;
    let (fanout, topic) = (Exchange::declare(ExchangeKind::Fanout).await, Exchange::declare(ExchangeKind::Topic).await);
    let mut keys = Vec::new();
    for number in 0..20 {
        keys.push(session.subscribe(&fanout.with_key(&number.to_string())).await);
    }
    let (_, pending) = session.start_subscribe(&fanout.with_key("one more"), AckMode::Auto, 1);
    let fault = pending.await.expect_err("it is one too many");
    assert!(matches!(&fault, Fault::Refused(text) if text.contains("no more channels")), "{fault:?}");
    session.subscribe(&topic.with_key("a")).await;
    topic.publish("a", "heard").await;
    session.expect(&["heard"]).await;
    session.unsubscribe(keys.remove(0)).await;
    let one_more = fanout.with_key("one more");
    eventually("a channel is free", async || session.start_subscribe(&one_more, AckMode::Auto, 1).1.await.is_ok())
        .await;
    fanout.publish("x", "for all").await;
    session.expect(&["for all"; 20]).await;
    gateway.stop().await;
}

/// RabbitMQ closes a channel for each question that finds out a kind, and for each exchange that is not there; the library
/// never uses its number again. Topics need some.
#[tokio::test]
async fn asking_for_exchanges_takes_no_channels_from_topics() {
    let url = format!("{}?channel_max=40", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], unbind_linger: Duration::ZERO, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    for number in 0..100 {
        let missing = Destination::Exchange { name: format!("no.such.{number}").into(), key: "a".into() };
        let outcome = session.start_subscribe(&missing, AckMode::Auto, 1).1.await;
        assert!(matches!(&outcome, Err(Fault::Amqp { name: "not_found", .. })), "{number}: {outcome:?}");
    }
    let topics = Exchange::declare(ExchangeKind::Topic).await;
    session.subscribe(&topics.with_key("a")).await;
    session.subscribe(&fixture.topic("a")).await;
    session.publish(&fixture.topic("a"), "1").await;
    session.expect(&["1"]).await;
    topics.publish("a", "2").await;
    session.expect(&["2"]).await;
    assert_eq!(gateway.metric("connects_total", ""), 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_that_only_linger_make_room_for_others() {
    let url = format!("{}?channel_max=200", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let unbind_linger = Duration::from_secs(3_600);
    let gateway = Gateway::started(Settings { urls: vec![url], unbind_linger, ..Settings::default() });
    gateway.is_ready().await;
    let mut session = gateway.fixture().open().await;
    let exchange = Exchange::declare(ExchangeKind::Fanout).await;
    for number in 0..100 {
        let key = session.subscribe(&exchange.with_key(&number.to_string())).await;
        session.unsubscribe(key).await;
    }
    assert_eq!(gateway.metric("feed_queues", ""), 100.0);
    session.subscribe(&exchange.with_key("one more")).await;
    assert_eq!(gateway.metric("feed_queues", ""), 100.0);
    exchange.publish("x", "heard").await;
    session.expect(&["heard"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_through_another_exchange_or_as_a_copy_is_delivered_once() {
    let gateway = Gateway::connected(Settings::default()).await;
    let mut session = gateway.fixture().open().await;
    let (fanout, topic) = (Exchange::declare(ExchangeKind::Fanout).await, Exchange::declare(ExchangeKind::Topic).await);
    topic.bind_to(&fanout, "").await;
    for key in ["a.*", "#", "b"] {
        session.subscribe(&topic.with_key(key)).await;
    }
    fanout.publish("a.b", "from another").await;
    let deliveries = session.expect(&["from another"; 2]).await;
    assert_eq!(deliveries[0].message.destination(), format!("/exchange/{}/a.b", fanout.name));
    let mut headers = FieldTable::default();
    let copy = AMQPValue::LongString("b".into());
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![copy].into()));
    topic.publish_with("x", "a copy", BasicProperties::default().with_headers(headers)).await;
    session.expect(&["a copy"; 2]).await;
    topic.publish("b", "the last").await;
    session.expect(&["the last"; 2]).await;
    session.expect_nothing();
    gateway.stop().await;
}

/// Permissions that were written for Web STOMP suffice. The account may not ask for the kind of an exchange, and each
/// pattern then has a queue: RabbitMQ matches.
#[tokio::test]
async fn an_account_that_may_configure_nothing_but_its_subscriptions_is_served() {
    let login = unique("user");
    rabbitmqctl(&["add_user", &login, "secret"]).await;
    rabbitmqctl(&["set_permissions", &login, "^stomp-subscription-", ".*", ".*"]).await;
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let (_, host) = url.split_once('@').unwrap();
    let url = format!("amqp://{login}:secret@{host}").parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], feed_shards: 1, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let exchange = Exchange::declare(ExchangeKind::Topic).await;
    for key in ["a.*", "#", "a.b", "b"] {
        session.subscribe(&exchange.with_key(key)).await;
    }
    assert_eq!(gateway.metric("feed_queues", ""), 4.0);
    exchange.publish("a.b", "x").await;
    session.expect(&["x", "x", "x"]).await;
    exchange.publish("c", "y").await;
    session.expect(&["y"]).await;
    session.subscribe(&fixture.topic("a")).await;
    session.publish(&fixture.topic("a"), "z").await;
    session.expect(&["z"]).await;
    session.expect_nothing();
    gateway.stop().await;
    rabbitmqctl(&["delete_user", &login]).await;
}

/// RabbitMQ cuts its answer off, so the kind is not seen in it.
#[tokio::test]
async fn a_topic_exchange_with_a_long_name_is_served_by_a_queue_for_each_key() {
    let gateway = Gateway::connected(Settings::default()).await;
    let name = format!("{}.{}", unique("long"), "x".repeat(180));
    let exchange = Exchange::declare_named(&name, ExchangeKind::Topic).await;
    let mut session = gateway.fixture().open().await;
    for key in ["a.*", "*.b", "b.#"] {
        session.subscribe(&exchange.with_key(key)).await;
    }
    assert_eq!(gateway.metric("feed_queues", ""), 3.0);
    exchange.publish("a.b", "x").await;
    session.expect(&["x", "x"]).await;
    exchange.publish("b", "y").await;
    session.expect(&["y"]).await;
    session.expect_nothing();
    gateway.stop().await;
}
