//! The shards of an exchange against the plain definition of a match, as RabbitMQ fills their queues.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::delivery::{Budget, Item, Metrics, Outboxes, Settings, Subscriber};
use crate::ident::SubscriptionKey;
use crate::message::Message;
use crate::stomp::Headers;
use crate::telemetry::Registry;

const LINGER: Duration = Duration::from_secs(30);

fn name(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap()
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab*#]", 1..6).prop_map(|it| it.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_subscription_gets_what_matches_once_over_all_shards(
        patterns in prop::collection::vec(words(), 1..40),
        keys in prop::collection::vec(words(), 1..10),
        shards in 1..6_usize,
    ) {
        let exchange = Exchanges::new(shards, LINGER).get(&name("x"), Keys::Patterns);
        let metrics = Metrics::new(&Registry::default());
        let budget = Budget::new(usize::MAX, metrics.clone());
        let outbox = Arc::new(Outboxes::new(Settings::default(), budget, metrics).open());
        let patterns: Vec<_> = patterns.iter().map(|it| Pattern::new(it)).collect();
        for (key, pattern) in (0..).zip(&patterns) {
            let subscriber = Subscriber { outbox: outbox.clone(), key: SubscriptionKey(key) };
            exchange.shard(pattern).table.insert(pattern, subscriber);
        }
        for key in &keys {
            let message = Message::new("id", "/topic/x", Headers::new(), Bytes::new());
            for shard in &exchange.shards {
                let is_routed = |it: &&Pattern| ptr::eq(exchange.shard(it), shard) && it.matches(key);
                // RabbitMQ puts a message into a queue once, however many of its bindings match.
                if patterns.iter().any(|it| is_routed(&it)) {
                    shard.table.fan_out(key, &message);
                }
            }
            let mut got = BTreeMap::new();
            while let Some(Item::Delivery(it)) = outbox.pop() {
                *got.entry(it.subscription.0).or_default() += 1;
            }
            let expected: BTreeMap<u32, u32> =
                (0..).zip(&patterns).filter(|(_, it)| it.matches(key)).map(|(it, _)| (it, 1)).collect();
            prop_assert_eq!(got, expected, "{}", key);
        }
    }
}

#[test]
fn an_exchange_is_kept_as_long_as_somebody_has_it_and_no_longer() {
    let exchanges = Exchanges::new(2, LINGER);
    let one = exchanges.get(&name("one"), Keys::Patterns);
    assert!(Arc::ptr_eq(&one, &exchanges.get(&name("one"), Keys::Patterns)));
    for number in 0..1_000 {
        exchanges.get(&name(&number.to_string()), Keys::Patterns);
    }
    assert_eq!(exchanges.by_name().len(), 1);
    drop(one);
    assert!(exchanges.by_name().is_empty());
}

#[test]
fn an_exchange_that_is_forgotten_has_a_successor_that_outlives_it() {
    let exchanges = Exchanges::new(2, LINGER);
    let one = exchanges.get(&name("one"), Keys::Patterns);
    exchanges.forget(&one);
    let two = exchanges.get(&name("one"), Keys::Patterns);
    assert!(!Arc::ptr_eq(&one, &two));
    let route = |exchange: &Arc<Exchange>| Route { exchange: exchange.clone(), pattern: Pattern::new("a") };
    assert_ne!(route(&one), route(&two));
    exchanges.forget(&one);
    drop(one);
    assert!(Arc::ptr_eq(&two, &exchanges.get(&name("one"), Keys::Patterns)));
}

#[test]
fn a_user_that_has_gone_is_bound_for_two_seconds_at_most_and_a_session_not_at_all() {
    let linger = |usual, keys| Exchanges::new(2, Duration::from_secs(usual)).get(&name("x"), keys).linger.as_secs();
    assert_eq!([Keys::Patterns, Keys::Users, Keys::Sessions].map(|it| linger(30, it)), [30, 2, 0]);
    assert_eq!(linger(1, Keys::Users), 1);
}
