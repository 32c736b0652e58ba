//! What WebSocket clients are told by a whole gateway in front of a STOMP broker.

use stompgate::app::App;
use stompgate::broker::Outage;
use stompgate::broker::stomp::Settings;
use stompgate::config::Broker;
use stompgate::destination::Grammar;

use super::upstream::{Peer, Upstream};
use crate::client::{self, Client, metric, until};

struct Case {
    app: App,
    upstream: Upstream,
    _system: Peer,
}

impl Case {
    async fn new(close_on_error: bool) -> Self {
        let upstream = Upstream::start().await;
        let stomp = Settings { outage: Outage::Reject, ..upstream.settings() };
        let app = client::start(|it| {
            it.broker = Broker::Stomp(stomp);
            it.session.grammar = Grammar::Foreign;
            it.session.close_on_error = close_on_error;
        })
        .await;
        let (system, _) = upstream.greet().await;
        until(&app, "stompgate_ready", 1.0).await;
        Self { app, upstream, _system: system }
    }

    async fn connect(&self) -> (Client, Peer) {
        let (client, (peer, _)) = tokio::join!(Client::connect(&self.app), self.upstream.greet());
        (client, peer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_broker_is_that_of_the_client_under_its_own_receipt() {
    let case = Case::new(true).await;
    let (mut client, mut peer) = case.connect().await;
    client.send("SEND\ndestination:anywhere\nreceipt:mine\n\nx\0").await;
    let send = peer.expect("SEND").await;
    assert_eq!(send.header("destination"), Some("anywhere"));
    let receipt = send.header("receipt").unwrap();
    peer.send(&format!("ERROR\nreceipt-id:{receipt}\nmessage:not here\n\nbecause\0")).await;
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("message"), error.header("receipt-id")), (Some("not here"), Some("mine")));
    assert_eq!((error.header("stompgate-error"), &error.body[..]), (Some("broker_refused"), &b"because"[..]));
    assert_eq!(client.next().await, Err(1002));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_after_an_error_if_it_may() {
    let case = Case::new(false).await;
    let (mut client, mut peer) = case.connect().await;
    client.send("SUBSCRIBE\nid:s\ndestination:a\nreceipt:1\n\n\0").await;
    let receipt = peer.expect("SUBSCRIBE").await.header("receipt").unwrap().to_owned();
    peer.send(&format!("ERROR\nreceipt-id:{receipt}\nmessage:no\n\n\0")).await;
    client.expect("ERROR").await;
    client.send("SUBSCRIBE\nid:s\ndestination:b\nreceipt:2\n\n\0").await;
    peer.confirm("SUBSCRIBE").await;
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_refused_and_the_broker_hears_nothing_of_them() {
    let case = Case::new(false).await;
    let (mut client, mut peer) = case.connect().await;
    for frame in ["SUBSCRIBE\nid:s\ndestination:/user/queue/x\n\n\0", "SEND\ndestination:/user/ann/queue/x\n\n\0"] {
        client.send(frame).await;
        let error = client.expect("ERROR").await;
        assert_eq!(error.header("stompgate-error"), Some("unsupported"));
        assert_eq!(&error.body[..], b"users are not served in front of a STOMP broker");
    }
    client.send("SEND\ndestination:a\n\n\0").await;
    assert_eq!(peer.expect("SEND").await.header("destination"), Some("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp3_clients_hear_of_the_end_of_their_connection_in_the_words_of_spring() {
    let case = Case::new(true).await;
    let (mut client, peer) = case.connect().await;
    drop(peer);
    assert_eq!(client.expect("ERROR").await.header("message"), Some("Connection to broker closed."));
    assert_eq!(client.next().await, Err(1002));
    let (mut client, mut peer) = case.connect().await;
    peer.send("nonsense\n\n\0").await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("Transport failure: unknown command 'nonsense'"));
    assert_eq!(client.next().await, Err(1002));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp13_while_the_system_connection_is_away_nobody_is_let_in() {
    let Case { app, upstream, _system: system } = Case::new(true).await;
    drop((system, upstream));
    until(&app, "stompgate_broker_stomp_connected", 0.0).await;
    let mut client = Client::open(&app).await;
    client.send("CONNECT\naccept-version:1.2\n\n\0").await;
    assert_eq!(client.expect("ERROR").await.header("message"), Some("Broker not available."));
    assert_eq!(client.next().await, Err(1002));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sp5_sp16_disconnect_is_answered_and_a_second_connect_reaches_no_broker() {
    let case = Case::new(true).await;
    let (mut client, mut peer) = case.connect().await;
    client.send("DISCONNECT\nreceipt:bye\n\n\0").await;
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("bye"));
    assert_eq!(client.next().await, Err(1000));
    peer.confirm("DISCONNECT").await;
    let (mut client, mut peer) = case.connect().await;
    client.send("CONNECT\naccept-version:1.2\n\n\0").await;
    client.expect("ERROR").await;
    peer.confirm("DISCONNECT").await;
    assert_eq!(metric(&case.app, "stompgate_broker_stomp_connects_total{outcome=\"ok\"}").await, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_closed_without_a_rule_is_closed_in_front_of_any_broker() {
    let case = Case::new(true).await;
    for closed in ["/exchange/x/k", "/amq/queue/q", "/exchange/x/k/more"] {
        let (mut client, _peer) = case.connect().await;
        client.send(&format!("SEND\ndestination:{closed}\n\n\0")).await;
        assert_eq!(client.expect("ERROR").await.header("stompgate-error"), Some("forbidden"), "{closed}");
    }
}
