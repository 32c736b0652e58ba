//! STOMP over SockJS, with a whole gateway.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use stompgate::app::App;
use stompgate::config::Settings;
use stompgate::stomp::HeartBeat;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::Raw;
use crate::client::{self, Client, metric, until, within};

const CONNECT: &str = r#"["CONNECT\naccept-version:1.2\n\n\u0000"]"#;

const SUBSCRIBE: &str = r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\nreceipt:r\n\n\u0000"]"#;

/// A client that polls.
struct Poller {
    app: App,
    polling: Raw,
    sending: Raw,
}

impl Poller {
    async fn open(change: impl FnOnce(&mut Settings)) -> Self {
        let app = client::start(change).await;
        let (polling, sending) = (Raw::connect(app.http_addr).await, Raw::connect(app.http_addr).await);
        let mut poller = Self { app, polling, sending };
        assert_eq!(poller.poll().await, "o\n");
        poller
    }

    async fn connect(change: impl FnOnce(&mut Settings)) -> Self {
        let mut poller = Self::open(change).await;
        poller.send(CONNECT).await;
        let connected = poller.poll().await;
        assert!(connected.starts_with(r#"a["CONNECTED\nversion:1.2\n"#), "{connected}");
        poller
    }

    async fn poll(&mut self) -> String {
        self.polling.ask("POST", "/ws/000/one/xhr", "", "").await;
        let answer = self.polling.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn send(&mut self, body: &str) {
        self.sending.ask("POST", "/ws/000/one/xhr_send", "", body).await;
        assert_eq!(self.sending.answer().await.status, 204);
    }

    /// A streaming answer behind its first bytes.
    async fn stream(&self) -> Raw {
        let mut raw = Raw::connect(self.app.http_addr).await;
        raw.ask("POST", "/ws/000/one/xhr_streaming", "", "").await;
        assert_eq!(raw.head().await.status, 200);
        assert!(raw.chunk().await.unwrap().starts_with("hhh"));
        raw
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_t2_a_client_that_polls_connects_subscribes_sends_and_receives() {
    let mut client = Poller::connect(|_| ()).await;
    assert_eq!(metric(&client.app, "stompgate_transport_sessions{transport=\"http_polling\"}").await, 1.0);
    // Messages are one stream of bytes: frames within one, and one over two of them.
    client
        .send(
            r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000\nSEND\ndestination:/topic/a\n\nhel","lo\u0000","\n"]"#,
        )
        .await;
    let message = client.poll().await;
    assert!(message.starts_with(r#"a["MESSAGE\n"#) && message.ends_with("\\n\\nhello\\u0000\"]\n"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_client_over_websocket_connects_subscribes_sends_and_receives() {
    let app = client::start(|_| ()).await;
    let tcp = TcpStream::connect(app.http_addr).await.unwrap();
    let url = format!("ws://{}/ws/000/one/websocket", app.http_addr);
    // It offers no sub-protocol.
    let (mut socket, _) = client_async(url, tcp).await.unwrap();
    let frames = r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000","SEND\ndestination:/topic/a\n\nhello\u0000"]"#;
    for (expected, next) in [("o", CONNECT), (r#"a["CONNECTED\nversion:1.2\n"#, frames)] {
        let text = within(socket.next()).await.unwrap().unwrap().into_text().unwrap();
        assert!(text.starts_with(expected), "{text}");
        within(socket.send(Message::text(next))).await.unwrap();
    }
    let message = within(socket.next()).await.unwrap().unwrap().into_text().unwrap();
    assert!(message.starts_with(r#"a["MESSAGE\n"#) && message.ends_with("hello\\u0000\"]"), "{message}");
    assert_eq!(metric(&app, "stompgate_transport_sessions{transport=\"sockjs_websocket\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_sub_protocol_that_is_offered_is_chosen() {
    let app = client::start(|_| ()).await;
    let mut raw = Raw::connect(app.http_addr).await;
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp, v11.stomp\r\n";
    raw.ask("GET", "/ws/000/one/websocket", headers, "").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("sec-websocket-protocol")), (101, Some("v12.stomp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn t3_t4_a_character_that_is_cut_between_two_requests_is_whole_again() {
    let mut client = Poller::connect(|_| ()).await;
    client.send(r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000"]"#).await;
    client.send(r#"["SEND\ndestination:/topic/a\ncontent-length:6\n\nä\ud83d"]"#).await;
    client.send(r#"["\ude00\u0000"]"#).await;
    let message = client.poll().await;
    assert!(message.contains("\\ncontent-length:6\\n\\nä\\ud83d\\ude00\\u0000\"]\n"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_a_body_that_is_no_text_arrives_with_replacements_and_its_new_length() {
    let mut client = Poller::connect(|_| ()).await;
    client.send(SUBSCRIBE).await;
    assert!(client.poll().await.starts_with(r#"a["RECEIPT\n"#));
    let tcp = TcpStream::connect(client.app.http_addr).await.unwrap();
    let (mut plain, _) = client_async(format!("ws://{}/ws", client.app.http_addr), tcp).await.unwrap();
    for frame in [&b"CONNECT\naccept-version:1.2\n\n\0"[..], b"SEND\ndestination:/topic/a\n\na\xffb\0"] {
        within(plain.send(Message::binary(frame))).await.unwrap();
    }
    let message = client.poll().await;
    assert!(message.contains("\\ncontent-length:5\\n\\na\\ufffdb\\u0000\"]\n"), "{message}");
    assert_eq!(metric(&client.app, "stompgate_bodies_replaced_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_bytes_that_a_client_sends_as_numbers_are_told_as_such() {
    let mut client = Poller::open(|_| ()).await;
    client.send(r#"["67,79,78,78,69,67,84,10,10,0"]"#).await;
    let end = client.poll().await;
    assert!(end.starts_with("c[1002,\"SockJS carries text") && end.contains("forceBinaryWSFrames"), "{end}");
    // Of a later frame the numbers are no command.
    let mut client = Poller::connect(|_| ()).await;
    client.send(r#"["83,69,78,68,10,10,0","\n"]"#).await;
    let error = client.poll().await;
    assert!(error.contains("message:Bad command") && error.contains("83,69,78,68"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_h_stops_once_heart_beats_of_stomp_are_promised() {
    let mut client = Poller::open(|it| {
        it.session.heartbeat = HeartBeat { send_ms: 200, receive_ms: 0 };
        it.http.endpoints[0].sockjs.as_mut().unwrap().sessions.heartbeat = Duration::from_millis(50);
    })
    .await;
    let mut stream = client.stream().await;
    assert_eq!(stream.chunk().await.unwrap(), "h\n");
    client.send(r#"["CONNECT\naccept-version:1.2\nheart-beat:0,200\n\n\u0000"]"#).await;
    let connected = loop {
        let frame = stream.chunk().await.unwrap();
        if frame != "h\n" {
            break frame;
        }
    };
    assert!(connected.starts_with(r#"a["CONNECTED\n"#), "{connected}");
    for _ in 0..3 {
        assert_eq!(stream.chunk().await.unwrap(), "a[\"\\n\"]\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_without_them_h_goes_on() {
    let mut client = Poller::connect(|it| {
        it.http.endpoints[0].sockjs.as_mut().unwrap().sessions.heartbeat = Duration::from_millis(50)
    })
    .await;
    for _ in 0..2 {
        assert_eq!(client.poll().await, "h\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_a_client_that_is_silent_has_to_ask_again_to_show_that_it_lives() {
    let client = Poller::connect(|it| it.session.ping_interval = Duration::from_millis(600)).await;
    // Longer than a client may be silent, which is three intervals.
    for _ in 0..4 {
        let mut stream = client.stream().await;
        assert_eq!(stream.chunk().await.unwrap(), "h\n");
        assert_eq!(stream.chunk().await, None);
    }
    assert_eq!(metric(&client.app, "stompgate_sessions{phase=\"connected\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_the_time_to_connect_runs_from_o() {
    let mut client = Poller::open(|it| it.session.connect_wait = Duration::from_millis(200)).await;
    assert!(client.poll().await.contains("(session.connect_wait)"));
    assert_eq!(client.poll().await, "c[1002,\"No CONNECT received in time\"]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_the_id_of_the_url_is_nobody_s_session_id() {
    let mut client = Poller::open(|_| ()).await;
    client.send(CONNECT).await;
    let connected = client.poll().await;
    let session = connected.split("\\n").find_map(|it| it.strip_prefix("session:")).unwrap();
    assert!(session.len() > 20 && !session.contains("one"), "{connected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t11_what_waits_for_a_client_that_does_not_receive_is_bounded() {
    let mut client = Poller::connect(|it| it.delivery.bytes_max = 10_000).await;
    client.send(SUBSCRIBE).await;
    assert!(client.poll().await.starts_with(r#"a["RECEIPT\n"#));
    let mut publisher = Client::connect(&client.app).await;
    for i in 0..3 {
        publisher.confirmed("SEND\ndestination:/topic/a", &format!("{i}{}", "x".repeat(3_000))).await;
    }
    publisher.confirmed("SEND\ndestination:/topic/a", &"x".repeat(3_000)).await;
    until(&client.app, "stompgate_sessions_closed_total{reason=\"slow_consumer\"}", 1.0).await;
    let told = client.poll().await;
    assert_eq!(told, "c[4500,\"Failed to send message within the configured send limit\"]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_what_is_queued_goes_before_the_end_and_nothing_after_it() {
    let mut client = Poller::connect(|_| ()).await;
    client.send(r#"["SEND\nreceipt:r\n\n\u0000"]"#).await;
    let error = client.poll().await;
    assert!(error.starts_with(r#"a["ERROR\n"#) && error.contains("receipt-id:r"), "{error}");
    for _ in 0..2 {
        let end = client.poll().await;
        assert!(end.starts_with("c[1002,\""), "{end}");
    }
    let mut client = Poller::connect(|_| ()).await;
    let mut stream = client.stream().await;
    client.send(r#"["DISCONNECT\nreceipt:bye\n\n\u0000"]"#).await;
    assert_eq!(stream.chunk().await.unwrap(), "a[\"RECEIPT\\nreceipt-id:bye\\n\\n\\u0000\"]\n");
    assert_eq!(stream.chunk().await.unwrap(), "c[1000,\"\"]\n");
    assert_eq!(stream.chunk().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_what_an_interrupted_session_has_not_acknowledged_is_delivered_again() {
    let mut client = Poller::connect(|_| ()).await;
    let mut stream = client.stream().await;
    client.send(r#"["SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client\n\n\u0000"]"#).await;
    client.send(r#"["SEND\ndestination:/queue/q\n\nwork\u0000"]"#).await;
    assert!(stream.chunk().await.unwrap().starts_with(r#"a["MESSAGE\n"#));
    drop(stream);
    let mut other = Client::connect(&client.app).await;
    other.send("SUBSCRIBE\nid:o\ndestination:/queue/q\n\n\0").await;
    let message = other.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("redelivered")), (&b"work"[..], Some("true")));
}

#[tokio::test(flavor = "multi_thread")]
async fn n8_a_drain_tells_sessions_its_end_and_lets_no_new_one_begin() {
    let mut client = Poller::connect(|it| it.lifecycle.drain_period = Duration::from_millis(200)).await;
    // Nobody is told the end of this session, so for a while its connections stay.
    let (mut polling, mut sending) =
        (Raw::connect(client.app.http_addr).await, Raw::connect(client.app.http_addr).await);
    for (raw, request, status) in [(&mut polling, "xhr", 200), (&mut sending, "xhr_send", 204)] {
        raw.ask("POST", &format!("/ws/000/two/{request}"), "", "[]").await;
        assert_eq!(raw.answer().await.status, status);
    }
    client.polling.ask("POST", "/ws/000/one/xhr", "", "").await;
    client.app.lifecycle.drain();
    polling.ask("POST", "/ws/000/new/xhr", "", "").await;
    assert_eq!(polling.answer().await.status, 503);
    sending.ask("GET", "/ws/info", "", "").await;
    assert_eq!(sending.answer().await.status, 503);
    assert_eq!(client.polling.answer().await.body, "c[1012,\"The gateway restarts\"]\n");
    within(client.app.shut_down()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sockjs_the_path_is_websocket_alone() {
    let app = client::start(|it| it.http.endpoints[0].sockjs = None).await;
    let mut raw = Raw::connect(app.http_addr).await;
    for (path, status) in [("/ws", 426), ("/ws/info", 404), ("/ws/000/one/xhr", 404), ("/ws/websocket", 404)] {
        raw.ask("GET", path, "", "").await;
        assert_eq!(raw.answer().await.status, status, "{path}");
    }
    Client::connect(&app).await;
}
