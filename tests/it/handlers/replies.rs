//! Where answers go.

use super::service::{Service, answer, gateway};
use crate::client::Client;

const ROUTE: &str = "[[app.routes]]\nmatch = '/app/**'\non = 'send, subscribe'\ntarget = 'TARGET'\n";

/// SP-52 and SP-53: the handler is asked, and its answer goes to the topic of the same path.
#[tokio::test(flavor = "multi_thread")]
async fn sp53_the_answer_to_a_send_goes_to_the_topic_of_its_path() {
    let service = Service::start(async |seen| {
        let number: i32 = seen.body.parse().unwrap();
        answer(200, &[("content-type", "application/json")], &(number + 1).to_string())
    })
    .await;
    let app = gateway(&service, ROUTE).await;
    let mut client = Client::subscribe(&app, "/topic/increment").await;
    client.send("SEND\ndestination:/app/increment\ncontent-type:application/json\n\n5\0").await;
    let message = client.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("destination")), (&b"6"[..], Some("/topic/increment")));
    assert_eq!(message.header("content-type"), Some("application/json"));
    let seen = service.seen().await;
    assert_eq!((&*seen.body, seen.header("content-type")), ("5", "application/json"));
    assert_eq!((seen.header("stompgate-event"), seen.header("stompgate-path")), ("send", "/increment"));
}

/// SP-57: one MESSAGE for this subscription, with the destination of its SUBSCRIBE, and then no more.
#[tokio::test(flavor = "multi_thread")]
async fn sp57_a_subscribe_is_answered_once_and_directly() {
    let service = Service::start(async |_| answer(200, &[("content-type", "text/plain")], "42")).await;
    let app = gateway(&service, ROUTE).await;
    let mut client = Client::connect(&app).await;
    client.send("SUBSCRIBE\nid:n\ndestination:/app/number\nreceipt:s\n\n\0").await;
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("s"));
    let message = client.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("destination")), (&b"42"[..], Some("/app/number")));
    assert_eq!((message.header("subscription"), message.header("ack")), (Some("n"), None));
    let seen = service.seen().await;
    assert_eq!((seen.header("stompgate-event"), seen.header("stompgate-subscription")), ("subscribe", "n"));
    client.confirmed("UNSUBSCRIBE\nid:n", "").await;
    client.confirmed("SUBSCRIBE\nid:n\ndestination:/topic/a", "").await;
}
