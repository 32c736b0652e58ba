//! One node of a cluster is lost, and comes back.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use crate::client::GUEST;
use crate::gateway::Gateway;
use crate::ledger::Outage;
use crate::load::{ALL, Load};
use crate::node::{Node, Signal};
use crate::wait::eventually;

/// Where the queues of the load are, which outlive the loss of the other node: a classic queue is on one node, and a
/// quorum queue of two nodes needs both.
async fn declare_queues(node: &Node) {
    let connection = Connection::connect(&node.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for name in ALL.iter().filter_map(|it| it.name.strip_prefix("/queue/")) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap();
    }
    connection.close(200, "".into()).await.unwrap();
}

/// Whether clients are connected to that node.
async fn has_connections(node: &Node) -> bool {
    let name = format!("stompgate-{}@", node.address().port());
    node.ctl(&["list_connections", "--no-table-headers", "pid"]).await.iter().any(|it| it.contains(&name))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_is_lost_and_all_goes_on_at_the_other() {
    let one = Node::start().await;
    let two = Node::start_beside(&one).await;
    // It chooses by chance.
    let gateway = Gateway::start(&format!("{},{}", one.url(), two.url()), &[]).await;
    let (lost, left) = if has_connections(&one).await { (&one, &two) } else { (&two, &one) };
    declare_queues(left).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;

    let begun = tokio::time::Instant::now();
    lost.end(Signal::Kill).await;
    let gone = tokio::time::Instant::now();
    load.flows().await;
    assert!(has_connections(left).await);

    lost.restart().await;
    eventually("the cluster is whole", async || {
        let running = left.ctl(&["eval", "length(rabbit_nodes:all_running())."]).await;
        running.iter().any(|it| it.trim() == "2")
    })
    .await;
    load.flows().await;
    load.finish("node of a cluster lost", &[Outage { begun, gone, over: gone }]).await;
    left.queues_are_empty().await;
    gateway.stop().await;
}
