//! One over each bound, and what it is counted by.

use std::time::Duration;

use stompgate::http::Settings;
use stompgate::http::sockjs::Settings as SockJs;

use super::{Raw, Services};
use crate::client::{self, Client, metric, until};

fn echo(settings: &mut Settings) -> &mut SockJs {
    settings.endpoints[0].sockjs.as_mut().unwrap()
}

/// What fills the buffer of the echo, so that it does not read on.
fn large() -> String {
    format!("[\"{}\"]", "x".repeat(64 * 1024))
}

#[tokio::test]
async fn s71_a_body_over_its_bound_ends_the_session() {
    let services = Services::with(|it| {
        it.websocket.message_bytes_max = 100;
        echo(it).body_bytes_max = 1000;
    });
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", &format!("[\"{}\"]", "x".repeat(996))).await, 204);
    let refused = services.post("/echo/0/a/xhr_send", &format!("[\"{}\"]", "x".repeat(997))).await;
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("at most 1000 bytes") && refused.body.contains("sockjs.body_bytes_max"));
    assert_eq!(services.counted("stompgate_http_refused_total", "body_too_large"), 1.0);
    services.poll("/echo/0/a").await;
    assert_eq!(services.poll("/echo/0/a").await, "c[1009,\"Message too large\"]\n");
}

#[tokio::test]
async fn s71_six_times_a_websocket_message_is_always_taken() {
    let services = Services::with(|it| {
        it.websocket.message_bytes_max = 1000;
        echo(it).body_bytes_max = 1024;
    });
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", &format!("[\"{}\"]", "\\u0000".repeat(999))).await, 204);
}

#[tokio::test]
async fn s71_the_body_of_a_receiving_request_has_the_same_bound() {
    let services = Services::with(|it| {
        it.websocket.message_bytes_max = 100;
        echo(it).body_bytes_max = 1000;
    });
    assert_eq!(services.post("/echo/0/a/xhr", &"x".repeat(1000)).await.body, "o\n");
    assert_eq!(services.post("/echo/0/a/xhr", &"x".repeat(1001)).await.status, 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let services = Services::with(|it| echo(it).sessions.send_time_max = Duration::from_millis(100));
    services.poll("/echo/0/a").await;
    let mut raw = services.connect().await;
    raw.write("POST /echo/0/a/xhr_send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n[\"x").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, &*answer.body), (408, "The body did not come within 100 ms.\n"));
    assert_eq!(services.counted("stompgate_http_refused_total", "body_late"), 1.0);
}

#[tokio::test]
async fn t10_a_session_that_is_not_read_withholds_its_answer_and_then_says_so() {
    let services = Services::with(|it| echo(it).sessions.send_time_max = Duration::from_secs(1));
    services.poll("/echo/0/a").await;
    let late = services.post("/echo/0/a/xhr_send", &large()).await;
    assert_eq!(late.status, 503);
    assert!(late.body.contains("1000 ms"), "{late:?}");
    assert_eq!(services.counted("stompgate_http_refused_total", "send_late"), 1.0);
    // Once what waits is received, it reads again.
    assert_eq!(services.poll("/echo/0/a").await, format!("a{}\n", large()));
    assert_eq!(services.send("/echo/0/a", r#"["y"]"#).await, 204);
}

#[tokio::test]
async fn t10_requests_that_wait_are_taken_in_their_order() {
    let services = Services::with(|it| echo(it).sessions.send_time_max = Duration::from_secs(2));
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", &large()).await, 503);
    let mut waiting = Vec::new();
    for body in [r#"["1"]"#, r#"["2"]"#, r#"["3"]"#] {
        waiting.push(services.begun("/echo/0/a/xhr_send", body).await);
    }
    assert_eq!(services.poll("/echo/0/a").await, format!("a{}\n", large()));
    for raw in &mut waiting {
        assert_eq!(raw.answer().await.status, 204);
    }
    assert_eq!(services.poll("/echo/0/a").await, "a[\"1\",\"2\",\"3\"]\n");
}

#[tokio::test]
async fn one_request_more_than_may_wait_to_send_is_refused() {
    let services = Services::with(|it| echo(it).sessions.sends_waiting_max = 1);
    services.poll("/echo/0/a").await;
    let mut waiting = services.begun("/echo/0/a/xhr_send", &large()).await;
    let refused = services.post("/echo/0/a/xhr_send", "[]").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains(": 1 (sockjs.sends_waiting_max)"), "{refused:?}");
    assert_eq!(services.counted("stompgate_http_refused_total", "sends_waiting_max"), 1.0);
    services.poll("/echo/0/a").await;
    assert_eq!(waiting.answer().await.status, 204);
}

#[tokio::test]
async fn a_session_over_http_has_a_place_among_the_connections() {
    let services = Services::with(|it| it.connections_max = 3);
    let mut raw = services.connect().await;
    for session in ["a", "b"] {
        raw.ask("POST", &format!("/echo/0/{session}/xhr"), "", "").await;
        assert_eq!(raw.answer().await.body, "o\n");
    }
    raw.ask("POST", "/echo/0/c/xhr", "", "").await;
    let refused = raw.answer().await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("3 (http.connections_max)"), "{refused:?}");
}

#[tokio::test]
async fn a_session_over_http_counts_for_the_address_of_its_client() {
    let services = Services::with(|it| it.connections_per_ip_max = 2);
    let mut raw = services.connect().await;
    raw.ask("POST", "/echo/0/a/xhr", "", "").await;
    assert_eq!(raw.answer().await.body, "o\n");
    raw.ask("POST", "/echo/0/b/xhr", "", "").await;
    assert_eq!(raw.answer().await.status, 429);
}

#[tokio::test]
async fn a_waiting_poll_and_a_stream_are_not_cut_by_the_time_of_a_connection() {
    let services = Services::with(|it| {
        it.requests_time_max = Duration::from_millis(100);
        it.header_timeout = Duration::from_millis(100);
    });
    let mut stream = services.stream("/echo/0/a").await;
    assert_eq!(stream.chunk().await.unwrap(), "o\n");
    let mut idle = services.connect().await;
    // It is cut when three of those times are over.
    for _ in 0..3 {
        assert_eq!(idle.rest().await, "");
        idle = services.connect().await;
    }
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
    assert_eq!(stream.chunk().await.unwrap(), "a[\"x\"]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_stream_is_given_up_with_its_connection() {
    let app = client::start(|it| {
        it.session.write_stall_max = Duration::from_millis(200);
        it.http.requests_time_max = Duration::from_millis(500);
        echo(&mut it.http).sessions.disconnect_delay = Duration::from_millis(300);
    })
    .await;
    let mut sending = Raw::connect(app.http_addr).await;
    let mut stuck = Raw::connect(app.http_addr).await;
    stuck.ask("POST", "/ws/0/a/xhr_streaming", "", "").await;
    assert_eq!(stuck.head().await.status, 200);
    let body = r#"["CONNECT\naccept-version:1.2\n\n\u0000SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000"]"#;
    sending.ask("POST", "/ws/0/a/xhr_send", "", body).await;
    assert_eq!(sending.answer().await.status, 204);
    let mut publisher = Client::connect(&app).await;
    let body = "x".repeat(60_000);
    let closed = "stompgate_transport_sessions{transport=\"http_streaming\"}";
    while metric(&app, closed).await > 0.0 {
        publisher.confirmed("SEND\ndestination:/topic/a", &body).await;
    }
    // The other one is idle.
    drop(sending);
    until(&app, "stompgate_http_connections", 0.0).await;
}

#[tokio::test]
async fn n4_n5_requests_that_seem_to_be_astray_are_counted() {
    let services = Services::hasty();
    assert_eq!(services.send("/echo/0/elsewhere", r#"["x"]"#).await, 404);
    assert_eq!(services.counted("stompgate_sockjs_strays_total", "sending"), 1.0);
    assert_eq!(services.counted("stompgate_http_refused_total", "session_unknown"), 1.0);
    // It looks like a new session, and its client goes away at the `o`.
    assert_eq!(services.poll("/echo/0/elsewhere").await, "o\n");
    services.until_counted("stompgate_sockjs_strays_total", "receiving", 1.0).await;
    // One that is used is none.
    assert_eq!(services.poll("/echo/0/here").await, "o\n");
    assert_eq!(services.send("/echo/0/here", r#"["x"]"#).await, 204);
    services.until_counted("stompgate_sockjs_sessions_ended_total", "expired", 2.0).await;
    assert_eq!(services.counted("stompgate_sockjs_strays_total", "receiving"), 1.0);
}
