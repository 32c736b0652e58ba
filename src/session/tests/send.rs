//! SEND: what travels, receipts, replies.

use super::*;

fn check(send: &str, published: &str) {
    let mut it = Dialogue::connected();
    it.client(send);
    it.expect(&format!("publish #2 {published}"));
    it.expect_nothing();
}

fn check_refused(send: &str, label: &str, title: &str) {
    let mut it = Dialogue::connected();
    it.client(send);
    it.expect_refusal(label, title);
}

#[test]
fn the_publishers_headers_travel_and_the_gateways_own_do_not() {
    check("SEND destination:/topic/a | hello", "/topic/a | hello");
    check(
        "SEND destination:/queue/q content-type:text/plain x:1 x:2 priority:5 receipt:r | b",
        "/queue/q content-type:text/plain x:1 x:2 priority:5 | b",
    );
    check(
        "SEND destination:/topic/a subscription:s ack:x redelivered:true user-name:root stompgate-error:x y:1",
        "/topic/a y:1 | ",
    );
}

#[test]
fn the_gateways_own_headers_are_known_among_blanks() {
    check(
        "SEND destination:/topic/a user-name\t:root \u{FEFF}stompgate-error:x ack\u{A0}:y \tsubscription:s y:1",
        "/topic/a y:1 | ",
    );
}

#[test]
fn a_send_that_can_not_be_says_why() {
    check_refused("SEND receipt:r", "missing_header", "Missing destination");
    check_refused("SEND destination:/topic/a message-id:1", "invalid_header", "Invalid header");
    for expiration in ["soon", "+5", "-5", "", "99999999999999999999"] {
        let send = format!("SEND destination:/topic/a expiration:{expiration}");
        check_refused(&send, "invalid_header", "Invalid header");
    }
    let mut it = Dialogue::connected();
    let headers = [("destination", "/topic/a"), ("expiration", "5 ")].into_iter().collect();
    it.input(Input::Frame(Frame::new(crate::stomp::Command::Send, headers)));
    it.expect_refusal("invalid_header", "Invalid header");
    check_refused("SEND destination:/nowhere/a", "invalid_destination", "Unknown destination");
    check_refused("SEND destination:/exchange/amq.topic/a", "invalid_destination", "Unknown destination");
    check_refused("SEND destination:/temp-queue/a", "invalid_destination", "Invalid destination");
    check_refused("SEND destination:/queue/a reply-to:/temp-queue/", "invalid_destination", "Invalid destination");
}

#[test]
fn the_receipt_waits_for_the_broker() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/queue/a receipt:r1 | 1");
    it.client("SEND destination:/queue/a | 2");
    it.client("SEND destination:/queue/a receipt:r3 | 3");
    for op in [2, 3, 4] {
        assert!(it.next().starts_with(&format!("publish #{op}")));
    }
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:r1");
    it.done(3);
    it.expect_nothing();
    it.done(4);
    it.expect("RECEIPT receipt-id:r3");
}

#[test]
fn a_send_that_the_broker_does_not_take_gets_an_error_and_no_receipt() {
    let full = || Fault::Full { what: "/queue/a".to_owned(), max: 10, unit: "messages", setting: "s" };
    for (fault, label, title) in [
        (full(), "queue_full", "Processing error"),
        (Fault::Nacked, "nacked", "Processing error"),
        (Fault::Unavailable, "broker_unavailable", "Broker not available."),
        (Fault::TimedOut(5), "broker_timeout", "Processing error"),
        (Fault::Unsupported("no"), "unsupported", "Processing error"),
    ] {
        let mut it = Dialogue::connected();
        it.client("SEND destination:/queue/a receipt:r");
        it.next();
        it.failed(2, fault);
        assert!(it.expect_error(label, title).contains("receipt-id:r"));
        it.expect(&format!("close 1002 {label}"));
    }
}

#[test]
fn answers_to_a_temporary_queue_arrive_under_its_name() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/queue/a reply-to:/temp-queue/x | 1");
    it.expect("publish #2 /queue/a reply=s1 | 1");
    it.client("SEND destination:/queue/a reply-to:/temp-queue/x | 2");
    it.expect("publish #3 /queue/a reply=s1 | 2");
    it.deliver(1, 5, "answer");
    it.expect("MESSAGE subscription:/temp-queue/x destination:/topic/a message-id:m1 redelivered:false | answer");
    it.expect("when written 5");
}

#[test]
fn any_other_reply_to_is_passed_on_as_it_is() {
    check("SEND destination:/queue/a reply-to:/queue/b", "/queue/a reply-to:/queue/b | ");
}
