//! RabbitMQ goes away, does not answer, or does not let the gateway in.

use std::net::SocketAddr;
use std::time::Duration;

use stompgate::broker::amqp::{Settings, Url};
use stompgate::broker::{LinkRequest, Outage};
use stompgate::delivery::{self, Budget, Item, Outboxes};
use stompgate::ident::SessionId;
use stompgate::session::{AckMode, Credentials, Fault};
use stompgate::telemetry::Registry;
use tokio::time::Instant;

use super::Gateway;
use super::proxy::Proxy;
use super::support::{eventually, rabbitmqctl, url, variable};
use crate::broker_contract::fixture::{Fixture, Session};

/// The parts of the URL of the tests that these tests change.
pub(crate) fn url_with(password: &str, address: SocketAddr) -> String {
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let (login, rest) = url.strip_prefix("amqp://").and_then(|it| it.split_once(':')).expect("login:password");
    let (_, vhost) = rest.rsplit_once('/').expect("a vhost");
    format!("amqp://{login}:{password}@{address}/{vhost}")
}

pub(crate) fn password() -> String {
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let (login, _) = url.strip_prefix("amqp://").and_then(|it| it.split_once('@')).expect("login:password@");
    login.split_once(':').expect("login:password").1.to_owned()
}

pub(crate) fn broker_address() -> SocketAddr {
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let (_, rest) = url.split_once('@').expect("login:password@");
    rest.split('/').next().unwrap().parse().expect("the tests' RabbitMQ is named by its address")
}

pub(crate) fn url_through(proxy: &Proxy) -> Url {
    url_with(&password(), proxy.address).parse().unwrap()
}

/// With `Outage::Hold` no session would be told of most of this.
fn rejecting() -> Settings {
    Settings { outage: Outage::Reject, ..Settings::default() }
}

pub(crate) async fn behind(proxy: &Proxy, settings: Settings) -> Gateway {
    let gateway = Gateway::started(Settings { urls: vec![url_through(proxy)], ..settings });
    gateway.is_ready().await;
    eventually("all is connected", async || gateway.metric("connections", "") == 3.0).await;
    gateway
}

async fn expect_lost(session: &mut Session) {
    assert!(matches!(session.next_item().await, Item::LinkLost));
    session.expect_nothing();
}

async fn expect_working(fixture: &Fixture) {
    let mut session = fixture.open().await;
    let (topic, queue) = (fixture.topic("after"), fixture.queue("after"));
    session.subscribe(&topic).await;
    session.subscribe(&queue).await;
    session.publish(&topic, "topic").await;
    session.expect(&["topic"]).await;
    session.publish(&queue, "queue").await;
    session.expect(&["queue"]).await;
    session.close();
}

#[tokio::test]
async fn the_loss_of_a_connection_that_consumes_ends_the_links_once_and_new_ones_work() {
    let connection_name = format!("loss-{}", SessionId::from_random(rand::random()));
    let gateway = Gateway::connected(Settings { connection_name: connection_name.clone(), ..rejecting() }).await;
    let fixture = gateway.fixture();
    for (round, role) in ["feeds", "private"].into_iter().enumerate() {
        let (mut one, mut two, closed) = (fixture.open().await, fixture.open().await, fixture.open().await);
        one.subscribe(&fixture.topic("a")).await;
        two.subscribe(&fixture.queue("a")).await;
        closed.close();
        let connections = rabbitmqctl(&["list_connections", "pid", "client_properties"]).await;
        let ours = connections.iter().find(|it| it.contains(&format!("{connection_name} {role}\"")));
        let pid = ours.expect("RabbitMQ knows the connection by its name").split('\t').next().unwrap();
        rabbitmqctl(&["close_connection", pid, "a test wants it"]).await;
        expect_lost(&mut one).await;
        expect_lost(&mut two).await;
        // What is asked of a lost link fails, and does not wait.
        let (_, subscribe) = one.start_subscribe(&fixture.topic("b"), AckMode::Auto, 1);
        assert_eq!(subscribe.await, Err(Fault::Unavailable));
        let (_, subscribe) = two.start_subscribe(&fixture.queue("b"), AckMode::Auto, 1);
        assert_eq!(subscribe.await, Err(Fault::Unavailable));
        assert_eq!(one.start_publish(&fixture.topic("b"), "x").await, Err(Fault::Unavailable));
        one.close();
        two.close();
        eventually("it is back", async || gateway.metric("connects_total", "connected") == (round + 2) as f64).await;
        gateway.is_ready().await;
        expect_working(&fixture).await;
    }
    assert_eq!(gateway.metric("connection_losses_total", ""), 2.0);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_pending_when_the_connections_are_lost_fails() {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, rejecting()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    session.subscribe(&fixture.queue("a")).await;
    proxy.fall_silent();
    let published = session.start_publish(&fixture.topic("a"), "x");
    let declared = session.start_publish(&fixture.queue("b"), "x");
    let (_, topic) = session.start_subscribe(&fixture.topic("a"), AckMode::Auto, 1);
    let (_, queue) = session.start_subscribe(&fixture.queue("c"), AckMode::Auto, 1);
    let (_, waiting) = session.start_subscribe(&fixture.queue("d"), AckMode::Auto, 1);
    proxy.cut();
    for pending in [published, declared, topic, queue, waiting] {
        assert_eq!(pending.await, Err(Fault::Unavailable));
    }
    expect_lost(&mut session).await;
    eventually("it is back", async || gateway.metric("connects_total", "connected") == 2.0).await;
    gateway.is_ready().await;
    expect_working(&fixture).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_fault() {
    let proxy = Proxy::start(broker_address()).await;
    let operation_timeout = Duration::from_millis(500);
    let gateway = behind(&proxy, Settings { operation_timeout, ..rejecting() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    proxy.fall_silent();
    let published = session.start_publish(&fixture.topic("a"), "x");
    let declared = session.start_publish(&fixture.queue("b"), "x");
    let (_, topic) = session.start_subscribe(&fixture.topic("a"), AckMode::Auto, 1);
    let (_, queue) = session.start_subscribe(&fixture.queue("c"), AckMode::Auto, 1);
    for pending in [published, declared, topic, queue] {
        assert_eq!(pending.await, Err(Fault::TimedOut(500)));
    }
    proxy.cut();
    gateway.stop().await;
}

/// RabbitMQ confirms each message by itself: one that it never confirms must not make the others wait in a line.
#[tokio::test]
async fn all_that_was_published_at_a_time_is_given_up_at_a_time() {
    let proxy = Proxy::start(broker_address()).await;
    let operation_timeout = Duration::from_millis(500);
    let gateway = behind(&proxy, Settings { operation_timeout, publishers: 1, ..rejecting() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    session.publish(&fixture.topic("a"), "before").await;
    proxy.fall_silent();
    let begun = Instant::now();
    let published: Vec<_> = (0..10).map(|_| session.start_publish(&fixture.topic("a"), "x")).collect();
    for pending in published {
        assert_eq!(pending.await, Err(Fault::TimedOut(500)));
    }
    assert!(begun.elapsed() < 4 * operation_timeout, "{:?}", begun.elapsed());
    proxy.cut();
    gateway.stop().await;
}

#[tokio::test]
async fn publishes_wait_while_rabbitmq_blocks_and_all_else_goes_on() {
    let proxy = Proxy::start(broker_address()).await;
    let operation_timeout = Duration::from_millis(500);
    let gateway = behind(&proxy, Settings { operation_timeout, ..rejecting() }).await;
    let fixture = gateway.fixture();
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let topic = fixture.topic("a");
    reader.subscribe(&topic).await;
    sender.publish(&topic, "before").await;
    reader.expect(&["before"]).await;
    proxy.block();
    eventually("it is blocked", async || gateway.metric("blocked", "") == 1.0).await;
    let mut waiting = sender.start_publish(&topic, "while");
    reader.subscribe(&fixture.topic("b")).await;
    reader.subscribe(&fixture.queue("b")).await;
    let answer = tokio::time::timeout(3 * operation_timeout, &mut waiting).await;
    assert!(answer.is_err(), "{answer:?}");
    proxy.unblock();
    assert_eq!(waiting.await, Ok(()));
    reader.expect(&["while"]).await;
    assert_eq!(gateway.metric("blocked", ""), 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_after_growing_pauses_and_nothing_opens() {
    let begun = Instant::now();
    let url = url_with("wrong", broker_address()).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..rejecting() });
    eventually("it has failed often", async || gateway.metric("connects_total", "failed") >= 4.0).await;
    // Half of 200, 400 and 800 ms, at least.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    assert!(!gateway.latch.is_set());
    assert_eq!(open(&gateway).await, Err(Fault::Unavailable));
    gateway.stop().await;
}

#[tokio::test]
async fn a_topic_exchange_that_does_not_exist_is_found_out_before_anybody_is_let_in() {
    let topic_exchange = "no-such-exchange".parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url()], topic_exchange, ..rejecting() });
    eventually("it has failed", async || gateway.metric("connects_total", "failed") >= 2.0).await;
    assert!(!gateway.latch.is_set());
    assert_eq!(open(&gateway).await, Err(Fault::Unavailable));
    gateway.stop().await;
}

async fn open(gateway: &Gateway) -> Result<(), Fault> {
    let (session, credentials) = (SessionId::from_random(rand::random()), Credentials::default());
    let metrics = delivery::Metrics::new(&Registry::default());
    let budget = Budget::new(usize::MAX, metrics.clone());
    let outbox = Outboxes::new(delivery::Settings::default(), budget, metrics).open().into();
    gateway.broker.open(LinkRequest { session, credentials, user: None, outbox }).await.map(drop)
}
