//! Deadlines: CONNECT, heart-beats both ways, silence, write stall.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// An empty one.
const PONG: Input = Input::Received { bytes: 6 };

/// Connected with heart-beats as the client offers them; the gateway offers 10 s both ways.
fn beating(offer: &str) -> Dialogue {
    let mut it = Dialogue::new(Settings::default());
    it.client(&format!("CONNECT accept-version:1.2 heart-beat:{offer}"));
    it.next();
    it.opened(1);
    it.next();
    it
}

#[test]
fn a_client_that_does_not_connect_in_time_is_told_so() {
    let mut it = Dialogue::new(Settings::default());
    assert_eq!(it.session.poll_timeout(), Some(it.now + 10 * SECOND));
    it.input(PONG);
    it.pass(Duration::from_millis(9_999));
    it.expect_nothing();
    it.pass(Duration::from_millis(1));
    assert!(it.expect_error("connect_timeout", "No CONNECT received in time").ends_with("(session.connect_wait)"));
    it.expect("close 1002 connect_timeout");
    assert_eq!(it.session.poll_timeout(), None);
}

#[test]
fn heart_beats_are_sent_when_nothing_else_was() {
    let mut it = beating("0,12000");
    assert_eq!(it.session.poll_timeout(), Some(it.now + 12 * SECOND));
    it.pass(12 * SECOND);
    it.expect("heart-beat");
    it.pass(6 * SECOND);
    it.client("BEGIN transaction:t receipt:r");
    it.expect("RECEIPT receipt-id:r");
    it.pass(6 * SECOND);
    it.expect_nothing();
    it.pass(6 * SECOND);
    it.expect("heart-beat");
}

#[test]
fn no_heart_beats_are_sent_to_a_client_that_wants_none() {
    let mut it = beating("10000,0");
    it.pass(14 * SECOND);
    it.expect_nothing();
}

#[test]
fn a_silent_client_is_pinged_once_and_then_given_up() {
    let mut it = beating("10000,0");
    it.pass(15 * SECOND);
    it.expect("ping");
    it.pass(14 * SECOND);
    it.expect_nothing();
    it.pass(SECOND);
    assert!(it.expect_error("heartbeat_lost", "Session closed.").ends_with("| Nothing was received for 30000 ms"));
    it.expect("close 1002 heartbeat_lost");
}

#[test]
fn a_pong_is_a_sign_of_life() {
    let mut it = beating("10000,0");
    for _ in 0..5 {
        it.pass(15 * SECOND);
        it.expect("ping");
        it.input(PONG);
    }
    it.pass(10 * SECOND);
    it.expect_nothing();
}

#[test]
fn a_client_without_heart_beats_is_pinged_as_well() {
    let mut it = beating("0,0");
    it.pass(45 * SECOND);
    it.expect("ping");
    it.pass(45 * SECOND);
    it.expect_error("heartbeat_lost", "Session closed.");
}

#[test]
fn silence_does_not_count_while_the_client_is_not_read() {
    let mut it = beating("10000,0");
    it.pass(14 * SECOND);
    it.input(Input::ReadPaused);
    assert_eq!(it.session.poll_timeout(), None);
    for _ in 0..100 {
        it.pass(SECOND);
        it.input(Input::ReadPaused);
    }
    it.expect_nothing();
    it.input(Input::ReadResumed);
    assert_eq!(it.session.poll_timeout(), Some(it.now + SECOND));
    it.pass(SECOND);
    it.expect("ping");
    it.pass(15 * SECOND);
    it.expect_error("heartbeat_lost", "Session closed.");
}

#[test]
fn a_client_that_is_read_is_given_up_whatever_the_broker_does() {
    let mut it = beating("10000,0");
    it.client("SUBSCRIBE id:a destination:/topic/a");
    it.next();
    it.pass(15 * SECOND);
    it.expect("ping");
    it.pass(15 * SECOND);
    it.expect_error("heartbeat_lost", "Session closed.");
}

#[test]
fn heart_beats_are_sent_to_a_client_that_is_not_read() {
    let mut it = beating("10000,10000");
    it.input(Input::ReadPaused);
    for _ in 0..20 {
        it.pass(10 * SECOND);
        it.expect("heart-beat");
        it.expect_nothing();
    }
}

#[test]
fn a_client_that_is_not_read_has_no_more_time_to_connect() {
    let mut it = Dialogue::new(Settings::default());
    it.input(Input::ReadPaused);
    it.pass(10 * SECOND);
    it.expect_error("connect_timeout", "No CONNECT received in time");
}

#[test]
fn time_in_which_nobody_ran_is_forgiven_once_until_the_client_is_heard() {
    let mut it = beating("10000,0");
    it.pass(15 * SECOND);
    it.expect("ping");
    it.pass(1_000 * SECOND);
    it.expect_nothing();
    it.pass(15 * SECOND);
    it.expect("ping");
    it.input(PONG);
    it.pass(1_000 * SECOND);
    it.expect_nothing();
    it.pass(33 * SECOND);
    it.expect_error("heartbeat_lost", "Session closed.");
}

#[test]
fn a_tick_that_is_a_little_late_is_not_forgiven() {
    let mut it = beating("10000,0");
    it.pass(15 * SECOND);
    it.expect("ping");
    it.pass(17 * SECOND);
    it.expect_error("heartbeat_lost", "Session closed.");
}

#[test]
fn time_in_which_nobody_ran_counts_neither_to_connect_nor_to_read() {
    let mut it = Dialogue::new(Settings::default());
    it.pass(1_000 * SECOND);
    it.expect_nothing();
    it.pass(10 * SECOND);
    it.expect_error("connect_timeout", "No CONNECT received in time");
    let mut it = Dialogue::connected();
    it.input(Input::WriteBlocked);
    it.pass(1_000 * SECOND);
    it.expect_nothing();
    it.pass(10 * SECOND);
    it.expect("close 4500 write_stalled");
}

#[test]
fn a_network_that_takes_nothing_for_too_long_ends_the_session() {
    let mut it = Dialogue::connected();
    it.input(Input::WriteBlocked);
    it.pass(9 * SECOND);
    it.input(Input::WriteBlocked);
    it.expect_nothing();
    it.pass(SECOND);
    it.expect("close 4500 write_stalled");
    it.expect_nothing();
}

#[test]
fn what_was_written_in_time_ends_the_stall() {
    let mut it = Dialogue::connected();
    it.input(Input::WriteBlocked);
    it.pass(9 * SECOND);
    it.input(Input::Written);
    it.pass(9 * SECOND);
    it.expect_nothing();
    it.input(Input::WriteBlocked);
    it.pass(9 * SECOND);
    it.expect_nothing();
}

#[test]
fn a_client_that_takes_a_part_in_time_is_not_stalled() {
    let mut it = Dialogue::connected();
    it.input(Input::WriteBlocked);
    // Far beyond the silence that is allowed: a client that is busy with reading may not be read from.
    for _ in 0..30 {
        it.pass(9 * SECOND);
        it.input(Input::WrittenInPart);
    }
    while it.session.poll_action().is_some() {}
    it.pass(10 * SECOND);
    it.expect("close 4500 write_stalled");
}
