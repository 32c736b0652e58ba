//! What the queues of feeds may hold, and what is known of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join;
use lapin::ExchangeKind;
use stompgate::broker::amqp::Settings;

use super::Gateway;
use super::exchange::Exchange;
use super::support::{eventually, rabbitmqctl};

#[tokio::test]
async fn every_queue_of_a_feed_is_bounded_at_rabbitmq() {
    let settings = Settings { feed_queue_bytes_max: 77_777, feed_shards: 2, ..Settings::default() };
    let gateway = Gateway::connected(settings).await;
    let mut session = gateway.fixture().open().await;
    let mut queues = Vec::new();
    for kind in [ExchangeKind::Topic, ExchangeKind::Fanout] {
        let exchange = Exchange::declare(kind).await;
        for key in ["a", "b", "c", "d"] {
            session.subscribe(&exchange.with_key(key)).await;
        }
        queues.extend(exchange.bindings().await.into_iter().map(|(queue, _)| queue));
    }
    assert_eq!(queues.len(), 8);
    let lines = rabbitmqctl(&["list_queues", "name", "exclusive", "arguments"]).await;
    for queue in queues {
        assert!(queue.starts_with("stomp-subscription-stompgate.feed."), "{queue}");
        let line = lines.iter().find(|it| it.starts_with(&format!("{queue}\ttrue\t"))).expect("RabbitMQ lists it");
        assert!(line.contains(r#"{"x-max-length-bytes",77777}"#), "{line}");
        assert!(line.contains(r#"{"x-overflow","drop-head"}"#), "{line}");
    }
    gateway.stop().await;
}

/// With one message on its way at a time the gateway is slower than whoever publishes.
#[tokio::test]
async fn what_waits_at_rabbitmq_is_counted_while_its_queue_is_there() {
    let unbind_linger = Duration::ZERO;
    let gateway = Gateway::connected(Settings { feed_prefetch: 1, unbind_linger, ..Settings::default() }).await;
    let mut session = gateway.fixture().open().await;
    let exchange = Exchange::declare(ExchangeKind::Topic).await;
    session.subscribe(&exchange.with_key("a")).await;
    assert_eq!(gateway.metric("feed_backlog_messages", ""), 0.0);
    let is_seen = Arc::new(AtomicBool::new(false));
    let publish = async {
        while !is_seen.load(Ordering::Relaxed) {
            exchange.publish_many("a", 500).await;
        }
    };
    let watch = async {
        eventually("a backlog is seen", async || gateway.metric("feed_backlog_messages", "") > 0.0).await;
        is_seen.store(true, Ordering::Relaxed);
    };
    join(publish, watch).await;
    session.close();
    eventually("its queue is gone", async || gateway.metric("feed_queues", "") == 0.0).await;
    eventually("nothing waits", async || gateway.metric("feed_backlog_messages", "") == 0.0).await;
    gateway.stop().await;
}
