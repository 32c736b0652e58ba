//! Real brokers: the same cases on each of them.

use stompgate::broker::stomp::{Account, Address, Identity, Settings};
use stompgate::config::{Broker, Settings as Everything};
use stompgate::delivery;
use stompgate::destination::Destination;
use stompgate::destination::Grammar;
use stompgate::ident::SessionId;
use stompgate::session::{AckMode, Credentials, Fault, Verdict};

use super::support::Gateway;
use crate::broker_contract::fixture::{Session, body, token};
use crate::client::{self, Client};
use crate::rabbitmq::eventually;

macro_rules! on_each_broker {
    ($($case:ident;)*) => {
        on_each_broker!(@broker rabbitmq "STOMPGATE_TEST_STOMP_RABBITMQ" $($case)*);
        on_each_broker!(@broker activemq "STOMPGATE_TEST_STOMP_ACTIVEMQ" $($case)*);
        on_each_broker!(@broker artemis "STOMPGATE_TEST_STOMP_ARTEMIS" $($case)*);
    };
    (@broker $broker:ident $variable:literal $($case:ident)*) => {
        mod $broker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(crate::stomp_relay::address($variable)).await;
                }
            )*
        }
    };
}

on_each_broker! {
    a_topic_reaches_all_and_keeps_its_order;
    a_queue_keeps_what_comes_and_gives_each_message_to_one;
    what_is_not_acknowledged_is_delivered_again;
    of_a_queue_nothing_is_lost_with_a_client_that_does_not_acknowledge;
    bodies_and_headers_arrive_as_they_were;
    a_wrong_passcode_is_refused_in_the_words_of_the_broker;
    clients_are_served_through_a_whole_gateway;
    what_the_gateway_itself_sends_reaches_clients;
}

async fn gateway(address: Address) -> Gateway {
    Gateway::connected(Settings { addresses: vec![address], ..Settings::default() }).await
}

fn named(kind: &str) -> Destination {
    Destination::Foreign(format!("/{kind}/test.{}", SessionId::from_random(rand::random())).into())
}

async fn a_topic_reaches_all_and_keeps_its_order(address: Address) {
    let gateway = gateway(address).await;
    let (fixture, topic) = (gateway.fixture(), named("topic"));
    let (mut sender, mut one, mut two) = (fixture.open().await, fixture.open().await, fixture.open().await);
    for reader in [&mut one, &mut two] {
        reader.subscribe(&topic).await;
    }
    let bodies: Vec<_> = (0..500).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    sender.publish_all(&topic, &bodies).await;
    for reader in [&mut one, &mut two] {
        let first = &reader.expect(&bodies).await[0];
        assert_eq!(first.message.destination(), topic.to_string());
    }
    for session in [sender, one, two] {
        session.close();
    }
    gateway.stop().await;
}

async fn a_queue_keeps_what_comes_and_gives_each_message_to_one(address: Address) {
    let gateway = gateway(address).await;
    let (fixture, queue) = (gateway.fixture(), named("queue"));
    let mut sender = fixture.open().await;
    sender.publish_all(&queue, &["1", "2", "3", "4", "5", "6"]).await;
    sender.close();
    let mut one = fixture.open().await;
    let key = one.subscribe(&queue).await;
    one.expect(&["1", "2", "3", "4", "5", "6"]).await;
    one.unsubscribe(key).await;
    let mut two = fixture.open().await;
    two.subscribe(&queue).await;
    one.publish(&queue, "7").await;
    two.expect(&["7"]).await;
    one.expect_nothing();
    gateway.stop().await;
}

/// What comes to a new subscriber of the queue.
async fn left(gateway: &Gateway, queue: &Destination, count: usize) -> Vec<(String, bool)> {
    let mut reader = gateway.fixture().open().await;
    reader.subscribe(queue).await;
    let mut left = Vec::new();
    for _ in 0..count {
        let delivery = reader.receive().await;
        left.push((body(&delivery), delivery.redelivered));
    }
    reader.close();
    left.sort();
    left
}

async fn what_is_not_acknowledged_is_delivered_again(address: Address) {
    let gateway = gateway(address).await;
    let (fixture, queue) = (gateway.fixture(), named("queue"));
    let mut reader = fixture.open().await;
    reader.publish_all(&queue, &["1", "2", "3"]).await;
    reader.subscribe_with(&queue, AckMode::ClientIndividual, 3).await;
    let tokens: Vec<_> = reader.expect(&["1", "2", "3"]).await.iter().map(token).collect();
    reader.settle(&tokens[1..2], Verdict::Accepted);
    reader.close();
    let left = left(&gateway, &queue, 2).await;
    let bodies: Vec<_> = left.iter().map(|(body, _)| body.as_str()).collect();
    // Artemis says it of the first alone.
    assert_eq!((bodies, left[0].1), (vec!["1", "3"], true));
    gateway.stop().await;
}

async fn of_a_queue_nothing_is_lost_with_a_client_that_does_not_acknowledge(address: Address) {
    let gateway = gateway(address).await;
    let (fixture, queue) = (gateway.fixture(), named("queue"));
    let mut reader = fixture.open().await;
    reader.publish_all(&queue, &["1", "2"]).await;
    reader.subscribe(&queue).await;
    // Delivered to the gateway, and not yet written to the client.
    reader.next_item().await;
    reader.close();
    let bodies: Vec<_> = left(&gateway, &queue, 2).await.into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, ["1", "2"]);
    gateway.stop().await;
}

async fn bodies_and_headers_arrive_as_they_were(address: Address) {
    let gateway = gateway(address).await;
    let (fixture, topic) = (gateway.fixture(), named("topic"));
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    reader.subscribe(&topic).await;
    let headers =
        [("content-type", "application/json"), ("x-colon", "a:b\\c"), ("x-text", "привет 水"), ("x-line", "a\nb")];
    let bytes: Vec<u8> = (0..=255).chain([0, 0, 0]).collect();
    let large = vec![b'x'; 200_000];
    for body in [&bytes[..], &large[..], b""] {
        sender.publish_with(&topic, &headers, body).await;
        let delivery = reader.receive().await;
        assert!(delivery.message.body() == body, "{} bytes", delivery.message.body().len());
        for (name, value) in headers {
            assert_eq!(delivery.message.headers().get(name), Some(value), "{name}");
        }
        assert_eq!(delivery.message.headers().get("receipt"), None);
    }
    gateway.stop().await;
}

async fn a_wrong_passcode_is_refused_in_the_words_of_the_broker(address: Address) {
    let settings = Settings { addresses: vec![address], identity: Identity::Client, ..Settings::default() };
    let gateway = Gateway::connected(settings).await;
    let open = async |passcode: &str| {
        let credentials = Credentials { login: Some("guest".into()), passcode: Some(passcode.into()), host: None };
        gateway.fixture().try_open(delivery::Settings::default(), credentials, None).await
    };
    open("guest").await.unwrap().close();
    let fault = open("wrong").await.unwrap_err();
    assert!(matches!(&fault, Fault::Relayed { text, .. } if text.contains("guest")), "{fault:?}");
    gateway.stop().await;
}

/// A gateway for WebSocket clients.
async fn whole(address: Address) -> stompgate::app::App {
    let stomp = Settings { addresses: vec![address], account: Account::default(), ..Settings::default() };
    let app = client::start(|it: &mut Everything| {
        it.broker = Broker::Stomp(stomp);
        it.session.grammar = Grammar::Foreign;
    })
    .await;
    let admin = app.admin_addr.unwrap();
    eventually("it is ready", async || stompgate::admin::check_ready(admin).await.is_ok()).await;
    app
}

async fn clients_are_served_through_a_whole_gateway(address: Address) {
    let app = whole(address).await;
    let (topic, queue) = (named("topic"), named("queue"));
    let mut client = Client::subscribe(&app, &topic.to_string()).await;
    client.send(&format!("SEND\ndestination:{topic}\nreceipt:1\nx:y\n\nhello\0")).await;
    let mut frames = [client.next().await.unwrap(), client.next().await.unwrap()];
    frames.sort_by_key(|it| it.command.as_str());
    let [message, receipt] = frames;
    assert_eq!(receipt.header("receipt-id"), Some("1"));
    let header = |name| message.header(name);
    assert_eq!((header("subscription"), header("x"), &message.body[..]), (Some("s"), Some("y"), &b"hello"[..]));
    assert_eq!((header("destination"), header("receipt")), (Some(&*topic.to_string()), None));
    // A transaction is the gateway's own business, as are acknowledgements.
    client.confirmed("BEGIN\ntransaction:t", "").await;
    client.send(&format!("SEND\ndestination:{queue}\ntransaction:t\n\nkept\0")).await;
    client.confirmed("COMMIT\ntransaction:t", "").await;
    client.confirmed(&format!("SUBSCRIBE\nid:q\ndestination:{queue}\nack:client"), "").await;
    let message = client.expect("MESSAGE").await;
    assert_eq!(&message.body[..], b"kept");
    client.confirmed(&format!("ACK\nid:{}", message.header("ack").unwrap()), "").await;
    client.confirmed("UNSUBSCRIBE\nid:q", "").await;
    client.confirmed("DISCONNECT", "").await;
    assert_eq!(client.next().await, Err(1000));
}

async fn what_the_gateway_itself_sends_reaches_clients(address: Address) {
    let gateway = gateway(address).await;
    let stompgate::broker::Broker::Stomp(broker) = &gateway.broker else { panic!("it is one") };
    let topic = named("topic");
    let (listener, mut heard) = tokio::sync::mpsc::channel(8);
    crate::broker_contract::fixture::done(broker.system().subscribe(&topic.to_string(), listener)).await;
    let mut reader: Session = gateway.fixture().open().await;
    reader.subscribe(&topic).await;
    let publish = super::system::publish_to(topic.clone(), "from the gateway");
    crate::broker_contract::fixture::done(broker.system().publish(publish)).await;
    reader.expect(&["from the gateway"]).await;
    assert_eq!(super::upstream::within(heard.recv()).await.unwrap().body(), "from the gateway");
    gateway.stop().await;
}
