//! Before the upgrade.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::{HANDSHAKE, Raw, Stage, closed};
use crate::client::{metric, until};

fn refused(reason: &str) -> String {
    format!("stompgate_http_refused_total{{reason=\"{reason}\"}}")
}

fn timed_out(stage: &str) -> String {
    format!("stompgate_http_timeouts_total{{stage=\"{stage}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_answered_and_counted_by_what_is_wrong() {
    let mut stage = Stage::set(|_| ()).await;
    let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(16 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let endless = format!("GET /{}", "x".repeat(64 * 1024));
    let posted = |length: &str| format!("POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let cases = [
        (long.as_bytes(), "HTTP/1.1 431 ", "head_too_large"),
        (many.as_bytes(), "HTTP/1.1 431 ", "head_too_large"),
        (endless.as_bytes(), "HTTP/1.1 4", "head_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400 ", "malformed"),
        (b"GET / HTTP/1.1\r\nH\xff: \r\n\r\n", "HTTP/1.1 400 ", "malformed"),
        (&posted("99999999999999999999").into_bytes(), "HTTP/1.1 400 ", "malformed"),
        (&posted("9223372036854775807").into_bytes(), "HTTP/1.1 405 ", "method_not_allowed"),
    ];
    for (request, answer, reason) in cases {
        let attack = async |app: &_| {
            let mut raw = Raw::connect(app).await;
            raw.write(request).await;
            let end = raw.end().await;
            // Bytes that were sent and not read may have the network drop the answer.
            let is_answered = end.text.starts_with(answer) || (end.text.is_empty() && request.len() > 10_000);
            assert!(is_answered, "{reason}: {end:?}");
        };
        stage.attacked(&refused(reason), 1, attack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_slowly_or_nothing_at_all_is_let_go() {
    let mut stage = Stage::set(|it| it.http.header_timeout = Duration::from_millis(200)).await;
    let silence = async |app: &_| assert_eq!(Raw::connect(app).await.end().await.text, "");
    stage.attacked(&timed_out("idle"), 1, silence).await;
    let attack = async |app: &_| {
        let mut slow = Raw::connect(app).await;
        for byte in HANDSHAKE.as_bytes().iter().chain(std::iter::repeat(&b'x')) {
            // Asking for a metric takes its time.
            if !slow.write(&[*byte]).await || metric(app, &timed_out("request_head")).await == 1.0 {
                break;
            }
        }
        assert_eq!(slow.end().await.text, "");
    };
    stage.attacked(&timed_out("request_head"), 1, attack).await;
    until(&stage.app, "stompgate_http_connections", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_used_for_requests_without_end_is_let_go() {
    let mut stage = Stage::set(|it| it.http.requests_time_max = Duration::from_millis(200)).await;
    let attack = async |app: &_| {
        let mut raw = Raw::connect(app).await;
        while raw.write(b"GET /demo/icon.svg HTTP/1.1\r\nHost: a\r\n\r\n").await {
            let mut answer = [0; 4096];
            if !matches!(raw.0.read(&mut answer).await, Ok(1..)) {
                break;
            }
        }
    };
    stage.attacked(&timed_out("requests"), 1, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_upgrades_and_says_nothing_or_says_connect_too_slowly_is_let_go() {
    let mut stage = Stage::set(|it| it.session.connect_wait = Duration::from_millis(200)).await;
    let attack = async |app: &_| {
        let silent = Raw::upgraded(app).await;
        let mut slow = Raw::upgraded(app).await;
        slow.say("CONNECT\na:").await;
        while slow.say("x").await && metric(app, &closed("connect_timeout")).await < 2.0 {}
        for raw in [silent, slow] {
            let end = raw.end().await;
            assert_eq!((end.error(), end.code), (Some("connect_timeout"), Some(1002)), "{end:?}");
        }
    };
    stage.attacked(&closed("connect_timeout"), 2, attack).await;
}
