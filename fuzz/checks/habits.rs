//! Ant patterns and selectors, the other way to write what is subscribed to.

use stompgate::delivery::Table;
use stompgate::destination::{Grammar, Pattern, Selector, Syntax, ant};

/// What paths are made of.
const PIECES: [&str; 12] = ["a", "b", "/", "/", "*", "**", "?", "ä", ".", "{v}", "{v:a|ab}", "{v:(b|)}"];

/// More would take the plain definition of a match too long.
const PIECES_MAX: usize = 12;

/// What selectors are made of.
const WORDS: [&str; 32] = [
    "a",
    "b",
    "headers.",
    "headers['",
    "']",
    "'x'",
    "'x%_'",
    "\"y\"",
    "1",
    "-1.5",
    "true",
    "null",
    "=",
    "==",
    "!=",
    "<>",
    "<",
    ">=",
    "and",
    "or",
    "not",
    "!",
    "(",
    ")",
    ",",
    "in",
    "like",
    "between",
    "is",
    "escape",
    "'!'",
    "eq",
];

pub(super) fn check(script: &[u8]) {
    let text = String::from_utf8_lossy(script);
    plain(&text);
    selector(&text);
    let words = script.iter().map(|it| WORDS[usize::from(*it) % WORDS.len()]);
    selector(&words.collect::<Vec<_>>().join(" "));
    routing(script);
}

fn plain(name: &str) {
    for kind in ["/topic/", "/queue/"] {
        let text = format!("{kind}{name}");
        let parsed = Grammar::Plain.parse(&text);
        assert_eq!(parsed.is_ok(), (1..=255).contains(&name.len()), "{text:?}");
        parsed.into_iter().for_each(|it| assert_eq!(Grammar::Plain.show(&it), text));
    }
}

/// Whatever the text is, it is refused with a reason or has an answer for any message.
fn selector(text: &str) {
    match Selector::parse(text) {
        Ok(selector) => {
            let _answers = [None, Some(""), Some("x"), Some("1")].map(|value| selector.matches(&|_| value));
            assert_eq!(Selector::parse(text).as_ref(), Ok(&selector));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Each byte is a piece; 0 to 31 end what came before: a pattern to add, one to remove, or a key to look for.
fn routing(script: &[u8]) {
    let table = Table::<u8>::new(Syntax::Ant);
    let mut subscribed: Vec<(String, u8)> = Vec::new();
    let mut pieces: Vec<&str> = Vec::new();
    for byte in script {
        if *byte >= 32 {
            pieces.push(PIECES[usize::from(*byte) % PIECES.len()]);
            pieces.truncate(PIECES_MAX);
            continue;
        }
        let (text, subscriber) = (std::mem::take(&mut pieces).concat(), byte % 4);
        match byte / 4 {
            0..3 if ant::check(&text).is_ok() => {
                // So that each subscriber is found once, whatever other patterns mean the same.
                if !subscribed.iter().any(|(_, it)| *it == subscriber) {
                    table.insert(&Pattern::new(&text), subscriber);
                    subscribed.push((text, subscriber));
                }
            }
            3..5 => {
                if let Some(at) = subscribed.iter().position(|(_, it)| *it == subscriber) {
                    table.remove(&Pattern::new(&subscribed.swap_remove(at).0), &subscriber);
                }
            }
            _ => look_up(&table, &subscribed, &text),
        }
    }
    for (text, subscriber) in subscribed {
        table.remove(&Pattern::new(&text), &subscriber);
    }
    look_up(&table, &[], "a");
}

fn look_up(table: &Table<u8>, subscribed: &[(String, u8)], key: &str) {
    let mut found = Vec::new();
    table.for_each(key, |it| found.push(*it));
    found.sort_unstable();
    let mut expected: Vec<_> = subscribed.iter().filter(|(it, _)| matches(it, key)).map(|(_, it)| *it).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "{key:?} among {subscribed:?}");
}

/// M14, as it is said.
fn matches(pattern: &str, key: &str) -> bool {
    let is_pattern = pattern.contains(['*', '?', '{']);
    if !is_pattern {
        return pattern == key;
    }
    segments_match(&pattern.split('/').collect::<Vec<_>>(), &key.split('/').collect::<Vec<_>>())
}

fn segments_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["**", rest @ ..], _) => segments_match(rest, key) || (!key.is_empty() && segments_match(pattern, &key[1..])),
        ([segment, pattern @ ..], [word, key @ ..]) => segment_matches(segment, word) && segments_match(pattern, key),
        _ => false,
    }
}

fn segment_matches(segment: &str, word: &str) -> bool {
    for (variable, words) in [("{v:a|ab}", ["a", "ab"]), ("{v:(b|)}", ["b", ""])] {
        if let Some(rest) = segment.strip_prefix(variable) {
            return words.iter().filter_map(|it| word.strip_prefix(it)).any(|word| segment_matches(rest, word));
        }
    }
    let mut after = word.chars();
    let first = after.next();
    let any = |rest| segment_matches(rest, word) || (first.is_some() && segment_matches(segment, after.as_str()));
    match segment.chars().next() {
        None => word.is_empty(),
        Some('*') => any(&segment[1..]),
        Some('{') => any(&segment["{v}".len()..]),
        Some('?') => first.is_some() && segment_matches(&segment[1..], after.as_str()),
        Some(char) => first == Some(char) && segment_matches(&segment[char.len_utf8()..], after.as_str()),
    }
}
