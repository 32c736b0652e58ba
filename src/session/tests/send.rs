//! SEND: what travels, receipts, replies.

use super::*;

fn check(send: &str, published: &str) {
    let mut it = Dialogue::connected();
    it.client(send);
    it.expect(&format!("publish #2 {published}"));
    it.expect_nothing();
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
fn an_expiration_is_digits_and_nothing_else() {
    for expiration in ["soon", "+5", "-5", "", "5 ", "99999999999999999999"] {
        let mut it = Dialogue::connected();
        let headers = [("destination", "/topic/a"), ("expiration", expiration)].into_iter().collect();
        it.input(Input::Frame(Frame::new(crate::stomp::Command::Send, headers)));
        it.expect_refusal("invalid_header", "Processing error");
    }
}

#[test]
fn d30_answers_to_a_temporary_queue_arrive_under_its_name() {
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
fn d30_any_other_destination_in_reply_to_is_passed_on_as_it_is() {
    for other in ["/queue/b", "/exchange/x/k", "/amq/queue/b", "/reply-queue/amq.gen-x", "amq.rabbitmq.reply-to"] {
        check(&format!("SEND destination:/queue/a reply-to:{other}"), &format!("/queue/a reply-to:{other} | "));
    }
}

#[test]
fn d30_a_reply_to_that_is_no_destination_is_refused() {
    for bad in ["", "/temp-queue/", "/bogus/x", "/topic/a/b"] {
        let mut it = Dialogue::connected();
        it.client(&format!("SEND destination:/queue/a reply-to:{bad}"));
        it.expect_refusal("invalid_header", "Processing error");
    }
}
