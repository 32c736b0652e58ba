//! Streams and quorum queues.

use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::ident::SubscriptionKey;
use stompgate::session::{AckMode, Verdict};

use super::Gateway;
use super::outside::{delete, name};
use crate::broker_contract::fixture::{Session, done, token};

const STREAM: (&str, &str) = ("x-queue-type", "stream");

async fn read(session: &mut Session, stream: &Destination, ack: AckMode, offset: &str) -> SubscriptionKey {
    let (key, pending) = session.start_subscribe_as("id", stream, ack, &[STREAM, ("x-stream-offset", offset)]);
    done(pending).await;
    key
}

#[tokio::test]
async fn d52_a_stream_is_read_from_where_its_reader_says_and_again() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut sender, stream) = (fixture.open().await, fixture.queue("stream"));
    let bodies: Vec<_> = (0..100).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    sender.publish_with(&stream, &[STREAM], b"0").await;
    sender.publish_all(&stream, &bodies[1..]).await;
    // More than the prefetch, so acks are what goes on with it.
    for (ack, offset, from) in
        [(AckMode::Auto, "first", 0), (AckMode::Auto, "first", 0), (AckMode::Auto, "offset=90", 90)]
    {
        let mut session = fixture.open().await;
        read(&mut session, &stream, ack, offset).await;
        session.expect(&bodies[from..]).await;
    }
    let mut session = fixture.open().await;
    read(&mut session, &stream, AckMode::ClientIndividual, "first").await;
    let first: Vec<_> = session.expect(&bodies[..64]).await.iter().map(token).collect();
    session.settle(&first, Verdict::Accepted);
    session.expect(&bodies[64..]).await;
    delete(&name(&stream)).await;
    gateway.stop().await;
}

/// RabbitMQ closes the whole connection, which many sessions share, for a nack of what a stream delivered.
#[tokio::test]
async fn a_stream_is_never_sent_a_nack() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, mut other) = (fixture.open().await, fixture.open().await);
    let (stream, queue) = (fixture.queue("stream"), fixture.queue("queue"));
    other.subscribe(&queue).await;
    session.publish_with(&stream, &[STREAM], b"0").await;
    session.publish_all(&stream, &["1", "2", "3"]).await;
    let key = read(&mut session, &stream, AckMode::ClientIndividual, "first").await;
    let tokens: Vec<_> = session.expect(&["0", "1", "2", "3"]).await.iter().map(token).collect();
    session.settle(&tokens[..1], Verdict::Requeued);
    session.settle(&tokens[1..2], Verdict::Discarded);
    session.unsubscribe(key).await;
    session.settle(&tokens[2..], Verdict::Requeued);
    // Answered behind the settlements.
    let key = read(&mut session, &stream, AckMode::ClientIndividual, "first").await;
    session.unsubscribe(key).await;
    other.publish(&queue, "still here").await;
    other.expect(&["still here"]).await;
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    delete(&name(&stream)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn d47_a_quorum_queue_keeps_and_delivers_again() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, fixture.queue("quorum"));
    session.publish_with(&queue, &[("x-queue-type", "quorum")], b"1").await;
    let (_, pending) = session.start_subscribe_as("id", &queue, AckMode::Client, &[]);
    done(pending).await;
    let delivery = session.expect(&["1"]).await.remove(0);
    session.settle(&[token(&delivery)], Verdict::Requeued);
    assert!(session.expect(&["1"]).await[0].redelivered);
    delete(&name(&queue)).await;
    gateway.stop().await;
}
