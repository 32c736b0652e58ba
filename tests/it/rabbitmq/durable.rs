//! Subscriptions to exchanges that have a queue of their own: its name, how long it lasts, who may share it.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::ident::SubscriptionKey;
use stompgate::session::{AckMode, Fault, Unsubscribe};

use super::Gateway;
use super::outside::{asked, declared, delete, is_gone, publish};
use super::support::foreign_channel;
use crate::broker_contract::fixture::{Fixture, Session, done};

const DURABLE: (&str, &str) = ("durable", "true");
const KEPT: (&str, &str) = ("auto-delete", "false");
const SHARED: (&str, &str) = ("exclusive", "false");

async fn subscribe(
    session: &mut Session,
    destination: &Destination,
    ack: AckMode,
    headers: &[(&str, &str)],
) -> SubscriptionKey {
    let (key, pending) = session.start_subscribe_as("id", destination, ack, headers);
    done(pending).await;
    key
}

/// A queue of this case alone, for the header `x-queue-name`.
fn queue_name(fixture: &Fixture) -> ShortString {
    super::outside::name(&fixture.queue("named"))
}

/// An exchange of this case alone.
async fn exchange(fixture: &Fixture, kind: ExchangeKind) -> String {
    let name = super::outside::name(&fixture.queue("exchange"));
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    foreign_channel().await.exchange_declare(name.clone(), kind, options, FieldTable::default()).await.unwrap();
    name.to_string()
}

fn to(exchange: &str, key: &str) -> Destination {
    Destination::Exchange { name: exchange.into(), key: key.into() }
}

fn fault_name(outcome: Result<(), Fault>) -> &'static str {
    match outcome {
        Err(Fault::Amqp { name, .. }) => name,
        other => panic!("{other:?}"),
    }
}

/// D20, with a pair of a vector that Erlang made.
#[tokio::test]
async fn d20_a_durable_topic_has_the_queue_that_the_plugin_would_give_it() {
    let gateway = Gateway::connected(Settings::default()).await;
    let mut session = gateway.fixture().open().await;
    let topic = Destination::Topic("durable".into());
    let queue = ShortString::from("stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew");
    let (_, pending) = session.start_subscribe_as("test.subscription", &topic, AckMode::Auto, &[DURABLE]);
    done(pending).await;
    let options = QueueDeclareOptions { durable: true, auto_delete: true, ..QueueDeclareOptions::default() };
    assert_eq!(declared(&queue, options, FieldTable::default()).await, 200);
    // U4: without auto-delete:false it goes with its last consumer.
    session.close();
    is_gone(&queue).await;
    gateway.stop().await;
}

#[tokio::test]
async fn u7_two_gateways_share_a_durable_topic() {
    let gateways = [Gateway::connected(Settings::default()).await, Gateway::connected(Settings::default()).await];
    let fixture = gateways[0].fixture();
    let (mut one, mut two) = (fixture.open().await, gateways[1].fixture().open().await);
    let topic = fixture.topic("a");
    one.subscribe_durably(&topic, "shared").await;
    let key = two.subscribe_durably(&topic, "shared").await;
    one.publish_all(&topic, &["1", "2"]).await;
    one.expect(&["1"]).await;
    two.expect(&["2"]).await;
    two.unsubscribe_finally(key).await;
    assert!(matches!(one.next_item().await, stompgate::delivery::Item::SubscriptionEnded(_)));
    for gateway in gateways {
        gateway.stop().await;
    }
}

#[tokio::test]
async fn u3_and_u5_a_final_unsubscribe_deletes_the_queue_of_a_topic_and_not_of_an_exchange() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let queue = queue_name(&fixture);
    let headers = [DURABLE, KEPT, SHARED, ("x-queue-name", queue.as_str())];
    let exchange = to(&exchange(&fixture, ExchangeKind::Direct).await, "k");
    for (destination, is_final, left) in
        [(fixture.topic("a"), false, 200), (fixture.topic("a"), true, 404), (exchange, true, 200)]
    {
        let key = subscribe(&mut session, &destination, AckMode::Client, &headers).await;
        done(session.link().unsubscribe(Unsubscribe { key, is_final })).await;
        assert_eq!(asked(&queue).await, left, "{destination} {is_final}");
    }
    delete(&queue).await;
    gateway.stop().await;
}

#[tokio::test]
async fn d12_a_topic_with_acks_has_an_exclusive_queue_that_goes_with_it() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, mut sender) = (fixture.open().await, fixture.open().await);
    let (topic, queue) = (fixture.topic("a"), queue_name(&fixture));
    let headers = [("x-queue-name", queue.as_str())];
    let key = subscribe(&mut session, &topic, AckMode::Auto, &headers).await;
    assert_eq!(asked(&queue).await, 405);
    sender.publish(&topic, "x").await;
    session.expect(&["x"]).await;
    // RabbitMQ would let any session of this gateway have it.
    for destination in [&topic, &Destination::AmqQueue(queue.as_str().into())] {
        let (_, pending) = sender.start_subscribe_as("id", destination, AckMode::Auto, &headers);
        assert_eq!(fault_name(pending.await), "resource_locked");
    }
    session.unsubscribe(key).await;
    is_gone(&queue).await;
    subscribe(&mut sender, &topic, AckMode::Auto, &headers).await;
    session.publish(&topic, "y").await;
    sender.expect(&["y"]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn d13_and_d14_an_exchange_of_any_type_fills_the_queue_of_a_subscription_with_acks() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let channel = foreign_channel().await;
    let (direct, key) = (exchange(&fixture, ExchangeKind::Direct).await, ShortString::from("k"));
    for (destination, key) in [(to(&direct, "k"), key), (to(&direct, ""), ShortString::default())] {
        let subscription = subscribe(&mut session, &destination, AckMode::Client, &[]).await;
        publish(&channel, &direct, &"another".into(), "not this").await;
        publish(&channel, &direct, &key, "this").await;
        let delivery = session.expect(&["this"]).await.remove(0);
        assert_eq!(delivery.subscription, subscription);
        assert_eq!(delivery.message.destination(), destination.to_string());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn d13_a_durable_exchange_subscription_is_kept_if_it_is_shared_and_not_deleted() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, queue_name(&fixture));
    let name = ("x-queue-name", queue.as_str());
    subscribe(&mut session, &to("amq.direct", queue.as_str()), AckMode::Auto, &[DURABLE, name]).await;
    assert_eq!(asked(&queue).await, 405);
    session.close();
    is_gone(&queue).await;
    let mut session = fixture.open().await;
    let headers = [DURABLE, KEPT, SHARED, name];
    subscribe(&mut session, &to("amq.direct", queue.as_str()), AckMode::Auto, &headers).await;
    session.close();
    publish(&foreign_channel().await, "amq.direct", &queue, "meanwhile").await;
    let mut session = fixture.open().await;
    subscribe(&mut session, &to("amq.direct", queue.as_str()), AckMode::Auto, &headers).await;
    session.expect(&["meanwhile"]).await;
    delete(&queue).await;
    gateway.stop().await;
}

#[tokio::test]
async fn d17_a_queue_that_can_t_be_bound_is_deleted_and_the_session_goes_on() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, queue_name(&fixture));
    session.subscribe(&fixture.queue("other")).await;
    let name = ("x-queue-name", queue.as_str());
    for headers in [&[name][..], &[name, DURABLE, KEPT, SHARED]] {
        let missing = to(&format!("no {queue}"), "k");
        let (_, pending) = session.start_subscribe_as("id", &missing, AckMode::Client, headers);
        assert_eq!(fault_name(pending.await), "not_found");
        is_gone(&queue).await;
    }
    session.publish(&fixture.queue("other"), "still here").await;
    session.expect(&["still here"]).await;
    assert_eq!(gateway.metric("private_consumers", ""), 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn d40_a_durable_topic_declared_otherwise_is_refused_by_name_and_the_session_goes_on() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let topic = fixture.topic("a");
    session.subscribe_durably(&topic, "id").await;
    let (_, pending) = session.start_subscribe_as("id", &topic, AckMode::Client, &[DURABLE]);
    assert_eq!(fault_name(pending.await), "precondition_failed");
    session.publish(&topic, "still here").await;
    session.expect(&["still here"]).await;
    gateway.stop().await;
}

/// D44 and D45: RabbitMQ would refuse a declare with other arguments.
#[tokio::test]
async fn d45_a_queue_has_the_arguments_of_the_first_frame_that_names_it() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let queue = fixture.queue("a");
    session.publish_with(&queue, &[("x-max-length", "1"), ("auto-delete", "true")], b"1").await;
    // D10: the session has declared it, whatever its other frames say.
    session.publish_with(&queue, &[("x-max-length", "2")], b"2").await;
    subscribe(&mut session, &queue, AckMode::Auto, &[("x-max-length", "3")]).await;
    session.expect(&["2"]).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    let options = QueueDeclareOptions { durable: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let name = super::outside::name(&queue);
    assert_eq!(declared(&name, options, arguments).await, 200);
    assert_eq!(declared(&name, options, FieldTable::default()).await, 406);
    session.close();
    is_gone(&name).await;
    gateway.stop().await;
}
