//! Bytes that are no frames, of WebSocket or of STOMP.

use tokio::io::AsyncReadExt;

use super::{CONNECT, End, Raw, Stage, closed, masked};
use crate::client::{metric, within};

/// Sends the bytes on a connection before or after its CONNECT, and checks how that is ended.
async fn check(stage: &mut Stage, is_connected: bool, bytes: &[u8], label: &str, code: u16) -> End {
    let mut answer = End::default();
    let attack = async |app: &_| {
        let mut raw = if is_connected { Raw::stomp(app).await } else { Raw::upgraded(app).await };
        raw.write(bytes).await;
        answer = raw.end().await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert_eq!(answer.code, Some(code), "{shown:?} {answer:?}");
        assert!(label == "transport_violated" || answer.error() == Some(label), "{shown:?} {answer:?}");
    };
    stage.attacked(&closed(label), 1, attack).await;
    answer
}

fn text(frame: &str) -> Vec<u8> {
    masked(0x81, frame.as_bytes())
}

/// A STOMP frame in messages of 4 KiB.
fn pieces(frame: &str) -> Vec<u8> {
    frame.as_bytes().chunks(4096).flat_map(|it| masked(0x81, it)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_a_limit_ends_its_session_before_it_is_whole() {
    let mut stage = Stage::set(|_| ()).await;
    let send = "SEND\ndestination:/topic/neighbour\n";
    let whole = format!("{send}\n{}\0", "x".repeat(64 * 1024));
    let endless_body = format!("{send}\n{}", "x".repeat(64 * 1024));
    let endless_header = format!("{send}{}", "x".repeat(16 * 1024));
    let bomb = format!("{send}{}\n\0", "a:b\n".repeat(100));
    let announced = |length: &str| text(&format!("{send}content-length:{length}\n\n"));
    let cases = [
        (pieces(&whole), "limit_frame_bytes"),
        (pieces(&endless_body), "limit_frame_bytes"),
        (announced("65536"), "limit_frame_bytes"),
        (announced("99999999999999999999999"), "limit_frame_bytes"),
        (pieces(&endless_header), "limit_header_bytes"),
        (text(&bomb), "limit_header_count"),
        (text(&"x".repeat(64 * 1024 + 4097)), "limit_message_bytes"),
        // Nothing is set aside for what is only announced.
        ([&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(), "limit_message_bytes"),
        ([&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat(), "limit_message_bytes"),
    ];
    for (bytes, label) in cases {
        check(&mut stage, true, &bytes, label, 1009).await;
    }
    let before_connect = [
        (text(&format!("CONNECT\na:{}\n\n\0", "x".repeat(16 * 1024 - 12))), "limit_frame_bytes"),
        (text(&format!("SEND\ncontent-length:{}\n\n", 16 * 1024)), "limit_frame_bytes"),
        (text(&format!("CONNECT\n{}\n\0", "a:b\n".repeat(101))), "limit_header_count"),
    ];
    for (bytes, label) in before_connect {
        check(&mut stage, false, &bytes, label, 1009).await;
    }
    assert_eq!(metric(&stage.app, "stompgate_outbox_bytes").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_of_stomp_ends_its_session() {
    let mut stage = Stage::set(|_| ()).await;
    let cases = [
        &b"SEND\ndestination:/topic/\xff\n\n\0"[..],
        b"\xff\xfe\n\n\0",
        b"SEND\ndestination:a\\tb\n\n\0",
        b"SEND\ndestination\n\n\0",
        b"SEND\n:a\n\n\0",
        b"SEND\ndesti\0",
        b"SEND\rdestination:a\n\n\0",
        b"SEND\ndestination:a\ncontent-length:-1\n\n\0",
        b"SEND\ndestination:a\ncontent-length:1\n\nab\0",
        b"BEGIN\ntransaction:t\n\nbody\0",
        b"SENDX\n\n\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    ];
    for bytes in cases {
        for is_connected in [true, false] {
            // In a binary message, since text has to be UTF-8.
            let is_known = !is_connected && bytes.starts_with(b"SEND\ndestination:a\\t");
            // Before CONNECT there are no escapes, so that one is a whole frame too early.
            let label = if is_known { "not_connected" } else { "malformed" };
            check(&mut stage, is_connected, &masked(0x82, bytes), label, 1002).await;
        }
    }
    check(&mut stage, false, &text("SEND\ndestination:/topic/neighbour\n\nx\0"), "not_connected", 1002).await;
    let twice = [text(CONNECT), text(CONNECT)].concat();
    check(&mut stage, false, &twice, "already_connected", 1002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_a_rule_of_websocket_is_told_which() {
    let mut stage = Stage::set(|_| ()).await;
    let cases = [
        (vec![0x81, 1, b'\n'], "The frames of a client must be masked"),
        (masked(0xc1, b"\n"), "Reserved bits must be 0, no extension was negotiated"),
        (masked(0x91, b"\n"), "Reserved bits must be 0, no extension was negotiated"),
        (masked(0x83, b"\n"), "Unknown opcode"),
        (masked(0x8b, b"\n"), "Unknown opcode"),
        (masked(0x09, b"p"), "A control frame must not be fragmented"),
        (masked(0x89, &[b'p'; 126]), "A control frame has at most 125 bytes"),
        (masked(0x80, b"\n"), "A continuation needs a message to continue"),
        (
            [masked(0x01, b"\n"), masked(0x81, b"\n")].concat(),
            "A fragmented message must be finished before the next one",
        ),
        (masked(0x81, b"\xff"), "Text must be UTF-8"),
        (masked(0x88, b"c"), "A close frame has a code or nothing"),
    ];
    for (bytes, rule) in cases {
        for is_connected in [true, false] {
            let end = check(&mut stage, is_connected, &bytes, "transport_violated", 1002).await;
            assert_eq!(end.reason, rule);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_cut_at_each_byte_is_understood() {
    let mut stage = Stage::set(|_| ()).await;
    let dialogue = "CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:s\ndestination:/topic/cut\n\n\0\
                    SEND\ndestination:/topic/cut\n\nGrüße\0";
    // As messages of one byte, and as one message whose bytes come one by one.
    let small: Vec<u8> = dialogue.bytes().flat_map(|it| masked(0x82, &[it])).collect();
    for bytes in [small, masked(0x81, dialogue.as_bytes())] {
        let attack = async |app: &_| {
            let mut raw = Raw::upgraded(app).await;
            raw.0.set_nodelay(true).unwrap();
            for byte in &bytes {
                raw.write(&[*byte]).await;
            }
            let mut answer = Vec::new();
            while !answer.ends_with("\n\nGrüße\0".as_bytes()) {
                assert_ne!(within(raw.0.read_buf(&mut answer)).await.unwrap(), 0);
            }
            raw.say("DISCONNECT\n\n\0").await;
            assert_eq!(raw.end().await.code, Some(1000));
        };
        stage.attacked(&closed("disconnect"), 1, attack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_frames_in_one_message_all_take_effect() {
    const FRAMES: usize = 1_500;
    let mut stage = Stage::set(|_| ()).await;
    let attack = async |app: &_| {
        let mut raw = Raw::stomp(app).await;
        let frame = "SEND\ndestination:/queue/many\n\n\0\n\r\n\0";
        raw.say(&frame.repeat(FRAMES)).await;
        raw.say("DISCONNECT\nreceipt:r\n\n\0").await;
        assert_eq!(raw.end().await.code, Some(1000));
        assert_eq!(metric(app, "stompgate_broker_memory_queue_messages").await, FRAMES as f64);
    };
    stage.attacked(&closed("disconnect"), 1, attack).await;
}
