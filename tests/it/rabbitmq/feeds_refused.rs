//! Feeds that RabbitMQ refuses: each refusal costs a channel, and the library uses no channel's number again.

use lapin::ExchangeKind;
use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault};

use super::Gateway;
use super::exchange::{Exchange, unique};
use super::support::{eventually, rabbitmqctl, variable};

#[tokio::test]
async fn refused_subscriptions_do_not_use_up_the_channels_of_feeds() {
    let url = format!("{}?channel_max=40", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    for number in 0..100 {
        let missing = Destination::Exchange { name: unique("missing").into(), key: "k".into() };
        let (_, pending) = careless.start_subscribe(&missing, AckMode::Auto, 1);
        let fault = pending.await.expect_err("there is no such exchange");
        assert!(fault.to_string().starts_with("NOT_FOUND"), "{number}: {fault:?}");
        let topic = fixture.topic(&number.to_string());
        other.subscribe(&topic).await;
        other.publish(&topic, "heard").await;
        other.expect(&["heard"]).await;
    }
    gateway.stop().await;
}

/// The account may bind to no exchange but one, and only the bind itself shows that.
#[tokio::test]
async fn refused_binds_that_use_up_all_channels_cost_a_reconnect() {
    let exchange = Exchange::declare(ExchangeKind::Topic).await;
    let (user, feeds) = (unique("reader"), "^stomp-subscription-.*");
    rabbitmqctl(&["add_user", &user, "secret"]).await;
    let read = format!("{feeds}|^{}$", exchange.name);
    rabbitmqctl(&["set_permissions", &user, feeds, feeds, &read]).await;
    let url = variable("STOMPGATE_TEST_AMQP_URL").replace("guest:guest", &format!("{user}:secret"));
    let urls = vec![format!("{url}?channel_max=40").parse().unwrap()];
    let gateway = Gateway::started(Settings { urls, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    other.subscribe(&exchange.with_key("k")).await;
    let mut refused = 0;
    while gateway.metric("connects_total", "connected") < 2.0 {
        let (_, pending) = careless.start_subscribe(&fixture.topic("a"), AckMode::Auto, 1);
        assert!(matches!(pending.await, Err(Fault::Amqp { name: "access_refused", .. })));
        refused += 1;
        assert!(refused <= 80, "no channel is left");
    }
    assert!(refused >= 20, "{refused}");
    // Nobody is told.
    let is_back = async || gateway.metric("connected", "") == 1.0 && gateway.metric("feed_bindings", "") == 1.0;
    eventually("it is back", is_back).await;
    exchange.publish("k", "heard").await;
    other.expect(&["heard"]).await;
    gateway.stop().await;
    rabbitmqctl(&["delete_user", &user]).await;
}

/// Connecting anew would bring the same again.
#[tokio::test]
async fn channels_that_are_all_in_use_cost_no_reconnect() {
    let url = format!("{}?channel_max=16", variable("STOMPGATE_TEST_AMQP_URL")).parse().unwrap();
    let gateway = Gateway::started(Settings { urls: vec![url], feed_shards: 1, ..Settings::default() });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let mut exchanges = Vec::new();
    let fault = loop {
        let exchange = Exchange::declare(ExchangeKind::Topic).await;
        let (_, pending) = session.start_subscribe(&exchange.with_key("k"), AckMode::Auto, 1);
        if let Err(fault) = pending.await {
            break fault;
        }
        exchanges.push(exchange);
    };
    assert!(matches!(&fault, Fault::Refused(text) if text.contains("no more channels")), "{fault:?}");
    for exchange in &exchanges {
        exchange.publish("k", "heard").await;
        session.expect(&["heard"]).await;
    }
    assert_eq!(gateway.metric("connects_total", "connected"), 1.0);
    gateway.stop().await;
}
