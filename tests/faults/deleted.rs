//! Somebody deletes a queue that has consumers.

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::load::{ALL, Load};
use crate::node::Node;

const SUBSCRIBE: &str = "SUBSCRIBE\nid:doomed\npersistent:true\nack:client-individual\ndestination:/queue/doomed";

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_deleted_under_its_consumers_who_can_subscribe_again() {
    let node = Node::start().await;
    let gateway = Gateway::start(&node.url(), &[("stomp.close_on_error", "false")]).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let mut consumer = Client::connect(gateway.clients, GUEST).await;
        consumer.confirmed(SUBSCRIBE, "").await;
        consumers.push(consumer);
    }
    load.flows().await;
    node.ctl(&["delete_queue", "doomed"]).await;
    for consumer in &mut consumers {
        let error = consumer.next().await.unwrap_err();
        assert!(error.contains("subscription_ended") && error.contains("subscription: doomed"), "{error}");
        consumer.confirmed(SUBSCRIBE, "").await;
    }
    // Each has one, as RabbitMQ takes turns.
    for _ in 0..consumers.len() {
        consumers[0].send("SEND\npersistent:true\ndestination:/queue/doomed\n\nx\0").await.unwrap();
    }
    for consumer in &mut consumers {
        let message = consumer.expect("MESSAGE").await;
        consumer.confirmed(&format!("ACK\nid:{}", message.header("ack").unwrap()), "").await;
    }
    load.flows().await;
    load.finish("queue deleted", &[]).await;
    node.queues_are_empty().await;
    drop(consumers);
    gateway.stop().await;
}
