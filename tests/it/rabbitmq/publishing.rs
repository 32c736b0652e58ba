//! Publishing: to whatever a client names, on channels that many sessions share and that RabbitMQ closes for each mistake.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lapin::options::QueueDeleteOptions;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use stompgate::broker::Outage;
use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::session::Fault;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use super::Gateway;
use super::loss::{behind, broker_address};
use super::proxy::Proxy;
use super::support::{eventually, foreign_channel, rabbitmqctl, variable};
use crate::broker_contract::fixture::{Fixture, body};

/// A fanout exchange that goes with its last binding, or when it is deleted.
pub(crate) async fn declare_exchange(channel: &Channel, name: &str, internal: bool) {
    let options = ExchangeDeclareOptions { internal, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), ExchangeKind::Fanout, options, FieldTable::default()).await.unwrap();
}

async fn delete_exchange(channel: &Channel, name: &str) {
    channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.unwrap();
}

fn exchange(name: &str) -> Destination {
    Destination::Exchange { name: name.into(), key: "k".into() }
}

fn not_found(exchange: &str) -> Fault {
    Fault::Amqp { name: "not_found", text: format!("NOT_FOUND - no exchange '{exchange}'") }
}

/// Without the bodies that came twice.
fn first_of_each(bodies: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    bodies.into_iter().filter(|it| seen.insert(it.clone())).collect()
}

/// Both sessions of a test publish on the same channel.
async fn one_publisher() -> Gateway {
    Gateway::connected(Settings { publishers: 1, ..Settings::default() }).await
}

fn test_name(fixture: &Fixture, name: &str) -> String {
    fixture.queue(name).to_string().replace("/queue/", "")
}

#[tokio::test]
async fn d13_a_missing_exchange_is_found_before_anything_is_published() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (topic, missing) = (fixture.topic("a"), test_name(&fixture, "missing"));
    other.subscribe(&topic).await;
    let before = careless.start_publish(&topic, "before");
    let refused = careless.start_publish(&exchange(&missing), "x");
    let after = careless.start_publish(&topic, "after");
    assert_eq!(refused.await, Err(not_found(&missing)));
    assert_eq!((before.await, after.await), (Ok(()), Ok(())));
    other.publish(&topic, "other").await;
    other.expect(&["before", "after", "other"]).await;
    // It is asked for each time: it may have been made meanwhile.
    declare_exchange(&foreign_channel().await, &missing, false).await;
    careless.publish(&exchange(&missing), "x").await;
    delete_exchange(&foreign_channel().await, &missing).await;
    assert_eq!(gateway.metric("republished_total", ""), 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn d13_d14_what_is_sent_to_an_exchange_is_routed_by_it() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (channel, name) = (foreign_channel().await, test_name(&fixture, "x"));
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(name.clone().into(), ExchangeKind::Direct, options, FieldTable::default()).await.unwrap();
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
    for key in ["", "k"] {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.name().clone(), name.clone().into(), key.into(), options, arguments).await.unwrap();
        let destination = Destination::Exchange { name: name.clone().into(), key: key.into() };
        session.publish(&destination, key).await;
        let message = channel.basic_get(queue.name().clone(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), (&*name, key));
        assert_eq!(message.data, key.as_bytes());
    }
    let unbound = Destination::Exchange { name: name.clone().into(), key: "nobody".into() };
    session.publish(&unbound, "rc1: unroutable, and confirmed").await;
    delete_exchange(&channel, &name).await;
    gateway.stop().await;
}

/// The exchange is deleted after the gateway has seen it, so only RabbitMQ's refusal can say that it is gone.
#[tokio::test]
async fn an_exception_costs_only_who_caused_it() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other, mut reader) = (fixture.open().await, fixture.open().await, fixture.open().await);
    let (queue, gone) = (fixture.queue("a"), test_name(&fixture, "gone"));
    let channel = foreign_channel().await;
    declare_exchange(&channel, &gone, false).await;
    careless.publish(&exchange(&gone), "x").await;
    other.publish(&queue, "first").await;
    delete_exchange(&channel, &gone).await;

    let bodies: Vec<String> = (0..1_000).map(|it| it.to_string()).collect();
    let mut pending = Vec::new();
    let mut refused = Vec::new();
    for (number, text) in bodies.iter().enumerate() {
        pending.push(other.start_publish(&queue, text));
        if number == 500 {
            refused.push(careless.start_publish(&exchange(&gone), "x"));
        }
    }
    for outcome in join_all(pending).await {
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(join_all(refused).await, [Err(not_found(&gone))]);
    reader.subscribe(&queue).await;
    let mut received = vec![body(&reader.receive().await)];
    while received.last() != bodies.last() {
        received.push(body(&reader.receive().await));
    }
    assert_eq!(first_of_each(received)[1..], bodies[..]);
    assert_eq!(gateway.metric("publishes_total", "confirmed"), 1_002.0);
    assert_eq!(gateway.metric("publishes_total", "failed"), 1.0);
    assert!(gateway.metric("republished_total", "") >= 1.0);
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    // At full speed again, and known to be gone.
    other.publish_all(&queue, &["1", "2"]).await;
    let republished = gateway.metric("republished_total", "");
    assert_eq!(careless.start_publish(&exchange(&gone), "x").await, Err(not_found(&gone)));
    assert_eq!(gateway.metric("republished_total", ""), republished);
    gateway.stop().await;
}

/// Each of them would cost a channel, and two more to find out which one it was.
#[tokio::test]
async fn many_messages_to_an_exchange_that_is_gone_are_all_refused() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (topic, gone) = (fixture.topic("a"), test_name(&fixture, "gone"));
    let channel = foreign_channel().await;
    declare_exchange(&channel, &gone, false).await;
    careless.publish(&exchange(&gone), "x").await;
    delete_exchange(&channel, &gone).await;
    let refused: Vec<_> = (0..60).map(|_| careless.start_publish(&exchange(&gone), "x")).collect();
    let confirmed: Vec<_> = (0..60).map(|_| other.start_publish(&topic, "x")).collect();
    assert!(join_all(refused).await.iter().all(|it| *it == Err(not_found(&gone))));
    assert!(join_all(confirmed).await.iter().all(Result::is_ok));
    gateway.stop().await;
}

#[tokio::test]
async fn e32_an_exchange_that_takes_nothing_from_clients_is_refused_by_rabbitmq() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (queue, internal) = (fixture.queue("a"), test_name(&fixture, "internal"));
    let channel = foreign_channel().await;
    declare_exchange(&channel, &internal, true).await;
    for _ in 0..20 {
        let before = other.start_publish(&queue, "before");
        let refused = careless.start_publish(&exchange(&internal), "x");
        let after = other.start_publish(&queue, "after");
        let outcome = refused.await;
        let Err(Fault::Amqp { name: "access_refused", text }) = outcome else { panic!("{outcome:?}") };
        assert!(text.starts_with("ACCESS_REFUSED - cannot publish to internal exchange"), "{text}");
        assert_eq!((before.await, after.await), (Ok(()), Ok(())));
    }
    // Only the first one came unexpected.
    let republished = gateway.metric("republished_total", "");
    assert!(republished <= 6.0, "{republished}");
    delete_exchange(&channel, &internal).await;
    gateway.stop().await;
}

/// Each of theirs costs a channel.
#[tokio::test]
async fn what_many_are_refused_one_by_one_lets_others_pass() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let internal = test_name(&fixture, "internal");
    let channel = foreign_channel().await;
    declare_exchange(&channel, &internal, true).await;
    let (mut careless, mut refused, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    let bodies: Vec<_> = (0..250).map(|it| it.to_string()).collect();
    for number in 0..4 {
        let (mut session, queue) = (fixture.open().await, fixture.queue(&number.to_string()));
        for text in &bodies {
            refused.push(session.start_publish(&exchange(&internal), text));
            accepted.push(session.start_publish(&queue, text));
        }
        careless.push((session, queue));
    }
    let (mut other, topic) = (fixture.open().await, fixture.topic("a"));
    let (mut passed, mut refused) = (0, pin!(join_all(refused)));
    let outcomes = loop {
        let mut publish = pin!(other.publish(&topic, "x"));
        tokio::select! {
            outcomes = &mut refused => break outcomes,
            () = &mut publish => passed += 1,
        }
    };
    assert!(passed >= 100, "{passed} of another session meanwhile");
    assert!(outcomes.iter().all(|it| matches!(it, Err(Fault::Amqp { name: "access_refused", .. }))));
    assert!(join_all(accepted).await.iter().all(Result::is_ok));
    for (session, queue) in &mut careless {
        session.subscribe(queue).await;
        let mut received = Vec::new();
        while received.last() != bodies.last() {
            received.push(body(&session.receive().await));
        }
        assert_eq!(first_of_each(received), bodies);
    }
    delete_exchange(&channel, &internal).await;
    gateway.stop().await;
}

/// 9.4: RabbitMQ looks at them when it routes.
#[tokio::test]
async fn permissions_on_exchanges_and_topics_cost_only_who_lacks_them() {
    let user = format!("user-{}", rand::random::<u64>());
    rabbitmqctl(&["add_user", &user, "secret"]).await;
    rabbitmqctl(&["set_permissions", &user, ".*", r"^(amq\.default|amq\.topic|stompgate\..*)$", ".*"]).await;
    rabbitmqctl(&["set_topic_permissions", &user, "amq.topic", r"\.open$", ".*"]).await;
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let (_, rest) = url.split_once('@').expect("login:password@");
    let urls = vec![format!("amqp://{user}:secret@{rest}").parse().unwrap()];
    let gateway = Gateway::started(Settings { urls, publishers: 1, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (open, shut) = (fixture.topic("open"), fixture.topic("shut"));
    let Destination::Topic(key) = &shut else { panic!("{shut} is no topic") };
    for (refused, what) in [
        (&shut, format!("topic '{key}' in exchange 'amq.topic'")),
        (&exchange("amq.fanout"), "exchange 'amq.fanout'".to_owned()),
    ] {
        let before: Vec<_> = (0..50).map(|_| other.start_publish(&open, "before")).collect();
        let outcome = careless.start_publish(refused, "x");
        let after: Vec<_> = (0..50).map(|_| other.start_publish(&open, "after")).collect();
        let text = format!("ACCESS_REFUSED - access to {what} refused");
        let outcome = outcome.await;
        let Err(Fault::Amqp { name: "access_refused", text: said }) = outcome else { panic!("{outcome:?}") };
        // Later versions say which access.
        assert_eq!(said.replace("write access", "access"), text);
        assert!(join_all(before.into_iter().chain(after)).await.iter().all(Result::is_ok));
        assert_eq!(careless.start_publish(&open, "x").await, Ok(()));
    }
    gateway.stop().await;
    rabbitmqctl(&["delete_user", &user]).await;
}

/// The library never uses the number of a channel again that RabbitMQ has closed.
#[tokio::test]
async fn exceptions_do_not_use_up_the_channels_of_the_connection() {
    let url = format!("{}?channel_max=16", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], publishers: 1, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (topic, missing, internal) =
        (fixture.topic("a"), test_name(&fixture, "missing"), test_name(&fixture, "internal"));
    let channel = foreign_channel().await;
    declare_exchange(&channel, &internal, true).await;
    for _ in 0..60 {
        assert_eq!(careless.start_publish(&exchange(&missing), "x").await, Err(not_found(&missing)));
        let refused = careless.start_publish(&exchange(&internal), "x").await;
        assert!(matches!(refused, Err(Fault::Amqp { name: "access_refused", .. })), "{refused:?}");
        other.publish(&topic, "x").await;
    }
    delete_exchange(&channel, &internal).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_loss_of_the_connection_for_publishing_costs_no_session_anything() {
    let connection_name = format!("publishing-{}", rand::random::<u64>());
    let settings = Settings { connection_name: connection_name.clone(), ..Settings::default() };
    let gateway = Gateway::connected(settings).await;
    let fixture = gateway.fixture();
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let queue = fixture.queue("a");
    sender.publish(&queue, "0").await;
    let name = format!("{connection_name} publish");
    let mut closing = pin!(close_connection(&name));
    let (mut pending, mut pace) = (Vec::new(), interval(Duration::from_millis(1)));
    while closing.as_mut().now_or_never().is_none() {
        pace.tick().await;
        let number = pending.len() + 1;
        pending.push(sender.start_publish(&queue, &number.to_string()));
    }
    let last = pending.len();
    for outcome in join_all(pending).await {
        assert_eq!(outcome, Ok(()));
    }
    reader.subscribe(&queue).await;
    let mut received = Vec::new();
    while received.last().is_none_or(|it| *it != last.to_string()) {
        received.push(body(&reader.receive().await));
    }
    assert_eq!(first_of_each(received), (0..=last).map(|it| it.to_string()).collect::<Vec<_>>());
    assert_eq!(gateway.metric("connections", "publish"), 1.0);
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    gateway.stop().await;
}

async fn close_connection(name: &str) {
    let connections = rabbitmqctl(&["list_connections", "pid", "client_properties"]).await;
    let ours = connections.iter().find(|it| it.contains(&format!("{name}\"")));
    let pid = ours.expect("RabbitMQ knows the connection by its name").split('\t').next().unwrap();
    rabbitmqctl(&["close_connection", pid, "a test wants it"]).await;
}

#[tokio::test]
async fn rc1_what_nobody_receives_is_confirmed() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let missing: Box<str> = test_name(&fixture, "missing").into();
    for destination in [Destination::AmqQueue(missing.clone()), Destination::ReplyQueue(missing), fixture.topic("a")] {
        for headers in [&[][..], &[("persistent", "true")]] {
            session.publish_with(&destination, headers, b"x").await;
        }
    }
    gateway.stop().await;
}

/// As with RabbitMQ's plugin: a session declares a queue at its first use, and not again.
#[tokio::test]
async fn d10_a_queue_that_was_deleted_since_takes_nothing_and_all_is_confirmed() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let (queue, channel) = (fixture.queue("a"), foreign_channel().await);
    session.publish(&queue, "declared").await;
    let name: ShortString = test_name(&fixture, "a").into();
    channel.queue_delete(name.clone(), QueueDeleteOptions::default()).await.unwrap();
    session.publish(&queue, "vanishes").await;
    // Another session declares it for itself.
    fixture.open().await.publish(&queue, "kept").await;
    let message = channel.basic_get(name.clone(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(message.data, b"kept");
    channel.queue_delete(name, QueueDeleteOptions::default()).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_queue_that_takes_no_more_has_the_broker_refuse_the_message() {
    let gateway = one_publisher().await;
    let fixture = gateway.fixture();
    let (mut session, mut other) = (fixture.open().await, fixture.open().await);
    let (name, channel) = (test_name(&fixture, "full"), foreign_channel().await);
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.clone().into(), options, arguments).await.unwrap();
    let full = Destination::AmqQueue(name.into());
    session.publish(&full, "fits").await;
    let topic = fixture.topic("a");
    let outcomes = [
        session.start_publish(&topic, "before"),
        session.start_publish(&full, "too many"),
        session.start_publish(&topic, "after"),
        other.start_publish(&topic, "other"),
    ];
    assert_eq!(join_all(outcomes).await, [Ok(()), Err(Fault::Nacked), Ok(()), Ok(())]);
    assert_eq!(gateway.metric("publishes_total", "nacked"), 1.0);
    assert_eq!(gateway.metric("publishes_total", "confirmed"), 4.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_publish_has_its_time_anew_after_a_block_that_nobody_looked_at() {
    let proxy = Proxy::start(broker_address()).await;
    let operation_timeout = Duration::from_secs(2);
    let outage = Outage::Reject;
    let settings = Settings { operation_timeout, publishers: 1, outage, ..Settings::default() };
    let gateway = behind(&proxy, settings).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    session.publish(&fixture.topic("a"), "before").await;
    session.subscribe(&fixture.topic("a")).await;
    // The connection that publishes is to be the first of the last three.
    let _second = TcpStream::connect(proxy.address).await.unwrap();
    let _third = TcpStream::connect(proxy.address).await.unwrap();
    proxy.fall_silent();
    let begun = Instant::now();
    let published = session.start_publish(&fixture.topic("a"), "x");
    let half = tokio::time::timeout(operation_timeout / 2, std::future::pending::<()>());
    half.await.expect_err("only the time ends this");
    proxy.block();
    eventually("it is blocked", async || gateway.metric("blocked", "") == 1.0).await;
    proxy.unblock();
    eventually("it is unblocked", async || gateway.metric("blocked", "") == 0.0).await;
    assert!(begun.elapsed() < operation_timeout, "all of it happened between two looks");
    assert_eq!(published.await, Err(Fault::TimedOut(2_000)));
    assert!(begun.elapsed() >= operation_timeout * 3 / 2, "{:?}", begun.elapsed());
    proxy.cut();
    gateway.stop().await;
}
