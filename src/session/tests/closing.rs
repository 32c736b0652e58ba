//! Each row of the table of close reasons, reached by what leads to it.

use std::collections::BTreeSet;

use super::states::all_reasons;
use super::*;
use crate::session::{LABELS, Level, Refusal};

/// What a session does with an input that ends it.
fn check(input: Input, error: Option<(&str, &str)>, close: &str) {
    let mut it = Dialogue::connected();
    it.input(input);
    if let Some((label, title)) = error {
        it.expect_error(label, title);
    }
    it.expect(close);
    it.expect_nothing();
    it.client("SEND destination:/queue/a receipt:r");
    it.deliver(1, 1, "late");
    it.pass(Duration::from_secs(3600));
    it.expect_nothing();
    assert!(!it.session.wants_frames() && !it.session.wants_deliveries() && it.session.poll_timeout().is_none());
}

fn malformed(error: DecodeError) -> Input {
    Input::Malformed { error, receipt: Some("r".into()) }
}

#[test]
fn each_reason_has_its_error_and_code() {
    check(Input::Drain, None, "close 1012 draining");
    check(Input::Frame(frame("DISCONNECT")), None, "close 1000 disconnect");
    check(Input::Gone, None, "close 1006 gone");
    check(
        Input::LinkLost(Fault::Unavailable),
        Some(("broker_lost", "Connection to broker closed.")),
        "close 1002 broker_lost",
    );
    check(Input::Overflowed, None, "close 4500 slow_consumer");
    check(Input::TransportViolated { rule: "no" }, None, "close 1002 transport_violated");
    check(
        Input::TransportMessageTooLarge { max: 9 },
        Some(("limit_message_bytes", "Message too large")),
        "close 1009 limit_message_bytes",
    );
    let title = "Malformed frame";
    check(malformed(DecodeError::NotUtf8), Some(("malformed", title)), "close 1002 malformed");
    for (error, label) in [
        (DecodeError::FrameTooLarge { max: 9, before_connect: false }, "limit_frame_bytes"),
        (DecodeError::HeadersTooLarge { max: 9 }, "limit_header_bytes"),
        (DecodeError::TooManyHeaders { max: 9 }, "limit_header_count"),
    ] {
        check(malformed(error), Some((label, title)), &format!("close 1009 {label}"));
    }
}

#[test]
fn the_loss_of_the_broker_is_not_logged_for_each_session() {
    assert_eq!(CloseReason::BrokerLost.closing().level, Level::Debug);
    let refused = |fault| CloseReason::Refused(Refusal::Broker(fault)).closing().level;
    assert_eq!(refused(Fault::Unavailable), Level::Debug);
    assert_eq!(refused(Fault::Nacked), Level::Info);
}

#[test]
fn a_malformed_frame_gets_its_receipt_id_and_names_the_setting() {
    let mut it = Dialogue::connected();
    it.input(malformed(DecodeError::FrameTooLarge { max: 65_536, before_connect: false }));
    let error = it.expect_error("limit_frame_bytes", "Malformed frame");
    let text = "receipt-id:r | frame is larger than 65536 bytes (stomp.frame_bytes_max)";
    assert!(error.ends_with(text), "{error}");
}

#[test]
fn every_label_belongs_to_the_closed_set() {
    let set: BTreeSet<_> = LABELS.iter().collect();
    assert_eq!(set.len(), LABELS.len());
    for reason in all_reasons() {
        assert!(set.contains(&reason.closing().label), "{reason:?}");
    }
    let reached: BTreeSet<_> = all_reasons().iter().map(|it| it.closing().label).collect();
    assert_eq!(set.into_iter().copied().collect::<BTreeSet<_>>(), reached);
}

#[test]
fn no_reason_is_longer_than_a_close_frame_can_hold() {
    for reason in all_reasons() {
        assert!(reason.closing().reason.len() <= 123, "{reason:?}");
    }
}
