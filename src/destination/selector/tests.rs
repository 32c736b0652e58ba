//! What selectors take and refuse.

use proptest::prelude::*;

use super::*;

/// Headers of the message that is looked at.
const HEADERS: [(&str, &str); 9] = [
    ("symbol", "IBM"),
    ("price", "12.5"),
    ("count", "9007199254740993"),
    ("urgent", "true"),
    ("quote", "it's"),
    ("content-type", "text/plain"),
    ("empty", ""),
    ("destination", "/topic/a"),
    ("not", "x"),
];

fn matches(text: &str) -> bool {
    let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    selector.matches(&|name| HEADERS.iter().find(|(it, _)| *it == name).map(|(_, value)| *value))
}

fn all(texts: &[&str]) {
    texts.iter().for_each(|it| assert!(matches(it), "{it} should be true"));
}

fn none(texts: &[&str]) {
    texts.iter().for_each(|it| assert!(!matches(it), "{it} should not be true"));
}

fn refused(text: &str) -> String {
    Selector::parse(text).map(|it| panic!("{it:?}")).unwrap_err().to_string()
}

#[test]
fn sp33_springs_expressions() {
    all(&[
        "headers.symbol == 'IBM'",
        "headers['symbol'] == \"IBM\"",
        "headers[\"content-type\"] != 'x'",
        "'IBM' == headers.symbol",
        "headers.symbol eq 'IBM' and headers.price gt 12",
        "headers.symbol == 'IBM' && !(headers.price > 13)",
        "headers.symbol == 'x' || headers.destination == '/topic/a'",
        "not (headers.symbol == 'x') and headers.price le 12.5",
        "headers.price == 12.50",
        "headers.absent == null and headers.symbol != null",
        "headers.absent != 'x'",
        "headers.urgent",
        "headers.urgent == true",
        "headers.not == 'x'",
    ]);
    none(&[
        "headers.symbol == 'ibm'",
        "headers.absent == 'x'",
        "headers.absent > 1",
        "!headers.urgent",
        "headers.symbol",
    ]);
}

#[test]
fn comparisons_of_sql() {
    all(&[
        "symbol = 'IBM'",
        "symbol <> 'x'",
        "quote = 'it''s'",
        "price > 12 AND price >= 12.5 and price < 1.3e1 And price <= +12.5",
        "-5 < price",
        "price BETWEEN 12 AND 13",
        "price NOT BETWEEN 13 AND 14",
        "symbol IN ('x', 'IBM')",
        "symbol NOT IN ('x', 'y')",
        "price in (1, 12.5)",
        "symbol LIKE 'I%'",
        "symbol NOT LIKE '_'",
        "content-type LIKE 'text!/%' ESCAPE '!'",
        "absent IS NULL",
        "symbol IS NOT NULL and empty is not null",
        "urgent",
        "urgent = TRUE AND NOT urgent = false",
        "TRUE",
        "destination LIKE '/topic/%'",
    ]);
    none(&["symbol = 'x'", "price BETWEEN 13 AND 12", "symbol LIKE 'i%'", "urgent = 'TRUE'", "false", "empty"]);
}

#[test]
fn what_is_unknown_is_not_delivered_either_way() {
    for unknown in ["absent = 'x'", "absent <> 'x'", "absent > 1", "absent LIKE '%'", "absent IN ('x')", "symbol > 1"] {
        none(&[unknown, &format!("NOT ({unknown})"), &format!("{unknown} AND TRUE"), &format!("{unknown} OR FALSE")]);
        all(&[&format!("{unknown} OR TRUE"), &format!("NOT ({unknown} AND FALSE)")]);
    }
}

#[test]
fn and_binds_closer_than_or_and_not_closer_than_both() {
    all(&["TRUE OR FALSE AND FALSE", "NOT FALSE AND TRUE", "NOT (TRUE AND FALSE)", "NOT NOT TRUE", "!!true"]);
    none(&["(TRUE OR FALSE) AND FALSE", "NOT FALSE AND FALSE", "NOT TRUE OR FALSE"]);
}

#[test]
fn long_numbers_are_told_apart_and_what_is_no_number_is_unknown() {
    all(&["count = 9007199254740993"]);
    none(&["count = 9007199254740992", "symbol < 1", "symbol >= 1", "empty = 0", "price = 'x'"]);
    for text in ["inf", "nan", "infinity", "1 ", "0x1", "--1", "1e999"] {
        let selector = Selector::parse("n < 2 or n >= 2").unwrap();
        assert!(!selector.matches(&|_| Some(text)), "{text}");
    }
}

#[test]
fn a_bad_selector_is_told_where_it_is_wrong_and_what_would_be_right() {
    for (text, at, expected, found) in [
        ("", 1, "a header or a value", "its end"),
        ("symbol =", 9, "a header or a value", "its end"),
        ("symbol = 'x' symbol", 14, "AND, OR or the end", "`symbol`"),
        ("symbol = 'x", 10, "a closing quote", "`'x`"),
        ("symbol > 'x'", 10, "a number or a header", "`'x'`"),
        ("'x' > symbol", 1, "a number or a header", "`'x'`"),
        ("price between 1 or 2", 17, "AND", "`or`"),
        ("(price = 1", 11, "`)`", "its end"),
        ("symbol in ('a' 'b')", 16, "`,` or `)`", "`'b'`"),
        ("symbol in 'a'", 11, "`(`", "`'a'`"),
        ("symbol like 5", 13, "a pattern in quotes", "`5`"),
        ("symbol like 'a' escape 'ab'", 24, "one character in quotes", "`'ab'`"),
        ("symbol like 'a!' escape '!'", 13, "a pattern that does not end with its escape", "`'a!'`"),
        ("symbol is 'x'", 11, "NULL", "`'x'`"),
        ("symbol not = 'x'", 12, "LIKE, IN or BETWEEN", "`=`"),
        ("symbol = null", 10, "a header or a value (IS NULL asks for an absent header)", "`null`"),
        ("'x'", 4, "a comparison", "its end"),
        ("and = 1", 1, "a header or a value", "`and`"),
        ("ä = 'ö' ;", 9, "a header, a value or an operator", "`;`"),
        ("headers == 'x'", 9, "`.` or `[`", "`==`"),
        ("headers.a.b == 1", 10, "AND, OR or the end", "`.`"),
        ("headers[symbol] == 1", 9, "the name of a header in quotes", "`symbol`"),
        ("headers.get('a') == 1", 12, "AND, OR or the end", "`(`"),
        ("T(java.lang.Runtime) == 1", 2, "AND, OR or the end", "`(`"),
        ("headers.a = 1 = 2", 15, "AND, OR or the end", "`=`"),
        ("a = 1x", 5, "a header, a value or an operator", "`1`"),
        ("a = 'a long text that is not shown' b c", 37, "AND, OR or the end", "`b`"),
        ("a 'a long text that is not shown as a whole'", 3, "AND, OR or the end", "`'a long text that is..`"),
    ] {
        let text_of_error =
            format!("The selector is wrong at character {at}: {expected} is expected here, not {found}");
        assert_eq!(refused(text), text_of_error, "{text}");
    }
}

#[test]
fn one_level_too_deep_is_refused_and_width_is_free() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Selector::parse(&nested(32)).is_ok());
    let refusal = "The selector is nested more than 32 deep at character 33: use fewer parentheses";
    assert_eq!(refused(&nested(33)), refusal);
    assert!(Selector::parse(&format!("{}a", "not ".repeat(32))).is_ok());
    assert_eq!(refused(&format!("{}a", "!".repeat(33))), refusal);
    assert!(refused(&"(".repeat(1_000_000)).contains("deep"));
    assert!(Selector::parse(&vec!["a = 1"; 10_000].join(" or ")).is_ok());
}

/// An expression of few headers, as SQL and as what it means by its definition.
fn expressions() -> impl Strategy<Value = (String, Option<bool>)> {
    let leaf = prop_oneof![
        Just(("symbol = 'IBM'".to_owned(), Some(true))),
        Just(("price > 13".to_owned(), Some(false))),
        Just(("absent = 1".to_owned(), None)),
        Just(("absent is null".to_owned(), Some(true))),
        Just(("headers.absent == 'x'".to_owned(), Some(false))),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        prop_oneof![
            pair().prop_map(|((a, x), (b, y))| (format!("({a}) and ({b})"), and(x, y))),
            pair().prop_map(|((a, x), (b, y))| (
                format!("({a}) || ({b})"),
                and(x.map(|it| !it), y.map(|it| !it)).map(|it| !it)
            )),
            inner.prop_map(|(a, x)| (format!("not ({a})"), x.map(|it| !it))),
        ]
    })
}

/// SQL's table.
fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

proptest! {
    #[test]
    fn conditions_are_what_the_tables_of_sql_say((text, expected) in expressions()) {
        prop_assert_eq!(matches(&text), expected == Some(true), "{}", text);
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,60}") {
        drop(Selector::parse(&text).map(|it| it.matches(&|_| Some("x"))));
    }

    #[test]
    fn no_row_of_words_is_too_strange(words in prop::collection::vec(prop::sample::select(WORDS.as_slice()), 0..12)) {
        match Selector::parse(&words.join(" ")) {
            Ok(selector) => drop((selector.matches(&|_| None), selector.matches(&|_| Some("1")))),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

const WORDS: [&str; 24] = [
    "a", "headers", ".", "[", "]", "'x'", "1", "-1.5e3", "=", "==", "!=", "<", "and", "or", "not", "!", "(", ")", ",",
    "in", "like", "between", "is", "null",
];
