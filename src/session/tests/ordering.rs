//! Frames take effect strictly in order, and what is pending is bounded.

use super::*;

#[test]
fn nothing_overtakes_a_subscribe() {
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/topic/a");
    assert!(!it.session.wants_frames());
    it.next();
    it.done(2);
    assert!(it.session.wants_frames());
}

#[test]
fn a_subscribe_waits_for_the_sends_before_it() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a receipt:s | 1");
    it.client("SUBSCRIBE id:a destination:/topic/a receipt:r");
    it.expect("publish #2 /topic/a | 1");
    it.expect_nothing();
    assert!(!it.session.wants_frames());
    it.done(2);
    it.expect("RECEIPT receipt-id:s");
    it.expect("subscribe #3 s1 /topic/a id=a auto 64");
    it.done(3);
    it.expect("RECEIPT receipt-id:r");
}

#[test]
fn a_subscribe_that_waited_is_refused_with_its_own_receipt() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a | 1");
    it.client("SUBSCRIBE id:a destination:/nowhere/a receipt:r");
    it.expect("publish #2 /topic/a | 1");
    it.done(2);
    assert!(it.expect_error("invalid_destination", "Unknown destination").contains("receipt-id:r"));
}

#[test]
fn at_the_bound_of_unconfirmed_sends_nothing_more_is_read() {
    let mut it = Dialogue::connected_with(Settings { publishes_in_flight_max: 2, ..Settings::default() });
    it.client("SEND destination:/topic/a | 1");
    assert!(it.session.wants_frames());
    it.client("SEND destination:/topic/a | 2");
    assert!(!it.session.wants_frames());
    it.done(2);
    assert!(it.session.wants_frames());
}

#[test]
fn at_the_bound_of_unconfirmed_bytes_nothing_more_is_read() {
    let mut it = Dialogue::connected_with(Settings { publish_bytes_in_flight_max: 10, ..Settings::default() });
    it.client("SEND destination:/topic/a | 123456789");
    assert!(it.session.wants_frames());
    it.client("SEND destination:/topic/a | 1");
    assert!(!it.session.wants_frames());
    it.done(2);
    assert!(it.session.wants_frames());
    it.client("SEND destination:/topic/a receipt:23456789 | 1");
    assert!(!it.session.wants_frames());
}

#[test]
fn a_send_that_fails_while_the_client_leaves_is_said_before_the_receipt() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a receipt:s | 1");
    it.client("DISCONNECT receipt:d");
    it.next();
    it.failed(2, Fault::Nacked);
    assert!(it.expect_error("nacked", "Processing error").contains("receipt-id:s"));
    it.expect("RECEIPT receipt-id:d");
    it.expect("close 1000 disconnect");
}

#[test]
fn a_drain_does_not_wait_long_for_a_subscribe() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a receipt:s | 1");
    it.client("SUBSCRIBE id:a destination:/topic/a receipt:a");
    it.expect("publish #2 /topic/a | 1");
    it.input(Input::Draining);
    it.pass(10 * PATIENCE);
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:s");
    it.expect("subscribe #3 s1 /topic/a id=a auto 64");
    assert_eq!(it.session.poll_timeout(), Some(it.now + PATIENCE));
    it.pass(PATIENCE);
    it.expect("close 1012 draining");
    it.done(3);
    it.expect_nothing();
}

#[test]
fn a_subscribe_that_is_answered_in_a_drain_is_receipted() {
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/topic/a receipt:a");
    it.next();
    it.pass(Duration::from_secs(10));
    it.input(Input::Draining);
    it.pass(Duration::from_millis(999));
    it.done(2);
    it.expect("RECEIPT receipt-id:a");
    it.pass(Duration::from_secs(1));
    it.expect_nothing();
    it.input(Input::Drain);
    it.expect("close 1012 draining");
}

#[test]
fn a_drain_waits_for_what_is_pending() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a receipt:s | 1");
    it.next();
    it.input(Input::Drain);
    it.expect_nothing();
    it.deliver(1, 9, "late");
    it.expect("requeue 9");
    it.done(2);
    it.expect("RECEIPT receipt-id:s");
    it.expect("close 1012 draining");
}
