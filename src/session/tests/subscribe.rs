//! SUBSCRIBE, UNSUBSCRIBE and MESSAGE. Rows (D40, U1 ..) are those of the tables in `docs/PROTOCOL.md`.

use super::*;

fn check_subscribe(headers: &str, expected: &str) {
    let mut it = Dialogue::connected();
    it.client(&format!("SUBSCRIBE {headers}"));
    it.expect(&format!("subscribe #2 s1 {expected}"));
    it.expect_nothing();
}

#[test]
fn a_subscribe_carries_destination_ack_mode_prefetch_and_durability() {
    check_subscribe("id:a destination:/topic/a.*", "/topic/a.* id=a auto 64");
    check_subscribe("id:a destination:/queue/q ack:client", "/queue/q id=a client 64");
    check_subscribe("id:a destination:q ack:client-individual prefetch-count:3", "/queue/q id=a individual 3");
    check_subscribe("id:a destination:/queue/q prefetch-count:99999", "/queue/q id=a auto 1000");
    check_subscribe("id:a destination:/exchange/x/k", "/exchange/x/k id=a auto 64");
    check_subscribe("id:a destination:/amq/queue/q", "/amq/queue/q id=a auto 64");
    check_subscribe("id:a destination:/reply-queue/q", "/reply-queue/q id=a auto 64");
}

#[test]
fn d40_durable_is_one_of_four_words() {
    for header in ["durable", "persistent"] {
        let subscribe = |word| format!("id:a destination:/topic/t {header}:{word}");
        for word in ["true", "True"] {
            check_subscribe(&subscribe(word), "/topic/t id=a auto 64 durable");
        }
        for word in ["false", "False"] {
            check_subscribe(&subscribe(word), "/topic/t id=a auto 64");
        }
        for word in ["1", "0", "TRUE", "yes", ""] {
            let mut it = Dialogue::connected();
            it.client(&format!("SUBSCRIBE {}", subscribe(word)));
            it.expect_refusal("invalid_header", "Processing error");
        }
    }
}

#[test]
fn d48_stomp_asks_for_an_id_from_1_1_on() {
    for version in ["1.1", "1.2"] {
        let mut it = Dialogue::connected_as(version, Settings::default());
        it.client("SUBSCRIBE destination:/queue/a receipt:r");
        let error = it.expect_error("missing_header", "Missing header");
        assert!(error.ends_with("receipt-id:r | \"SUBSCRIBE\" must include the \"id\" header"), "{error}");
    }
}

#[test]
fn d48_as_the_plugin_does_a_subscription_needs_no_id() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut it = Dialogue::connected_as(version, Settings { close_on_error: false, ..Settings::default() });
        it.client("SUBSCRIBE destination:/queue/a");
        it.expect("subscribe #2 s1 /queue/a id=/queue/a auto 64");
        it.done(2);
        it.client("SUBSCRIBE id:/queue/a destination:/queue/a");
        it.expect("subscribe #3 s2 /queue/a id=/queue/a auto 64");
    }
}

#[test]
fn d50_prefetch_has_a_default_and_a_ceiling() {
    let subscribe = "id:a destination:/queue/q ack:client";
    check_subscribe(subscribe, "/queue/q id=a client 64");
    check_subscribe(&format!("{subscribe} prefetch-count:1"), "/queue/q id=a client 1");
    // No limit, in AMQP.
    for count in ["0", "1001", "70000"] {
        check_subscribe(&format!("{subscribe} prefetch-count:{count}"), "/queue/q id=a client 1000");
    }
    for bad in ["x", "-1", "", "1.5"] {
        let mut it = Dialogue::connected();
        it.client(&format!("SUBSCRIBE {subscribe} prefetch-count:{bad}"));
        it.expect_refusal("invalid_header", "Processing error");
    }
}

#[test]
fn a_subscribe_carries_all_its_headers() {
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/queue/q x-queue-type:quorum durable:true receipt:r");
    let Some(Action::Subscribe { subscribe, .. }) = it.session.poll_action() else { panic!("not asked to subscribe") };
    assert_eq!(
        subscribe.headers.iter().collect::<Vec<_>>(),
        [("id", "a"), ("destination", "/queue/q"), ("x-queue-type", "quorum"), ("durable", "true"), ("receipt", "r")]
    );
}

#[test]
fn rc4_the_receipt_comes_when_the_broker_has_subscribed_and_before_the_first_message() {
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/topic/a receipt:r1");
    it.expect("subscribe #2 s1 /topic/a id=a auto 64");
    it.expect_nothing();
    assert!(!it.session.wants_deliveries() && !it.session.wants_frames());
    it.done(2);
    it.expect("RECEIPT receipt-id:r1");
    assert!(it.session.wants_deliveries() && it.session.wants_frames());
}

#[test]
fn a_subscribe_that_the_broker_refuses_leaves_no_subscription() {
    let mut it = Dialogue::connected_with(Settings { close_on_error: false, ..Settings::default() });
    it.client("SUBSCRIBE id:a destination:/queue/a receipt:r");
    it.next();
    it.failed(2, Fault::Refused("no".to_owned()));
    assert!(it.expect_error("broker_refused", "Processing error").contains("receipt-id:r"));
    assert_eq!(it.session.subscriptions(), 0);
    it.client("SUBSCRIBE id:a destination:/queue/a");
    it.expect("subscribe #3 s2 /queue/a id=a auto 64");
}

#[test]
fn a_message_shows_subscription_destination_and_id() {
    let mut it = Dialogue::subscribed("a", "/topic/a", "auto");
    it.deliver(1, 0, "hello");
    it.expect("MESSAGE subscription:a destination:/topic/a message-id:m1 redelivered:false | hello");
    it.expect_nothing();
}

#[test]
fn an_automatic_delivery_is_settled_when_it_is_written() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "auto");
    it.deliver_again(1, 7, "hello", true);
    it.expect("MESSAGE subscription:a destination:/topic/a message-id:m1 redelivered:true | hello");
    it.expect("when written 7");
}

#[test]
fn one_subscription_over_the_limit_is_refused_by_its_name() {
    let mut it = Dialogue::connected_with(Settings { subscriptions_max: 2, ..Settings::default() });
    for (i, op) in [(1, 2), (2, 3)] {
        it.client(&format!("SUBSCRIBE id:{i} destination:/topic/a"));
        it.next();
        it.done(op);
    }
    it.client("SUBSCRIBE id:3 destination:/topic/a receipt:r");
    let error = it.expect_error("limit_subscriptions", "Limit exceeded");
    assert!(error.ends_with("receipt-id:r | A session holds at most 2 subscriptions (session.subscriptions_max)"));
    it.expect("close 1002 limit_subscriptions");
}

/// A connected session that holds what those lines subscribe to, with keys from 1.
fn holding(version: &str, subscribes: &[&str]) -> Dialogue {
    let mut it = Dialogue::connected_as(version, Settings { close_on_error: false, ..Settings::default() });
    for (subscribe, op) in subscribes.iter().zip(2..) {
        it.client(&format!("SUBSCRIBE {subscribe}"));
        assert!(it.next().starts_with("subscribe"), "{subscribe}");
        it.done(op);
    }
    it
}

#[test]
fn u1_a_subscription_is_found_by_its_id_or_else_by_its_destination() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut it =
            holding(version, &["id:a destination:/queue/q", "destination:/queue/q", "id:/queue/q destination:q"]);
        it.client("UNSUBSCRIBE id:/queue/q destination:/queue/q");
        it.expect("unsubscribe #5 s3");
        it.done(5);
        it.client("UNSUBSCRIBE destination:/queue/q");
        it.expect("unsubscribe #6 s2");
        it.done(6);
        // The text has to be that of the SUBSCRIBE; one with an id is not found by it.
        for line in ["destination:/queue/q", "destination:q", "id:/queue/q", "id:b"] {
            it.client(&format!("UNSUBSCRIBE {line}"));
            it.expect_error("subscription_unknown", "No subscription found");
        }
        it.client("UNSUBSCRIBE id:a");
        it.expect("unsubscribe #7 s1");
    }
}

#[test]
fn u2_a_durable_subscription_is_not_deleted_without_its_id() {
    let mut it = holding("1.0", &["destination:/topic/a"]);
    for header in ["durable", "persistent"] {
        it.client(&format!("UNSUBSCRIBE destination:/topic/a {header}:true"));
        let error = it.expect_error("missing_header", "Missing Header");
        assert!(error.ends_with("| Header 'id' is required for durable subscriptions"), "{error}");
    }
    it.client("UNSUBSCRIBE destination:/topic/a durable:false");
    it.expect("unsubscribe #3 s1");
}

#[track_caller]
fn check_final(subscribe: &str, unsubscribe: &str, is_final: bool) {
    let mut it = holding("1.2", &[subscribe]);
    it.client(&format!("UNSUBSCRIBE {unsubscribe}"));
    it.expect(if is_final { "unsubscribe #3 s1 final" } else { "unsubscribe #3 s1" });
}

#[test]
fn u3_unsubscribe_deletes_a_durable_topic_when_it_says_so() {
    check_final("id:a destination:/topic/a durable:true", "id:a durable:true", true);
    check_final("id:a destination:/topic/a persistent:true", "id:a persistent:True", true);
    // What it says of itself counts for nothing: the subscription is the one that was made.
    check_final("id:a destination:/queue/a durable:true", "id:a destination:/topic/b durable:true", false);
    check_final("id:a destination:/topic/a", "id:a durable:true", false);
}

#[test]
fn u4_unsubscribe_that_does_not_say_so_deletes_nothing() {
    check_final("id:a destination:/topic/a durable:true", "id:a", false);
    check_final("id:a destination:/topic/a durable:true", "id:a durable:false", false);
}

#[test]
fn u5_a_durable_exchange_subscription_is_never_deleted() {
    check_final("id:a destination:/exchange/amq.topic/a durable:true", "id:a durable:true", false);
}

#[test]
fn u7_an_id_is_used_once_at_a_time() {
    let mut it = holding("1.2", &["id:a destination:/topic/a"]);
    it.client("UNSUBSCRIBE id:a");
    it.expect("unsubscribe #3 s1");
    it.done(3);
    it.client("SUBSCRIBE id:a destination:/topic/b");
    it.expect("subscribe #4 s2 /topic/b id=a auto 64");
    it.done(4);
    it.client("SUBSCRIBE id:a destination:/topic/c");
    it.expect_refusal("subscription_exists", "Duplicated subscription identifier");
}

#[test]
fn u8_answers_can_not_be_unsubscribed_from() {
    let mut it = holding("1.2", &[]);
    it.client("SEND destination:/queue/a reply-to:/temp-queue/x");
    it.expect("publish #2 /queue/a reply=s1 | ");
    it.client("UNSUBSCRIBE id:/temp-queue/x");
    it.expect_error("invalid_header", "Invalid id");
    it.deliver(1, 0, "answer");
    assert!(it.next().ends_with("| answer"));
}
