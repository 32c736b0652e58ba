//! ACK and NACK in all modes and versions. Names begin with rows of the table in `docs/PROTOCOL.md`.

use super::*;

const SCOPES: [AckScope; 2] = [AckScope::Session, AckScope::Subscription];

fn settings(ack_scope: AckScope) -> Settings {
    Settings { ack_scope, close_on_error: false, ..Settings::default() }
}

/// Subscribed to three queues as `a`, `b` and `c`, with keys from 1.
fn subscribed(version: &str, acks: [&str; 3], ack_scope: AckScope) -> Dialogue {
    let mut it = Dialogue::connected_as(version, settings(ack_scope));
    for ((id, ack), op) in ["a", "b", "c"].iter().zip(acks).zip(2..) {
        it.client(&format!("SUBSCRIBE id:{id} destination:/queue/{id} ack:{ack}"));
        it.next();
        it.done(op);
    }
    it
}

/// Delivers to subscription 1 with tokens 11, 12, 13 and to subscription 2 with 21; their numbers are 1, 2, 3, 4.
fn deliver_four(it: &mut Dialogue) {
    for (key, token) in [(1, 11), (1, 12), (1, 13), (2, 21)] {
        it.deliver(key, token, "x");
        it.next();
    }
}

fn all_of(ack: &str) -> [&str; 3] {
    [ack; 3]
}

fn delivered(version: &str, ack: &str) -> Dialogue {
    let mut it = subscribed(version, all_of(ack), AckScope::Subscription);
    deliver_four(&mut it);
    it
}

#[track_caller]
fn check(ack: &str, ack_scope: AckScope, frame: &str, settled: &str) {
    let mut it = subscribed("1.2", all_of(ack), ack_scope);
    deliver_four(&mut it);
    it.client(&frame.replace("id:", &format!("id:{SESSION}-")));
    it.expect(settled);
    it.expect_nothing();
}

#[test]
fn a1_the_mode_says_who_settles() {
    let mut it = subscribed("1.2", ["auto", "client", "client-individual"], AckScope::Subscription);
    for key in [1, 2, 3] {
        it.deliver(key, u64::from(key), "x");
        assert!(it.next().starts_with("MESSAGE"));
        it.expect(if key == 1 { "when written 1" } else { "" });
    }
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/queue/a");
    it.expect("subscribe #2 s1 /queue/a id=a auto 64");
}

#[test]
fn a2_a4_a_message_says_by_which_id_it_is_acknowledged() {
    let id = format!("{SESSION}-1");
    for (version, ack) in [("1.2", format!(" ack:{id}")), ("1.1", String::new()), ("1.0", String::new())] {
        let mut it = subscribed(version, all_of("client"), AckScope::Subscription);
        it.deliver(1, 11, "x");
        it.expect(&format!("MESSAGE subscription:a destination:/topic/a message-id:{id} redelivered:false{ack} | x"));
    }
    let mut it = subscribed("1.2", all_of("auto"), AckScope::Subscription);
    it.deliver(1, 11, "x");
    it.expect("MESSAGE subscription:a destination:/topic/a message-id:m1 redelivered:false | x");
}

#[test]
fn a3_a_subscription_without_id_has_no_subscription_header() {
    for ack in ["auto", "client"] {
        let mut it = Dialogue::connected_as("1.0", Settings::default());
        it.client(&format!("SUBSCRIBE destination:/queue/a ack:{ack}"));
        it.next();
        it.done(2);
        it.deliver(1, 11, "x");
        assert!(it.next().starts_with("MESSAGE destination:/topic/a message-id:"));
    }
}

#[test]
fn a5_versions_before_1_2_name_the_message_id() {
    for version in ["1.0", "1.1"] {
        let mut it = delivered(version, "client-individual");
        it.client(&format!("ACK message-id:{SESSION}-2 subscription:other receipt:r"));
        it.expect("accept 12");
        it.expect("RECEIPT receipt-id:r");
        it.client(&format!("NACK message-id:{SESSION}-1"));
        it.expect("requeue 11");
        it.client(&format!("ACK id:{SESSION}-3"));
        it.expect_error("missing_header", "Missing header");
    }
}

#[test]
fn a6_an_id_has_the_session_and_a_number() {
    let mut it = delivered("1.2", "client");
    for bad in ["", "3", "other-", &format!("{SESSION}-x"), &format!("{SESSION}-99999999999999999999")] {
        it.client(&format!("ACK id:{bad}"));
        it.expect_error("invalid_header", "Invalid header");
    }
    it.client("ACK id:other-3");
    it.expect_error("ack_unknown", "Message not found");
}

#[test]
fn a7_by_stomp_an_ack_covers_what_its_subscription_was_delivered_before() {
    let scope = AckScope::Subscription;
    check("client", scope, "ACK id:2", "accept 11,12");
    check("client", scope, "ACK id:4", "accept 21");
}

#[test]
fn a7_as_the_plugin_does_an_ack_covers_what_the_session_was_delivered_before() {
    let scope = AckScope::Session;
    check("client", scope, "ACK id:2", "accept 11,12");
    check("client", scope, "ACK id:4", "accept 11,12,13,21");
}

#[test]
fn a7_as_the_plugin_does_it_covers_other_modes_too_and_nothing_that_is_not_written() {
    let mut it = subscribed("1.2", ["client-individual", "client", "auto"], AckScope::Session);
    for (key, token) in [(1, 11), (3, 31), (2, 21), (1, 12), (2, 22)] {
        it.deliver(key, token, "x");
        while !it.next().is_empty() {}
    }
    // Number 2: what is automatic has none.
    it.client(&format!("ACK id:{SESSION}-2"));
    it.expect("accept 11,21");
    // An individual ACK covers nothing else, in no scope.
    it.client(&format!("ACK id:{SESSION}-3"));
    it.expect("accept 12");
    it.client(&format!("ACK id:{SESSION}-4"));
    it.expect("accept 22");
    it.expect_nothing();
}

#[test]
fn a7_client_individual_mode_settles_one() {
    for scope in SCOPES {
        check("client-individual", scope, "ACK id:2", "accept 12");
    }
}

#[test]
fn a8_a_nack_has_the_scope_of_an_ack_and_requeues_unless_told_otherwise() {
    check("client", AckScope::Subscription, "NACK id:3", "requeue 11,12,13");
    check("client", AckScope::Subscription, "NACK id:4 requeue:false", "discard 21");
    check("client", AckScope::Session, "NACK id:4 requeue:False", "discard 11,12,13,21");
    for scope in SCOPES {
        check("client-individual", scope, "NACK id:2", "requeue 12");
        check("client-individual", scope, "NACK id:2 requeue:false", "discard 12");
        check("client-individual", scope, "NACK id:2 requeue:true", "requeue 12");
    }
    let mut it = delivered("1.2", "client");
    it.client(&format!("NACK id:{SESSION}-3 requeue:perhaps"));
    it.expect_error("invalid_header", "Processing error");
}

#[test]
fn a9_an_id_that_waits_for_nothing_costs_no_channel() {
    for scope in SCOPES {
        let mut it = subscribed("1.2", all_of("client"), scope);
        deliver_four(&mut it);
        it.client(&format!("ACK id:{SESSION}-2"));
        it.expect("accept 11,12");
        for unknown in ["1", "2", "9", "0"] {
            it.client(&format!("ACK id:{SESSION}-{unknown} receipt:r"));
            assert!(it.expect_error("ack_unknown", "Message not found").contains("receipt-id:r"));
            it.expect_nothing();
        }
    }
}

#[test]
fn a10_an_automatic_delivery_is_not_the_clients_to_settle() {
    let mut it = delivered("1.2", "auto");
    while !it.next().is_empty() {}
    it.client(&format!("ACK id:{SESSION}-1"));
    it.expect_error("ack_unknown", "Message not found");
}

#[test]
fn a11_a_delivery_belongs_to_the_subscription_that_it_was_made_to() {
    // The id names no subscription, so none can be named wrongly.
    let mut it = subscribed("1.1", ["client-individual", "client", "client"], AckScope::Subscription);
    deliver_four(&mut it);
    it.client(&format!("ACK message-id:{SESSION}-3 subscription:b"));
    it.expect("accept 13");
}

#[test]
fn a12_u9_what_was_delivered_before_unsubscribe_can_still_be_settled() {
    let mut it = delivered("1.2", "client");
    it.client("UNSUBSCRIBE id:a");
    it.next();
    it.done(5);
    // The mode is that in which it was delivered, whoever has the id now.
    it.client("SUBSCRIBE id:a destination:/queue/a ack:client-individual");
    it.next();
    it.done(6);
    it.client(&format!("ACK id:{SESSION}-3"));
    it.expect("accept 11,12,13");
}

#[test]
fn a12_what_was_delivered_before_the_broker_ended_it_can_still_be_settled() {
    let mut it = delivered("1.2", "client");
    it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
    it.expect_error("subscription_ended", "Server cancelled subscription");
    it.client(&format!("ACK id:{SESSION}-1"));
    it.expect("accept 11");
}

#[test]
fn a13_what_arrives_after_unsubscribe_goes_back_in_silence() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.client("UNSUBSCRIBE id:a");
    it.expect("unsubscribe #3 s1");
    it.deliver(1, 7, "late");
    it.expect("requeue 7");
    it.deliver(1, 0, "late");
    it.expect_nothing();
}

#[test]
fn a18_redelivered_is_always_there() {
    for ack in ["auto", "client"] {
        let mut it = Dialogue::subscribed("a", "/queue/a", ack);
        for (again, shown) in [(false, " redelivered:false "), (true, " redelivered:true ")] {
            it.deliver_again(1, 7, "x", again);
            assert!(format!("{} ", it.next().replace(" |", " ")).contains(shown), "{ack} {again}");
            while !it.next().is_empty() {}
        }
    }
}

#[test]
fn what_ended_subscriptions_left_unsettled_counts_until_it_is_settled() {
    let mut it = Dialogue::connected_with(Settings { unsettled_max: 10, prefetch_max: 10, ..Settings::default() });
    let subscribe = |it: &mut Dialogue, op: u64, prefetch: u16| {
        it.client(&format!("SUBSCRIBE id:s destination:/queue/a ack:client-individual prefetch-count:{prefetch}"));
        assert!(it.next().starts_with(&format!("subscribe #{op} ")), "op {op}");
        it.done(op);
    };
    subscribe(&mut it, 2, 10);
    for token in 1..=3 {
        it.deliver(1, token, "x");
        it.next();
    }
    it.client("UNSUBSCRIBE id:s");
    it.next();
    it.done(3);
    subscribe(&mut it, 4, 7);
    it.client("UNSUBSCRIBE id:s");
    it.next();
    it.done(5);
    it.client(&format!("ACK id:{SESSION}-2"));
    it.expect("accept 2");
    subscribe(&mut it, 6, 8);
    it.client("UNSUBSCRIBE id:s");
    it.next();
    it.done(7);
    it.client("SUBSCRIBE id:s destination:/queue/a ack:client prefetch-count:9");
    it.expect_refusal("limit_unsettled", "Limit exceeded");
}
