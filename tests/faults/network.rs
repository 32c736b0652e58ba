//! The way between the gateway and RabbitMQ is cut, without a word to either of them.

use tokio::time::Instant;

use crate::client::GUEST;
use crate::gateway::Gateway;
use crate::ledger::Outage;
use crate::load::{ALL, Load};
use crate::node::Node;
use crate::proxy::Proxy;
use crate::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_cut_in_silence_and_heals() {
    let node = Node::start().await;
    let proxy = Proxy::start(node.address()).await;
    let gateway = Gateway::start(&format!("amqp://guest:guest@{}/%2f", proxy.address), &[]).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;
    proxy.fall_silent();
    let begun = Instant::now();
    // Only heart-beats can tell.
    eventually("the gateway has noticed", async || {
        load.nobody_is_dropped();
        gateway.metric("stompgate_broker_amqp_connected").await == 0.0
    })
    .await;
    proxy.cut();
    let over = Instant::now();
    load.flows().await;
    load.finish("network cut", Some(Outage { begun, gone: begun, over })).await;
    node.queues_are_empty().await;
    gateway.stop().await;
}
