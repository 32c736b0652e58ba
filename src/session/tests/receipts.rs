//! RECEIPTs (RC1 ..): when each frame gets its own.

use super::*;

#[test]
fn rc1_a_send_when_the_broker_has_confirmed_it() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/queue/a receipt:r1 | 1");
    it.client("SEND destination:/queue/a | 2");
    it.client("SEND destination:/queue/a receipt:r3 persistent:true | 3");
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
fn rc2_a_send_that_the_broker_refuses_gets_an_error() {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_with(Settings { close_on_error, ..Settings::default() });
        it.client("SEND destination:/queue/a receipt:r");
        it.next();
        it.failed(2, Fault::Nacked);
        assert!(it.expect_error("nacked", "Processing error").contains("receipt-id:r"));
        it.expect(if close_on_error { "close 1002 nacked" } else { "" });
    }
}

#[test]
fn rc3_a_send_in_a_transaction_when_its_commit_is_confirmed() {
    let mut it = Dialogue::connected();
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t receipt:s | 1");
    it.expect_nothing();
    it.client("COMMIT transaction:t");
    it.expect("publish #2 /queue/q | 1");
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:s");
}

#[test]
fn rc5_an_unsubscribe_when_the_broker_has_answered() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.client("UNSUBSCRIBE id:a receipt:r");
    it.expect("unsubscribe #3 s1");
    it.expect_nothing();
    it.done(3);
    it.expect("RECEIPT receipt-id:r");
}

#[test]
fn rc6_an_ack_at_once_in_a_transaction_too() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client-individual");
    for token in [11, 12] {
        it.deliver(1, token, "x");
        it.next();
    }
    it.client(&format!("ACK id:{SESSION}-1 receipt:k1"));
    it.expect("accept 11");
    it.expect("RECEIPT receipt-id:k1");
    it.client("BEGIN transaction:t");
    it.client(&format!("NACK id:{SESSION}-2 transaction:t receipt:k2"));
    it.expect("RECEIPT receipt-id:k2");
    it.client("COMMIT transaction:t");
    it.expect("requeue 12");
    it.expect_nothing();
}

#[test]
fn rc7_begin_and_abort_at_once_and_commit_when_its_sends_are_confirmed() {
    let mut it = Dialogue::connected();
    it.client("BEGIN transaction:t receipt:b");
    it.expect("RECEIPT receipt-id:b");
    it.client("ABORT transaction:t receipt:a");
    it.expect("RECEIPT receipt-id:a");
    it.client("BEGIN transaction:t");
    it.client("COMMIT transaction:t receipt:c1");
    it.expect("RECEIPT receipt-id:c1");
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t | 1");
    it.client("COMMIT transaction:t receipt:c2");
    it.expect("publish #2 /queue/q | 1");
    it.expect_nothing();
    it.done(2);
    it.expect("RECEIPT receipt-id:c2");
}

#[test]
fn rc8_disconnect_last_of_all() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/topic/a receipt:s | 1");
    it.client("DISCONNECT receipt:d");
    it.expect("publish #2 /topic/a | 1");
    it.expect_nothing();
    assert!(!it.session.wants_frames() && !it.session.wants_deliveries());
    it.done(2);
    it.expect("RECEIPT receipt-id:s");
    it.expect("RECEIPT receipt-id:d");
    it.expect("close 1000 disconnect");
    it.expect_nothing();
}

#[test]
fn rc10_connect_never() {
    let mut it = Dialogue::new(Settings::default());
    it.client("CONNECT accept-version:1.2 receipt:r");
    assert!(it.next().starts_with("open #1"));
    it.opened(1);
    let connected = it.next();
    assert!(connected.starts_with("CONNECTED") && !connected.contains("receipt-id"), "{connected}");
    it.expect_nothing();
}
