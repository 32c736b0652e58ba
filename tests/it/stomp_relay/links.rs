//! What passes over a connection that is there.

use std::time::Duration;

use stompgate::broker::Outage;
use stompgate::broker::stomp::Settings;
use stompgate::delivery::Item;
use stompgate::destination::Destination;
use stompgate::session::{AckMode, Fault, Verdict};
use stompgate::stomp::HeartBeat;

use super::support::Gateway;
use super::upstream::{Peer, Upstream, within};
use crate::broker_contract::fixture::{Session, done, token};

fn topic() -> Destination {
    Destination::Foreign("jms.topic://a, b".into())
}

/// A session, the broker's end of its connection, and what keeps both.
struct Case {
    gateway: Gateway,
    upstream: Upstream,
    system: Peer,
    session: Session,
    peer: Peer,
}

impl Case {
    async fn new(change: impl FnOnce(Settings) -> Settings) -> Self {
        let upstream = Upstream::start().await;
        let gateway = Gateway::started(change(upstream.settings()));
        let (system, _) = upstream.greet().await;
        gateway.is_ready().await;
        let fixture = gateway.fixture();
        let (session, (peer, _)) = tokio::join!(fixture.open(), upstream.greet());
        Self { gateway, upstream, system, session, peer }
    }
}

#[tokio::test]
async fn what_is_asked_takes_effect_when_the_broker_says_so() {
    let Case { mut session, mut peer, gateway, upstream: _upstream, system: _system } = Case::new(|it| it).await;
    let (key, subscribing) = session.start_subscribe(&topic(), AckMode::ClientIndividual, 3);
    let subscribe = peer.confirm("SUBSCRIBE").await;
    assert_eq!(subscribe.header("destination"), Some("jms.topic://a, b"));
    done(subscribing).await;
    let publishing = session.start_publish(&topic(), "hello");
    assert_eq!(&peer.confirm("SEND").await.body[..], b"hello");
    done(publishing).await;
    let id = subscribe.header("id").unwrap();
    peer.send(&format!("MESSAGE\nsubscription:{id}\nmessage-id:m\nack:a\ndestination:x\n\nhi\0")).await;
    let delivery = session.expect(&["hi"]).await.remove(0);
    session.settle(&[token(&delivery)], Verdict::Accepted);
    assert_eq!(peer.expect("ACK").await.header("id"), Some("a"));
    let unsubscribing = session.link().unsubscribe(stompgate::session::Unsubscribe { key, is_final: false });
    peer.confirm("UNSUBSCRIBE").await;
    done(unsubscribing).await;
    session.close();
    peer.confirm("DISCONNECT").await;
    assert!(peer.next().await.is_none());
    gateway.has("connections", 1.0).await;
}

#[tokio::test]
async fn what_was_asked_before_a_link_is_closed_reaches_the_broker() {
    let Case { mut session, mut peer, gateway: _gateway, upstream: _upstream, system: _system } =
        Case::new(|it| it).await;
    for body in ["1", "2", "3"] {
        drop(session.start_publish(&topic(), body));
    }
    session.close();
    for body in ["1", "2", "3"] {
        assert_eq!(peer.expect("SEND").await.body, body);
    }
    peer.expect("DISCONNECT").await;
}

#[tokio::test]
async fn sp11_the_gateway_keeps_its_own_heart_beats_whatever_clients_do() {
    let upstream = Upstream::start().await;
    let heartbeat = HeartBeat { send_ms: 20, receive_ms: 60_000 };
    let gateway = Gateway::started(Settings { heartbeat, ..upstream.settings() });
    let mut system = upstream.accept().await;
    system.expect("CONNECT").await;
    system.send("CONNECTED\nversion:1.2\nheart-beat:60000,10\n\n\0").await;
    system.beaten(3).await;
    drop(gateway);
}

#[tokio::test]
async fn a_broker_that_is_silent_for_three_of_its_heart_beats_is_given_up() {
    let upstream = Upstream::start().await;
    let heartbeat = HeartBeat { send_ms: 0, receive_ms: 20 };
    let gateway = Gateway::started(Settings { heartbeat, ..upstream.settings() });
    let mut system = upstream.accept().await;
    system.expect("CONNECT").await;
    system.send("CONNECTED\nversion:1.1\nheart-beat:10,0\n\n\0").await;
    assert!(system.next().await.is_none());
    gateway.has("losses_total", 1.0).await;
    assert_eq!(gateway.metric("losses_total", "silent"), 1.0);
    let _again = upstream.greet().await;
}

#[tokio::test]
async fn a_broker_that_heart_beats_is_kept() {
    let upstream = Upstream::start().await;
    let heartbeat = HeartBeat { send_ms: 0, receive_ms: 100 };
    let gateway = Gateway::started(Settings { heartbeat, ..upstream.settings() });
    let mut system = upstream.accept().await;
    system.expect("CONNECT").await;
    system.send("CONNECTED\nversion:1.2\nheart-beat:100,0\n\n\0").await;
    gateway.is_ready().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..12 {
        ticks.tick().await;
        system.send("\n").await;
    }
    assert_eq!(gateway.metric("losses_total", ""), 0.0);
}

#[tokio::test]
async fn a_frame_larger_than_the_limit_ends_the_connection() {
    let change = |it| Settings { frame_bytes_max: 1_024, outage: Outage::Reject, ..it };
    let Case { mut session, mut peer, gateway, upstream: _upstream, system: _system } = Case::new(change).await;
    let (_, subscribing) = session.start_subscribe(&topic(), AckMode::Auto, 1);
    peer.confirm("SUBSCRIBE").await;
    done(subscribing).await;
    let head = "MESSAGE\nsubscription:stompgate-1\nmessage-id:m\n\n";
    peer.send(&format!("{head}{}\0", "x".repeat(1_024 - head.len() - 1))).await;
    session.receive().await;
    peer.send(&format!("{head}{}\0", "x".repeat(1_024 - head.len()))).await;
    assert!(matches!(session.next_item().await, Item::LinkLost));
    let text = session.link().fault().to_string();
    assert_eq!(text, "Transport failure: a frame larger than 1024 bytes");
    assert_eq!(gateway.metric("losses_total", "malformed"), 1.0);
}

#[tokio::test]
async fn sp3_with_reject_a_connection_that_the_broker_closes_ends_its_session_alone() {
    let Case { gateway, upstream, system: _system, mut session, peer } =
        Case::new(|it| Settings { outage: Outage::Reject, ..it }).await;
    let fixture = gateway.fixture();
    let (mut other, (mut other_peer, _)) = tokio::join!(fixture.open(), upstream.greet());
    let pending = session.start_publish(&topic(), "x");
    drop(peer);
    assert!(matches!(session.next_item().await, Item::LinkLost));
    assert_eq!(within(pending).await, Err(Fault::Unavailable));
    assert_eq!(session.link().fault(), Fault::Unavailable);
    assert_eq!(within(session.start_publish(&topic(), "y")).await, Err(Fault::Unavailable));
    let pending = other.start_publish(&topic(), "z");
    other_peer.confirm("SEND").await;
    done(pending).await;
}

#[tokio::test]
async fn with_hold_a_connection_that_the_broker_closes_comes_back_with_all_that_hung_on_it() {
    let Case { gateway, upstream, system: _system, mut session, mut peer } = Case::new(|it| it).await;
    let (_, subscribing) = session.start_subscribe(&topic(), AckMode::Auto, 1);
    peer.confirm("SUBSCRIBE").await;
    done(subscribing).await;
    let unanswered = session.start_publish(&topic(), "1");
    peer.expect("SEND").await;
    drop(peer);
    gateway.has("connections", 1.0).await;
    let held = session.start_publish(&topic(), "2");
    let (mut peer, _) = upstream.greet().await;
    let again = peer.confirm("SUBSCRIBE").await;
    assert_eq!(again.header("id"), Some("stompgate-1"));
    for body in ["1", "2"] {
        assert_eq!(peer.confirm("SEND").await.body, body);
    }
    done(unanswered).await;
    done(held).await;
    assert_eq!(gateway.metric("republishes_total", ""), 1.0);
    peer.send("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\n\nhi\0").await;
    session.expect(&["hi"]).await;
}

#[tokio::test]
async fn sp4_while_the_broker_is_away_sessions_begin_and_wait_for_it() {
    let Case { gateway, upstream, system, mut session, peer } =
        Case::new(|it| Settings { reconnect_delay_max: Duration::from_millis(50), ..it }).await;
    drop((system, peer));
    gateway.has("connected", 0.0).await;
    let mut late = within(gateway.fixture().open()).await;
    let pending = [session.start_publish(&topic(), "1"), late.start_publish(&topic(), "2")];
    // The system connection goes first.
    let (_system, connect) = upstream.greet().await;
    assert_eq!(connect.header("login"), Some("guest"));
    let mut bodies = Vec::new();
    let mut peers = Vec::new();
    for _ in &pending {
        let (mut peer, _) = upstream.greet().await;
        bodies.push(peer.confirm("SEND").await.body);
        peers.push(peer);
    }
    bodies.sort();
    assert_eq!(bodies, ["1", "2"]);
    for it in pending {
        done(it).await;
    }
    assert!(gateway.latch.is_set());
}

#[tokio::test]
async fn clients_whose_login_is_not_right_any_more_are_told_why_their_session_ends() {
    let change = |it| Settings { identity: stompgate::broker::stomp::Identity::Client, ..it };
    let Case { upstream, mut session, peer, system: _system, gateway: _gateway } = Case::new(change).await;
    drop(peer);
    let mut again = upstream.accept().await;
    again.expect("CONNECT").await;
    again.send("ERROR\nmessage:Bad CONNECT\n\nAccess refused\0").await;
    assert!(matches!(session.next_item().await, Item::LinkLost));
    let (title, text) = ("Bad CONNECT".to_owned(), "Access refused".to_owned());
    assert_eq!(session.link().fault(), Fault::Relayed { title, text });
}
