//! What patterns are taken apart into, and what is refused.

use super::*;
use crate::destination::Syntax;

fn steps(pattern: &str) -> Vec<Step<'_>> {
    Syntax::Ant.steps(pattern).collect()
}

fn refused(pattern: &str) -> String {
    check(pattern).unwrap_err().to_string()
}

/// Readings of a segment, with `?` and `*` for what is open.
fn read(segment: &str) -> Vec<String> {
    let shown = |it: &Step<'_>| match it {
        Step::Any => "*".to_owned(),
        Step::One => "?".to_owned(),
        Step::Glob(text) | Step::Word(text) => (*text).to_owned(),
    };
    globs(segment).iter().map(|it| it.iter().map(shown).collect()).collect()
}

#[test]
fn segments_are_words_wildcards_or_globs() {
    assert_eq!(steps("/topic/a.*"), [Step::Word(""), Step::Word("topic"), Step::Glob("a.*")]);
    assert_eq!(steps("/*/**/{id}/?"), [Step::Word(""), Step::One, Step::Any, Step::One, Step::Glob("?")]);
    assert_eq!(steps("***/{a}{b}"), [Step::One, Step::One]);
    // Spring takes a brace that is never closed for itself.
    assert_eq!(steps("/a{b/c}d"), [Step::Word(""), Step::Word("a{b"), Step::Word("c}d")]);
}

#[test]
fn only_open_characters_make_a_pattern() {
    for pattern in ["/topic/*", "/topic/a?", "/topic/{id}", "/topic/a{b}c", "/{a/b}"] {
        assert!(has_wildcards(pattern), "{pattern}");
    }
    for exact in ["/topic/a", "/topic/#", "/topic/a.b", "/topic/{", "/topic/}{", "/topic/a}"] {
        assert!(!has_wildcards(exact), "{exact}");
        assert_eq!(check(exact), Ok(()));
    }
}

#[test]
fn sp32_alternatives_are_read_one_by_one() {
    assert_eq!(read("{ticker:(IBM|MSFT)}"), ["IBM", "MSFT"]);
    assert_eq!(read("x.{ticker:IBM|MSFT|IBM}.*"), ["x.IBM.*", "x.MSFT.*"]);
    assert_eq!(read("{a:x|y}{b:1|2}"), ["x1", "x2", "y1", "y2"]);
    assert_eq!(read("ä?{name}**"), ["ä?*"]);
}

#[test]
fn sp32_other_regular_expressions_are_refused() {
    for expression in ["[a-z]+", "\\d+", ".*", "(a+)+", "a{2}", "(a|b)c", "^a$"] {
        let refusal = refused(&format!("/topic/{{name:{expression}}}"));
        assert!(refusal.contains("is a regular expression, and those are not taken"), "{refusal}");
    }
    assert_eq!(
        refused("/topic/{name:\\d+}"),
        "'{name:\\d+}' is a regular expression, and those are not taken: write {name}, or words between bars, as in \
         {name:IBM|MSFT}"
    );
    assert!(refused("/topic/{a/b}").starts_with("'{a' has a '{' without its '}'"));
}

#[test]
fn one_wildcard_over_each_bound_is_refused() {
    assert_eq!(check("/topic/**/a/**"), Ok(()));
    assert_eq!(refused("/topic/**/a/**/b/**"), "A pattern to subscribe to has at most 2 times '**', not 3");
    assert_eq!(check("/topic/?a*b*c/{c}d/*e"), Ok(()));
    let refusal = "A pattern to subscribe to has at most 2 times '*' in a segment, not 3";
    assert_eq!(refused("/topic/a*b{c}d*"), refusal);
    let tail = |length: usize| format!("/topic/{}*{}", "x".repeat(100), "y".repeat(length));
    assert_eq!(check(&tail(64)), Ok(()));
    let refusal = "A pattern to subscribe to has at most 64 characters behind '*' in a segment, not 65";
    assert_eq!(refused(&tail(65)), refusal);
    assert_eq!(
        refused("/topic/*{x:a|bc}{y:d}?"),
        "'*{x:a|bc}{y:d}?' has '?' behind '*' or {name}: within one segment '?' has to come first"
    );
    assert_eq!(check(&format!("/topic{}", "/*".repeat(30))), Ok(()), "a whole segment costs nothing");
    assert_eq!(check("/topic/{a:1|2|3|4}{b:1|2|3|4}"), Ok(()));
    assert!(refused("/topic/{a:1|2|3|4}{b:1|2|3|4|5}").contains("in at most 16 ways"));
    assert!(refused(&format!("/topic/{}", "{a:1|2}".repeat(30))).contains("in at most 16 ways"));
}
