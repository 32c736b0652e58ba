//! Well-formed frames that ask for too much, or for what is not the client's own.

use std::time::Duration;

use futures::future::join_all;
use stompgate::auth::{Authenticator, User};

use super::{Raw, Stage, closed, masked};
use crate::client::{Client, metric, until};

/// Sends the frames after CONNECT and checks by which ERROR they are ended.
async fn check(stage: &mut Stage, frames: &str, label: &str) {
    let attack = async |app: &_| {
        let mut raw = Raw::stomp(app).await;
        for piece in frames.as_bytes().chunks(32 * 1024) {
            raw.write(&masked(0x81, piece)).await;
        }
        let end = raw.end().await;
        assert_eq!((end.error(), end.code), (Some(label), Some(1002)));
    };
    stage.attacked(&closed(label), 1, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_patterns_are_a_thousand_too_many_for_one_session() {
    let mut stage = Stage::set(|_| ()).await;
    let frames: String =
        (0..10_000).map(|i| format!("SUBSCRIBE\nid:{i}\ndestination:/topic/a.*.{i}.#\n\n\0")).collect();
    check(&mut stage, &frames, "limit_subscriptions").await;
    until(&stage.app, "stompgate_subscriptions", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_and_topics_that_would_keep_the_broker_busy_are_refused() {
    let mut stage = Stage::set(|_| ()).await;
    for ack in ["auto", "client"] {
        let hashes = format!("SUBSCRIBE\nid:s\nack:{ack}\ndestination:/topic/#.a.#.b.#\n\n\0");
        check(&mut stage, &hashes, "broker_refused").await;
    }
    check(&mut stage, &format!("SEND\ndestination:/topic/{}\n\n\0", ["a"; 33].join(".")), "broker_refused").await;
}

/// As many and as costly as one session may have, with the topic that tries every place of all of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_costliest_patterns_of_a_session_leave_time_for_others() {
    let mut stage = Stage::set(|_| ()).await;
    let attack = async |app: &_| {
        let mut client = Client::connect(app).await;
        for i in 0..1_000_u32 {
            let words = (0..29).map(|bit| if bit < 10 && i & 1 << bit != 0 { "*" } else { "a" });
            let pattern = words.collect::<Vec<_>>().join(".");
            client.send(&format!("SUBSCRIBE\nid:{i}\ndestination:/topic/#.{pattern}.#\n\n\0")).await;
        }
        let costly = ["a"; 32].join(".");
        // Answered before its deadline, in a build without optimisation.
        client.send(&format!("SEND\ndestination:/topic/{costly}\nreceipt:r\n\n\0")).await;
        let mut messages = 0;
        while client.next().await.unwrap().command.as_str() != "RECEIPT" {
            messages += 1;
        }
        while messages < 1_000 {
            client.expect("MESSAGE").await;
            messages += 1;
        }
        client.send("DISCONNECT\n\n\0").await;
        assert_eq!(client.next().await, Err(1000));
    };
    stage.attacked(&closed("disconnect"), 1, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_never_commit_are_bounded_in_number_frames_and_bytes() {
    let mut stage = Stage::set(|_| ()).await;
    let begin: String = (0..17).map(|i| format!("BEGIN\ntransaction:{i}\n\n\0")).collect();
    check(&mut stage, &begin, "limit_transactions").await;
    let send = "SEND\ntransaction:t\ndestination:/queue/never\n\n";
    let frames = format!("BEGIN\ntransaction:t\n\n\0{}", format!("{send}\0").repeat(1_025));
    check(&mut stage, &frames, "limit_transaction_frames").await;
    let large = format!("{send}{}\0", "x".repeat(60_000));
    check(&mut stage, &format!("BEGIN\ntransaction:t\n\n\0{}", large.repeat(18)), "limit_transaction_bytes").await;
    assert_eq!(metric(&stage.app, "stompgate_broker_memory_queue_messages").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_acknowledge_what_another_session_was_given() {
    let mut stage = Stage::set(|_| ()).await;
    let mut owner = Client::connect(&stage.app).await;
    owner.confirmed("SUBSCRIBE\nid:s\nack:client-individual\ndestination:/queue/own", "").await;
    owner.confirmed("SEND\ndestination:/queue/own", "x").await;
    let message = owner.expect("MESSAGE").await;
    let id = message.header("ack").unwrap();
    for command in ["ACK", "NACK"] {
        check(&mut stage, &format!("{command}\nid:{id}\n\n\0"), "ack_unknown").await;
    }
    assert_eq!(metric(&stage.app, "stompgate_broker_memory_queue_messages").await, 1.0);
    owner.confirmed(&format!("ACK\nid:{id}"), "").await;
    until(&stage.app, "stompgate_broker_memory_queue_messages", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_subscribing_and_unsubscribing_is_answered_in_full_and_leaves_nothing() {
    const ROUNDS: usize = 2_000;
    let mut stage = Stage::set(|_| ()).await;
    let attack = async |app: &_| {
        let mut client = Client::connect(app).await;
        for i in 0..ROUNDS {
            let kind = ["/queue/q", "/topic/t.#", "/topic/t"][i % 3];
            let ack = ["auto", "client"][i % 2];
            let frames = format!(
                "SUBSCRIBE\nid:s\nack:{ack}\ndestination:{kind}.{}\nreceipt:s{i}\n\n\0UNSUBSCRIBE\nid:s\nreceipt:u{i}\n\n\0",
                i % 7
            );
            client.send(&frames).await;
            for kind in ["s", "u"] {
                assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some(&*format!("{kind}{i}")));
            }
        }
        client.send("DISCONNECT\n\n\0").await;
        assert_eq!(client.next().await, Err(1000));
    };
    stage.attacked(&closed("disconnect"), 1, attack).await;
    until(&stage.app, "stompgate_subscriptions", 1.0).await;
    until(&stage.app, "stompgate_broker_memory_queues", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passcodes_in_a_flood_are_each_refused_and_let_others_in() {
    const ROUNDS: usize = 20;
    const AT_ONCE: usize = 20;
    let mut stage = Stage::set(|_| ()).await;
    let user = User { login: "ann".into(), passcode: "secret".into() };
    let guarded = |it: &mut stompgate::config::Settings| it.authenticator = Authenticator::Users(vec![user]);
    stage.app = crate::client::start(guarded).await;
    let mut neighbour = Client::open(&stage.app).await;
    neighbour.send("CONNECT\naccept-version:1.2\nlogin:ann\npasscode:secret\n\n\0").await;
    neighbour.expect("CONNECTED").await;
    neighbour.confirmed("SUBSCRIBE\nid:s\ndestination:/topic/neighbour", "").await;
    stage.neighbour = neighbour;
    let attack = async |app: &_| {
        for round in 0..ROUNDS {
            join_all((0..AT_ONCE).map(async |i| {
                let mut raw = Raw::upgraded(app).await;
                raw.say(&format!("CONNECT\naccept-version:1.2\nlogin:ann\npasscode:{round}-{i}\n\n\0")).await;
                let end = raw.end().await;
                assert_eq!((end.error(), end.code), (Some("access_refused"), Some(1002)));
            }))
            .await;
        }
    };
    stage.attacked(&closed("access_refused"), ROUNDS * AT_ONCE, attack).await;
    assert_eq!(metric(&stage.app, "stompgate_sessions{phase=\"connecting\"}").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_without_a_word_is_given_up_when_pings_stay_unanswered() {
    let mut stage = Stage::set(|it| it.session.ping_interval = Duration::from_millis(200)).await;
    let attack = async |app: &_| {
        let vanished = [Raw::stomp(app).await, Raw::stomp(app).await];
        until(app, &closed("heartbeat_lost"), 2.0).await;
        for raw in vanished {
            let end = raw.end().await;
            assert_eq!((end.error(), end.code), (Some("heartbeat_lost"), Some(1002)));
        }
    };
    stage.attacked(&closed("heartbeat_lost"), 2, attack).await;
}
