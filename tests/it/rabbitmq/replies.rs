//! Queues for replies, as the broker and programs at the broker see them.

use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use stompgate::broker::amqp::Settings;
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault};

use super::Gateway;
use super::outside::{asked, delete, is_gone, name, publish};
use super::support::foreign_channel;
use crate::broker_contract::fixture::Session;

/// Asks a program at the broker, and returns where it is to answer.
async fn ask(session: &mut Session, service: &Destination, key: stompgate::ident::SubscriptionKey) -> ShortString {
    let channel = foreign_channel().await;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name(service), options, FieldTable::default()).await.unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut requests =
        channel.basic_consume(name(service), "service".into(), options, FieldTable::default()).await.unwrap();
    session.ask(service, key, "?").await;
    let request = requests.next().await.expect("the program is asked").unwrap();
    request.properties.reply_to().clone().expect("it is told where to answer")
}

#[tokio::test]
async fn d30_a_program_at_the_broker_answers_in_a_queue_that_is_the_session_s_alone() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, mut other) = (fixture.open().await, fixture.open().await);
    let key = session.new_key(AckMode::Auto);
    let address = ask(&mut session, &fixture.queue("service"), key).await;
    assert!(address.as_str().starts_with("amq.gen-"), "{address}");
    assert_eq!(asked(&address).await, 405, "it is exclusive");
    // Who is told the address may answer, and not listen.
    for destination in
        [Destination::AmqQueue(address.as_str().into()), Destination::ReplyQueue(address.as_str().into())]
    {
        let (_, pending) = other.start_subscribe(&destination, AckMode::Auto, 1);
        assert!(matches!(pending.await, Err(Fault::Amqp { name: "resource_locked", .. })));
    }
    publish(&foreign_channel().await, "", &address, "!").await;
    let answer = session.expect(&["!"]).await.remove(0);
    assert_eq!(answer.subscription, key);
    assert_eq!(answer.message.destination(), format!("/queue/{address}"));
    assert_eq!(ask(&mut session, &fixture.queue("service"), key).await, address);
    // U8.
    session.close();
    is_gone(&address).await;
    gateway.stop().await;
}

#[tokio::test]
async fn d30_when_the_channel_is_lost_its_reply_queues_are_made_again_with_another_address() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, locked) = (fixture.open().await, fixture.queue("locked"));
    let key = session.new_key(AckMode::Auto);
    let address = ask(&mut session, &fixture.queue("service"), key).await;
    // RabbitMQ refuses a second consumer, and closes the channel that tried.
    let channel = foreign_channel().await;
    channel.queue_declare(name(&locked), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(name(&locked), "alone".into(), options, FieldTable::default()).await.unwrap();
    let (_, pending) = session.start_subscribe(&locked, AckMode::Auto, 1);
    assert!(matches!(pending.await, Err(Fault::Amqp { name: "access_refused", .. })));
    is_gone(&address).await;
    let another = ask(&mut session, &fixture.queue("service"), key).await;
    assert_ne!(another, address);
    publish(&channel, "", &another, "!").await;
    assert_eq!(session.expect(&["!"]).await[0].subscription, key);
    drop(consumer);
    gateway.stop().await;
}

#[tokio::test]
async fn d16_a_reply_queue_is_any_queue_that_is_there() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    let queue = name(&fixture.queue("there"));
    let options = QueueDeclareOptions { auto_delete: true, durable: true, ..QueueDeclareOptions::default() };
    foreign_channel().await.queue_declare(queue.clone(), options, FieldTable::default()).await.unwrap();
    let destination = Destination::ReplyQueue(queue.as_str().into());
    session.subscribe(&destination).await;
    session.publish(&destination, "x").await;
    session.expect(&["x"]).await;
    delete(&queue).await;
    assert!(matches!(session.next_item().await, Item::SubscriptionEnded(_)));
    let (_, pending) = session.start_subscribe(&destination, AckMode::Auto, 1);
    assert!(matches!(pending.await, Err(Fault::Amqp { name: "not_found", .. })));
    gateway.stop().await;
}

#[tokio::test]
async fn direct_reply_to_is_refused_with_what_to_write_instead() {
    let gateway = Gateway::connected(Settings::default()).await;
    let mut session = gateway.fixture().open().await;
    for destination in ["/amq/queue/amq.rabbitmq.reply-to", "/queue/amq.rabbitmq.reply-to"] {
        let (_, pending) = session.start_subscribe(&Destination::parse(destination).unwrap(), AckMode::Auto, 1);
        let Err(Fault::Unsupported(text)) = pending.await else { panic!("{destination} was not refused") };
        assert!(text.contains("/temp-queue"), "{text}");
    }
    gateway.stop().await;
}
