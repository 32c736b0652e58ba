//! RabbitMQ is killed, stopped, or hangs, and comes back.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::ledger::Outage;
use crate::load::{ALL, Load};
use crate::node::{Node, Signal};
use crate::wait::{tell, throughout, within};

/// All kinds of destinations under load, through a fault that says when it was.
async fn survives(what: &str, identity: &str, fault: impl AsyncFnOnce(&Node, &Load) -> Vec<Outage>) {
    let node = Node::start().await;
    let gateway = Gateway::start(&node.url(), &[("broker.amqp.identity", identity)]).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;
    let outages = fault(&node, &load).await;
    load.flows().await;
    load.finish(what, &outages).await;
    node.queues_are_empty().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_killed_under_load_and_starts_again() {
    survives("kill -9", "gateway", async |node, _| vec![node.bounce(Signal::Kill).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_killed_under_load_of_clients_with_accounts_of_their_own() {
    survives("kill -9, identity client", "client", async |node, _| vec![node.bounce(Signal::Kill).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_stopped_under_load_and_starts_again() {
    survives("stop and start", "gateway", async |node, _| vec![node.bounce(Signal::Term).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_hangs_for_thirty_seconds_and_goes_on() {
    survives("SIGSTOP", "gateway", async |node, load| {
        node.signal("STOP");
        let begun = Instant::now();
        throughout(Duration::from_secs(30), "nobody is dropped", async || {
            load.nobody_is_dropped();
            true
        })
        .await;
        node.signal("CONT");
        let over = Instant::now();
        vec![Outage { begun, gone: begun, over }]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_closed_again_and_again() {
    survives("connections closed by an operator, five times", "gateway", async |node, load| {
        let mut outages = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            node.ctl(&["close_all_connections", "--vhost", "/", "a test wants it"]).await;
            let gone = Instant::now();
            outages.push(Outage { begun, gone, over: gone });
            load.flows().await;
        }
        outages
    })
    .await;
}

/// Comes while RabbitMQ is away, listens and sends: when it had the first RECEIPT, and that all it was promised came.
async fn visit(mut client: Client) -> Instant {
    let queue = "persistent:true\ndestination:/queue/visited";
    for frame in [
        "SUBSCRIBE\nid:t\nreceipt:1\ndestination:/topic/visited\n\n\0".to_owned(),
        format!("SUBSCRIBE\nid:q\nack:client-individual\nreceipt:2\n{queue}\n\n\0"),
        format!("SEND\nreceipt:3\n{queue}\n\nheld\0"),
    ] {
        client.send(&frame).await.unwrap();
    }
    let (mut receipts, mut first, mut held) = (Vec::new(), None, 0);
    while receipts.len() < 3 || held == 0 {
        let frame = within("what was asked for is answered", client.next()).await.unwrap();
        match frame.header("receipt-id") {
            Some(id) => receipts.push(id.to_owned()),
            None => held += 1,
        }
        first.get_or_insert_with(Instant::now);
        if let Some(id) = frame.header("ack") {
            client.send(&format!("ACK\nid:{id}\n\n\0")).await.unwrap();
        }
    }
    receipts.sort();
    assert_eq!((receipts.join(" "), held), ("1 2 3".to_owned(), 1));
    // The topic is bound, as its RECEIPT says.
    client.send("SEND\ndestination:/topic/visited\n\nx\0").await.unwrap();
    client.expect("MESSAGE").await;
    first.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_come_while_rabbitmq_is_away_and_are_told_when_it_is_back() {
    let node = Node::start().await;
    let gateway = Gateway::start(&node.url(), &[]).await;
    node.end(Signal::Kill).await;
    let client = Client::connect(gateway.clients, GUEST).await;
    let visitor = tokio::task::JoinSet::from_iter([visit(client)]);
    let begun = Instant::now();
    let over = node.restart().await;
    let told = within("the visitor is served", visitor.join_all()).await[0];
    assert!(begun < told, "a RECEIPT came before RabbitMQ was there");
    let after = told.saturating_duration_since(over);
    tell(&format!("clients that come meanwhile: the first RECEIPT {after:.2?} after RabbitMQ accepted"));
    node.queues_are_empty().await;
    gateway.stop().await;
}
