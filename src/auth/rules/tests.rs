//! What each rule opens, and what it leaves closed.

use super::*;

fn rules(list: &[&str]) -> Rules {
    Rules::Listed(list.iter().map(|it| it.parse().unwrap()).collect())
}

fn is_open(rules: &Rules, access: Access, destination: &str, headers: &[(&str, &str)]) -> bool {
    let parsed = Destination::parse(destination).unwrap();
    rules.check(access, &parsed, &headers.iter().copied().collect()).is_ok()
}

/// Both SEND and SUBSCRIBE.
#[track_caller]
fn check(list: &[&str], open: &[&str], closed: &[&str]) {
    for access in [Access::Send, Access::Subscribe] {
        check_access(access, list, open, closed);
    }
}

#[track_caller]
fn check_access(access: Access, list: &[&str], open: &[&str], closed: &[&str]) {
    let rules = rules(list);
    for (destinations, expected) in [(open, true), (closed, false)] {
        for it in destinations {
            assert_eq!(is_open(&rules, access, it, &[]), expected, "{access:?} {it} under {list:?}");
        }
    }
}

#[test]
fn without_a_rule_only_topics_and_queues_are_open() {
    let closed = ["/exchange/x", "/exchange/x/k", "/exchange/amq.topic/k", "/amq/queue/q", "/reply-queue/q"];
    check(&[], &["/topic/a.#", "/queue/q", "q"], &closed);
    assert_eq!(
        Rules::default().check(Access::Send, &Destination::AmqQueue("a/b".into()), &Headers::new()),
        Err(NotOpen("/amq/queue/a%2Fb".to_owned()))
    );
}

#[test]
fn where_the_broker_has_permissions_no_rule_is_asked() {
    let parsed = Destination::parse("/exchange/x/k").unwrap();
    assert_eq!(Rules::Broker.check(Access::Send, &parsed, &Headers::new()), Ok(()));
}

#[test]
fn a_reply_goes_to_a_name_that_can_not_be_guessed() {
    let gen_name = "/reply-queue/amq.gen-JzTY20BRgKO-HjmUJj0wLg";
    let direct = "/reply-queue/amq.rabbitmq.reply-to.g1h2AA5yZXBseUA";
    check_access(Access::Send, &[], &[gen_name, direct], &["/reply-queue/amq.rabbitmq.reply-to", "/reply-queue/q"]);
    // To take the replies of others is another matter.
    check_access(Access::Subscribe, &[], &[], &[gen_name, direct]);
}

#[test]
fn a_rule_without_a_star_opens_one_destination() {
    check(&["/exchange/x/k"], &["/exchange/x/k"], &["/exchange/x", "/exchange/x/k2", "/exchange/x/", "/exchange/y/k"]);
    check(&["/exchange/x"], &["/exchange/x", "/exchange/x/"], &["/exchange/x/k"]);
    check(&["/exchange/x/"], &["/exchange/x", "/exchange/x/"], &["/exchange/x/k"]);
    check(&["/amq/queue/q"], &["/amq/queue/q"], &["/amq/queue/q2", "/exchange/q", "/reply-queue/q"]);
    check(&["/reply-queue/q"], &["/reply-queue/q"], &["/amq/queue/q"]);
}

#[test]
fn a_star_at_the_end_is_any_rest() {
    let list = ["/exchange/orders/*"];
    check(&list, &["/exchange/orders/eu.de", "/exchange/orders/#", "/exchange/orders"], &["/exchange/orders2/eu.de"]);
    check(&["/exchange/orders*"], &["/exchange/orders", "/exchange/orders2/k"], &["/exchange/order/k"]);
    check(&["/exchange/*"], &["/exchange/x", "/exchange/y/k"], &["/amq/queue/q"]);
    check(&["/amq/queue/*"], &["/amq/queue/q"], &["/reply-queue/q"]);
}

#[test]
fn a_pattern_opens_no_more_than_its_rule() {
    check(
        &["/exchange/x/eu.*"],
        &["/exchange/x/eu.de", "/exchange/x/eu.*", "/exchange/x/eu.#"],
        &["/exchange/x/#", "/exchange/x/*", "/exchange/x/*.de", "/exchange/x/#.eu", "/exchange/x/e", "/exchange/x"],
    );
    check(&["/exchange/x/eu.de"], &["/exchange/x/eu.de"], &["/exchange/x/eu.*", "/exchange/x/#", "/exchange/x/*.de"]);
}

#[test]
fn a_slash_in_a_name_does_not_part_it() {
    check(&["/exchange/a%2Fb/k"], &["/exchange/a%2Fb/k"], &["/exchange/a/k", "/exchange/a/b"]);
    check(&["/exchange/a/*"], &["/exchange/a/b%2Fc"], &["/exchange/a%2Fb", "/exchange/a%2Fb/c"]);
    check(&["/exchange/x/a%2F*"], &["/exchange/x/a%2Fb"], &["/exchange/x/a", "/exchange/x/a%2fb"]);
    // What follows is one name, however its slashes are written.
    check(&["/reply-queue/a/*"], &["/reply-queue/a/b", "/reply-queue/a%2Fb"], &["/reply-queue/ab"]);
}

#[test]
fn a_rule_may_be_for_one_of_both_alone() {
    let list = ["send /amq/queue/audit", "subscribe /exchange/x/*"];
    check_access(Access::Send, &list, &["/amq/queue/audit"], &["/exchange/x/k"]);
    check_access(Access::Subscribe, &list, &["/exchange/x/k"], &["/amq/queue/audit"]);
}

#[test]
fn d44_a_queue_may_not_publish_what_its_client_may_not_send() {
    let (exchange, key) = ("x-dead-letter-exchange", "x-dead-letter-routing-key");
    for (access, destination) in
        [(Access::Send, "/queue/q"), (Access::Subscribe, "/queue/q"), (Access::Subscribe, "/topic/t")]
    {
        let check = |list: &[&str], headers: &[(&str, &str)]| is_open(&rules(list), access, destination, headers);
        assert!(!check(&[], &[(exchange, "x"), (key, "k")]));
        assert!(!check(&["subscribe /exchange/x/k"], &[(exchange, "x"), (key, "k")]));
        assert!(check(&["send /exchange/x/k"], &[(exchange, " x"), (key, "k ")]));
        // Without a key of its own, a message keeps the one it came with.
        assert!(!check(&["/exchange/x/k", "/exchange/x"], &[(exchange, "x")]));
        assert!(check(&["/exchange/x/*"], &[(exchange, "x")]));
        assert!(!check(&["/exchange/*"], &[(exchange, ""), (key, "q")]));
        assert!(check(&["/amq/queue/q"], &[(exchange, ""), (key, "q")]));
        assert!(check(&[], &[(key, "k")]));
    }
    // Where nothing is declared, it is a header like others.
    assert!(is_open(&rules(&[]), Access::Send, "/topic/t", &[(exchange, "x")]));
}

#[test]
fn what_is_no_rule_is_told() {
    let check = |text: &str, expected| assert_eq!(text.parse::<Rule>(), Err(expected), "{text}");
    let malformed = [
        "",
        "*",
        "/*",
        "/exchange",
        "/exchange*",
        "/exchange/",
        "/exchange/a/b/c",
        "/exchange/a/b/*",
        "/amq/*",
        "/amq/queue",
        "/amq/queue/a/b",
        "/temp-queue/a",
        "/app/x",
        "orders",
        "send",
        "receive /exchange/x",
        "send  /exchange/x",
        "send subscribe /exchange/x",
    ];
    malformed.iter().for_each(|it| check(it, RuleError::Malformed));
    ["/topic/a", "/queue/*", "send /topic/*"].iter().for_each(|it| check(it, RuleError::Needless));
}
