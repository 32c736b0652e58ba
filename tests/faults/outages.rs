//! RabbitMQ is killed, stopped, or hangs, and comes back.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::GUEST;
use crate::gateway::Gateway;
use crate::ledger::Outage;
use crate::load::{ALL, Load};
use crate::node::{Node, Signal};
use crate::wait::throughout;

/// All kinds of destinations under load, through a fault that says when it was.
async fn survives(what: &str, identity: &str, fault: impl AsyncFnOnce(&Node, &Load) -> Outage) {
    let node = Node::start().await;
    let gateway = Gateway::start(&node.url(), &[("broker.amqp.identity", identity)]).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;
    let outage = fault(&node, &load).await;
    load.flows().await;
    load.finish(what, Some(outage)).await;
    node.queues_are_empty().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_killed_under_load_and_starts_again() {
    survives("kill -9", "gateway", async |node, _| node.bounce(Signal::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_killed_under_load_of_clients_with_accounts_of_their_own() {
    survives("kill -9, identity client", "client", async |node, _| node.bounce(Signal::Kill).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_stopped_under_load_and_starts_again() {
    survives("stop and start", "gateway", async |node, _| node.bounce(Signal::Term).await).await;
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
        Outage { begun, gone: begun, over }
    })
    .await;
}
