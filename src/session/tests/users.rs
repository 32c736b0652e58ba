//! Destinations below `/user`. Rows SP-n are the checks of `docs/protocol/spring.md`.

use super::*;
use crate::destination::{Destination, Whom};
use crate::ident::Principal;

fn connected_as(user: &str, settings: Settings) -> Dialogue {
    let mut it = Dialogue::new(settings);
    it.client("CONNECT accept-version:1.2");
    it.next();
    let principal = Some(Principal::new(user));
    it.input(Input::Done { op: OpId(1), outcome: Ok(Answer::Opened { principal }) });
    assert!(it.next().ends_with(&format!(" user-name:{user}")));
    it.version = Version::V1_2;
    it
}

fn whom(it: &mut Dialogue, destination: &str) -> (Whom, String) {
    it.client(&format!("SEND destination:{destination}"));
    match it.session.poll_action() {
        Some(Action::Publish { publish, .. }) => match publish.destination {
            Destination::User { whom, rest } => (whom, rest.into()),
            other => panic!("{other} is not for a user"),
        },
        other => panic!("{destination} became {other:?}"),
    }
}

#[test]
fn sp70_a_subscribe_is_for_who_sends_it() {
    let mut it = connected_as("ann", Settings::default());
    it.client("SUBSCRIBE id:a destination:/user/queue/foo");
    it.expect("subscribe #2 s1 /user/queue/foo id=a auto 64");
    it.done(2);
    it.client("SUBSCRIBE id:b destination:/user/exchange/amq.direct/x ack:client auto-delete:true");
    it.expect("subscribe #3 s2 /user/exchange/amq.direct/x id=b client 64");
    it.done(3);
    it.client("UNSUBSCRIBE id:a destination:/user/queue/foo");
    it.expect("unsubscribe #4 s1");
}

#[test]
fn sp70_a_send_is_for_who_is_named() {
    let mut it = connected_as("ann", Settings::default());
    let named = |name: &str, rest: &str| (Whom::Name(name.into()), rest.to_owned());
    assert_eq!(whom(&mut it, "/user/joe/queue/foo"), named("joe", "/queue/foo"));
    assert_eq!(
        whom(&mut it, "/user/https:%2F%2Fjoe.example%2F/queue/foo"),
        named("https://joe.example/", "/queue/foo")
    );
    assert_eq!(whom(&mut it, "/user/joe/jms.queue.call"), named("joe", "/jms.queue.call"));
    let session = Whom::Session(SessionId::from_random([0; 16]));
    assert_eq!(whom(&mut it, &format!("/user/{SESSION}/queue/foo")), (session, "/queue/foo".to_owned()));
}

#[test]
fn sp70_a_send_that_names_no_user_or_no_queue_is_refused() {
    for destination in ["/user/joe", "/user/joe/", "/user//queue/foo", "/user/"] {
        let mut it = Dialogue::connected();
        it.client(&format!("SEND destination:{destination}"));
        it.expect_refusal("invalid_destination", "Invalid destination");
    }
}

#[test]
fn sp70_a_user_whom_no_destination_names_can_not_subscribe() {
    let id = "A".repeat(22);
    for (user, reason) in [("a%2Fb", "%2F"), (&"n".repeat(256), "255 bytes"), (&id, "form of a session id")] {
        let mut it = connected_as(user, Settings::default());
        it.client("SUBSCRIBE id:a destination:/user/queue/foo");
        assert!(it.expect_error("invalid_destination", "Invalid destination").contains(reason));
        it.expect("close 1002 invalid_destination");
    }
    let mut it = connected_as("a%2fb/c", Settings::default());
    it.client("SUBSCRIBE id:a destination:/user/queue/foo");
    it.expect("subscribe #2 s1 /user/queue/foo id=a auto 64");
}

#[test]
fn sp73_the_prefix_is_a_setting() {
    let mut it = connected_as("ann", Settings { user_prefix: "/people".parse().unwrap(), ..Settings::default() });
    assert_eq!(whom(&mut it, "/people/joe/queue/foo"), (Whom::Name("joe".into()), "/queue/foo".to_owned()));
    it.client("SEND destination:/user/joe/queue/foo");
    it.expect_refusal("invalid_destination", "Unknown destination");
}

#[test]
fn what_one_session_alone_has_at_a_broker_is_nobody_s_destination() {
    let uuid = "12345678-90ab-cdef-1234-567890abcdef";
    for id in [SESSION, uuid] {
        for place in
            ["/queue/foo", "/topic/foo", "/exchange/amq.direct/foo", "/amq/queue/foo", "/reply-queue/foo", "foo"]
        {
            for frame in ["SEND", "SUBSCRIBE id:a"] {
                let mut it = Dialogue::connected();
                it.client(&format!("{frame} destination:{place}-user{id}"));
                it.expect_refusal("invalid_destination", "Invalid destination");
            }
        }
        let mut it = Dialogue::connected();
        it.client(&format!("SUBSCRIBE id:a destination:/topic/foo x-queue-name:foo-user{id}"));
        it.expect_refusal("invalid_destination", "Invalid destination");
    }
    let mut it = Dialogue::connected();
    it.client("SUBSCRIBE id:a destination:/queue/power-users");
    it.expect("subscribe #2 s1 /queue/power-users id=a auto 64");
}

/// Spring 6.5: the destination that others are shown is the gateway's to say.
#[test]
fn a_send_can_not_choose_the_destination_that_others_are_shown() {
    let mut it = Dialogue::connected();
    it.client("SEND destination:/user/joe/queue/foo simpOrigDestination:/user/queue/bar stompgate-destination:/x y:1");
    it.expect("publish #2 /user/joe/queue/foo y:1 | ");
}

#[test]
fn acks_below_user_are_taken_and_settle_nothing() {
    let mut it = Dialogue::subscribed("a", "/user/queue/foo", "client-individual");
    it.deliver(1, 0, "one");
    it.deliver(1, 0, "two");
    for number in 1..=2 {
        assert!(it.next().contains(&format!("ack:{SESSION}-{number}")));
    }
    it.client(&format!("ACK id:{SESSION}-1 receipt:r1"));
    it.expect("RECEIPT receipt-id:r1");
    it.client(&format!("NACK id:{SESSION}-2 receipt:r2"));
    it.expect("RECEIPT receipt-id:r2");
    it.client(&format!("ACK id:{SESSION}-2"));
    it.expect_refusal("ack_unknown", "Message not found");
}
