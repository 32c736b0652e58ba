//! Several gateways on one RabbitMQ: for their clients it is as if there were one.

use std::collections::BTreeMap;

use futures::future::join_all;
use stompgate::app::App;
use stompgate::stomp::Frame;

use super::whole::{start_two, unique};
use crate::client::{Client, within};

/// Sends so many messages to a topic or queue, numbered from 0 on, and returns when the broker has all of them.
async fn send_numbered(client: &mut Client, destination: &str, sender: &str, count: usize) {
    for number in 0..count {
        client.send(&format!("SEND\ndestination:{destination}\nsender:{sender}\n\n{number}\0")).await;
    }
    client.confirmed("SEND\ndestination:/topic/nobody", "").await;
}

fn number(message: &Frame) -> usize {
    String::from_utf8_lossy(&message.body).parse().unwrap()
}

fn header<'a>(message: &'a Frame, name: &str) -> &'a str {
    message.header(name).unwrap_or_else(|| panic!("no {name} in {message:?}"))
}

/// A client of a pattern for each of its subscriptions, whose ids are the patterns.
async fn subscribed(app: &App, patterns: &[String]) -> Client {
    let mut client = Client::connect(app).await;
    for pattern in patterns {
        client.confirmed(&format!("SUBSCRIBE\nid:{pattern}\ndestination:/topic/{pattern}"), "").await;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscription_at_either_gateway_gets_each_message_once_and_in_the_order_of_its_sender() {
    // So few that they all have room in an outbox, should a reader be late.
    const MESSAGES: usize = 100;
    let gateways = start_two().await;
    let run = unique();
    let patterns = ["a.b", "a.*", "*.b", "a.#", "#"].map(|it| format!("{run}.{it}"));
    let mut readers = Vec::new();
    for app in gateways.iter().chain(&gateways) {
        readers.push(subscribed(app, &patterns).await);
    }
    let mut senders = Vec::new();
    for app in gateways.iter().chain(&gateways) {
        senders.push(Client::connect(app).await);
    }
    let destination = format!("/topic/{run}.a.b");
    let names = ["0", "1", "2", "3"];
    let sending = senders.iter_mut().zip(names);
    let sending = join_all(sending.map(|(client, name)| send_numbered(client, &destination, name, MESSAGES)));
    let reading = join_all(readers.iter_mut().map(async |reader| {
        let mut next = BTreeMap::new();
        for _ in 0..MESSAGES * names.len() * patterns.len() {
            let message = reader.expect("MESSAGE").await;
            let of = (header(&message, "subscription").to_owned(), header(&message, "sender").to_owned());
            let expected = next.entry(of).or_insert(0);
            assert_eq!(number(&message), *expected, "{message:?}");
            *expected += 1;
        }
        assert_eq!(next.len(), names.len() * patterns.len(), "{next:?}");
    }));
    tokio::join!(sending, reading);
    // What was sent later is what comes next: nothing came twice.
    for (sender, name) in senders.iter_mut().zip(names) {
        send_numbered(sender, &format!("/topic/{run}.end"), name, 1).await;
        for reader in &mut readers {
            let message = reader.expect("MESSAGE").await;
            assert_eq!((header(&message, "subscription"), header(&message, "sender")), (&*patterns[4], name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_a_queue_at_both_gateways_get_each_message_once() {
    const MESSAGES: usize = 200;
    let gateways = start_two().await;
    let queue = format!("/queue/{}", unique());
    let mut consumers = [Client::subscribe(&gateways[0], &queue).await, Client::subscribe(&gateways[1], &queue).await];
    for (app, name) in gateways.iter().zip(["0", "1"]) {
        let mut sender = Client::connect(app).await;
        send_numbered(&mut sender, &queue, name, MESSAGES).await;
    }
    let mut received: [Vec<(String, usize)>; 2] = Default::default();
    let [one, two] = &mut consumers;
    while received.iter().map(Vec::len).sum::<usize>() < 2 * MESSAGES {
        let (at, frame) = within(async {
            tokio::select! {
                frame = one.expect("MESSAGE") => (0, frame),
                frame = two.expect("MESSAGE") => (1, frame),
            }
        })
        .await;
        received[at].push((header(&frame, "sender").to_owned(), number(&frame)));
    }
    assert!(received.iter().all(|it| !it.is_empty()), "one of them got everything: {received:?}");
    let mut all = received.concat();
    all.sort_unstable();
    let sent = ["0", "1"].iter().flat_map(|name| (0..MESSAGES).map(|number| ((*name).to_owned(), number)));
    assert_eq!(all, sent.collect::<Vec<_>>());
    for consumer in &mut consumers {
        consumer.confirmed("DISCONNECT", "").await;
    }
}

/// A client at the first gateway that has not acknowledged the last two of three messages, and one at the other that
/// wants them.
async fn unacknowledged(gateways: &[App; 2]) -> [Client; 2] {
    let queue = format!("/queue/{}", unique());
    let subscribe = format!("SUBSCRIBE\nid:s\nack:client\ndestination:{queue}");
    let [mut holder, mut heir] = [Client::connect(&gateways[0]).await, Client::connect(&gateways[1]).await];
    holder.confirmed(&subscribe, "").await;
    send_numbered(&mut heir, &queue, "heir", 3).await;
    let first = holder.expect("MESSAGE").await;
    for expected in 1..3 {
        assert_eq!(number(&holder.expect("MESSAGE").await), expected);
    }
    holder.confirmed(&format!("ACK\nid:{}", header(&first, "ack")), "").await;
    heir.confirmed(&subscribe, "").await;
    [holder, heir]
}

async fn inherits(heir: &mut Client) {
    for expected in 1..3 {
        let message = heir.expect("MESSAGE").await;
        assert_eq!((number(&message), message.header("redelivered")), (expected, Some("true")));
    }
    heir.confirmed("DISCONNECT", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_not_acknowledged_when_it_goes_reaches_one_at_the_other_gateway() {
    let gateways = start_two().await;
    let [holder, mut heir] = unacknowledged(&gateways).await;
    drop(holder);
    inherits(&mut heir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_clients_of_a_gateway_have_not_acknowledged_when_it_ends_reaches_those_of_the_other() {
    let gateways = start_two().await;
    let [_holder, mut heir] = unacknowledged(&gateways).await;
    let [ending, _other] = gateways;
    drop(ending);
    inherits(&mut heir).await;
}
