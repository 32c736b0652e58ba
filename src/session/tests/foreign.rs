//! In front of a broker that has a grammar of destinations of its own.

use super::*;
use crate::destination::Grammar;

fn connected() -> Dialogue {
    Dialogue::connected_with(Settings { grammar: Grammar::Foreign, ..Settings::default() })
}

#[test]
fn destinations_are_passed_on_as_they_were_written() {
    let mut it = connected();
    it.client("SEND destination:jms.topic://a/b%2F x:1 | hi");
    it.expect("publish #2 jms.topic://a/b%2F x:1 | hi");
    it.done(2);
    it.client("SUBSCRIBE id:s destination:/topic/a/b/c.>");
    it.expect("subscribe #3 s1 /topic/a/b/c.> id=s auto 64");
}

#[test]
fn reply_to_is_passed_on_and_answers_to_a_temporary_queue_are_expected() {
    let mut it = connected();
    it.client("SEND destination:q reply-to:/temp-queue/x | 1");
    it.expect("publish #2 q reply-to:/temp-queue/x reply=s1 | 1");
    it.client("SEND destination:q reply-to:jms.queue.x | 2");
    it.expect("publish #3 q reply-to:jms.queue.x | 2");
}

#[test]
fn the_back_end_is_told_whether_somebody_waits_for_a_send() {
    let is_receipted = |it: &mut Dialogue| match it.session.poll_action() {
        Some(Action::Publish { publish, .. }) => publish.is_receipted,
        other => panic!("expected a publish, not {other:?}"),
    };
    let mut it = connected();
    it.client("SEND destination:q | 1");
    assert!(!is_receipted(&mut it));
    it.client("SEND destination:q receipt:r | 2");
    assert!(is_receipted(&mut it));
    it.client("BEGIN transaction:t");
    it.client("SEND destination:q transaction:t | 3");
    it.client("COMMIT transaction:t receipt:c");
    assert!(is_receipted(&mut it), "the COMMIT waits for it");
}
