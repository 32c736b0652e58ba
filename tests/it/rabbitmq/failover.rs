//! Several addresses of RabbitMQ.

use std::time::Duration;

use stompgate::broker::amqp::{Identity, Settings, Url};
use stompgate::session::Fault;
use tokio::net::TcpListener;

use super::Gateway;
use super::support::{credentials, eventually, rabbitmqctl, url};

fn dead() -> Url {
    "amqp://guest:guest@127.0.0.1:1/%2f".parse().unwrap()
}

/// Accepts, and says nothing.
async fn silent() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}/%2f", listener.local_addr().unwrap());
    (listener, url.parse().unwrap())
}

#[tokio::test]
async fn whichever_address_is_tried_first_one_that_works_is_found() {
    let (_listener, silent) = silent().await;
    let connect_timeout = Duration::from_millis(500);
    // The first one is chosen by chance.
    for _ in 0..6 {
        let urls = vec![dead(), url(), silent.clone()];
        let gateway = Gateway::started(Settings { urls, connect_timeout, ..Settings::default() });
        gateway.is_ready().await;
        eventually("all is connected", async || gateway.metric("connections", "") == 3.0).await;
        assert_eq!(gateway.metric("connects_total", "connected"), 1.0);
        assert_eq!(gateway.metric("connects_total", "failed"), 0.0);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn when_no_address_works_there_is_a_pause_before_all_are_tried_again() {
    let urls = vec![dead(), dead()];
    let gateway = Gateway::started(Settings { urls, ..Settings::default() });
    let begun = tokio::time::Instant::now();
    eventually("it has failed often", async || gateway.metric("connects_total", "failed") >= 3.0).await;
    // Half of 200 and of 400 ms, at least.
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert!(!gateway.latch.is_set());
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_lost_is_found_again_at_any_address() {
    let connection_name = format!("failover-{}", rand::random::<u64>());
    let urls = vec![dead(), url()];
    let gateway = Gateway::started(Settings { urls, connection_name: connection_name.clone(), ..Settings::default() });
    gateway.is_ready().await;
    let connections = rabbitmqctl(&["list_connections", "pid", "client_properties"]).await;
    let ours = connections.iter().find(|it| it.contains(&format!("{connection_name} private\""))).expect("it is known");
    rabbitmqctl(&["close_connection", ours.split('\t').next().unwrap(), "a test wants it"]).await;
    eventually("it is back", async || gateway.metric("connects_total", "connected") == 2.0).await;
    gateway.is_ready().await;
    gateway.stop().await;
}

#[tokio::test]
async fn clients_use_the_addresses_with_their_own_credentials() {
    let identity = Identity::Client;
    let other: Url = url().to_string().replace("guest:***", "nobody:wrong").parse().unwrap();
    for _ in 0..4 {
        let gateway = Gateway::started(Settings { urls: vec![dead(), other.clone()], identity, ..Settings::default() });
        gateway.is_ready().await;
        gateway.open(credentials(Some("guest"), Some("guest"), None)).await.unwrap().close();
        // Refused by the one that answers.
        let refused = gateway.open(credentials(Some("nobody"), Some("wrong"), None)).await.map(drop);
        assert_eq!(refused, Err(Fault::AccessRefused { login: "nobody".to_owned() }));
        gateway.stop().await;
    }
}
