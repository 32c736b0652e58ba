//! What sessions have at queues outlasts RabbitMQ's absence, with `broker.outage = "hold"`.

use std::ops::Range;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use stompgate::broker::Outage;
use stompgate::broker::amqp::Settings;
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::ident::SubscriptionKey;
use stompgate::session::{AckMode, Unsubscribe, Verdict};
use tokio::time::Instant;

use super::Gateway;
use super::loss::{behind, broker_address};
use super::node::Node;
use super::outside::{asked, declared, delete, is_gone, name, publish};
use super::proxy::Proxy;
use super::support::{eventually, foreign_channel, rabbitmqctl};
use crate::broker_contract::fixture::{Session, body, done, token};

fn held() -> Settings {
    Settings { outage: Outage::Hold, reconnect_delay_max: Duration::from_millis(500), ..Settings::default() }
}

async fn started(settings: Settings) -> (Proxy, Gateway) {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, settings).await;
    (proxy, gateway)
}

async fn go_down(proxy: &Proxy, gateway: &Gateway) {
    proxy.go_down();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    eventually("nothing is consumed", async || gateway.metric("private_consumers", "") == 0.0).await;
}

async fn come_back(proxy: &Proxy, gateway: &Gateway, consumers: f64) {
    proxy.come_up();
    eventually("it is back", async || gateway.metric("connected", "") == 1.0).await;
    eventually("all is consumed again", async || gateway.metric("private_consumers", "") == consumers).await;
}

/// By somebody else, whom the outage does not concern.
async fn publish_to(queue: &Destination, bodies: &[&str]) {
    let channel = foreign_channel().await;
    for body in bodies {
        publish(&channel, "", &name(queue), body).await;
    }
}

/// What RabbitMQ says of one queue.
async fn column(queue: &Destination, column: &str) -> String {
    let rows = rabbitmqctl(&["list_queues", "name", column]).await;
    let prefix = format!("{}\t", name(queue));
    rows.iter().find_map(|it| it.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_queue_is_consumed_again_and_an_ack_of_before_is_swallowed() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, fixture.queue("a"));
    session.subscribe_with(&queue, AckMode::ClientIndividual, 64).await;
    publish_to(&queue, &["1", "2", "3"]).await;
    let before = session.expect(&["1", "2", "3"]).await;
    session.settle(&[token(&before[1])], Verdict::Accepted);
    eventually("RabbitMQ has the ack", async || column(&queue, "messages_unacknowledged").await == "2").await;
    go_down(&proxy, &gateway).await;
    assert_eq!(gateway.metric("unsettled", ""), 0.0);
    session.settle(&[token(&before[0])], Verdict::Accepted);
    publish_to(&queue, &["4"]).await;
    come_back(&proxy, &gateway, 1.0).await;
    let again = session.expect(&["1", "3", "4"]).await;
    assert_eq!(again.iter().map(|it| it.redelivered).collect::<Vec<_>>(), [true, true, false]);
    session.settle(&[token(&before[2])], Verdict::Accepted);
    assert_eq!((gateway.metric("unsettled", ""), gateway.metric("stale_settlements_total", "")), (3.0, 2.0));
    session.settle(&again.iter().map(token).collect::<Vec<_>>(), Verdict::Accepted);
    eventually("RabbitMQ has them all", async || column(&queue, "messages").await == "0").await;
    assert_eq!(gateway.metric("unsettled", ""), 0.0);
    session.expect_nothing();
    gateway.stop().await;
    delete(&name(&queue)).await;
}

#[tokio::test]
async fn what_is_asked_while_rabbitmq_is_away_is_done_when_it_is_back() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (mut session, mut late) = (fixture.open().await, fixture.open().await);
    let [kept, left, new, first] = ["kept", "left", "new", "first"].map(|it| fixture.queue(it));
    session.subscribe(&kept).await;
    let key = session.subscribe(&left).await;
    go_down(&proxy, &gateway).await;
    session.unsubscribe(key).await;
    let (_, pending) = session.start_subscribe(&new, AckMode::Auto, 1);
    // A session that has had none, and one that begins now.
    let (_, of_late) = late.start_subscribe(&first, AckMode::Auto, 1);
    let mut newcomer = fixture.open().await;
    let (_, of_newcomer) = newcomer.start_subscribe(&first, AckMode::Auto, 1);
    // One that does not wait for it.
    let mut gone = fixture.open().await;
    let (_, abandoned) = gone.start_subscribe(&fixture.queue("gone"), AckMode::Auto, 1);
    gone.close();
    assert!(abandoned.await.is_err());
    come_back(&proxy, &gateway, 4.0).await;
    for pending in [pending, of_late, of_newcomer] {
        done(pending).await;
    }
    publish_to(&kept, &["1"]).await;
    session.expect(&["1"]).await;
    publish_to(&new, &["2"]).await;
    session.expect(&["2"]).await;
    assert_eq!(column(&left, "consumers").await, "0");
    assert_eq!(asked(&name(&fixture.queue("gone"))).await, 404);
    gateway.stop().await;
    for queue in [kept, left, new, first] {
        delete(&name(&queue)).await;
    }
}

#[tokio::test]
async fn a_durable_subscription_gathers_meanwhile_and_ends_when_its_session_said_so() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (mut session, mut leaver, topic) = (fixture.open().await, fixture.open().await, fixture.topic("a"));
    let [kept, left] = ["kept", "left"].map(|it| fixture.queue(it));
    let headers = |queue: &Destination| {
        [("durable", "true".to_owned()), ("auto-delete", "false".to_owned()), ("x-queue-name", name(queue).to_string())]
    };
    let subscribe = async |session: &mut Session, queue: &Destination| -> SubscriptionKey {
        let headers = headers(queue);
        let headers: Vec<_> = headers.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let (key, pending) = session.start_subscribe_as("id", &topic, AckMode::Client, &headers);
        done(pending).await;
        key
    };
    subscribe(&mut session, &kept).await;
    let key = subscribe(&mut leaver, &left).await;
    go_down(&proxy, &gateway).await;
    publish(&foreign_channel().await, "amq.topic", &name(&topic), "meanwhile").await;
    let deleted = leaver.link().unsubscribe(Unsubscribe { key, is_final: true });
    // It is not told before it is done.
    let mut deleted = Box::pin(deleted);
    assert!((&mut deleted).now_or_never().is_none());
    leaver.close();
    assert_eq!(asked(&name(&left)).await, 200);
    come_back(&proxy, &gateway, 1.0).await;
    session.expect(&["meanwhile"]).await;
    assert_eq!(deleted.await, Ok(()));
    assert_eq!(asked(&name(&left)).await, 404);
    gateway.stop().await;
    delete(&name(&kept)).await;
}

#[tokio::test]
async fn what_rabbitmq_refuses_on_its_return_ends_that_subscription_alone() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let [gone, other, kept] = ["gone", "other", "kept"].map(|it| fixture.queue(it));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    assert_eq!(declared(&name(&gone), options, FieldTable::default()).await, 200);
    let gone_key = session.subscribe(&Destination::AmqQueue(name(&gone).as_str().into())).await;
    let other_key = session.subscribe(&other).await;
    session.subscribe(&kept).await;
    go_down(&proxy, &gateway).await;
    delete(&name(&gone)).await;
    delete(&name(&other)).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(10));
    assert_eq!(declared(&name(&other), options, arguments).await, 200);
    come_back(&proxy, &gateway, 1.0).await;
    for key in [gone_key, other_key] {
        let item = session.next_item().await;
        assert!(matches!(item, Item::SubscriptionEnded(ended) if ended == key), "{item:?}");
    }
    publish_to(&kept, &["1"]).await;
    session.expect(&["1"]).await;
    gateway.stop().await;
    delete(&name(&other)).await;
    delete(&name(&kept)).await;
}

#[tokio::test]
async fn d30_replies_and_exclusive_queues_are_made_again() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (mut session, mut other) = (fixture.open().await, fixture.open().await);
    let (service, mine, topic) = (fixture.queue("service"), fixture.queue("mine"), fixture.topic("a"));
    let exclusive = [("exclusive", "true")];
    let (_, pending) = session.start_subscribe_as("id", &mine, AckMode::Auto, &exclusive);
    done(pending).await;
    session.subscribe_with(&topic, AckMode::Client, 5).await;
    let mut server = fixture.open().await;
    server.subscribe(&service).await;
    let key = session.new_key(AckMode::Auto);
    let mut addresses = Vec::new();
    for round in 0..2 {
        if round > 0 {
            go_down(&proxy, &gateway).await;
            come_back(&proxy, &gateway, 4.0).await;
        }
        session.ask(&service, key, "?").await;
        let question = server.receive().await;
        let address = question.message.headers().get("reply-to").unwrap();
        let address = address.strip_prefix("/reply-queue/").unwrap().to_owned();
        publish(&foreign_channel().await, "", &address.as_str().into(), "!").await;
        assert_eq!(session.expect(&["!"]).await[0].subscription, key);
        addresses.push(address);
    }
    assert_ne!(addresses[0], addresses[1]);
    is_gone(&addresses[0].as_str().into()).await;
    let (_, refused) = other.start_subscribe_as("id", &mine, AckMode::Auto, &exclusive);
    assert!(refused.await.is_err());
    publish_to(&mine, &["for one"]).await;
    session.expect(&["for one"]).await;
    other.publish(&topic, "a topic").await;
    session.expect(&["a topic"]).await;
    session.close();
    is_gone(&name(&mine)).await;
    gateway.stop().await;
    delete(&name(&service)).await;
}

#[tokio::test]
async fn d52_a_stream_goes_on_behind_the_last_message_that_it_delivered() {
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (mut session, stream) = (fixture.open().await, fixture.queue("stream"));
    let headers = [("x-queue-type", "stream"), ("x-stream-offset", "first")];
    session.publish_with(&stream, &headers[..1], b"0").await;
    let (_, pending) = session.start_subscribe_as("id", &stream, AckMode::Auto, &headers);
    done(pending).await;
    publish_to(&stream, &["1", "2"]).await;
    session.expect(&["0", "1", "2"]).await;
    go_down(&proxy, &gateway).await;
    publish_to(&stream, &["3", "4"]).await;
    come_back(&proxy, &gateway, 1.0).await;
    publish_to(&stream, &["5"]).await;
    session.expect(&["3", "4", "5"]).await;
    gateway.stop().await;
    delete(&name(&stream)).await;
}

#[tokio::test]
async fn a_subscribe_that_a_silent_rabbitmq_does_not_answer_is_done_later() {
    let operation_timeout = Duration::from_millis(500);
    let (proxy, gateway) = started(Settings { operation_timeout, ..held() }).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, fixture.queue("a"));
    proxy.fall_silent();
    let (_, mut pending) = session.start_subscribe(&queue, AckMode::Auto, 1);
    let answer = tokio::time::timeout(4 * operation_timeout, &mut pending).await;
    assert!(answer.is_err(), "{answer:?}");
    proxy.cut();
    done(pending).await;
    publish_to(&queue, &["1"]).await;
    session.expect(&["1"]).await;
    gateway.stop().await;
    delete(&name(&queue)).await;
}

/// RabbitMQ cancels its consumers, as when the node of a queue goes away, and has the queue back at once.
#[tokio::test]
async fn a_queue_that_crashed_is_consumed_again() {
    let gateway = Gateway::connected(held()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, fixture.queue("a"));
    session.subscribe(&queue).await;
    let kill = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{}\">>)), \
         exit(amqqueue:get_pid(Q), kill).",
        name(&queue)
    );
    rabbitmqctl(&["eval", &kill]).await;
    let is_consumed = async || column(&queue, "consumers").await == "1";
    eventually("it is consumed again", is_consumed).await;
    publish_to(&queue, &["1"]).await;
    session.expect(&["1"]).await;
    gateway.stop().await;
    delete(&name(&queue)).await;
}

/// Publishes with confirms, one after the other, until it can't; the number of those that RabbitMQ has.
async fn fill(url: &str, queue: &Destination, numbers: Range<usize>) -> usize {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut taken = numbers.start;
    for number in numbers {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let (body, options) = (number.to_string(), BasicPublishOptions::default());
        let publish = channel.basic_publish("".into(), name(queue), options, body.as_bytes(), properties);
        let Ok(confirm) = publish.await else { break };
        if !matches!(confirm.await, Ok(Confirmation::Ack(_))) {
            break;
        }
        taken = number + 1;
    }
    taken
}

/// So many are acknowledged long before the fault.
const SETTLED: usize = 300;

/// More than are published until then.
const MANY: usize = 1_000_000;

/// What one session was given of numbered messages, each of which it acknowledges at once.
#[derive(Default)]
struct Received {
    first: Vec<usize>,
    doubled: usize,
    may_double: bool,
}

impl Received {
    async fn next(&mut self, session: &mut Session) {
        let delivery = session.receive().await;
        let number = body(&delivery).parse().unwrap();
        match self.first.binary_search(&number) {
            Ok(_) => {
                assert!(self.may_double && number >= SETTLED, "{number} came twice");
                self.doubled += 1;
            }
            Err(place) => {
                assert_eq!(place, self.first.len(), "{number} is behind {:?}", self.first.last());
                self.first.push(number);
            }
        }
        session.settle(&[token(&delivery)], Verdict::Accepted);
    }
}

#[tokio::test]
async fn a_queue_loses_nothing_when_rabbitmq_is_killed_under_load() {
    let node = Node::start(20).await;
    let gateway = Gateway::started(Settings { urls: vec![node.url()], ..held() });
    gateway.is_ready().await;
    let (fixture, url) = (gateway.fixture(), node.url.clone());
    let (mut session, queue) = (fixture.open().await, fixture.queue("a"));
    let key = session.subscribe_with(&queue, AckMode::ClientIndividual, 64).await;
    assert_eq!(fill(&url, &queue, 0..SETTLED).await, SETTLED);
    let mut received = Received::default();
    while received.first.len() < SETTLED {
        received.next(&mut session).await;
    }
    // Answered behind the acks, so RabbitMQ has them all.
    session.unsubscribe(key).await;
    session.subscribe_with(&queue, AckMode::ClientIndividual, 64).await;
    let killed = async {
        while received.first.len() < 2 * SETTLED {
            received.next(&mut session).await;
        }
        node.kill().await;
    };
    let (taken, ()) = tokio::join!(fill(&url, &queue, SETTLED..MANY), killed);
    node.start_again().await;
    assert_eq!(fill(&url, &queue, MANY..MANY + SETTLED).await, MANY + SETTLED);
    received.may_double = true;
    while received.first.last() != Some(&(MANY + SETTLED - 1)) {
        received.next(&mut session).await;
    }
    let Received { first, doubled, .. } = received;
    // The one that was not confirmed may be there, too.
    let lost: Vec<_> = (0..taken).chain(MANY..MANY + SETTLED).filter(|it| first.binary_search(it).is_err()).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    println!("{taken} and {SETTLED} confirmed, {} received, {doubled} of them twice", first.len());
    gateway.stop().await;
}

#[tokio::test]
async fn two_hundred_sessions_come_back() {
    const SESSIONS: usize = 200;
    let (proxy, gateway) = started(held()).await;
    let fixture = gateway.fixture();
    let (topic, mut sessions) = (fixture.topic("all"), Vec::new());
    for number in 0..SESSIONS {
        let mut session = fixture.open().await;
        let (_, queue) = session.start_subscribe(&fixture.queue(&number.to_string()), AckMode::Auto, 5);
        let (_, topic) = session.start_subscribe(&topic, AckMode::Client, 5);
        sessions.push((session, queue, topic));
    }
    let subscribed = sessions.into_iter().map(async |(session, queue, topic)| {
        queue.await.unwrap();
        topic.await.unwrap();
        session
    });
    let mut sessions = join_all(subscribed).await;
    go_down(&proxy, &gateway).await;
    let begun = Instant::now();
    come_back(&proxy, &gateway, 2.0 * SESSIONS as f64).await;
    println!("{SESSIONS} sessions with a queue and a topic each are back after {:?}", begun.elapsed());
    publish(&foreign_channel().await, "amq.topic", &name(&topic), "x").await;
    join_all(sessions.iter_mut().map(async |it| it.expect(&["x"]).await)).await;
    gateway.stop().await;
    let channel = foreign_channel().await;
    for number in 0..SESSIONS {
        let queue = name(&fixture.queue(&number.to_string()));
        channel.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
    }
}
