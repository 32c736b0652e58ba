//! A gateway that is told to end, and what RabbitMQ has of it afterwards.

use lapin::options::{BasicGetOptions, QueueDeleteOptions};
use rand::random;
use stompgate::ident::SessionId;
use tokio::time::Instant;

use super::loss::{broker_address, password, url_with};
use super::proxy::Proxy;
use super::support::{foreign_channel, variable};
use crate::client::{Client, metric_at, within};
use crate::drain::terminate_under_load;
use crate::process::{Process, stompgate};

fn start(url: &str, drain: [(&str, &str); 2]) -> Process {
    let mut command = stompgate(&["serve"]);
    command.env("STOMPGATE__BROKER__KIND", "amqp").env("STOMPGATE__BROKER__AMQP__URL", url).envs(drain);
    let gateway = Process::start(&mut command);
    gateway.wait_for("connected to RabbitMQ");
    gateway
}

/// All that is in a queue, which is deleted.
async fn bodies(channel: &lapin::Channel, queue: &str) -> Vec<usize> {
    let mut bodies = Vec::new();
    while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap() {
        bodies.push(std::str::from_utf8(&message.delivery.data).unwrap().parse().unwrap());
    }
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_that_was_receipted_is_in_its_queue_once_and_in_order() {
    let url = variable("STOMPGATE_TEST_AMQP_URL");
    let gateway = start(&url, [("STOMPGATE__DRAIN__PERIOD", "500ms"), ("STOMPGATE__DRAIN__DEADLINE", "20s")]);
    let queues: Vec<_> = (0..20).map(|it| format!("drain-{}-{it}", SessionId::from_random(random()))).collect();
    let destinations: Vec<_> = queues.iter().map(|it| format!("/queue/{it}")).collect();
    let receipted = terminate_under_load(gateway, &destinations).await;
    let channel = foreign_channel().await;
    for (queue, receipted) in queues.iter().zip(receipted) {
        // What was read is receipted, too.
        let expected: Vec<_> = (1..=receipted).collect();
        assert_eq!(bodies(&channel, queue).await, expected, "none is lost, doubled or out of order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_that_has_gone_is_published_before_the_end() {
    let proxy = Proxy::start(broker_address()).await;
    let url = url_with(&password(), proxy.address);
    let gateway = start(&url, [("STOMPGATE__DRAIN__PERIOD", "0s"), ("STOMPGATE__DRAIN__DEADLINE", "20s")]);
    let queue = format!("drain-{}", SessionId::from_random(random()));
    let mut client = Client::connect_at(gateway.http).await;
    client.confirmed(&format!("SEND\ndestination:/queue/{queue}"), "1").await;
    proxy.block();
    within(until(&gateway, "stompgate_broker_amqp_blocked", 1.0)).await;
    for body in 2..=50 {
        client.send(&format!("SEND\ndestination:/queue/{queue}\n\n{body}\0")).await;
    }
    within(until(&gateway, "stompgate_frames_received_total{command=\"SEND\"}", 50.0)).await;
    drop(client);
    within(until(&gateway, "stompgate_sessions{phase=\"connected\"}", 0.0)).await;
    gateway.signal("TERM");
    gateway.wait_for("draining");
    proxy.unblock();
    gateway.wait_for("every session has ended in time");
    assert_eq!(gateway.wait(), 0);
    let expected: Vec<_> = (1..=50).collect();
    assert_eq!(bodies(&foreign_channel().await, &queue).await, expected);
}

async fn until(gateway: &Process, series: &str, value: f64) {
    while metric_at(gateway.admin, series).await != value {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscribe_that_rabbitmq_does_not_answer_does_not_hold_the_end_up() {
    let proxy = Proxy::start(broker_address()).await;
    let url = url_with(&password(), proxy.address);
    let gateway = start(&url, [("STOMPGATE__DRAIN__PERIOD", "0s"), ("STOMPGATE__DRAIN__DEADLINE", "30s")]);
    let mut client = Client::connect_at(gateway.http).await;
    proxy.fall_silent();
    for kind in ["topic", "queue"] {
        let name = SessionId::from_random(random());
        client.send(&format!("SUBSCRIBE\nid:{kind}\ndestination:/{kind}/{name}\nreceipt:{kind}\n\n\0")).await;
    }
    within(until(&gateway, "stompgate_frames_received_total{command=\"SUBSCRIBE\"}", 1.0)).await;
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(within(client.next()).await, Err(1012), "no receipt without an answer");
    gateway.wait_for("every session has ended in time");
    assert_eq!(gateway.wait(), 0);
    let taken = begun.elapsed().as_secs_f64();
    assert!(taken < 8.0, "it took {taken} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_holds_the_end_up_until_the_deadline() {
    let proxy = Proxy::start(broker_address()).await;
    let url = url_with(&password(), proxy.address);
    let gateway = start(&url, [("STOMPGATE__DRAIN__PERIOD", "0s"), ("STOMPGATE__DRAIN__DEADLINE", "2s")]);
    let mut client = Client::connect_at(gateway.http).await;
    let topic = SessionId::from_random(random());
    client.confirmed(&format!("SEND\ndestination:/topic/{topic}"), "before").await;
    proxy.fall_silent();
    client.send(&format!("SEND\ndestination:/topic/{topic}\nreceipt:lost\n\nlost\0")).await;
    let begun = Instant::now();
    gateway.signal("TERM");
    assert_eq!(within(client.next()).await, Err(1012), "no receipt without a confirm");
    gateway.wait_for("cut off at the deadline");
    assert_eq!(gateway.wait(), 1);
    let taken = begun.elapsed().as_secs_f64();
    assert!((2.0..8.0).contains(&taken), "it took {taken} s");
}
