//! Users have any number of sessions; a message reaches each of them once. Rows SP-56 and SP-70.

use stompgate::broker::Pending;
use stompgate::destination::{Destination, Whom};
use stompgate::ident::SubscriptionKey;
use stompgate::session::AckMode;

use super::fixture::{Fixture, Session, done};

fn own(rest: &str) -> Destination {
    Destination::User { whom: Whom::Subscriber, rest: rest.into() }
}

fn to(user: &str, rest: &str) -> Destination {
    Destination::User { whom: Whom::Name(user.into()), rest: rest.into() }
}

fn to_session(session: &Session, rest: &str) -> Destination {
    Destination::User { whom: Whom::Session(session.id), rest: rest.into() }
}

async fn subscribed(fixture: &Fixture, user: &str, rest: &str) -> (Session, SubscriptionKey) {
    let mut session = fixture.open_as(user).await;
    let key = session.subscribe(&own(rest)).await;
    (session, key)
}

pub(crate) async fn a_message_to_a_user_reaches_each_of_their_sessions_once(fixture: Fixture) {
    let (ann, bob) = (fixture.user("ann"), fixture.user("bob"));
    let (mut first, mut second) =
        (subscribed(&fixture, &ann, "/queue/a").await.0, subscribed(&fixture, &ann, "/queue/a").await.0);
    let mut other = subscribed(&fixture, &bob, "/queue/a").await.0;
    other.publish_all(&to(&ann, "/queue/a"), &["1", "2"]).await;
    first.publish(&to(&bob, "/queue/a"), "end").await;
    for session in [&mut first, &mut second] {
        session.expect(&["1", "2"]).await;
        session.expect_nothing();
    }
    other.expect(&["end"]).await;
    other.expect_nothing();
}

pub(crate) async fn a_message_to_a_user_is_shown_as_it_was_subscribed(fixture: Fixture) {
    let ann = fixture.user("ann");
    let (mut session, key) = subscribed(&fixture, &ann, "/topic/a.b").await;
    fixture.open().await.publish_with(&to(&ann, "/topic/a.b"), &[("x", "1")], b"hello").await;
    let delivery = session.expect(&["hello"]).await.remove(0);
    assert_eq!((delivery.subscription, delivery.message.destination()), (key, "/user/topic/a.b"));
    assert_eq!(delivery.message.headers().iter().collect::<Vec<_>>(), [("x", "1")]);
    assert!(!delivery.redelivered && delivery.token.is_none());
}

pub(crate) async fn a_message_to_a_user_reaches_only_what_they_subscribed(fixture: Fixture) {
    let ann = fixture.user("ann");
    let (mut session, a) = subscribed(&fixture, &ann, "/queue/a").await;
    let again = session.subscribe(&own("/queue/a")).await;
    let b = session.subscribe(&own("/queue/b")).await;
    let mut sender = fixture.open().await;
    sender.publish(&to(&ann, "/queue/c"), "unheard").await;
    sender.publish(&to(&ann, "/queue"), "unheard").await;
    sender.publish(&to(&ann, "/queue/a"), "a").await;
    sender.publish(&to(&ann, "/queue/b"), "b").await;
    let deliveries = session.expect(&["a", "a", "b"]).await;
    let mut keys: Vec<_> = deliveries.iter().map(|it| it.subscription).collect();
    keys.sort_unstable();
    assert_eq!(keys, [a, again, b]);
}

pub(crate) async fn a_message_to_a_session_reaches_that_one_alone(fixture: Fixture) {
    let ann = fixture.user("ann");
    let (mut first, mut second) =
        (subscribed(&fixture, &ann, "/queue/a").await.0, subscribed(&fixture, &ann, "/queue/a").await.0);
    let destination = to_session(&second, "/queue/a");
    first.publish(&destination, "one").await;
    first.publish(&to(&ann, "/queue/a"), "both").await;
    first.expect(&["both"]).await;
    // What goes to two destinations need not arrive in the order of the publishes.
    let mut bodies = [super::fixture::body(&second.receive().await), super::fixture::body(&second.receive().await)];
    bodies.sort();
    assert_eq!(bodies, ["both", "one"]);
    first.expect_nothing();
}

pub(crate) async fn a_session_without_a_user_is_reached_by_its_id(fixture: Fixture) {
    let (mut anonymous, mut other) = (fixture.open().await, fixture.open().await);
    for session in [&mut anonymous, &mut other] {
        session.subscribe(&own("/queue/replies")).await;
    }
    let destination = to_session(&anonymous, "/queue/replies");
    anonymous.publish(&destination, "own").await;
    other.publish(&destination, "from another").await;
    anonymous.expect(&["own", "from another"]).await;
    other.expect_nothing();
}

pub(crate) async fn nothing_in_the_name_of_a_user_is_a_wildcard(fixture: Fixture) {
    let (ann, any, slash) = (fixture.user("ann"), fixture.user("*"), fixture.user("a/b"));
    let mut wild = [
        subscribed(&fixture, "#", "/queue/a").await.0,
        subscribed(&fixture, &any, "/queue/a").await.0,
        subscribed(&fixture, &ann, "/queue/#").await.0,
    ];
    let mut slashed = subscribed(&fixture, &slash, "/queue/a").await.0;
    let mut plain = subscribed(&fixture, &ann, "/queue/a").await.0;
    let mut sender = fixture.open().await;
    sender.publish(&to(&ann, "/queue/a"), "plain").await;
    sender.publish(&to(&slash, "/queue/a"), "slash").await;
    plain.expect(&["plain"]).await;
    slashed.expect(&["slash"]).await;
    for (session, to) in wild.iter_mut().zip([to("#", "/queue/a"), to(&any, "/queue/a"), to(&ann, "/queue/#")]) {
        sender.publish(&to, "wild").await;
        session.expect(&["wild"]).await;
    }
}

pub(crate) async fn the_name_of_a_user_and_the_id_of_a_session_are_two_things(fixture: Fixture) {
    let mut session = fixture.open().await;
    session.subscribe(&own("/queue/a")).await;
    let (mut namesake, _) = subscribed(&fixture, &session.id.to_string(), "/queue/a").await;
    let (by_id, by_name) = (to_session(&session, "/queue/a"), to(&session.id.to_string(), "/queue/a"));
    namesake.publish(&by_id, "to the session").await;
    namesake.publish(&by_name, "to the user").await;
    session.expect(&["to the session"]).await;
    namesake.expect(&["to the user"]).await;
    session.expect_nothing();
    namesake.expect_nothing();
}

pub(crate) async fn sp56_a_user_gets_a_thousand_messages_in_their_order(fixture: Fixture) {
    let joe = fixture.user("joe");
    let (mut session, _) = subscribed(&fixture, &joe, "/queue/a").await;
    let bodies: Vec<_> = (0..1_000).map(|it| it.to_string()).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    fixture.open().await.publish_all(&to(&joe, "/queue/a"), &bodies).await;
    session.expect(&bodies).await;
    session.expect_nothing();
}

pub(crate) async fn what_is_sent_to_nobody_is_confirmed_and_not_kept(fixture: Fixture) {
    let ann = fixture.user("ann");
    let mut sender = fixture.open().await;
    let gone = fixture.open().await;
    let to_gone = to_session(&gone, "/queue/a");
    gone.close();
    let pending: Vec<Pending> =
        [to(&ann, "/queue/a"), to_gone].iter().map(|it| sender.start_publish(it, "unheard")).collect();
    for it in pending {
        done(it).await;
    }
    let (mut session, _) = subscribed(&fixture, &ann, "/queue/a").await;
    sender.publish(&to(&ann, "/queue/a"), "heard").await;
    session.expect(&["heard"]).await;
    session.expect_nothing();
}

pub(crate) async fn an_unsubscribed_user_is_silent(fixture: Fixture) {
    let ann = fixture.user("ann");
    let (mut session, key) = subscribed(&fixture, &ann, "/queue/a").await;
    let (mut staying, _) = subscribed(&fixture, &ann, "/queue/a").await;
    session.unsubscribe(key).await;
    session.publish(&to(&ann, "/queue/a"), "unheard").await;
    session.publish(&to_session(&session, "/queue/a"), "unheard").await;
    staying.expect(&["unheard"]).await;
    session.subscribe(&own("/queue/a")).await;
    session.publish(&to(&ann, "/queue/a"), "heard").await;
    session.expect(&["heard"]).await;
    staying.close();
    session.publish(&to(&ann, "/queue/a"), "still").await;
    session.expect(&["still"]).await;
}

pub(crate) async fn what_acknowledges_below_user_gets_everything_at_once(fixture: Fixture) {
    let ann = fixture.user("ann");
    let mut session = fixture.open_as(&ann).await;
    session.subscribe_with(&own("/queue/a"), AckMode::Client, 1).await;
    session.publish_all(&to(&ann, "/queue/a"), &["1", "2", "3"]).await;
    let deliveries = session.expect(&["1", "2", "3"]).await;
    assert!(deliveries.iter().all(|it| it.token.is_none()));
}

pub(crate) async fn a_session_may_only_subscribe_for_itself(fixture: Fixture) {
    let (mut session, bob) = (fixture.open_as("ann").await, fixture.user("bob"));
    let others = [to(&bob, "/queue/a"), to_session(&fixture.open().await, "/queue/a")];
    for other in &others {
        let (_, pending) = session.start_subscribe(other, AckMode::Auto, 64);
        assert!(pending.await.is_err(), "{other}");
    }
    assert!(session.start_publish(&own("/queue/a"), "to whom?").await.is_err());
}
