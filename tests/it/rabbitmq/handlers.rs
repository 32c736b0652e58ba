//! Handlers behind RabbitMQ: a service that answers by direct reply-to, as any RPC does.

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};
use stompgate::app::App;
use stompgate::broker::amqp;
use tokio::time::Instant;

use super::support::{eventually, foreign_channel, rabbitmqctl, url};
use super::whole::{start_with, unique};
use crate::client::{Client, metric, within};
use crate::handlers::service::settings;

/// A service with an exchange of its own, to which it has bound one key.
struct Service {
    channel: Channel,
    requests: Consumer,
    exchange: String,
}

impl Service {
    async fn start(key: &str) -> Self {
        let (channel, exchange) = (foreign_channel().await, format!("handlers-{}", unique()));
        let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        channel.exchange_declare(short(&exchange), ExchangeKind::Topic, options, none()).await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(ShortString::default(), options, none()).await.unwrap();
        let (name, options) = (queue.name().clone(), QueueBindOptions::default());
        channel.queue_bind(name.clone(), short(&exchange), short(key), options, none()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let requests = channel.basic_consume(name, ShortString::default(), options, none()).await.unwrap();
        Self { channel, requests, exchange }
    }

    async fn next(&mut self) -> Delivery {
        within(self.requests.next()).await.expect("the service runs").unwrap()
    }

    async fn answer(&self, request: &Delivery, headers: &[(&str, &str)], body: &str) {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(short(name), AMQPValue::LongString((*value).into()));
        }
        let id = request.properties.correlation_id().clone().unwrap();
        let properties = BasicProperties::default().with_correlation_id(id).with_headers(table);
        let to = request.properties.reply_to().clone().unwrap();
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish(ShortString::default(), to, options, body.as_bytes(), properties);
        sent.await.unwrap();
    }
}

fn short(text: &str) -> ShortString {
    text.into()
}

fn header(request: &Delivery, name: &str) -> String {
    match request.properties.headers().as_ref().and_then(|it| it.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => String::from_utf8(text.as_bytes().to_vec()).unwrap(),
        other => panic!("{name} is {other:?}"),
    }
}

/// Routes to that exchange, with this more.
async fn gateway(exchange: &str, name: &str, more: &str) -> App {
    let route =
        format!("[[app.routes]]\nmatch = '/app/**'\non = 'send, subscribe'\ntarget = 'amqp:{exchange}'\n{more}\n");
    let handlers = settings(&format!("[broker]\nkind = 'amqp'\n{route}")).handlers;
    let amqp = amqp::Settings { urls: vec![url()], connection_name: name.to_owned(), ..amqp::Settings::default() };
    let app = start_with(amqp, |it| {
        it.session.has_routes = true;
        it.handlers = handlers;
    })
    .await;
    let calls = "stompgate_broker_amqp_connections{role=\"calls\"}";
    eventually("handlers can be called", async || metric(&app, calls).await == 1.0).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_request_with_direct_reply_to_and_its_answer_counts_as_over_http() {
    let mut service = Service::start("orders.*").await;
    let app = gateway(&service.exchange, "stompgate", "timeout = '30s'").await;
    let topic = format!("/topic/{}", unique());
    let mut client = Client::subscribe(&app, &topic).await;
    client.send("SEND\ndestination:/app/orders/7\ncontent-type:a/b\nx:ü\nreceipt:r\n\nhi\0").await;
    let request = service.next().await;
    assert_eq!((request.routing_key.as_str(), &*request.data), ("orders.7", &b"hi"[..]));
    let told = ["Stompgate-Event", "Stompgate-Path", "Stomp-x"].map(|it| header(&request, it));
    assert_eq!(told, ["send", "/orders/7", "ü"]);
    let properties = &request.properties;
    assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("a/b"));
    let expiration: u64 = properties.expiration().as_ref().unwrap().as_str().parse().unwrap();
    assert!((1..=30_000).contains(&expiration), "{expiration}");
    let key = header(&request, "Stompgate-Delivery");
    assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some(&*key));
    service.answer(&request, &[("Stompgate-Send-To", &topic), ("Stomp-y", "1")], "there").await;
    // The RECEIPT and the MESSAGE come from two connections of RabbitMQ.
    let frames = [client.next().await.unwrap(), client.next().await.unwrap()];
    let message = frames.iter().find(|it| it.command.as_str() == "MESSAGE").unwrap();
    assert_eq!((&*message.body, message.header("y")), (&b"there"[..], Some("1")));
    assert!(frames.iter().any(|it| it.header("receipt-id") == Some("r")));
}

#[tokio::test(flavor = "multi_thread")]
async fn sp57_a_subscribe_is_answered_directly_over_rabbitmq_too() {
    let mut service = Service::start("#").await;
    let app = gateway(&service.exchange, "stompgate", "").await;
    let mut client = Client::connect(&app).await;
    client.send("SUBSCRIBE\nid:n\ndestination:/app/number\n\n\0").await;
    let request = service.next().await;
    // An answer that nobody has asked for, and one of a request that there was not.
    service.answer(&request, &[], "42").await;
    service.answer(&request, &[], "43").await;
    let message = client.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("subscription")), (&b"42"[..], Some("n")));
    client.confirmed("UNSUBSCRIBE\nid:n", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_the_answer_is_one_of_http() {
    let mut service = Service::start("#").await;
    let app = gateway(&service.exchange, "stompgate", "on_error = 'error-frame'").await;
    let mut client = Client::connect(&app).await;
    client.send("SEND\ndestination:/app/a\n\n\0").await;
    let request = service.next().await;
    service.answer(&request, &[("Stompgate-Status", "409")], "Sold out").await;
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("stompgate-error"), &*error.body), (Some("handler_refused"), &b"Sold out"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_listens_is_known_at_once() {
    let service = Service::start("orders.*").await;
    for exchange in [&*service.exchange, "no-such-exchange"] {
        let app = gateway(exchange, "stompgate", "timeout = '1h'\non_error = 'error-frame'").await;
        // More than once: it must cost the others nothing.
        for _ in 0..3 {
            let mut client = Client::connect(&app).await;
            client.send("SEND\ndestination:/app/elsewhere\n\n\0").await;
            let begun = Instant::now();
            let error = client.expect("ERROR").await;
            assert_eq!(error.header("stompgate-error"), Some("handler_unavailable"));
            assert!(begun.elapsed().as_secs() < 30);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_connection_is_lost_is_made_again_on_the_next_one() {
    let mut service = Service::start("#").await;
    let name = unique();
    let app = gateway(&service.exchange, &name, "timeout = '10m'\nretries = 100").await;
    let mut client = Client::connect(&app).await;
    client.send("SEND\ndestination:/app/a\nreceipt:r\n\n\0").await;
    let lost = service.next().await;
    let connections = rabbitmqctl(&["list_connections", "pid", "client_properties"]).await;
    let ours = connections.iter().find(|it| it.contains(&format!("{name} calls\""))).expect("RabbitMQ knows it");
    rabbitmqctl(&["close_connection", ours.split('\t').next().unwrap(), "a test wants it"]).await;
    let again = service.next().await;
    assert_eq!(header(&again, "Stompgate-Delivery"), header(&lost, "Stompgate-Delivery"));
    assert!(header(&again, "Stompgate-Attempt").parse::<u32>().unwrap() > 1);
    service.answer(&again, &[("Stompgate-Status", "204")], "").await;
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("r"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_told_over_rabbitmq_and_nobody_has_to_answer() {
    let mut service = Service::start("connected").await;
    let hook = format!("[[app.hooks]]\non = 'connected'\ntarget = 'amqp:{}'\n", service.exchange);
    let app = gateway("unused", "stompgate", &hook).await;
    for _ in 0..2 {
        let mut client = Client::open(&app).await;
        client.send("CONNECT\naccept-version:1.2\n\n\0").await;
        let connected = client.expect("CONNECTED").await;
        let told = service.next().await;
        assert_eq!(header(&told, "Stompgate-Session"), connected.header("session").unwrap());
        assert!(told.properties.reply_to().is_none());
    }
}
