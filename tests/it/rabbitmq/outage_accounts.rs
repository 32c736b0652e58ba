//! `broker.outage = "hold"` with `broker.amqp.identity = "client"`: each account comes back by itself.

use std::time::Duration;

use stompgate::broker::Outage;
use stompgate::broker::amqp::{Identity, Settings};
use stompgate::delivery::Item;
use stompgate::session::{AckMode, Fault};
use tokio::time::Instant;

use super::Gateway;
use super::loss::{broker_address, url_through};
use super::outside::name;
use super::proxy::Proxy;
use super::support::{PASSCODE, Site, credentials, eventually, rabbitmqctl};
use crate::broker_contract::fixture::Session;

fn holding() -> Settings {
    Settings { identity: Identity::Client, outage: Outage::Hold, ..Settings::default() }
}

async fn behind(proxy: &Proxy, settings: Settings) -> Gateway {
    let gateway = Gateway::started(Settings { urls: vec![url_through(proxy)], ..settings });
    gateway.is_ready().await;
    gateway
}

async fn is_back(gateway: &Gateway, connects: u32) {
    eventually("all are connected again", async || {
        gateway.metric("connects_total", "connected") == f64::from(connects)
            && gateway.metric("feed_bindings_behind", "") == 0.0
            && gateway.metric("feed_bindings", "") > 0.0
    })
    .await;
}

/// In a virtual host of its own, where nobody else publishes.
async fn hears(session: &mut Session, site: &Site, topic: &stompgate::destination::Destination) {
    let channel = channel(site).await;
    super::outside::publish(&channel, "amq.topic", &name(topic), "x").await;
    session.expect(&["x"]).await;
}

async fn channel(site: &Site) -> lapin::Channel {
    let passcode = PASSCODE.replace('@', "%40").replace(':', "%3A").replace('/', "%2F").replace(',', "%2C");
    let url = format!("amqp://{}:{passcode}@{}/{}", site.name, broker_address(), site.name);
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

#[tokio::test]
async fn an_account_that_is_lost_comes_back_by_itself_and_lets_sessions_in_meanwhile() {
    let (proxy, site, other) = (Proxy::start(broker_address()).await, Site::new().await, Site::new().await);
    let connect_timeout = Duration::from_millis(500);
    let gateway = behind(&proxy, Settings { connect_timeout, ..holding() }).await;
    let fixture = gateway.fixture();
    let mut early = gateway.open(site.credentials()).await.unwrap();
    early.subscribe(&fixture.topic("a")).await;
    proxy.go_down();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    // Whom RabbitMQ has let in before is let in; anybody else waits for RabbitMQ, and not for ever.
    let begun = Instant::now();
    let mut late = gateway.open(site.credentials()).await.unwrap();
    assert!(begun.elapsed() < connect_timeout, "{:?}", begun.elapsed());
    let (_, pending) = late.start_subscribe(&fixture.topic("a"), AckMode::Auto, 1);
    assert_eq!(gateway.open(other.credentials()).await.map(drop), Err(Fault::Unavailable));
    assert!(begun.elapsed() >= connect_timeout, "{:?}", begun.elapsed());
    proxy.come_up();
    assert_eq!(pending.await, Ok(()));
    is_back(&gateway, 2).await;
    hears(&mut early, &site, &fixture.topic("a")).await;
    late.expect(&["x"]).await;
    early.expect_nothing();
    early.close();
    late.close();
    site.remove(&[]).await;
    other.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_shortly_before_rabbitmq_does_is_let_in() {
    let (proxy, site) = (Proxy::start(broker_address()).await, Site::new().await);
    let gateway = behind(&proxy, holding()).await;
    proxy.go_down();
    // Nobody is connected, so only who comes finds out.
    let come_back = async {
        eventually("it is noticed", async || gateway.metric("connected", "") == 0.0).await;
        proxy.come_up();
    };
    let (session, ()) = tokio::join!(gateway.open(site.credentials()), come_back);
    session.unwrap().close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn g2_credentials_that_are_refused_after_an_outage_end_the_sessions_of_that_account_alone() {
    let (proxy, site, other) = (Proxy::start(broker_address()).await, Site::new().await, Site::new().await);
    let gateway = behind(&proxy, holding()).await;
    let fixture = gateway.fixture();
    let mut refused = gateway.open(site.credentials()).await.unwrap();
    let mut kept = gateway.open(other.credentials()).await.unwrap();
    refused.subscribe(&fixture.topic("a")).await;
    kept.subscribe(&fixture.topic("a")).await;
    proxy.go_down();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    rabbitmqctl(&["change_password", &site.name, "another"]).await;
    proxy.come_up();
    assert!(matches!(refused.next_item().await, Item::LinkLost));
    let fault = Fault::AccessRefused { login: site.name.clone() };
    assert_eq!(refused.link().fault(), fault);
    assert_eq!(gateway.open(site.credentials()).await.map(drop), Err(fault));
    is_back(&gateway, 3).await;
    hears(&mut kept, &other, &fixture.topic("a")).await;
    gateway.open(credentials(Some(&site.name), Some("another"), Some(&site.name))).await.unwrap().close();
    kept.expect_nothing();
    refused.close();
    kept.close();
    site.remove(&[]).await;
    other.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_limit_of_connections_is_waited_for() {
    let (proxy, site) = (Proxy::start(broker_address()).await, Site::new().await);
    let gateway = behind(&proxy, holding()).await;
    let fixture = gateway.fixture();
    let mut session = gateway.open(site.credentials()).await.unwrap();
    session.subscribe(&fixture.topic("a")).await;
    rabbitmqctl(&["set_vhost_limits", "-p", &site.name, r#"{"max-connections": 0}"#]).await;
    proxy.cut();
    eventually("it is refused", async || gateway.metric("connects_total", "failed") >= 2.0).await;
    rabbitmqctl(&["clear_vhost_limits", "-p", &site.name]).await;
    is_back(&gateway, 2).await;
    hears(&mut session, &site, &fixture.topic("a")).await;
    session.expect_nothing();
    session.close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_account_without_sessions_is_given_up_during_an_outage() {
    let (proxy, site) = (Proxy::start(broker_address()).await, Site::new().await);
    let account_idle_time = Duration::from_millis(300);
    let gateway = behind(&proxy, Settings { account_idle_time, ..holding() }).await;
    let session = gateway.open(site.credentials()).await.unwrap();
    proxy.go_down();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    fixture_elapse(&gateway, 2 * account_idle_time).await;
    assert_eq!(gateway.metric("accounts", ""), 1.0, "it has a session");
    session.close();
    eventually("it is forgotten", async || gateway.metric("accounts", "") == 0.0).await;
    proxy.come_up();
    gateway.is_ready().await;
    assert_eq!(gateway.metric("connects_total", "connected"), 1.0);
    site.remove(&[]).await;
    gateway.stop().await;
}

async fn fixture_elapse(gateway: &Gateway, time: Duration) {
    gateway.fixture().elapse(time).await;
}
