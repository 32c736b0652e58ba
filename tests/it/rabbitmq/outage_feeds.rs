//! `broker.outage = "hold"`: topics and exchanges whose subscribers notice nothing of a loss but a gap.

use std::time::Duration;

use lapin::ExchangeKind;
use stompgate::broker::Outage;
use stompgate::broker::amqp::Settings;
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault};
use tokio::time::Instant;

use super::Gateway;
use super::exchange::Exchange;
use super::loss::{behind, broker_address};
use super::outside::{name, publish};
use super::proxy::Proxy;
use super::support::{eventually, foreign_channel};
use crate::broker_contract::fixture::Session;

const TOPIC_EXCHANGE: &str = "amq.topic";

async fn holding(settings: Settings) -> (Proxy, Gateway) {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, Settings { outage: Outage::Hold, ..settings }).await;
    (proxy, gateway)
}

async fn is_back(gateway: &Gateway, connects: u32) {
    eventually("it is connected again", async || {
        gateway.metric("connects_total", "connected") == f64::from(connects)
            && gateway.metric("feed_bindings_behind", "") == 0.0
            && gateway.metric("resume_seconds", "") > 0.0
    })
    .await;
}

async fn is_lost(gateway: &Gateway) {
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
}

async fn hears(session: &mut Session, topic: &Destination, body: &str) {
    publish(&foreign_channel().await, TOPIC_EXCHANGE, &name(topic), body).await;
    session.expect(&[body]).await;
}

#[tokio::test]
async fn topics_and_keys_of_exchanges_come_back_by_themselves_and_nobody_is_told() {
    let (proxy, gateway) = holding(Settings::default()).await;
    let fixture = gateway.fixture();
    let direct = Exchange::declare(ExchangeKind::Direct).await;
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    one.subscribe(&fixture.topic("a")).await;
    two.subscribe(&fixture.topic("*")).await;
    two.subscribe(&direct.with_key("k")).await;
    for round in 2..=3 {
        proxy.cut();
        is_back(&gateway, round).await;
        assert_eq!(gateway.metric("feed_bindings", ""), 3.0);
        let channel = foreign_channel().await;
        publish(&channel, TOPIC_EXCHANGE, &name(&fixture.topic("a")), "topic").await;
        one.expect(&["topic"]).await;
        two.expect(&["topic"]).await;
        direct.publish("k", "direct").await;
        two.expect(&["direct"]).await;
        one.expect_nothing();
        two.expect_nothing();
    }
    assert_eq!(gateway.metric("connection_losses_total", ""), 2.0);
    // Their sessions can go as ever.
    one.close();
    two.close();
    direct.delete().await;
    gateway.stop().await;
}

#[tokio::test]
async fn who_comes_or_goes_during_the_outage_finds_it_as_if_there_were_none() {
    let (proxy, gateway) = holding(Settings { unbind_linger: Duration::ZERO, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut early = fixture.open().await;
    let left = early.subscribe(&fixture.topic("left")).await;
    early.subscribe(&fixture.topic("kept")).await;
    proxy.go_down();
    is_lost(&gateway).await;
    eventually("it is counted", async || gateway.metric("feed_bindings_behind", "") == 2.0).await;
    early.unsubscribe(left).await;
    let mut late = fixture.open().await;
    let (_, mut kept) = late.start_subscribe(&fixture.topic("kept"), AckMode::Auto, 1);
    let (_, mut new) = late.start_subscribe(&fixture.topic("new"), AckMode::Auto, 1);
    let mut passing = fixture.open().await;
    drop(passing.start_subscribe(&fixture.topic("passing"), AckMode::Auto, 1));
    passing.close();
    for pending in [&mut kept, &mut new] {
        let answer = tokio::time::timeout(Duration::from_millis(300), pending).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert!(gateway.latch.is_set(), "it may be a restart");
    proxy.come_up();
    assert_eq!((kept.await, new.await), (Ok(()), Ok(())));
    is_back(&gateway, 2).await;
    assert_eq!(gateway.metric("feed_bindings", ""), 2.0);
    hears(&mut late, &fixture.topic("new"), "new").await;
    hears(&mut late, &fixture.topic("kept"), "kept").await;
    early.expect(&["kept"]).await;
    publish(&foreign_channel().await, TOPIC_EXCHANGE, &name(&fixture.topic("left")), "left").await;
    hears(&mut early, &fixture.topic("kept"), "after").await;
    early.close();
    late.close();
    gateway.stop().await;
}

#[tokio::test]
async fn an_exchange_that_is_gone_when_rabbitmq_is_back_ends_its_subscriptions_alone() {
    let (proxy, gateway) = holding(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut one, mut two) = (fixture.open().await, fixture.open().await);
    let (topic, direct) = (Exchange::declare(ExchangeKind::Topic).await, Exchange::declare(ExchangeKind::Direct).await);
    let keys = [one.subscribe(&topic.with_key("a.b")).await, one.subscribe(&direct.with_key("k")).await];
    one.subscribe(&fixture.topic("kept")).await;
    proxy.go_down();
    is_lost(&gateway).await;
    let (_, waiting) = two.start_subscribe(&topic.with_key("a.b"), AckMode::Auto, 1);
    topic.delete().await;
    direct.delete().await;
    proxy.come_up();
    let refused = waiting.await;
    assert!(matches!(refused, Err(Fault::Amqp { name: "not_found", .. })), "{refused:?}");
    let mut ended = Vec::new();
    for _ in keys {
        match one.next_item().await {
            Item::SubscriptionEnded(key) => ended.push(key),
            other => panic!("{other:?}"),
        }
    }
    ended.sort_by_key(|it| it.0);
    assert_eq!(ended, keys);
    is_back(&gateway, 2).await;
    hears(&mut one, &fixture.topic("kept"), "kept").await;
    two.expect_nothing();
    gateway.stop().await;
}

#[tokio::test]
async fn a_rabbitmq_that_does_not_answer_refuses_no_subscribe() {
    let operation_timeout = Duration::from_millis(300);
    let (proxy, gateway) = holding(Settings { operation_timeout, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    session.subscribe(&fixture.topic("before")).await;
    proxy.fall_silent();
    let (_, mut pending) = session.start_subscribe(&fixture.topic("meanwhile"), AckMode::Auto, 1);
    let answer = tokio::time::timeout(5 * operation_timeout, &mut pending).await;
    assert!(answer.is_err(), "{answer:?}");
    proxy.cut();
    assert_eq!(pending.await, Ok(()));
    is_back(&gateway, 2).await;
    hears(&mut session, &fixture.topic("meanwhile"), "meanwhile").await;
    hears(&mut session, &fixture.topic("before"), "before").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_longer_outage_is_told_to_the_balancer() {
    let ready_grace = Duration::from_millis(500);
    let (proxy, gateway) = holding(Settings { ready_grace, ..Settings::default() }).await;
    let begun = Instant::now();
    proxy.go_down();
    is_lost(&gateway).await;
    eventually("it is told", async || !gateway.latch.is_set()).await;
    assert!(begun.elapsed() >= ready_grace, "{:?}", begun.elapsed());
    proxy.come_up();
    gateway.is_ready().await;
    gateway.stop().await;
}

const SUBSCRIBERS: usize = 10_000;

const TOPICS: usize = 1_000;

/// On a machine that is busy with much else.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_subscribers_of_a_thousand_topics_are_back_soon() {
    let (proxy, gateway) = holding(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut sessions = Vec::new();
    for _ in 0..SUBSCRIBERS {
        sessions.push(fixture.open().await);
    }
    let topics: Vec<_> = (0..TOPICS).map(|it| fixture.topic(&it.to_string())).collect();
    let subscribe =
        |(number, it): (usize, &mut Session)| it.start_subscribe(&topics[number % TOPICS], AckMode::Auto, 1).1;
    let pending: Vec<_> = sessions.iter_mut().enumerate().map(subscribe).collect();
    for it in pending {
        it.await.unwrap();
    }
    proxy.go_down();
    is_lost(&gateway).await;
    proxy.come_up();
    let begun = Instant::now();
    let (_, late) = sessions[0].start_subscribe(&fixture.topic("late"), AckMode::Auto, 1);
    let late = async {
        late.await.unwrap();
        begun.elapsed()
    };
    let ((), late) = tokio::join!(is_back(&gateway, 2), late);
    let took = begun.elapsed();
    let (outage, resume) = (gateway.metric("outage_seconds", ""), gateway.metric("resume_seconds", ""));
    println!("{TOPICS} topics are bound {took:?} after RabbitMQ takes connections; late one {late:?}");
    println!("connected after {outage:.3} s, bound in {resume:.3} s");
    assert!(took < DEADLINE, "{took:?}");
    assert_eq!(gateway.metric("feed_bindings", ""), (TOPICS + 1) as f64);
    let channel = foreign_channel().await;
    for topic in &topics {
        publish(&channel, TOPIC_EXCHANGE, &name(topic), "x").await;
    }
    for session in &mut sessions {
        session.expect(&["x"]).await;
    }
    gateway.stop().await;
}
