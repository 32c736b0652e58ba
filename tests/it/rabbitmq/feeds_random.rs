//! Many subscriptions of many exchanges with keys made by chance, against the plain definition of who gets what.

use std::collections::BTreeMap;

use lapin::ExchangeKind;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use stompgate::broker::amqp::Settings;
use stompgate::destination::Pattern;

use super::Gateway;
use super::exchange::Exchange;
use crate::broker_contract::fixture::{Session, body};

const SESSIONS: usize = 20;
const SUBSCRIPTIONS: usize = 400;
const MESSAGES: usize = 300;

struct Subscribed {
    session: usize,
    key: u32,
    exchange: usize,
    pattern: Pattern,
}

/// Words of one letter, so that most patterns overlap. No more hashes than may be subscribed.
fn words(random: &mut StdRng) -> String {
    let length = random.random_range(1..=4);
    let mut words: Vec<_> = (0..length).map(|_| *["a", "b", "c", "*", "#"].choose(random).unwrap()).collect();
    while words.iter().filter(|it| **it == "#").count() > 2 {
        words.retain(|it| *it != "#");
        words.push("#");
    }
    words.join(".")
}

fn reaches(kind: &ExchangeKind, pattern: &Pattern, key: &str) -> bool {
    match kind {
        ExchangeKind::Direct => pattern.as_str() == key,
        ExchangeKind::Topic => pattern.matches(key),
        // Without arguments a binding of a headers exchange asks for nothing.
        ExchangeKind::Fanout | ExchangeKind::Headers => true,
        ExchangeKind::Custom(other) => panic!("{other} is not used here"),
    }
}

/// What each subscription of each session received: how often which body.
type Received = BTreeMap<(usize, u32, String), usize>;

async fn receive(sessions: &mut [Session], expected: &Received) -> Received {
    let mut received = Received::new();
    for (number, session) in sessions.iter_mut().enumerate() {
        let count = expected.keys().filter(|(it, _, _)| *it == number).count();
        for _ in 0..count {
            let delivery = session.receive().await;
            *received.entry((number, delivery.subscription.0, body(&delivery))).or_default() += 1;
        }
    }
    received
}

#[tokio::test]
async fn each_subscription_gets_what_matches_exactly_once_whatever_the_exchange() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let gateway = Gateway::connected(Settings { feed_shards: 3, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let kinds = [
        ExchangeKind::Topic,
        ExchangeKind::Topic,
        ExchangeKind::Topic,
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Headers,
    ];
    let mut exchanges = Vec::new();
    for kind in kinds.clone() {
        exchanges.push(Exchange::declare(kind).await);
    }
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(fixture.open().await);
    }
    let mut subscriptions = Vec::new();
    for _ in 0..SUBSCRIPTIONS {
        let (session, exchange) = (random.random_range(0..SESSIONS), random.random_range(0..exchanges.len()));
        let words = words(&mut random);
        let key = sessions[session].subscribe(&exchanges[exchange].with_key(&words)).await;
        let subscribed = Subscribed { session, key: key.0, exchange, pattern: Pattern::new(&words) };
        // Some of them go again, from patterns that others share or do not.
        if random.random_bool(0.2) {
            sessions[session].unsubscribe(key).await;
        } else {
            subscriptions.push(subscribed);
        }
    }
    // What came twice in the first round is met in the second: a queue keeps its order, and all are written to again.
    for round in 0..2 {
        let mut expected = Received::new();
        for number in 0..MESSAGES {
            let (exchange, key) = (random.random_range(0..exchanges.len()), words(&mut random));
            let text = format!("round {round}, message {number} under {key}");
            exchanges[exchange].publish(&key, &text).await;
            let reached = subscriptions.iter().filter(|it| it.exchange == exchange);
            for it in reached.filter(|it| reaches(&kinds[exchange], &it.pattern, &key)) {
                expected.insert((it.session, it.key, text.clone()), 1);
            }
        }
        assert!(expected.len() > MESSAGES, "the model is not vacuous: {} deliveries", expected.len());
        let received = receive(&mut sessions, &expected).await;
        let differing: Vec<_> = expected
            .keys()
            .chain(received.keys())
            .filter(|it| expected.get(it) != received.get(it))
            .map(|it| (it, received.get(it), subscriptions.iter().find(|s| (s.session, s.key) == (it.0, it.1))))
            .map(|(it, count, subscribed)| {
                format!("{it:?} came {count:?} times to {:?}", subscribed.map(|it| &it.pattern))
            })
            .collect();
        assert!(differing.is_empty(), "seed {seed}: {differing:#?}");
    }
    sessions.iter_mut().for_each(Session::expect_nothing);
    gateway.stop().await;
}
