//! Bounds, expiry and what is left behind; the rest is held by the broker contract.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::time::advance;

use super::*;
use crate::delivery::{self, Budget, Item, Outbox, Outboxes};
use crate::destination::Destination;
use crate::ident::{SessionId, SubscriptionId, SubscriptionKey};
use crate::message::AckToken;
use crate::session::{AckMode, Credentials, Fault, Publish, Subscribe, Unsubscribe, Verdict};
use crate::stomp::Headers;
use crate::telemetry::Registry;

/// What a message with the destination `/queue/q` and one byte of body is charged.
const CHARGE: usize = 9 + 256;

struct Session {
    link: Link,
    outbox: Arc<Outbox>,
}

fn broker(settings: Settings) -> Broker {
    Broker::new(settings, Metrics::new(&Registry::default()))
}

fn outbox() -> Arc<Outbox> {
    let metrics = delivery::Metrics::new(&Registry::default());
    let budget = Budget::new(usize::MAX, metrics.clone());
    Arc::new(Outboxes::new(delivery::Settings::default(), budget, metrics).open())
}

fn open(broker: &Broker) -> Session {
    let outbox = outbox();
    let session = SessionId::from_random([0; 16]);
    let (credentials, outbox_of_link) = (Credentials::default(), Arc::clone(&outbox));
    let request = LinkRequest { session, credentials, user: None, outbox: outbox_of_link };
    Session { link: broker.open(request).unwrap(), outbox }
}

fn queue(name: &str) -> Destination {
    Destination::Queue(name.into())
}

fn topic(name: &str) -> Destination {
    Destination::Topic(name.into())
}

impl Session {
    fn send(&mut self, destination: &Destination, body: &str, headers: &[(&str, &str)]) -> Result<(), Fault> {
        let headers = Headers::from_iter(headers.iter().copied());
        let body = Bytes::copy_from_slice(body.as_bytes());
        let publish = Publish { destination: destination.clone(), headers, body, reply_to: None, is_receipted: true };
        self.link.publish(publish).now_or_never().expect("it answers at once")
    }

    fn subscribe(&mut self, key: u32, destination: Destination, ack: AckMode, is_durable: bool) -> Result<(), Fault> {
        let (key, id) = (SubscriptionKey(key), SubscriptionId::new("id"));
        let subscribe = Subscribe { key, id, destination, ack, prefetch: 2, is_durable, headers: Headers::new() };
        self.link.subscribe(subscribe).now_or_never().expect("it answers at once")
    }

    fn unsubscribe(&mut self, key: u32, is_final: bool) {
        let unsubscribe = Unsubscribe { key: SubscriptionKey(key), is_final };
        assert_eq!(self.link.unsubscribe(unsubscribe).now_or_never(), Some(Ok(())));
    }

    /// Bodies of all that waits, and their tokens.
    fn drain(&self) -> (Vec<String>, Vec<AckToken>) {
        let items = std::iter::from_fn(|| self.outbox.pop());
        let deliveries = items.map(|it| match it {
            Item::Delivery(it) => (String::from_utf8(it.message.body().to_vec()).unwrap(), it.token.unwrap()),
            other => panic!("{other:?} is no delivery"),
        });
        deliveries.unzip()
    }
}

/// Gauges of messages, bytes and queues.
fn held(broker: &Broker) -> (i64, i64, i64) {
    let Metrics { queue_messages, queue_bytes, queues, .. } = &broker.0.metrics;
    (queue_messages.get(), queue_bytes.get(), queues.get())
}

fn text(outcome: Result<(), Fault>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn one_message_over_the_bound_of_a_queue_is_refused() {
    let broker = broker(Settings { queue_messages_max: 2, ..Settings::default() });
    let mut session = open(&broker);
    assert_eq!(session.send(&queue("q"), "1", &[]), Ok(()));
    assert_eq!(session.send(&queue("q"), "2", &[]), Ok(()));
    let refused = "/queue/q is full: 2 messages (broker.memory.queue_messages_max)";
    assert_eq!(text(session.send(&queue("q"), "3", &[])), refused);
    assert_eq!(session.send(&queue("other"), "1", &[]), Ok(()));
    // What is delivered and not settled still belongs to the queue.
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    assert_eq!(text(session.send(&queue("q"), "3", &[])), refused);
    let (bodies, tokens) = session.drain();
    assert_eq!(bodies, ["1", "2"]);
    session.link.settle(&tokens, Verdict::Accepted);
    assert_eq!(session.send(&queue("q"), "3", &[]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_byte_over_the_bound_of_a_queue_is_refused() {
    let broker = broker(Settings { queue_bytes_max: 2 * CHARGE - 1, ..Settings::default() });
    let mut session = open(&broker);
    assert_eq!(session.send(&queue("q"), "1", &[]), Ok(()));
    let refused = format!("/queue/q is full: {} bytes (broker.memory.queue_bytes_max)", 2 * CHARGE - 1);
    assert_eq!(text(session.send(&queue("q"), "2", &[])), refused);
    assert_eq!(session.send(&queue("q"), "", &[]), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_byte_over_the_bound_of_all_queues_is_refused() {
    let broker = broker(Settings { bytes_max: 2 * CHARGE - 1, ..Settings::default() });
    let mut session = open(&broker);
    assert_eq!(session.send(&queue("q"), "1", &[]), Ok(()));
    let refused = format!("The embedded broker is full: {} bytes (broker.memory.bytes_max)", 2 * CHARGE - 1);
    assert_eq!(text(session.send(&queue("r"), "2", &[])), refused);
    assert_eq!(held(&broker), (1, CHARGE as i64, 1), "the refused message left no queue behind");
}

#[tokio::test(start_paused = true)]
async fn one_queue_over_the_bound_is_refused() {
    let broker = broker(Settings { queues_max: 1, ..Settings::default() });
    let mut session = open(&broker);
    assert_eq!(session.send(&queue("q"), "1", &[]), Ok(()));
    let refused = "The embedded broker is full: 1 queues (broker.memory.queues_max)";
    assert_eq!(text(session.send(&queue("r"), "1", &[])), refused);
    assert_eq!(text(session.subscribe(1, queue("r"), AckMode::Auto, false)), refused);
    assert_eq!(text(session.subscribe(1, topic("t"), AckMode::Auto, true)), refused);
    assert_eq!(session.subscribe(1, topic("t"), AckMode::Client, false), Ok(()));
    assert_eq!(session.subscribe(2, queue("q"), AckMode::Client, false), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_empty_and_unused_is_gone() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    for name in ["a", "b", "c"] {
        session.subscribe(1, queue(name), AckMode::Client, false).unwrap();
        session.send(&queue(name), "x", &[]).unwrap();
        assert_eq!(held(&broker).2, 1);
        session.unsubscribe(1, false);
        assert_eq!(held(&broker).2, 1, "it holds what is unsettled");
        session.link.settle(&session.drain().1, Verdict::Accepted);
        assert_eq!(held(&broker), (0, 0, 0));
    }
    session.subscribe(1, queue("d"), AckMode::Client, false).unwrap();
    drop(session);
    assert_eq!(held(&broker), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_link_remembers_nothing_of_subscriptions_that_are_over() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    for (destination, ack, is_durable) in [
        (queue("q"), AckMode::Client, false),
        (topic("t"), AckMode::Auto, false),
        (topic("t"), AckMode::Client, false),
        (topic("t"), AckMode::Client, true),
    ] {
        session.subscribe(1, destination.clone(), ack, is_durable).unwrap();
        session.unsubscribe(1, true);
        assert_eq!(session.link.remembered(), 0, "{destination}");
    }
    assert_eq!(held(&broker), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn requeued_messages_keep_their_order_however_they_are_named() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    for body in ["1", "2", "3", "4"] {
        session.send(&queue("q"), body, &[]).unwrap();
    }
    session.subscribe(1, queue("q"), AckMode::ClientIndividual, false).unwrap();
    session.subscribe(2, queue("q"), AckMode::ClientIndividual, false).unwrap();
    let (bodies, mut tokens) = session.drain();
    assert_eq!(bodies, ["1", "2", "3", "4"]);
    tokens.reverse();
    session.link.settle(&tokens, Verdict::Requeued);
    assert_eq!(session.drain().0, ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn expired_messages_make_room_before_one_is_refused() {
    let broker = broker(Settings { queue_messages_max: 2, ..Settings::default() });
    let mut session = open(&broker);
    session.send(&queue("q"), "1", &[]).unwrap();
    session.send(&queue("q"), "2", &[("expiration", "10")]).unwrap();
    assert!(session.send(&queue("q"), "3", &[]).is_err());
    advance(Duration::from_millis(10)).await;
    session.send(&queue("q"), "3", &[]).unwrap();
    assert_eq!(broker.0.metrics.expired.get(), 1);
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    assert_eq!(session.drain().0, ["1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_expire_in_forgotten_queues_make_room_in_others() {
    let broker = broker(Settings { queues_max: 2, bytes_max: 2 * CHARGE, ..Settings::default() });
    let mut session = open(&broker);
    session.send(&queue("a"), "1", &[("expiration", "10")]).unwrap();
    session.send(&queue("b"), "2", &[]).unwrap_err();
    advance(Duration::from_secs(2)).await;
    session.send(&queue("b"), "2", &[]).unwrap();
    session.send(&queue("c"), "3", &[]).unwrap();
    assert_eq!(held(&broker), (2, 2 * CHARGE as i64, 2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_is_not_delivered_again() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    session.send(&queue("q"), "1", &[("expiration", "10")]).unwrap();
    session.send(&queue("q"), "2", &[("expiration", "99999999999999999999")]).unwrap();
    let (bodies, tokens) = session.drain();
    assert_eq!(bodies, ["1", "2"]);
    advance(Duration::from_millis(10)).await;
    session.link.settle(&tokens, Verdict::Requeued);
    assert_eq!(session.drain().0, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_durable_subscription_loses_its_oldest_and_holds_nobody_up() {
    let broker = broker(Settings { queue_messages_max: 2, ..Settings::default() });
    let (mut gone, mut sender) = (open(&broker), open(&broker));
    gone.subscribe(1, topic("t"), AckMode::Client, true).unwrap();
    drop(gone);
    for body in ["1", "2", "3"] {
        sender.send(&topic("t"), body, &[]).unwrap();
    }
    assert_eq!((held(&broker).0, broker.0.metrics.dropped.get()), (2, 1));
    let mut again = open(&broker);
    again.subscribe(1, topic("t"), AckMode::Client, true).unwrap();
    assert_eq!(again.drain().0, ["2", "3"]);
    // Both are unsettled now, so there is no older one to drop.
    sender.send(&topic("t"), "4", &[]).unwrap();
    assert_eq!(broker.0.metrics.dropped.get(), 2);
    again.unsubscribe(1, true);
    assert_eq!(held(&broker), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_whose_session_is_over_does_not_stop_its_queue() {
    let broker = broker(Settings::default());
    let (mut over, mut other) = (open(&broker), open(&broker));
    over.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    over.outbox.close();
    other.send(&queue("q"), "1", &[]).unwrap();
    other.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    assert_eq!(other.drain().0, ["1"]);
    drop(over);
    other.send(&queue("q"), "2", &[]).unwrap();
    assert_eq!(other.drain().0, ["2"]);
    assert_eq!(held(&broker).2, 1);
}

#[test]
fn message_ids_begin_with_the_process_and_count() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    session.send(&queue("q"), "1", &[]).unwrap();
    session.send(&queue("q"), "2", &[]).unwrap();
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    let ids: Vec<_> = std::iter::from_fn(|| session.outbox.pop())
        .map(|it| match it {
            Item::Delivery(it) => it.message.id().to_owned(),
            other => panic!("{other:?} is no delivery"),
        })
        .collect();
    let process = &broker.0.process;
    assert_eq!(process.len(), 8);
    assert_eq!(ids, [format!("{process}-1"), format!("{process}-2")]);
}

/// An outbox that has overflowed ends its consumers, and the session hears of that only after the frames it has read.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_given_up_may_still_settle_unsubscribe_and_ask_for_replies() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    session.subscribe(2, topic("t"), AckMode::Auto, false).unwrap();
    let reply_to = |key: u32| Publish {
        destination: queue("requests"),
        headers: Headers::new(),
        body: Bytes::new(),
        reply_to: Some(SubscriptionKey(key)),
        is_receipted: false,
    };
    assert_eq!(session.link.publish(reply_to(3)).now_or_never(), Some(Ok(())));
    session.send(&queue("q"), "1", &[]).unwrap();
    let (_, tokens) = session.drain();
    let large = "x".repeat(300 * 1024);
    session.send(&topic("t"), &large, &[]).unwrap();
    session.send(&topic("t"), &large, &[]).unwrap();

    session.send(&queue("q"), "2", &[]).unwrap();
    session.link.settle(&tokens, Verdict::Accepted);
    session.unsubscribe(1, false);
    assert!(session.link.publish(reply_to(3)).now_or_never().is_some());
    drop(session.link);
    assert_eq!(held(&broker).0, 3, "the message in q and two requests");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_broker_that_is_away_takes_effect_in_order_when_it_is_back() {
    let broker = broker(Settings::default());
    let (mut sender, mut consumer) = (open(&broker), open(&broker));
    consumer.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    for body in ["1", "2", "3"] {
        sender.send(&queue("q"), body, &[]).unwrap();
    }
    let (bodies, stale) = consumer.drain();
    assert_eq!(bodies, ["1", "2"]);

    broker.suspend(Outage::Hold);
    let headers = Headers::new;
    let publish = |destination: Destination, body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        Publish { destination, headers: headers(), body, reply_to: None, is_receipted: true }
    };
    let (key, id, ack) = (SubscriptionKey(2), SubscriptionId::new("t"), AckMode::Auto);
    let subscribe =
        Subscribe { key, id, destination: topic("t"), ack, prefetch: 1, is_durable: false, headers: headers() };
    let mut pending = vec![sender.link.publish(publish(topic("t"), "before"))];
    pending.push(consumer.link.subscribe(subscribe));
    pending.push(sender.link.publish(publish(topic("t"), "after")));
    pending.push(sender.link.publish(publish(queue("q"), "4")));
    let mut late = open(&broker);
    pending.push(late.link.publish(publish(queue("q"), "5")));
    drop(late);
    consumer.link.settle(&stale, Verdict::Accepted);
    assert!(pending.iter_mut().all(|it| it.now_or_never().is_none()));
    assert!(consumer.outbox.pop().is_none());

    broker.resume();
    assert!(pending.into_iter().all(|it| it.now_or_never() == Some(Ok(()))));
    let items: Vec<_> = std::iter::from_fn(|| consumer.outbox.pop()).collect();
    let seen = items.iter().map(|it| match it {
        Item::Delivery(it) => (std::str::from_utf8(it.message.body()).unwrap(), it.redelivered),
        other => panic!("{other:?} is no delivery"),
    });
    assert_eq!(seen.collect::<BTreeSet<_>>(), BTreeSet::from([("1", true), ("2", true), ("after", false)]));
    consumer.link.settle(&stale, Verdict::Accepted);
    assert!(consumer.outbox.pop().is_none(), "tokens of before are stale");
    let tokens: Vec<_> =
        items.iter().filter_map(|it| if let Item::Delivery(it) = it { it.token } else { None }).collect();
    consumer.link.settle(&tokens, Verdict::Accepted);
    assert_eq!(consumer.drain().0, ["3", "4"]);
    drop(consumer);
    assert_eq!(held(&broker).0, 3, "what was not settled and what came last");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_away_without_holding_takes_the_links_along() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    session.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    session.send(&queue("q"), "1", &[]).unwrap();
    session.drain();

    broker.suspend(Outage::Reject);
    assert!(matches!(session.outbox.pop(), Some(Item::LinkLost)));
    assert_eq!(session.send(&queue("q"), "2", &[]), Err(Fault::Unavailable));
    let outbox = outbox();
    let request = LinkRequest {
        session: SessionId::from_random([1; 16]),
        credentials: Credentials::default(),
        user: None,
        outbox,
    };
    assert_eq!(broker.open(request).map(drop), Err(Fault::Unavailable));

    broker.resume();
    assert_eq!(session.send(&queue("q"), "2", &[]), Err(Fault::Unavailable), "a link that is lost stays lost");
    drop(session);
    let mut next = open(&broker);
    next.subscribe(1, queue("q"), AckMode::Client, false).unwrap();
    assert_eq!(next.drain().0, ["1"]);
}

mod habits;
