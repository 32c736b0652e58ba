//! What Spring's simple broker does and others do not: Ant patterns, queues for everybody, selectors.

use super::*;
use crate::destination::{Grammar, Syntax};

fn ant() -> Settings {
    Settings { patterns: Syntax::Ant, ..Settings::default() }
}

fn selecting() -> Settings {
    Settings { selector_header: Some("selector".into()), ..Settings::default() }
}

fn plain(text: &str) -> Destination {
    Grammar::Plain.parse(text).unwrap()
}

impl Session {
    fn select(&mut self, key: u32, destination: &Destination, ack: AckMode, selector: &str) -> Result<(), Fault> {
        let headers = Headers::from_iter([("selector", selector)]);
        let (key, id, destination) = (SubscriptionKey(key), SubscriptionId::new("id"), destination.clone());
        let subscribe = Subscribe { key, id, destination, ack, prefetch: 64, is_durable: false, headers };
        self.link.subscribe(subscribe).now_or_never().expect("it answers at once")
    }

    /// Keys of the subscriptions, and bodies, of all that waits.
    fn received(&self) -> Vec<(u32, String)> {
        let items = std::iter::from_fn(|| self.outbox.pop());
        let mut received: Vec<_> = items
            .map(|it| match it {
                Item::Delivery(it) => (it.subscription.0, String::from_utf8(it.message.body().to_vec()).unwrap()),
                other => panic!("{other:?} is no delivery"),
            })
            .collect();
        received.sort();
        received
    }
}

fn expected(received: &[(u32, &str)]) -> Vec<(u32, String)> {
    received.iter().map(|(key, body)| (*key, (*body).to_owned())).collect()
}

#[tokio::test]
async fn sp33_a_selector_lets_through_what_it_matches() {
    let broker = broker(selecting());
    let mut session = open(&broker);
    session.select(1, &topic("a"), AckMode::Auto, "headers.foo == 'bar'").unwrap();
    session.select(2, &topic("*"), AckMode::Client, "foo = 'bar'").unwrap();
    session.select(3, &topic("#"), AckMode::Auto, "headers.destination == '/topic/a'").unwrap();
    session.subscribe(4, topic("a"), AckMode::Auto, false).unwrap();
    session.send(&topic("a"), "1", &[("foo", "bar")]).unwrap();
    session.send(&topic("a"), "2", &[("foo", "other")]).unwrap();
    session.send(&topic("a"), "3", &[]).unwrap();
    session.send(&topic("b"), "4", &[("foo", "bar")]).unwrap();
    let all = [(1, "1"), (2, "1"), (2, "4"), (3, "1"), (3, "2"), (3, "3"), (4, "1"), (4, "2"), (4, "3")];
    assert_eq!(session.received(), expected(&all));
    (1..=4).for_each(|key| session.unsubscribe(key, false));
    session.send(&topic("a"), "5", &[("foo", "bar")]).unwrap();
    assert!(session.received().is_empty());
    assert_eq!(broker.0.metrics.delivered.get(), 9);
}

#[tokio::test]
async fn sp33_a_selector_is_ignored_unless_it_is_asked_for() {
    let broker = broker(Settings::default());
    let mut session = open(&broker);
    session.select(1, &topic("a"), AckMode::Auto, "headers.foo == 'bar'").unwrap();
    session.select(2, &topic("a"), AckMode::Auto, "no selector at all").unwrap();
    session.send(&topic("a"), "1", &[]).unwrap();
    assert_eq!(session.received(), expected(&[(1, "1"), (2, "1")]));
}

#[tokio::test]
async fn a_bad_selector_or_one_byte_too_many_is_refused() {
    let broker = broker(Settings { selector_bytes_max: 20, ..selecting() });
    let mut session = open(&broker);
    let mut refused = |selector: &str| text(session.select(1, &topic("a"), AckMode::Auto, selector));
    let wrong = "The selector is wrong at character 5: a header or a value is expected here, not `)`";
    assert_eq!(refused("a = )"), wrong);
    let long = "A selector has at most 20 bytes, not 21 (broker.memory.selector_bytes_max)";
    assert_eq!(refused("a = '012345678901234'"), long);
    assert_eq!(session.select(1, &topic("a"), AckMode::Auto, "a = '01234567890123'"), Ok(()));
}

#[tokio::test]
async fn queues_and_durable_subscriptions_have_no_selector() {
    let broker = broker(selecting());
    let mut session = open(&broker);
    let refusal = text(session.select(1, &queue("a"), AckMode::Auto, "a = 1"));
    assert!(refusal.starts_with("a queue has no selectors"), "{refusal}");
    let headers = Headers::from_iter([("selector", "a = 1")]);
    let (key, id, ack) = (SubscriptionKey(1), SubscriptionId::new("id"), AckMode::Auto);
    let subscribe = Subscribe { key, id, destination: topic("a"), ack, prefetch: 1, is_durable: true, headers };
    let refusal = text(session.link.subscribe(subscribe).now_or_never().unwrap());
    assert!(refusal.starts_with("a durable subscription has no selector"), "{refusal}");
    assert_eq!(session.link.remembered(), 0);
}

#[tokio::test]
async fn sp31_ant_patterns_and_exact_topics_reach_every_kind_of_subscription() {
    let broker = broker(ant());
    let mut session = open(&broker);
    let kinds = [(AckMode::Auto, false), (AckMode::Client, false), (AckMode::Auto, true)];
    let patterns = ["/topic/a/b", "/topic/*/b", "/topic/**", "/topic/a/?", "/topic/{x}/{y}"];
    for (at, pattern) in (0..).zip(patterns) {
        for (kind, (ack, is_durable)) in (0..).zip(kinds) {
            session.subscribe(at * 10 + kind, plain(pattern), ack, is_durable).unwrap();
        }
    }
    session.send(&plain("/topic/a/b"), "1", &[]).unwrap();
    let everybody = (0..5).flat_map(|at| (0..3).map(move |kind| (at * 10 + kind, "1".to_owned()))).collect::<Vec<_>>();
    assert_eq!(session.received(), everybody);
    session.send(&plain("/topic/a"), "2", &[]).unwrap();
    assert_eq!(session.received(), expected(&[(20, "2"), (21, "2"), (22, "2")]));
}

#[tokio::test]
async fn with_ant_patterns_a_message_shows_its_destination_as_it_was_sent() {
    let broker = broker(Settings { selector_header: Some("selector".into()), ..ant() });
    let mut session = open(&broker);
    session.select(1, &plain("/topic/**"), AckMode::Auto, "destination LIKE '/topic/a/%'").unwrap();
    for text in ["/topic/a/b.c", "/topic/a%2Fb", "/topic/a/#/*"] {
        session.send(&plain(text), "1", &[]).unwrap();
    }
    let destinations = std::iter::from_fn(|| session.outbox.pop()).map(|it| match it {
        Item::Delivery(it) => it.message.destination().to_owned(),
        other => panic!("{other:?} is no delivery"),
    });
    assert_eq!(destinations.collect::<Vec<_>>(), ["/topic/a/b.c", "/topic/a/#/*"]);
}

#[tokio::test]
async fn one_segment_or_wildcard_too_many_is_refused() {
    let broker = broker(ant());
    let mut session = open(&broker);
    let segments = |count: usize| plain(&format!("/topic/{}", vec!["a"; count].join("/")));
    assert_eq!(session.send(&segments(32), "1", &[]), Ok(()));
    let refusal = "A topic to send to has at most 32 segments between slashes, not 33";
    assert_eq!(text(session.send(&segments(33), "1", &[])), refusal);
    assert_eq!(session.subscribe(1, plain("/topic/**/a/**"), AckMode::Auto, false), Ok(()));
    let refusal = text(session.subscribe(2, plain("/topic/**/**/**"), AckMode::Auto, false));
    assert_eq!(refusal, "A pattern to subscribe to has at most 2 times '**', not 3");
    let refusal = text(session.subscribe(2, plain("/topic/{a:.*}"), AckMode::Auto, false));
    assert!(refusal.contains("is a regular expression"), "{refusal}");
}

#[tokio::test]
async fn with_queue_fan_out_everybody_gets_what_is_sent_to_a_queue_and_nothing_waits() {
    let broker = broker(Settings { queue_fan_out: true, selector_header: Some("selector".into()), ..ant() });
    let (mut one, mut two) = (open(&broker), open(&broker));
    one.send(&plain("/queue/a/b"), "0", &[]).unwrap();
    one.subscribe(1, plain("/queue/a/b"), AckMode::Auto, false).unwrap();
    // Whatever it says of keeping: there is nothing that could be.
    two.subscribe(1, plain("/queue/a/*"), AckMode::Auto, true).unwrap();
    two.select(2, &plain("/queue/a/b"), AckMode::Auto, "n = 1").unwrap();
    two.subscribe(3, plain("/topic/a/b"), AckMode::Auto, false).unwrap();
    one.send(&plain("/queue/a/b"), "1", &[("n", "1")]).unwrap();
    assert_eq!(one.received(), expected(&[(1, "1")]));
    assert_eq!(two.received(), expected(&[(1, "1"), (2, "1")]));
    assert_eq!(held(&broker), (0, 0, 0));
}

#[tokio::test]
async fn without_queue_fan_out_a_queue_is_a_queue_with_ant_patterns_too() {
    let broker = broker(ant());
    let mut session = open(&broker);
    session.send(&plain("/queue/a/*"), "1", &[]).unwrap();
    session.subscribe(1, plain("/queue/a/b"), AckMode::Auto, false).unwrap();
    session.subscribe(2, plain("/queue/a/*"), AckMode::Auto, false).unwrap();
    assert_eq!(session.received(), expected(&[(2, "1")]), "its name is no pattern");
}

#[tokio::test]
async fn sp34_sp35_a_session_that_ends_leaves_nothing_behind() {
    let broker = broker(Settings { selector_header: Some("selector".into()), ..ant() });
    let mut stays = open(&broker);
    let mut goes = open(&broker);
    for session in [&mut stays, &mut goes] {
        session.subscribe(1, plain("/topic/a"), AckMode::Auto, false).unwrap();
        session.subscribe(2, plain("/topic/?"), AckMode::Auto, false).unwrap();
        session.select(3, &plain("/topic/{x}"), AckMode::Auto, "TRUE").unwrap();
        session.select(4, &plain("/topic/*"), AckMode::Client, "TRUE").unwrap();
    }
    drop(goes.link);
    stays.send(&plain("/topic/a"), "1", &[]).unwrap();
    assert_eq!(stays.received(), expected(&[(1, "1"), (2, "1"), (3, "1"), (4, "1")]));
    assert!(goes.outbox.pop().is_none());
    for key in [2, 3, 9] {
        stays.unsubscribe(key, false);
        stays.unsubscribe(key, false);
    }
    stays.send(&plain("/topic/a"), "2", &[]).unwrap();
    assert_eq!(stays.received(), expected(&[(1, "2"), (4, "2")]));
}
