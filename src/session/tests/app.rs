//! Frames to handlers: what is different where no broker is asked.

use super::*;
use crate::session::HandlerFault;

fn with_routes() -> Settings {
    Settings { has_routes: true, ..Settings::default() }
}

fn fault() -> Fault {
    Fault::Handler { cause: HandlerFault::Refused, text: "no".to_owned() }
}

fn answered(it: &mut Dialogue, op: u64, answer: Answer) {
    it.input(Input::Done { op: OpId(op), outcome: Ok(answer) });
}

#[test]
fn without_a_route_it_is_no_destination() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/app/a");
    it.expect_refusal("invalid_destination", "Unknown destination");
}

#[test]
fn what_only_begins_alike_is_no_destination_either() {
    for destination in ["/app", "/apple/a", "/App/a"] {
        let mut it = Dialogue::connected_with(with_routes());
        it.client(&format!("SEND destination:{destination}"));
        it.expect_refusal("invalid_destination", "Unknown destination");
    }
}

#[test]
fn a_send_is_receipted_when_its_handler_has_answered() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("SEND destination:/app/a/7 receipt:r reply-to:/temp-queue/x | hi");
    it.expect("publish #2 /app/a/7 reply-to:/temp-queue/x | hi");
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:r");
}

#[test]
fn a_subscribe_holds_up_neither_frames_nor_deliveries() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("SUBSCRIBE id:n destination:/app/n ack:client durable:true receipt:r");
    it.expect("subscribe #2 s1 /app/n id=n auto 64");
    assert!(it.session.wants_frames() && it.session.wants_deliveries());
    it.client("SEND destination:/queue/a | 1");
    it.expect("publish #3 /queue/a | 1");
    it.done(2);
    it.expect("RECEIPT receipt-id:r");
    it.deliver(1, 0, "42");
    assert!(it.next().starts_with("MESSAGE subscription:n"));
}

#[test]
fn an_unsubscribe_is_nothing_to_the_broker() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("SUBSCRIBE id:n destination:/app/n");
    it.next();
    it.done(2);
    it.client("UNSUBSCRIBE id:n receipt:u");
    it.expect("unsubscribe #3 s1 of nobody");
    it.done(3);
    it.expect("RECEIPT receipt-id:u");
    it.client("SUBSCRIBE id:n destination:/topic/a");
    it.expect("subscribe #4 s2 /topic/a id=n auto 64");
}

#[test]
fn what_came_to_nothing_is_told_to_who_asked_for_a_receipt() {
    for (receipt, is_told) in [("", false), (" receipt:r", true)] {
        for frame in ["SEND destination:/app/a", "SUBSCRIBE id:n destination:/app/a"] {
            let mut it = Dialogue::connected_with(with_routes());
            it.client(&format!("{frame}{receipt}"));
            it.next();
            answered(&mut it, 2, Answer::Untold(Some(fault())));
            if is_told {
                assert!(it.expect_error("handler_refused", "Refused by the handler").contains("receipt-id:r"));
                it.expect("close 1002 handler_refused");
            }
            it.expect_nothing();
        }
    }
}

#[test]
fn what_nobody_is_told_of_has_no_receipt() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("SEND destination:/app/a receipt:r");
    it.next();
    answered(&mut it, 2, Answer::Untold(None));
    it.expect_nothing();
    it.client("SEND destination:/app/a receipt:s");
    it.next();
    it.done(3);
    it.expect("RECEIPT receipt-id:s");
}

#[test]
fn a_commit_is_not_receipted_if_one_of_its_sends_came_to_nothing() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/app/a transaction:t receipt:1");
    it.client("SEND destination:/app/a transaction:t receipt:2");
    it.client("COMMIT transaction:t receipt:c");
    it.next();
    it.next();
    answered(&mut it, 2, Answer::Untold(None));
    it.expect_nothing();
    it.done(3);
    it.expect("RECEIPT receipt-id:2");
    it.expect_nothing();
}

#[test]
fn a_subscribe_that_is_refused_is_forgotten() {
    let mut it = Dialogue::connected_with(Settings { close_on_error: false, ..with_routes() });
    it.client("SUBSCRIBE id:n destination:/app/n");
    it.next();
    it.failed(2, fault());
    it.expect_error("handler_refused", "Refused by the handler");
    assert_eq!(it.session.subscriptions(), 0);
}

#[test]
fn calls_count_against_what_may_be_in_flight() {
    let mut it = Dialogue::connected_with(Settings { publishes_in_flight_max: 2, ..with_routes() });
    it.client("SUBSCRIBE id:n destination:/app/n");
    it.client("SEND destination:/app/a");
    assert!(!it.session.wants_frames());
    it.done(2);
    assert!(it.session.wants_frames());
}

#[test]
fn a_session_that_a_handler_ends_waits_for_what_is_pending() {
    let mut it = Dialogue::connected_with(with_routes());
    it.client("SEND destination:/queue/a receipt:r");
    it.next();
    it.input(Input::Dismissed);
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:r");
    it.expect("close 1000 dismissed");
    it.input(Input::Dismissed);
    it.expect_nothing();
}
