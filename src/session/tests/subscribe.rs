//! SUBSCRIBE, UNSUBSCRIBE and MESSAGE.

use super::*;

fn check_subscribe(headers: &str, expected: &str) {
    let mut it = Dialogue::connected();
    it.client(&format!("SUBSCRIBE {headers}"));
    it.expect(&format!("subscribe #2 s1 {expected}"));
    it.expect_nothing();
}

fn check_refused(headers: &str, label: &str, title: &str) {
    let mut it = Dialogue::connected();
    it.client(&format!("SUBSCRIBE {headers}"));
    it.expect_refusal(label, title);
}

#[test]
fn a_subscribe_carries_destination_ack_mode_prefetch_and_durability() {
    check_subscribe("id:a destination:/topic/a.*", "/topic/a.* id=a auto 64");
    check_subscribe("id:a destination:/queue/q ack:client", "/queue/q id=a client 64");
    check_subscribe("id:a destination:q ack:client-individual prefetch-count:3", "/queue/q id=a individual 3");
    check_subscribe("id:a destination:/queue/q prefetch-count:99999", "/queue/q id=a auto 1000");
    check_subscribe("id:a destination:/topic/t durable:true", "/topic/t id=a auto 64 durable");
    check_subscribe("id:a destination:/topic/t persistent:True", "/topic/t id=a auto 64 durable");
    check_subscribe("id:a destination:/topic/t durable:false", "/topic/t id=a auto 64");
}

#[test]
fn a_subscribe_that_can_not_be_says_why() {
    check_refused("id:a", "missing_header", "Missing destination");
    check_refused("destination:/topic/a", "missing_header", "Missing header");
    check_refused("id:a destination:/nowhere/a", "invalid_destination", "Unknown destination");
    check_refused("id:a destination:/topic/a/b", "invalid_destination", "Invalid destination");
    check_refused("id:a destination:/temp-queue/a", "invalid_destination", "Invalid destination");
    check_refused("id:a destination:/reply-queue/a", "invalid_destination", "Invalid destination");
    check_refused("id:/temp-queue/a destination:/queue/a", "invalid_destination", "Invalid destination");
    check_refused("id:a destination:/topic/a ack:maybe", "invalid_header", "Invalid header");
    check_refused("id:a destination:/topic/a prefetch-count:0", "invalid_header", "Invalid header");
    check_refused("id:a destination:/topic/a prefetch-count:x", "invalid_header", "Invalid header");
    check_refused("id:a destination:/topic/a durable:1", "invalid_header", "Invalid header");
}

#[test]
fn the_receipt_comes_when_the_broker_has_subscribed_and_before_the_first_message() {
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
fn an_id_is_used_once_at_a_time() {
    let mut it = Dialogue::subscribed("a", "/topic/a", "auto");
    it.client("SUBSCRIBE id:a destination:/topic/b");
    it.expect_refusal("subscription_exists", "Duplicated subscription identifier");
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
fn what_arrives_after_unsubscribe_goes_back() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.client("UNSUBSCRIBE id:a receipt:r");
    it.expect("unsubscribe #3 s1");
    it.deliver(1, 7, "late");
    it.expect("requeue 7");
    it.deliver(1, 0, "late");
    it.expect_nothing();
    it.done(3);
    it.expect("RECEIPT receipt-id:r");
    it.client("SUBSCRIBE id:a destination:/queue/a");
    it.expect("subscribe #4 s2 /queue/a id=a auto 64");
}

#[test]
fn only_a_durable_subscription_is_forgotten_for_good() {
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/topic/a durable:true");
    it.next();
    it.done(2);
    it.client("UNSUBSCRIBE id:a durable:true");
    it.expect("unsubscribe #3 s1 final");
    let mut it = Dialogue::subscribed("a", "/topic/a", "auto");
    it.client("UNSUBSCRIBE id:a durable:true");
    it.expect("unsubscribe #3 s1");
}

#[test]
fn an_unsubscribe_must_name_what_there_is() {
    let check = |line: &str, label, title| {
        let mut it = Dialogue::subscribed("a", "/topic/a", "auto");
        it.client(line);
        it.expect_refusal(label, title);
    };
    check("UNSUBSCRIBE id:b", "subscription_unknown", "No subscription found");
    check("UNSUBSCRIBE destination:/topic/a", "missing_header", "Missing header");
    check("UNSUBSCRIBE id:/temp-queue/a", "invalid_destination", "Invalid destination");
}

#[test]
fn stomp_1_0_may_leave_the_id_out() {
    let mut it = Dialogue::connected_as("1.0", Settings::default());
    it.client("SUBSCRIBE destination:/topic/a");
    it.expect("subscribe #2 s1 /topic/a id=/topic/a auto 64");
    it.done(2);
    it.client("UNSUBSCRIBE destination:/topic/a");
    it.expect("unsubscribe #3 s1");
    it.done(3);
    it.client("UNSUBSCRIBE receipt:r");
    it.expect_refusal("missing_header", "Missing header");
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

#[test]
fn a_subscription_that_the_broker_ends_is_named() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
    let error = it.expect_error("subscription_ended", "Server cancelled subscription");
    assert!(error.contains(" subscription:a |"), "{error}");
    it.expect("close 1002 subscription_ended");
}

#[test]
fn with_close_on_error_off_the_other_subscriptions_go_on() {
    let mut it = Dialogue::connected_with(Settings { close_on_error: false, ..Settings::default() });
    for (id, op) in [("a", 2), ("b", 3)] {
        it.client(&format!("SUBSCRIBE id:{id} destination:/queue/{id}"));
        it.next();
        it.done(op);
    }
    it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
    it.expect_error("subscription_ended", "Server cancelled subscription");
    it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
    it.expect_nothing();
    it.deliver(2, 0, "still");
    assert!(it.next().ends_with("| still"));
}
