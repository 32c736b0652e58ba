//! What somebody else does at the broker, and sees of it.

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, ErrorKind};
use stompgate::destination::Destination;

use super::support::{eventually, foreign_channel};

/// The name of a queue, the key of a topic.
pub(super) fn name(destination: &Destination) -> ShortString {
    match destination {
        Destination::Queue(name) | Destination::Topic(name) => (&**name).into(),
        other => panic!("{other} is no queue or topic"),
    }
}

/// What a declare is answered: 200 if it is done, else the code of the refusal.
pub(super) async fn declared(queue: &ShortString, options: QueueDeclareOptions, arguments: FieldTable) -> u16 {
    match foreign_channel().await.queue_declare(queue.clone(), options, arguments).await {
        Ok(_) => 200,
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(error) => error.get_id(),
            other => panic!("{other:?}"),
        },
    }
}

/// 200 if the queue is there, 404 if it is not, 405 if it is for another connection alone.
pub(super) async fn asked(queue: &ShortString) -> u16 {
    declared(queue, QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() }, FieldTable::default())
        .await
}

pub(super) async fn is_gone(queue: &ShortString) {
    eventually("the queue is gone", async || asked(queue).await == 404).await;
}

pub(super) async fn delete(queue: &ShortString) {
    foreign_channel().await.queue_delete(queue.clone(), QueueDeleteOptions::default()).await.unwrap();
}

pub(super) async fn publish(channel: &Channel, exchange: &str, key: &ShortString, body: &str) {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(exchange.into(), key.clone(), options, body.as_bytes(), properties).await.unwrap();
}
