//! Properties and headers as an AMQP application sees them, on the other side of RabbitMQ.

use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use stompgate::app::App;
use stompgate::broker::amqp;
use stompgate::config;
use stompgate::destination::Destination;
use stompgate::ident::SessionId;
use stompgate::session::Fault;
use stompgate::stomp::Frame;

use super::Gateway;
use super::support::{foreign_channel, url};
use crate::client::{Client, until};

/// A whole gateway in front of the RabbitMQ of the tests.
async fn start() -> App {
    let broker = config::Broker::Amqp(amqp::Settings { urls: vec![url()], ..amqp::Settings::default() });
    let mut settings = config::Settings { broker, ..config::Settings::default() };
    settings.http.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = Some(([127, 0, 0, 1], 0).into());
    let app = App::start(settings).await.unwrap();
    until(&app, "stompgate_ready", 1.0).await;
    app
}

fn unique_name() -> String {
    format!("test.{}", SessionId::from_random(rand::random()))
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap().await.unwrap();
}

async fn declare(channel: &Channel, name: &str) -> ShortString {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap().name().clone()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Without those that differ from run to run.
fn headers(frame: &Frame) -> Vec<(&str, &str)> {
    frame.headers.iter().filter(|(name, _)| *name != "message-id").collect()
}

/// Headers of every type that AMQP has, and those that only the gateway may say.
fn every_type() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("text".into(), text("a:b\nc"));
    table.insert("int".into(), AMQPValue::LongInt(-7));
    table.insert("long".into(), AMQPValue::LongLongInt(1 << 40));
    let dropped = [
        AMQPValue::Boolean(true),
        AMQPValue::ByteArray(b"x".as_slice().into()),
        AMQPValue::Double(0.5),
        AMQPValue::FieldArray(Vec::new().into()),
        AMQPValue::FieldTable(FieldTable::default()),
        AMQPValue::Float(0.5),
        AMQPValue::LongUInt(1),
        AMQPValue::ShortInt(1),
        AMQPValue::ShortShortInt(1),
        AMQPValue::ShortShortUInt(1),
        AMQPValue::ShortUInt(1),
        AMQPValue::Timestamp(1),
        AMQPValue::Void,
    ];
    for (number, value) in dropped.into_iter().enumerate() {
        table.insert(format!("dropped-{number}").into(), value);
    }
    let spoofed =
        ["ack", "content-length", "destination", "message-id", "redelivered", "subscription", "user-name", " ack\t"];
    for name in spoofed.into_iter().chain(["stompgate-error", "\u{FEFF}stompgate-x"]) {
        table.insert(name.into(), text("spoofed"));
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_what_an_application_publishes_comes_out_in_the_order_of_the_plugin() {
    let (app, channel, name) = (start().await, foreign_channel().await, unique_name());
    let mut client = Client::subscribe(&app, &format!("/topic/{name}")).await;
    let properties = BasicProperties::default()
        .with_headers(every_type())
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("c-1".into())
        .with_reply_to("amq.gen-1".into())
        .with_expiration("60000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("order".into())
        .with_user_id("guest".into())
        .with_app_id("shop".into())
        .with_cluster_id("dropped".into());
    publish(&channel, "amq.topic", &name, b"\x00\xff", properties).await;
    let frame = client.expect("MESSAGE").await;
    let destination = format!("/topic/{name}");
    let expected = [
        ("subscription", "s"),
        ("destination", &destination),
        ("redelivered", "false"),
        ("int", "-7"),
        ("long", "1099511627776"),
        ("text", "a:b\nc"),
        ("app-id", "shop"),
        ("user-id", "guest"),
        ("type", "order"),
        ("timestamp", "1700000000"),
        ("amqp-message-id", "m-1"),
        ("expiration", "60000"),
        ("reply-to", "/reply-queue/amq.gen-1"),
        ("correlation-id", "c-1"),
        ("priority", "9"),
        ("persistent", "true"),
        ("content-encoding", "gzip"),
        ("content-type", "text/plain"),
        ("content-length", "2"),
    ];
    assert_eq!(headers(&frame), expected);
    assert_eq!(frame.body.as_ref(), b"\x00\xff");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_message_without_properties_has_the_headers_of_the_server_alone() {
    let (app, channel, name) = (start().await, foreign_channel().await, unique_name());
    let mut client = Client::subscribe(&app, &format!("/queue/{name}")).await;
    publish(&channel, "", &name, b"", BasicProperties::default()).await;
    let destination = format!("/queue/{name}");
    let expected = [("subscription", "s"), ("destination", &*destination), ("redelivered", "false")];
    assert_eq!(headers(&client.expect("MESSAGE").await), expected);
    // A quirk of the plugin's: only 2 has a word.
    publish(&channel, "", &name, b"", BasicProperties::default().with_delivery_mode(1)).await;
    assert_eq!(client.expect("MESSAGE").await.header("persistent"), Some("1"));
    channel.queue_delete(name.into(), Default::default()).await.unwrap();
    app.shut_down().await;
}

/// Sends that to a topic, and returns what an application consumes.
async fn consumed(app: &App, headers: &str, body: &str) -> lapin::message::BasicGetMessage {
    let (channel, name) = (foreign_channel().await, unique_name());
    let queue = declare(&channel, "").await;
    let (options, arguments) = (Default::default(), FieldTable::default());
    channel.queue_bind(queue.clone(), "amq.topic".into(), (&*name).into(), options, arguments).await.unwrap();
    let mut client = Client::connect(app).await;
    client.send(&format!("SEND\ndestination:/topic/{name}\nreceipt:r\n{headers}\n{body}\0")).await;
    client.expect("RECEIPT").await;
    channel.basic_get(queue, BasicGetOptions { no_ack: true }).await.unwrap().expect("it was confirmed")
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_a_client_sends_reaches_applications_as_properties() {
    let app = start().await;
    let sent = "content-type:text/plain\ncontent-encoding:gzip\npersistent:True\npriority: 9 \ncorrelation-id:c-1\n\
                reply-to:/queue/answers\nexpiration:60000\namqp-message-id:m-1\ntimestamp: 1700000000\ntype:order\n\
                app-id:shop\ncluster_id:x\nx-own:a\\cb\nx-own:second\nselector:\ndurable:true\ncontent-length:2\n\
                transaction-like:t\nuser-name:root\nstompgate-error:x\nack\\c:y\n";
    let message = consumed(&app, sent, "hi").await;
    let mut table = FieldTable::default();
    let travelled = [
        ("x-own", "a:b"),
        ("selector", ""),
        ("durable", "true"),
        ("transaction-like", "t"),
        ("ack:", "y"),
        ("cluster_id", "x"),
    ];
    for (name, value) in travelled {
        table.insert(name.into(), text(value));
    }
    let expected = BasicProperties::default()
        .with_headers(table)
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("c-1".into())
        .with_reply_to("/queue/answers".into())
        .with_expiration("60000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("order".into())
        .with_app_id("shop".into());
    assert_eq!(message.properties, expected);
    assert_eq!(message.data, b"hi");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_client_that_says_nothing_sets_no_property() {
    let app = start().await;
    for sent in ["", "persistent:false\n"] {
        assert_eq!(consumed(&app, sent, "").await.properties, BasicProperties::default());
    }
    app.shut_down().await;
}

/// An application asks, a client answers to what it was shown.
#[tokio::test]
async fn d16_d30_an_answer_to_a_shown_reply_to_reaches_the_application() {
    let gateway = Gateway::connected(amqp::Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, channel) = (fixture.open().await, foreign_channel().await);
    let (requests, replies) = (fixture.queue("requests"), declare(&channel, "").await);
    session.subscribe(&requests).await;
    let name = requests.to_string().replace("/queue/", "");
    let properties = BasicProperties::default().with_reply_to(replies.clone()).with_correlation_id("c-1".into());
    publish(&channel, "", &name, b"question", properties).await;
    let request = session.receive().await;
    let shown = request.message.headers().get("reply-to").expect("it says where the answer goes");
    assert_eq!(shown, format!("/reply-queue/{replies}"));
    let destination = Destination::parse(shown).unwrap();
    session.publish_with(&destination, &[("correlation-id", "c-1")], b"answer").await;
    let answer = channel.basic_get(replies, BasicGetOptions { no_ack: true }).await.unwrap().expect("it was confirmed");
    assert_eq!(answer.data, b"answer");
    assert_eq!(answer.properties.correlation_id().as_ref().map(ShortString::as_str), Some("c-1"));
    channel.queue_delete(name.into(), Default::default()).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn d11_a_foreign_queue_is_published_to_as_it_is() {
    let gateway = Gateway::connected(amqp::Settings::default()).await;
    let fixture = gateway.fixture();
    let (mut session, channel, name) = (fixture.open().await, foreign_channel().await, unique_name());
    let queue = declare(&channel, &name).await;
    session.publish_with(&Destination::AmqQueue(name.into()), &[], b"x").await;
    let message = channel.basic_get(queue, BasicGetOptions { no_ack: true }).await.unwrap().expect("it was confirmed");
    assert_eq!(message.data, b"x");
    gateway.stop().await;
}

#[tokio::test]
async fn d30_a_reply_to_that_is_no_destination_is_refused() {
    let gateway = Gateway::connected(amqp::Settings::default()).await;
    let fixture = gateway.fixture();
    let mut session = fixture.open().await;
    for reply_to in ["/bogus/x", "/queue/", "/temp-queue/of-another", "amq.rabbitmq.reply-to"] {
        let outcome = session.start_publish_with(&fixture.topic("a"), &[("reply-to", reply_to)], b"x").await;
        assert!(matches!(&outcome, Err(Fault::Refused(text)) if text.starts_with("reply-to: ")), "{outcome:?}");
    }
    gateway.stop().await;
}
