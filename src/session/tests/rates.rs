//! Clients that send more than they may in a second.

use super::*;

fn limited(messages_per_second_max: usize, bytes_per_second_max: usize) -> Dialogue {
    Dialogue::connected_with(Settings { messages_per_second_max, bytes_per_second_max, ..Settings::default() })
}

/// One SEND, confirmed at once.
fn send(it: &mut Dialogue, op: u64) {
    it.client("SEND destination:/topic/a");
    it.done(op);
}

/// Takes all actions; says whether one is that it is not read.
fn is_throttled(it: &mut Dialogue) -> bool {
    std::iter::from_fn(|| Some(it.next()).filter(|it| !it.is_empty())).any(|it| it.starts_with("throttle"))
}

#[test]
fn one_send_more_than_the_rate_waits_for_its_turn() {
    let mut it = limited(4, 0);
    for op in 2..5 {
        send(&mut it, op);
        assert!(it.session.wants_input() && !is_throttled(&mut it));
    }
    send(&mut it, 5);
    assert!(!it.session.wants_input() && !it.session.wants_frames());
    assert!(it.session.wants_deliveries(), "what it is sent goes on");
    assert!(is_throttled(&mut it));
    assert_eq!(it.session.poll_timeout(), Some(it.now + Duration::from_millis(250)));
    it.pass(Duration::from_millis(249));
    assert!(!it.session.wants_input());
    it.pass(Duration::from_millis(1));
    assert!(it.session.wants_input() && it.session.wants_frames());
    send(&mut it, 6);
    assert!(is_throttled(&mut it), "each pause is counted");
}

#[test]
fn only_sends_count_as_messages() {
    let mut it = limited(1, 0);
    for i in 0..100 {
        it.client(&format!("BEGIN transaction:{i}"));
        it.client(&format!("ABORT transaction:{i}"));
    }
    assert!(it.session.wants_input() && !is_throttled(&mut it));
}

#[test]
fn what_is_received_beyond_the_bytes_of_a_second_is_waited_for() {
    let mut it = limited(0, 1_000);
    it.input(Input::Received { bytes: 999 });
    assert!(it.session.wants_input());
    it.input(Input::Received { bytes: 2_001 });
    it.expect("throttle Bytes");
    it.pass(Duration::from_millis(2_000));
    assert!(!it.session.wants_input());
    it.pass(Duration::from_millis(2));
    assert!(it.session.wants_input());
    it.expect_nothing();
}

#[test]
fn without_a_bound_nothing_is_counted() {
    let mut it = limited(0, 0);
    it.input(Input::Received { bytes: 1 << 40 });
    (0..1_000).for_each(|_| it.client("SEND destination:/topic/a"));
    assert!(it.session.wants_input() && !is_throttled(&mut it));
}

#[test]
fn a_client_may_be_slowed_down_before_its_connect() {
    let mut it = Dialogue::new(Settings { bytes_per_second_max: 10, ..Settings::default() });
    it.input(Input::Received { bytes: 100 });
    it.expect("throttle Bytes");
    assert!(!it.session.wants_frames());
    it.pass(Duration::from_secs(10));
    it.expect_error("connect_timeout", "No CONNECT received in time");
}
