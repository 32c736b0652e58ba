//! What a front end of Spring's simple broker sees (docs/protocol/spring.md), over a real socket.

use stompgate::app::App;
use stompgate::auth::{Authenticator, User};
use stompgate::config::{Broker, Settings};
use stompgate::destination::{Grammar, Syntax};

use crate::client::{self, Client};

/// As `broker.memory.patterns = "ant"` has it, with the other habits.
fn spring(settings: &mut Settings) {
    settings.session.grammar = Grammar::Plain;
    let Broker::Memory(broker) = &mut settings.broker else { panic!("the embedded broker is the default") };
    broker.patterns = Syntax::Ant;
    broker.queue_fan_out = true;
    broker.selector_header = Some("selector".into());
}

/// The subscriptions of so many MESSAGEs, whatever their order.
async fn subscriptions(client: &mut Client, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(client.expect("MESSAGE").await.header("subscription").unwrap().to_owned());
    }
    names.sort();
    names
}

async fn subscribe(client: &mut Client, id: &str, destination: &str) {
    client.confirmed(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}"), "").await;
}

/// That nothing waits for the client before the answer to what it sends now.
async fn is_silent(client: &mut Client) {
    client.confirmed("SEND\ndestination:/topic/nobody", "").await;
}

async fn three_subscriptions(app: &App) -> Client {
    let mut client = Client::connect(app).await;
    for (id, destination) in [("1", "/topic/a/b"), ("2", "/topic/a/b"), ("3", "/topic/*/b")] {
        subscribe(&mut client, id, destination).await;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn sp17_each_of_six_subscriptions_gets_it_once() {
    let app = client::start(spring).await;
    let (mut one, mut two) = (three_subscriptions(&app).await, three_subscriptions(&app).await);
    one.confirmed("SEND\ndestination:/topic/a/c", "nobody").await;
    one.send("SEND\ndestination:/topic/a/b\n\nx\0").await;
    assert_eq!(subscriptions(&mut one, 3).await, ["1", "2", "3"]);
    assert_eq!(subscriptions(&mut two, 3).await, ["1", "2", "3"]);
    is_silent(&mut one).await;
    is_silent(&mut two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sp18_who_has_disconnected_gets_the_receipt_and_no_message() {
    let app = client::start(spring).await;
    let (mut stays, mut goes) = (three_subscriptions(&app).await, three_subscriptions(&app).await);
    goes.send("DISCONNECT\nreceipt:bye\n\n\0").await;
    assert_eq!(goes.expect("RECEIPT").await.header("receipt-id"), Some("bye"));
    stays.send("SEND\ndestination:/topic/a/b\n\nx\0").await;
    assert_eq!(subscriptions(&mut stays, 3).await, ["1", "2", "3"]);
    assert_eq!(goes.next().await, Err(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn sp19_sp38_connected_has_the_heart_beats_and_the_user() {
    let app = client::start(|settings| {
        spring(settings);
        settings.session.heartbeat.send_ms = 15_000;
        settings.session.heartbeat.receive_ms = 12_000;
        let joe = User { login: "joe".into(), passcode: "secret".into() };
        settings.authenticator = Authenticator::Users(vec![joe]);
    })
    .await;
    let mut client = Client::open(&app).await;
    client.send("CONNECT\naccept-version:1.1,1.2\nlogin:joe\npasscode:secret\nheart-beat:10000,10000\n\n\0").await;
    let connected = client.expect("CONNECTED").await;
    let headers = ["version", "heart-beat", "user-name"].map(|it| connected.header(it).unwrap());
    assert_eq!(headers, ["1.2", "15000,12000", "joe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sp27_a_subscribe_that_lacks_something_is_told_so() {
    for (head, missing) in [("id:s", "Missing destination"), ("destination:/topic/a", "Missing header")] {
        let app = client::start(spring).await;
        let mut client = Client::connect(&app).await;
        client.send(&format!("SUBSCRIBE\n{head}\nreceipt:r\n\n\0")).await;
        let error = client.expect("ERROR").await;
        assert_eq!((error.header("message"), error.header("receipt-id")), (Some(missing), Some("r")));
        assert_eq!(client.next().await, Err(1002));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sp30_sp32_patterns_within_a_segment() {
    let app = client::start(spring).await;
    let mut client = Client::connect(&app).await;
    subscribe(&mut client, "star", "/topic/PRICE.STOCK.*.IBM").await;
    subscribe(&mut client, "variable", "/topic/PRICE.STOCK.NASDAQ.{ticker\\c(IBM|MSFT)}").await;
    client.send("SEND\ndestination:/topic/PRICE.STOCK.NASDAQ.IBM\n\nx\0").await;
    assert_eq!(subscriptions(&mut client, 2).await, ["star", "variable"]);
    client.send("SEND\ndestination:/topic/PRICE.STOCK.NASDAQ.MSFT\n\nx\0").await;
    assert_eq!(subscriptions(&mut client, 1).await, ["variable"]);
    client.confirmed("SEND\ndestination:/topic/PRICE.STOCK.NASDAQ.VMW", "x").await;
    client.send("SUBSCRIBE\nid:r\ndestination:/topic/{name\\c(a+)+}\nreceipt:r\n\n\0").await;
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("stompgate-error"), error.header("receipt-id")), (Some("broker_refused"), Some("r")));
    assert!(String::from_utf8_lossy(&error.body).contains("is a regular expression"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sp33_a_selector_and_what_is_wrong_with_one() {
    let app = client::start(spring).await;
    let mut client = Client::connect(&app).await;
    client.confirmed("SUBSCRIBE\nid:s\ndestination:/topic/a\nselector:headers.foo == 'bar'", "").await;
    client.confirmed("SEND\ndestination:/topic/a\nfoo:other", "1").await;
    client.send("SEND\ndestination:/topic/a\nfoo:bar\n\n2\0").await;
    assert_eq!(&client.expect("MESSAGE").await.body[..], b"2");
    client.send("SUBSCRIBE\nid:t\ndestination:/topic/a\nselector:headers.foo == \nreceipt:r\n\n\0").await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("receipt-id"), Some("r"));
    let text = "The selector is wrong at character 16: a header or a value is expected here, not its end";
    assert!(String::from_utf8_lossy(&error.body).contains(text), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sp34_sp35_what_is_unsubscribed_is_silent_and_the_rest_is_not() {
    let app = client::start(spring).await;
    let mut client = three_subscriptions(&app).await;
    for (gone, left) in [("3", vec!["1", "2"]), ("1", vec!["2"]), ("2", vec![])] {
        client.confirmed(&format!("UNSUBSCRIBE\nid:{gone}"), "").await;
        client.send("SEND\ndestination:/topic/a/b\n\nx\0").await;
        assert_eq!(subscriptions(&mut client, left.len()).await, left);
    }
    is_silent(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_for_everybody_and_what_a_sender_says_for_the_broker_does_not_arrive() {
    let app = client::start(spring).await;
    let (mut one, mut two) = (Client::connect(&app).await, Client::connect(&app).await);
    for client in [&mut one, &mut two] {
        subscribe(client, "s", "/queue/orders/eu").await;
    }
    let head =
        "SEND\ndestination:/queue/orders/eu\nsubscription:x\nack:x\nuser-name:x\ntransaction-id:kept\nlogin:kept";
    one.send(&format!("{head}\nreceipt:r\ncontent-type:text/plain\n\nx\0")).await;
    let message = two.expect("MESSAGE").await;
    let names: Vec<_> = message.headers.iter().map(|(name, _)| name).collect();
    let own = ["subscription", "destination", "message-id", "redelivered"];
    let theirs = ["transaction-id", "login", "content-type", "content-length"];
    assert_eq!(names, [own, theirs].concat());
    assert_eq!(message.header("destination"), Some("/queue/orders/eu"));
    assert_eq!(message.header("subscription"), Some("s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sp41_a_disconnect_without_receipt_closes_quietly() {
    let app = client::start(spring).await;
    let mut client = three_subscriptions(&app).await;
    client.send("DISCONNECT\n\n\0").await;
    assert_eq!(client.next().await, Err(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn sp48_sp51_an_error_names_the_frame_that_asked_for_a_receipt() {
    for (frame, message) in [
        ("FOO\nreceipt:r\n\n\0", "Bad command"),
        ("CONNECT\nreceipt:r\n\n\0", "Illegal command"),
        ("SEND\ndestination:/nowhere\nreceipt:r\n\n\0", "Unknown destination"),
        ("NACK\nid:x\nreceipt:r\n\n\0", "Invalid header"),
    ] {
        let app = client::start(spring).await;
        let mut client = Client::connect(&app).await;
        client.send(frame).await;
        let error = client.expect("ERROR").await;
        assert_eq!(error.header("message"), Some(message));
        // Of a command that does not exist no header is read.
        let receipt = Some("r").filter(|_| !frame.starts_with("FOO"));
        assert_eq!(error.header("receipt-id"), receipt, "{frame}");
        assert_eq!(client.next().await, Err(1002));
    }
}
