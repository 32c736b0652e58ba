//! Destinations and patterns against definitions too simple to be wrong. Shared by the fuzz target and the property test.

#[path = "habits.rs"]
mod habits;

use stompgate::delivery::Table;
use stompgate::destination::{Destination, Pattern};

/// What texts are made of: every part of the grammar, and what is nearly one.
const PIECES: [&str; 32] = [
    "a",
    "b",
    "ä",
    "*",
    "#",
    ".",
    "/",
    "%2F",
    "%2f",
    "%",
    " ",
    "\0",
    "/topic/",
    "/queue/",
    "/exchange/",
    "/amq/queue/",
    "/amq/",
    "/reply-queue/",
    "/temp-queue/",
    "topic",
    "queue",
    "exchange",
    "amq",
    "reply-queue",
    "temp-queue",
    "/Topic/",
    "..",
    "#.#",
    "*.*",
    "a.b",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefä",
];

/// Words of patterns and keys.
const WORDS: [&str; 8] = ["a", "b", "", "*", "#", "#", "a*", "ab"];

/// More would take the plain definition of a match too long.
const WORDS_MAX: usize = 7;

/// The bytes are a destination as they are, a destination made of pieces, and changes of a table of patterns; and all
/// of that as Spring's simple broker has it.
pub(crate) fn check(script: &[u8]) {
    destination(&String::from_utf8_lossy(script));
    destination(&script.iter().map(|it| PIECES[usize::from(*it) % PIECES.len()]).collect::<String>());
    routing(script);
    habits::check(script);
}

fn destination(text: &str) {
    let parsed = Destination::parse(text);
    assert_eq!(parsed.as_ref().ok(), by_segments(text).as_ref(), "{text:?}: {parsed:?}");
    match parsed {
        Ok(destination) => {
            let shown = destination.to_string();
            assert_eq!(Destination::parse(&shown).as_ref(), Ok(&destination), "{text:?} is shown as {shown:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// D1 and D2 by the segments between slashes.
fn by_segments(text: &str) -> Option<Destination> {
    let name = |it: &str| Some(it.replace("%2F", "/").into_boxed_str()).filter(|it| it.len() <= 255);
    let named = |it: &str| name(it).filter(|it| !it.is_empty());
    match *text.split('/').collect::<Vec<_>>() {
        [it] => named(it).map(Destination::Queue),
        ["", "topic", it] => named(it).map(Destination::Topic),
        ["", "queue", it] => named(it).map(Destination::Queue),
        ["", "temp-queue", it] => named(it).map(Destination::TempQueue),
        ["", "amq", "queue", it] => named(it).map(Destination::AmqQueue),
        ["", "exchange", it] | ["", "exchange", it, ""] => {
            named(it).map(|name| Destination::Exchange { name, key: "".into() })
        }
        ["", "exchange", it, key] => named(it).zip(name(key)).map(|(name, key)| Destination::Exchange { name, key }),
        ["", "reply-queue", ref rest @ ..] => named(&rest.join("/")).map(Destination::ReplyQueue),
        _ => None,
    }
}

/// Each byte is a word; 0 to 31 end what came before: a pattern to add, one to remove, or a key to look for.
fn routing(script: &[u8]) {
    let table = Table::<u8>::default();
    let mut subscribed: Vec<(Vec<&str>, u8)> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for byte in script {
        if *byte >= 32 {
            words.push(WORDS[usize::from(*byte) % WORDS.len()]);
            words.truncate(WORDS_MAX);
            continue;
        }
        let words = std::mem::take(&mut words);
        let text = words.join(".");
        // No words are joined to an empty text, which is one empty word.
        let words = if words.is_empty() { vec![""] } else { words };
        let (pattern, subscriber) = (Pattern::new(&text), byte % 4);
        let mut others = subscribed.iter().filter(|(it, _)| *it == words).map(|(_, it)| *it);
        match byte / 4 {
            0..3 => {
                let is_first = others.all(|it| it == subscriber);
                assert_eq!(table.insert(&pattern, subscriber), is_first, "{text:?} is added");
                if !subscribed.contains(&(words.clone(), subscriber)) {
                    subscribed.push((words, subscriber));
                }
            }
            3..5 => {
                let is_last = others.eq([subscriber]);
                assert_eq!(table.remove(&pattern, &subscriber), is_last, "{text:?} is removed");
                subscribed.retain(|it| *it != (words.clone(), subscriber));
            }
            _ => look_up(&table, &subscribed, &text, &words),
        }
    }
    for (words, subscriber) in &subscribed {
        table.remove(&Pattern::new(&words.join(".")), subscriber);
    }
    look_up(&table, &[], "a", &["a"]);
}

fn look_up(table: &Table<u8>, subscribed: &[(Vec<&str>, u8)], key: &str, words: &[&str]) {
    let mut found = Vec::new();
    table.for_each(key, |it| found.push(*it));
    let mut expected = Vec::new();
    for (pattern, subscriber) in subscribed {
        let is_match = matches(pattern, words);
        let text = pattern.join(".");
        assert_eq!(Pattern::new(&text).matches(key), is_match, "{text:?} and {key:?}");
        if is_match {
            expected.push(*subscriber);
        }
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{key:?} reaches each pattern that matches once");
}

/// D4, as it is said: `*` is one word, `#` is none or one and more.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", rest @ ..], _) => matches(rest, key) || (!key.is_empty() && matches(pattern, &key[1..])),
        (["*", pattern @ ..], [_, key @ ..]) => matches(pattern, key),
        ([word, pattern @ ..], [first, key @ ..]) => word == first && matches(pattern, key),
        _ => false,
    }
}
