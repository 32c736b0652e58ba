//! Much of what is allowed, from clients that do not read.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Raw, Stage, closed, masked};
use crate::client::{metric, until, within};

const PUBLISHED: &str = "stompgate_broker_memory_published_messages_total";

/// What the gateway and both ends of the network may hold of one client together.
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_pongs_in_a_flood_are_counted_and_pings_answered() {
    const FRAMES: usize = 20_000;
    let mut stage = Stage::set(|_| ()).await;
    for opcode in [0x89, 0x8a] {
        let attack = async |app: &_| {
            let before = metric(app, "stompgate_received_pings_total").await;
            let (mut reader, mut writer) = Raw::stomp(app).await.0.into_split();
            let write = async {
                let frames = masked(opcode, &[b'p'; 125]).repeat(500);
                for _ in 0..FRAMES / 500 {
                    writer.write_all(&frames).await.unwrap();
                }
                until(app, "stompgate_received_pings_total", before + FRAMES as f64).await;
                writer.write_all(&masked(0x81, b"DISCONNECT\n\n\0")).await.unwrap();
            };
            let mut answers = Vec::new();
            let (read, ()) = within(async { tokio::join!(reader.read_to_end(&mut answers), write) }).await;
            read.unwrap();
            let pongs = answers.strip_suffix(b"\x88\x02\x03\xe8").expect("the session goes on until DISCONNECT");
            assert_eq!(pongs.is_empty(), opcode == 0x8a);
            assert!(pongs.chunks(127).all(|it| it.starts_with(&[0x8a, 125, b'p']) && it.len() == 127));
        };
        stage.attacked(&closed("disconnect"), 1, attack).await;
    }
}

/// At its rate what it sent would be read for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn who_floods_and_goes_leaves_at_once() {
    const SENDS: usize = 2_000;
    let mut stage = Stage::set(|it| it.session.messages_per_second_max = 10).await;
    let attack = async |app: &_| {
        let published = metric(app, PUBLISHED).await;
        let mut raw = Raw::stomp(app).await;
        raw.write(&masked(0x81, b"SEND\ndestination:/topic/flood\n\n\0").repeat(SENDS)).await;
        drop(raw);
        until(app, &closed("gone"), 1.0).await;
        assert!(metric(app, PUBLISHED).await - published >= SENDS as f64);
    };
    stage.attacked(&closed("gone"), 1, attack).await;
}

/// It is not read from either, so what the gateway holds of it does not grow.
#[tokio::test(flavor = "multi_thread")]
async fn who_makes_the_gateway_say_much_and_does_not_read_it_is_not_read_from_and_let_go() {
    let (receipt, body) = ("r".repeat(15 * 1024), "x".repeat(60_000));
    let receipts =
        format!("BEGIN\ntransaction:t\nreceipt:{receipt}\n\n\0ABORT\ntransaction:t\nreceipt:{receipt}\n\n\0");
    let messages = format!("SEND\ndestination:/topic/flood\n\n{body}\0");
    for frames in [receipts, messages] {
        let mut stage = Stage::set(|it| it.session.write_stall_max = Duration::from_secs(2)).await;
        let attack = async |app: &_| {
            let mut raw = Raw::stomp(app).await;
            raw.say("SUBSCRIBE\nid:s\ndestination:/topic/flood\n\n\0").await;
            let frames = masked(0x81, frames.as_bytes()).repeat(10);
            let mut written = 0;
            // Once it is given up, what it still sends is read and forgotten.
            while metric(app, &closed("write_stalled")).await == 0.0 && written < HELD_BYTES_MAX {
                let more = &frames[written % frames.len()..];
                tokio::select! {
                    biased;
                    outcome = raw.0.write(more) => written += outcome.unwrap(),
                    () = tokio::task::yield_now() => {}
                }
            }
            assert!(written < HELD_BYTES_MAX, "the gateway reads without end");
        };
        stage.attacked(&closed("write_stalled"), 1, attack).await;
    }
}
