//! RabbitMQ lacks memory and does not read from those who publish.

use std::time::Duration;

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::load::{ALL, Load};
use crate::node::Node;
use crate::wait::{eventually, throughout};

/// Longer than three heart-beats between the gateway and RabbitMQ, and than two are allowed to be missing.
const ALARM: Duration = Duration::from_secs(30);

const BACKLOG: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn in_a_memory_alarm_publishers_wait_and_consumers_go_on() {
    let node = Node::start().await;
    let gateway = Gateway::start(&node.url(), &[]).await;
    let mut backlog = Client::connect(gateway.clients, GUEST).await;
    for number in 0..BACKLOG {
        backlog.confirmed("SEND\npersistent:true\ndestination:/queue/backlog", &number.to_string()).await;
    }
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;

    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).await;
    eventually("RabbitMQ has said so", async || gateway.metric("stompgate_broker_amqp_blocked").await > 0.0).await;
    let receipted = load.is_stuck().await;
    // A few at a time, so that what comes next needs the acks of what came before.
    let mut consumer = Client::connect(gateway.clients, GUEST).await;
    let head = "SUBSCRIBE\nid:s\nack:client-individual\nprefetch-count:5\npersistent:true\ndestination:/queue/backlog";
    consumer.confirmed(head, "").await;
    for number in 0..BACKLOG {
        let message = consumer.expect("MESSAGE").await;
        assert_eq!(message.body, number.to_string());
        consumer.send(&format!("ACK\nid:{}\n\n\0", message.header("ack").unwrap())).await.unwrap();
    }
    throughout(ALARM, "all wait, and nobody is dropped", async || {
        load.nobody_is_dropped();
        load.account(&[]).receipted == receipted
    })
    .await;
    // Its heart-beats came all the time.
    consumer.confirmed("SUBSCRIBE\nid:t\ndestination:/topic/quiet", "").await;

    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    load.flows().await;
    load.finish("memory alarm", &[]).await;
    node.queues_are_empty().await;
    assert_eq!(gateway.metric("stompgate_broker_amqp_connection_losses_total").await, 0.0);
    drop((backlog, consumer));
    gateway.stop().await;
}
