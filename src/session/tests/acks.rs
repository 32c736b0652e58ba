//! ACK and NACK in all modes and versions.

use super::*;

fn subscribed(version: &str, ack: &str) -> Dialogue {
    let mut it = Dialogue::connected_as(version, Settings { close_on_error: false, ..Settings::default() });
    for (id, op) in [("a", 2), ("b", 3)] {
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

fn check(ack: &str, frame: &str, settled: &str) {
    let mut it = subscribed("1.2", ack);
    deliver_four(&mut it);
    it.client(&frame.replace("id:", &format!("id:{SESSION}-")));
    it.expect(settled);
    it.expect_nothing();
}

#[test]
fn a_message_says_by_which_id_it_is_acknowledged() {
    let mut it = subscribed("1.2", "client");
    it.deliver(1, 11, "x");
    let id = format!("{SESSION}-1");
    it.expect(&format!("MESSAGE subscription:a destination:/topic/a message-id:{id} redelivered:false ack:{id} | x"));
    let mut it = subscribed("1.1", "client");
    it.deliver(1, 11, "x");
    it.expect(&format!("MESSAGE subscription:a destination:/topic/a message-id:{id} redelivered:false | x"));
}

#[test]
fn client_mode_is_cumulative_within_the_subscription() {
    check("client", "ACK id:2", "accept 11,12");
    check("client", "ACK id:4", "accept 21");
    check("client", "NACK id:3", "requeue 11,12,13");
}

#[test]
fn client_individual_mode_settles_one() {
    check("client-individual", "ACK id:2", "accept 12");
    check("client-individual", "NACK id:2", "requeue 12");
    check("client-individual", "NACK id:2 requeue:false", "discard 12");
    check("client-individual", "NACK id:2 requeue:true", "requeue 12");
}

#[test]
fn versions_before_1_2_name_the_message_id() {
    for version in ["1.0", "1.1"] {
        let mut it = subscribed(version, "client-individual");
        deliver_four(&mut it);
        it.client(&format!("ACK message-id:{SESSION}-2 subscription:a receipt:r"));
        it.expect("accept 12");
        it.expect("RECEIPT receipt-id:r");
        it.client(&format!("NACK message-id:{SESSION}-1"));
        it.expect("requeue 11");
        it.client(&format!("ACK id:{SESSION}-3"));
        it.expect_error("missing_header", "Missing header");
    }
}

#[test]
fn an_id_that_waits_for_nothing_is_refused() {
    let mut it = subscribed("1.2", "client");
    deliver_four(&mut it);
    it.client(&format!("ACK id:{SESSION}-2"));
    it.expect("accept 11,12");
    for unknown in [format!("{SESSION}-2"), format!("{SESSION}-9"), "other-3".to_owned(), "3".to_owned()] {
        it.client(&format!("ACK id:{unknown} receipt:r"));
        assert!(it.expect_error("ack_unknown", "Message not found").contains("receipt-id:r"));
        it.expect_nothing();
    }
    it.client("ACK receipt:r");
    it.expect_error("missing_header", "Missing header");
    it.client(&format!("NACK id:{SESSION}-3 requeue:perhaps"));
    it.expect_error("invalid_header", "Invalid header");
}

#[test]
fn an_automatic_delivery_is_not_the_clients_to_settle() {
    let mut it = subscribed("1.2", "auto");
    deliver_four(&mut it);
    while !it.next().is_empty() {}
    it.client(&format!("ACK id:{SESSION}-1"));
    it.expect_error("ack_unknown", "Message not found");
}

#[test]
fn what_was_delivered_before_unsubscribe_can_still_be_settled() {
    let mut it = subscribed("1.2", "client");
    deliver_four(&mut it);
    it.client("UNSUBSCRIBE id:a");
    it.next();
    it.done(4);
    it.client(&format!("ACK id:{SESSION}-3"));
    it.expect("accept 11,12,13");
}
