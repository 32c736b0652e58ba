//! BEGIN, COMMIT, ABORT, and what they hold. Rows (T1 ..) are those of the table in `docs/PROTOCOL.md`.

use super::*;

fn lenient() -> Settings {
    Settings { close_on_error: false, ..Settings::default() }
}

#[test]
fn t4_t6_nothing_of_a_transaction_takes_effect_before_commit() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client-individual");
    it.deliver(1, 11, "x");
    it.next();
    it.client("BEGIN transaction:t receipt:b");
    it.expect("RECEIPT receipt-id:b");
    it.client("SEND destination:/queue/q transaction:t receipt:s1 | 1");
    it.client(&format!("ACK id:{SESSION}-1 transaction:t receipt:k"));
    it.expect("RECEIPT receipt-id:k");
    it.client("SEND destination:/queue/q transaction:t | 2");
    it.expect_nothing();
    it.client("COMMIT transaction:t receipt:c");
    it.expect("publish #3 /queue/q | 1");
    it.expect("accept 11");
    it.expect("publish #4 /queue/q | 2");
    it.expect_nothing();
    it.done(3);
    it.expect("RECEIPT receipt-id:s1");
    it.expect_nothing();
    it.done(4);
    it.expect("RECEIPT receipt-id:c");
}

#[test]
fn a_commit_without_sends_is_answered_after_its_acks() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.deliver(1, 11, "x");
    it.next();
    it.client("BEGIN transaction:t");
    it.client(&format!("NACK id:{SESSION}-1 transaction:t"));
    it.client("COMMIT transaction:t receipt:c");
    it.expect("requeue 11");
    it.expect("RECEIPT receipt-id:c");
}

#[test]
fn t7_abort_forgets_sends_and_leaves_messages_unsettled() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    it.deliver(1, 11, "x");
    it.next();
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t | 1");
    it.client(&format!("ACK id:{SESSION}-1 transaction:t"));
    it.client("ABORT transaction:t receipt:r");
    it.expect("RECEIPT receipt-id:r");
    it.expect_nothing();
    it.client(&format!("ACK id:{SESSION}-1"));
    it.expect("accept 11");
}

#[test]
fn t6_an_ack_that_another_one_made_needless_is_skipped() {
    let mut it = Dialogue::subscribed("a", "/queue/a", "client");
    for token in [11, 12] {
        it.deliver(1, token, "x");
        it.next();
    }
    it.client("BEGIN transaction:t");
    it.client(&format!("ACK id:{SESSION}-1 transaction:t"));
    it.client(&format!("ACK id:{SESSION}-2"));
    it.expect("accept 11,12");
    it.client("COMMIT transaction:t receipt:c");
    it.expect("RECEIPT receipt-id:c");
    it.expect_nothing();
}

#[test]
fn two_transactions_are_apart() {
    let mut it = Dialogue::connected();
    for id in ["t", "u"] {
        it.client(&format!("BEGIN transaction:{id}"));
        it.client(&format!("SEND destination:/queue/q transaction:{id} | {id}"));
    }
    it.client("COMMIT transaction:u");
    it.expect("publish #2 /queue/q | u");
    it.client("COMMIT transaction:t");
    it.expect("publish #3 /queue/q | t");
}

#[test]
fn t6_rc9_a_commit_with_a_failed_send_gets_an_error_and_no_receipt() {
    let mut it = Dialogue::connected_with(lenient());
    it.client("BEGIN transaction:t");
    for body in ["1", "2", "3"] {
        it.client(&format!("SEND destination:/queue/q transaction:t | {body}"));
    }
    it.client("COMMIT transaction:t receipt:c");
    for _ in 0..3 {
        it.next();
    }
    it.done(2);
    it.failed(3, Fault::Nacked);
    assert!(it.expect_error("nacked", "Processing error").contains("receipt-id:c"));
    it.failed(4, Fault::Nacked);
    assert!(!it.expect_error("nacked", "Processing error").contains("receipt-id"));
    it.expect_nothing();
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t | 4");
    it.client("COMMIT transaction:t receipt:d");
    it.next();
    it.done(5);
    it.expect("RECEIPT receipt-id:d");
}

#[test]
fn t6_rc9_a_send_with_a_receipt_of_its_own_leaves_the_commit_its_answer() {
    let mut it = Dialogue::connected_with(lenient());
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t receipt:s | 1");
    it.client("COMMIT transaction:t receipt:c");
    it.next();
    it.failed(2, Fault::Nacked);
    for receipt in ["receipt-id:s", "receipt-id:c"] {
        assert!(it.expect_error("nacked", "Processing error").contains(receipt), "{receipt}");
    }
    it.expect_nothing();
}

#[test]
fn t2_t3_a_transaction_must_be_named_and_open() {
    let mut it = Dialogue::connected_with(lenient());
    for command in ["BEGIN", "COMMIT", "ABORT"] {
        it.client(command);
        it.expect_error("missing_header", "Missing transaction");
    }
    for line in [
        "COMMIT transaction:t",
        "ABORT transaction:t",
        "SEND destination:/queue/q transaction:t",
        "ACK id:x transaction:t",
    ] {
        it.client(line);
        it.expect_error("transaction_unknown", "Bad transaction");
    }
    it.client("BEGIN transaction:t");
    it.client("ABORT transaction:t");
    it.client("BEGIN transaction:t");
    it.expect_nothing();
}

#[test]
fn t1_a_name_is_used_once_at_a_time() {
    let mut it = Dialogue::connected();
    it.client("BEGIN transaction:t");
    it.client("BEGIN transaction:t receipt:r");
    assert!(it.expect_error("transaction_exists", "Bad transaction").contains("receipt-id:r"));
    it.expect("close 1002 transaction_exists");
}

#[test]
fn t1_as_the_plugin_does_a_second_begin_empties_the_transaction() {
    let mut it = Dialogue::connected_with(Settings { transactions_max: 1, ..lenient() });
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t | 1");
    it.client("BEGIN transaction:t receipt:b");
    it.expect("RECEIPT receipt-id:b");
    it.client("SEND destination:/queue/q transaction:t | 2");
    it.client("COMMIT transaction:t");
    it.expect("publish #2 /queue/q | 2");
    it.expect_nothing();
}

#[test]
fn t8_what_is_open_when_the_session_ends_is_forgotten() {
    for end in ["DISCONNECT", "NONE"] {
        let mut it = Dialogue::connected();
        it.client("BEGIN transaction:t");
        it.client("SEND destination:/queue/q transaction:t receipt:s | 1");
        if end == "NONE" {
            it.input(Input::Gone)
        } else {
            it.client(end)
        }
        assert!(it.next().starts_with("close"), "{end}");
        it.expect_nothing();
    }
}

#[test]
fn t9_subscribe_and_unsubscribe_do_not_wait_for_a_commit() {
    let mut it = Dialogue::connected();
    it.client("BEGIN transaction:t");
    it.client("SUBSCRIBE id:a destination:/queue/a transaction:t");
    it.expect("subscribe #2 s1 /queue/a id=a auto 64");
    it.done(2);
    it.client("UNSUBSCRIBE id:a transaction:unknown");
    it.expect("unsubscribe #3 s1");
}

#[test]
fn t4_t5_what_is_wrong_in_a_transaction_is_said_at_once() {
    let mut it = Dialogue::connected_with(lenient());
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/nowhere/q transaction:t");
    it.expect_error("invalid_destination", "Unknown destination");
    it.client(&format!("ACK id:{SESSION}-1 transaction:t receipt:r"));
    assert!(it.expect_error("ack_unknown", "Message not found").contains("receipt-id:r"));
    it.client("COMMIT transaction:t receipt:c");
    it.expect("RECEIPT receipt-id:c");
    it.expect_nothing();
}

#[test]
fn t1_t4_one_over_each_limit_is_refused_by_its_name() {
    let settings = Settings { transactions_max: 1, transaction_frames_max: 2, transaction_bytes_max: 10, ..lenient() };
    let mut it = Dialogue::connected_with(settings);
    it.client("BEGIN transaction:t");
    it.client("BEGIN transaction:u");
    assert!(it.expect_error("limit_transactions", "Limit exceeded").ends_with("(session.transactions_max)"));
    it.client("SEND destination:/queue/q transaction:t | 12345");
    it.client("SEND destination:/queue/q transaction:t | 678901");
    let error = it.expect_error("limit_transaction_bytes", "Limit exceeded");
    assert!(error.ends_with("| A transaction holds at most 10 bytes (session.transaction_bytes_max)"), "{error}");
    it.client("SEND destination:/queue/q transaction:t | 67890");
    it.client("SEND destination:/queue/q transaction:t");
    let error = it.expect_error("limit_transaction_frames", "Limit exceeded");
    assert!(error.ends_with("| A transaction holds at most 2 frames (session.transaction_frames_max)"), "{error}");
    it.client("COMMIT transaction:t");
    it.expect("publish #2 /queue/q | 12345");
    it.expect("publish #3 /queue/q | 67890");
}

#[test]
fn receipts_that_wait_for_a_commit_are_bounded_as_well() {
    let mut it = Dialogue::connected_with(Settings { transaction_bytes_max: 10, ..lenient() });
    it.client("BEGIN transaction:t");
    it.client("SEND destination:/queue/q transaction:t receipt:12345 | 12345");
    it.client("SEND destination:/queue/q transaction:t receipt:6");
    it.expect_error("limit_transaction_bytes", "Limit exceeded");
}
