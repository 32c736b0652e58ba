//! The table against the plain definition of a match, and under concurrent change.

use std::collections::BTreeSet;
use std::thread;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::delivery::{Budget, Item, Metrics, Outboxes, Settings};
use crate::stomp::Headers;
use crate::telemetry::Registry;

fn outbox() -> Arc<Outbox> {
    let metrics = Metrics::new(&Registry::default());
    Arc::new(Outboxes::new(Settings::default(), Budget::new(usize::MAX, metrics.clone()), metrics).open())
}

fn message(topic: &str) -> Message {
    Message::new("id", &format!("/topic/{topic}"), Headers::new(), Bytes::from_static(b"body"))
}

fn reached(table: &Table<u32>, key: &str) -> Vec<u32> {
    let mut reached = Vec::new();
    table.for_each(key, |it| reached.push(*it));
    reached.sort_unstable();
    reached
}

fn is_empty<S>(table: &Table<S>) -> bool {
    table.shards.iter().all(|it| read(it).is_empty()) && read(&table.wildcards).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_reaches_what_the_plain_definition_matches(
        patterns in prop::collection::vec(words("[ab*#]"), 0..30),
        removed in prop::collection::vec(any::<bool>(), 30),
        keys in prop::collection::vec(words("[ab*#]"), 1..10),
    ) {
        let table = Table::default();
        for (id, pattern) in (0..).zip(&patterns) {
            let is_first = !patterns[..id as usize].contains(pattern);
            prop_assert_eq!(table.insert(&Pattern::new(pattern), id), is_first);
        }
        let mut left: BTreeSet<u32> = (0..).zip(&patterns).map(|(id, _)| id).collect();
        for (id, pattern) in (0..).zip(&patterns).filter(|(id, _)| removed[*id as usize]) {
            left.remove(&id);
            let is_last = left.iter().all(|it| patterns[*it as usize] != *pattern);
            prop_assert_eq!(table.remove(&Pattern::new(pattern), &id), is_last);
        }
        for key in &keys {
            let matching: Vec<_> =
                left.iter().copied().filter(|id| Pattern::new(&patterns[*id as usize]).matches(key)).collect();
            prop_assert_eq!(reached(&table, key), matching, "{}", key);
        }
        for id in left {
            table.remove(&Pattern::new(&patterns[id as usize]), &id);
        }
        prop_assert!(is_empty(&table), "names that nobody uses leave nothing behind");
    }
}

/// Up to six words of one letter of that class, or none at all.
fn words(class: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(class, 1..6).prop_map(|it| it.join("."))
}

/// What an Ant pattern means, by its segments and their characters.
fn ant_matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["**", rest @ ..], _) => ant_matches(rest, key) || (!key.is_empty() && ant_matches(pattern, &key[1..])),
        ([segment, pattern @ ..], [word, key @ ..]) => segment_matches(segment, word) && ant_matches(pattern, key),
        _ => false,
    }
}

fn segment_matches(segment: &str, word: &str) -> bool {
    if let Some(rest) = segment.strip_prefix("{v:a|ab}") {
        return ["a", "ab"].iter().any(|it| word.strip_prefix(it).is_some_and(|word| segment_matches(rest, word)));
    }
    let shorter = || word.chars().next().map(|first| (first, &word[first.len_utf8()..]));
    match segment.chars().next() {
        None => word.is_empty(),
        Some('*') => segment_matches(&segment[1..], word) || shorter().is_some_and(|it| segment_matches(segment, it.1)),
        Some('?') => shorter().is_some_and(|it| segment_matches(&segment[1..], it.1)),
        Some(char) => shorter().is_some_and(|it| it.0 == char && segment_matches(&segment[char.len_utf8()..], it.1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn ant_patterns_reach_what_their_definition_matches(
        patterns in prop::collection::vec((paths(), any::<bool>()), 0..30),
        keys in prop::collection::vec(paths(), 1..10),
    ) {
        let table = Table::new(Syntax::Ant);
        for (id, (pattern, _)) in (0..).zip(&patterns) {
            table.insert(&Pattern::new(pattern), id);
        }
        for (id, (pattern, _)) in (0..).zip(&patterns).filter(|(_, it)| it.1) {
            table.remove(&Pattern::new(pattern), &id);
        }
        let left: Vec<_> = (0..).zip(&patterns).filter(|(_, it)| !it.1).map(|(id, it)| (id, &it.0)).collect();
        for key in &keys {
            let matches = |pattern: &str| {
                let is_exact = !Syntax::Ant.has_wildcards(pattern);
                if is_exact { pattern == key } else { ant_matches(&segments(pattern), &segments(key)) }
            };
            let matching: Vec<u32> = left.iter().filter(|(_, it)| matches(it)).map(|(id, _)| *id).collect();
            prop_assert_eq!(reached(&table, key), matching, "{}", key);
        }
        for (id, pattern) in left {
            table.remove(&Pattern::new(pattern), &id);
        }
        prop_assert!(is_empty(&table), "paths that nobody uses leave nothing behind");
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// Segments that are likely to match each other.
fn paths() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[aä]{0,3}", 2 => "[aä*?]{1,4}", 1 => "[aä*]?\\{v:a\\|ab\\}[bä*]?", 1 => "\\*\\*"];
    prop::collection::vec(segment, 1..5).prop_map(|it| it.join("/"))
}

#[test]
fn sp30_a_segment_with_dots_is_matched_within_itself() {
    let table = Table::new(Syntax::Ant);
    for (id, pattern) in
        [(1, "/topic/PRICE.STOCK.*.IBM"), (2, "/topic/PRICE.STOCK.**"), (3, "/topic/*"), (4, "/topic/**")]
    {
        table.insert(&Pattern::new(pattern), id);
    }
    assert_eq!(reached(&table, "/topic/PRICE.STOCK.NASDAQ.IBM"), [1, 2, 3, 4]);
    assert_eq!(reached(&table, "/topic/PRICE.STOCK.A.B.IBM"), [1, 2, 3, 4]);
    assert_eq!(reached(&table, "/topic/PRICE.STOCK.NASDAQ.MSFT"), [2, 3, 4]);
    assert_eq!(reached(&table, "/topic/price.stock.nasdaq.ibm"), [3, 4]);
    assert_eq!(reached(&table, "/topic/PRICE.STOCK.NASDAQ/IBM"), [4]);
    assert!(reached(&table, "topic/x").is_empty(), "both begin with a slash, or none does");
}

#[test]
fn sp31_exact_and_pattern_leave_in_any_order() {
    let patterns = ["/topic/a", "/topic/*", "/topic/{x:a|b}", "/topic/?"];
    for order in 0..24_usize {
        let table = Table::new(Syntax::Ant);
        assert!((0..).zip(patterns).all(|(id, it)| table.insert(&Pattern::new(it), id)));
        let mut left: Vec<u32> = (0..4).collect();
        for (round, choices) in (1..=4).rev().enumerate() {
            assert_eq!(reached(&table, "/topic/a"), left, "order {order}, round {round}");
            let gone = left.remove(order / (1..choices).product::<usize>() % choices);
            assert!(table.remove(&Pattern::new(patterns[gone as usize]), &gone));
        }
        assert!(is_empty(&table));
    }
}

#[test]
fn sp32_a_variable_with_alternatives_is_one_of_them() {
    let table = Table::new(Syntax::Ant);
    table.insert(&Pattern::new("/topic/{ticker:(IBM|MSFT)}"), 1);
    let keys = ["/topic/IBM", "/topic/MSFT", "/topic/VMW", "/topic/IB", "/topic/IBMM", "/topic/IBM/x"];
    assert_eq!(keys.map(|it| reached(&table, it).len()), [1, 1, 0, 0, 0, 0]);
}

#[test]
fn patterns_of_nothing_but_stars_stay_cheap() {
    let table = Table::new(Syntax::Ant);
    let a = |count: usize| "a".repeat(count);
    // Each place of the key is one of each of them.
    let within = (0..64).map(|it| format!("/topic/*{}*{}b", a(it), a(63 - it)));
    let before = (0..200).map(|it| {
        format!("/topic/{}*b", (0..240).map(|at| if it >> (at % 10) & 1 == 1 { 'a' } else { '?' }).collect::<String>())
    });
    let patterns: Vec<_> = within.chain(before).collect();
    for (id, pattern) in (0..).zip(&patterns) {
        assert_eq!(crate::destination::ant::check(pattern), Ok(()), "{pattern}");
        table.insert(&Pattern::new(pattern), id);
    }
    assert!(reached(&table, &format!("/topic/{}", a(248))).is_empty(), "none of them ends so");
    assert_eq!(reached(&table, &format!("/topic/{}b", a(247))).len(), patterns.len());
}

#[test]
fn patterns_of_nothing_but_hashes_stay_cheap() {
    let table = Table::default();
    for length in 1..128 {
        table.insert(&Pattern::new(&["#"; 128][..length].join(".")), length);
        table.insert(&Pattern::new(&format!("{}.end", ["#", "*"].repeat(length / 2 + 1).join("."))), 1_000 + length);
    }
    let mut count = 0;
    table.for_each(&["w"; 128].join("."), |_| count += 1);
    assert_eq!(count, 127);
}

#[test]
fn a_message_is_pushed_once_to_each_subscription() {
    let (table, one, two) = (Table::default(), outbox(), outbox());
    let subscriptions = [(&one, 1, "a.b"), (&one, 2, "a.*"), (&one, 3, "#"), (&two, 1, "a.b"), (&two, 2, "b")];
    for (outbox, key, pattern) in subscriptions {
        let subscriber = Subscriber { outbox: Arc::clone(outbox), key: SubscriptionKey(key) };
        table.insert(&Pattern::new(pattern), subscriber);
    }
    assert_eq!(table.fan_out("a.b", &message("a.b")), 4);
    let keys = |outbox: &Outbox| {
        let mut keys = Vec::new();
        while let Some(Item::Delivery(it)) = outbox.pop() {
            keys.push(it.subscription.0);
        }
        keys.sort_unstable();
        keys
    };
    assert_eq!((keys(&one), keys(&two)), (vec![1, 2, 3], vec![1]));
    two.close();
    assert_eq!(table.fan_out("b", &message("b")), 1, "a session that is over is not reached");
}

#[test]
fn a_message_with_several_keys_is_pushed_once_to_each_subscription() {
    let (table, one) = (Table::default(), outbox());
    for (key, pattern) in [(1, "a"), (2, "*"), (3, "b"), (4, "c"), (5, "b.#")] {
        let subscriber = Subscriber { outbox: Arc::clone(&one), key: SubscriptionKey(key) };
        table.insert(&Pattern::new(pattern), subscriber);
    }
    assert_eq!(table.fan_out_under(["a", "b", "a"].into_iter(), &message("a")), 4);
    let mut keys: Vec<_> = std::iter::from_fn(|| one.pop())
        .map(|it| match it {
            Item::Delivery(it) => it.subscription.0,
            other => panic!("{other:?}"),
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2, 3, 5]);
}

#[test]
fn a_message_for_one_pattern_passes_over_all_others() {
    let (table, one) = (Table::default(), outbox());
    for (key, pattern) in [(1, "a.*"), (2, "a.b"), (3, "#"), (4, "a.*")] {
        let subscriber = Subscriber { outbox: Arc::clone(&one), key: SubscriptionKey(key) };
        table.insert(&Pattern::new(pattern), subscriber);
    }
    assert_eq!(table.fan_out_to(&Pattern::new("a.*"), &message("a.b")), 2);
    assert_eq!(table.fan_out_to(&Pattern::new("a.b"), &message("x")), 1);
    assert_eq!(table.fan_out_to(&Pattern::new("x"), &message("x")), 0);
}

#[test]
fn ten_thousand_subscribers_leave_in_any_order() {
    let table = Table::default();
    let pattern = Pattern::new("everybody");
    let firsts = (0..10_000_u64).filter(|it| table.insert(&pattern, *it)).count();
    // A step that shares no divisor with their number visits all of them.
    let lasts = (0..10_000_u64).filter(|it| table.remove(&pattern, &(it * 7_919 % 10_000))).count();
    assert_eq!((firsts, lasts), (1, 1));
    assert!(is_empty(&table));
}

#[test]
fn a_subscription_that_is_removed_gets_nothing_more_while_others_publish() {
    let table = Arc::new(Table::default());
    let patterns = ["a.b", "a.*", "#"].map(Pattern::new);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..2_000).map(|_| table.fan_out("a.b", &message("a.b"))).max());
        }
        for pattern in &patterns {
            scope.spawn(|| {
                for key in 0..300 {
                    let subscriber = Subscriber { outbox: outbox(), key: SubscriptionKey(key) };
                    table.insert(pattern, subscriber.clone());
                    assert!(table.fan_out("a.b", &message("a.b")) >= 1);
                    table.remove(pattern, &subscriber);
                    let popped = std::iter::from_fn(|| subscriber.outbox.pop()).count();
                    assert!(popped > 0, "it was there for its own publish at least");
                    thread::yield_now();
                    assert!(subscriber.outbox.pop().is_none());
                }
            });
        }
    });
    assert!(is_empty(&table));
}

#[test]
fn whoever_is_told_to_be_the_first_or_last_is_so_also_under_concurrent_change() {
    use std::sync::atomic::{AtomicI64, Ordering};

    let (table, bound) = (Table::default(), AtomicI64::new(0));
    let pattern = Pattern::new("a.*");
    thread::scope(|scope| {
        for id in 0..4 {
            let (table, bound, pattern) = (&table, &bound, &pattern);
            scope.spawn(move || {
                for _ in 0..2_000 {
                    bound.fetch_add(i64::from(table.insert(pattern, id)), Ordering::Relaxed);
                    bound.fetch_sub(i64::from(table.remove(pattern, &id)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(bound.load(Ordering::Relaxed), 0, "as many firsts as lasts");
    assert!(is_empty(&table));
}

#[test]
fn a_panic_while_a_topic_is_walked_is_nobody_elses() {
    let table = Table::default();
    table.insert(&Pattern::new("a.b"), 1);
    let walk = std::panic::AssertUnwindSafe(|| table.for_each("a.b", |_| panic!("on purpose")));
    assert!(std::panic::catch_unwind(walk).is_err());
    table.insert(&Pattern::new("a.b"), 2);
    assert_eq!(reached(&table, "a.b"), [1, 2]);
}
