//! The public listener over real sockets.

mod limits;
mod proxies;
mod tls;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use stompgate::http::{Listener, Metrics, Settings};
use stompgate::lifecycle::Lifecycle;
use stompgate::registry::{Admission, Registry};
use stompgate::telemetry;
use stompgate::transport::{Inbound, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(10);

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A listener whose clients hear their own words.
struct Gateway {
    address: SocketAddr,
    lifecycle: Lifecycle,
    registry: Registry,
    telemetry: telemetry::Registry,
}

impl Gateway {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() };
        change(&mut settings);
        let (lifecycle, telemetry) = (Lifecycle::default(), telemetry::Registry::default());
        let registry = Registry::new(settings.connections_max, settings.connections_per_ip_max);
        let listener = Listener::bind(settings).unwrap();
        let address = listener.local_addr().unwrap();
        let clients = lifecycle.clone();
        let on_client = move |_: &_, transport, admission| clients.spawn(echo(transport, admission));
        let metrics = Metrics::new(&telemetry);
        lifecycle.spawn(listener.serve(registry.clone(), metrics, lifecycle.clone(), on_client));
        Self { address, lifecycle, registry, telemetry }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn upgrade(&self) -> WebSocketStream<TcpStream> {
        client_async(format!("ws://{}/ws", self.address), self.connect().await).await.unwrap().0
    }

    /// The answer to a request on a connection of its own.
    async fn ask(&self, request: &str) -> String {
        let mut tcp = self.connect().await;
        let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        tcp.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        rest(&mut tcp).await
    }

    fn counted(&self, name: &str, reason: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|it| it.name() == name).expect("the metric is registered");
        let is_wanted =
            |it: &&prometheus::proto::Metric| it.get_label().first().is_none_or(|label| label.value() == reason);
        let metric = family.get_metric().iter().find(is_wanted);
        metric.map_or(0.0, |it| it.get_counter().get_value() + it.get_gauge().get_value())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// What `peer` is answered with is the address of who asks.
async fn echo(mut transport: Transport, _admission: Admission) {
    while let Inbound::Data(mut payload) = poll_fn(|cx| transport.poll_receive(cx)).await {
        if payload == "peer" {
            payload = transport.peer().unwrap().to_string().into();
        }
        transport.queue(payload);
        poll_fn(|cx| transport.poll_flush(cx)).await.unwrap();
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

/// Everything until the gateway closes the connection.
async fn rest(tcp: &mut TcpStream) -> String {
    let mut received = String::new();
    within(tcp.read_to_string(&mut received)).await.unwrap();
    received
}

/// One answer, on a connection that stays open.
async fn answer(tcp: &mut TcpStream, request: &str, end: &str) -> String {
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(end.as_bytes()) {
        assert_ne!(within(tcp.read_buf(&mut received)).await.unwrap(), 0, "closed early");
    }
    String::from_utf8(received).unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn assert_holds(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.to_ascii_lowercase().contains(&part.to_ascii_lowercase()), "no {part:?} in:\n{answer}");
    }
}

#[tokio::test]
async fn a_client_upgrades_with_its_sub_protocol_and_is_handed_over() {
    let gateway = Gateway::start(|_| ());
    let mut request = format!("ws://{}/ws?query=ignored", gateway.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "v12.stomp, v11.stomp".parse().unwrap());
    let (mut client, response) = client_async(request, gateway.connect().await).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "v12.stomp");

    client.send(Message::text("hello")).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(gateway.counted("stompgate_http_upgrades_total", ""), 1.0);
    until(|| gateway.counted("stompgate_http_connections", "") == 0.0).await;
}

#[tokio::test]
async fn a_frame_sent_together_with_the_handshake_is_not_lost() {
    let gateway = Gateway::start(|_| ());
    let mut tcp = gateway.connect().await;
    let request = format!("{HANDSHAKE}\r\n\u{1}\u{0}");
    let mut bytes = request.into_bytes();
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    tcp.write_all(&bytes).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\x81\x02hi") {
        assert_ne!(within(tcp.read_buf(&mut received)).await.unwrap(), 0);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "));
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_is_counted_by_its_reason() {
    async fn check(gateway: &Gateway, request: &str, reason: &str, expected: &[&str]) {
        let before = gateway.counted("stompgate_http_refused_total", reason);
        assert_holds(&gateway.ask(request).await, expected);
        assert_eq!(gateway.counted("stompgate_http_refused_total", reason), before + 1.0, "{reason}");
    }
    let gateway = Gateway::start(|_| ());
    let plain = "GET /ws HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\n";
    check(&gateway, plain, "not_upgrade", &["HTTP/1.1 426 ", "upgrade: websocket", "STOMP client"]).await;
    let post = "POST /ws HTTP/1.1\r\nHost: gateway\r\n";
    check(&gateway, post, "method_not_allowed", &["HTTP/1.1 405 ", "allow: GET\r\n"]).await;
    let nowhere = "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n";
    check(&gateway, nowhere, "not_found", &["HTTP/1.1 404 ", "/ws (WebSocket), /demo/ (chat page)"]).await;
    let delete = "DELETE /demo/ HTTP/1.1\r\nHost: gateway\r\n";
    check(&gateway, delete, "method_not_allowed", &["HTTP/1.1 405 ", "allow: GET, HEAD\r\n"]).await;

    let version = HANDSHAKE.replace(": 13", ": 7");
    let expected = ["HTTP/1.1 426 ", "sec-websocket-version: 13"];
    check(&gateway, &version, "version_unsupported", &expected).await;
    let key = HANDSHAKE.replace("==", "");
    check(&gateway, &key, "key_invalid", &["HTTP/1.1 400 ", "Sec-WebSocket-Key"]).await;
    let foreign = format!("{HANDSHAKE}Origin: https://evil.net\r\n");
    let expected = ["HTTP/1.1 403 ", "https://evil.net", "http.allowed_origins", "nosniff"];
    check(&gateway, &foreign, "origin_forbidden", &expected).await;
}

#[tokio::test]
async fn the_path_and_the_origins_are_settings() {
    let gateway = Gateway::start(|it| {
        it.endpoints[0].path = "/stomp".to_owned();
        it.allowed_origins = vec!["https://app.example.org".to_owned()];
    });
    let request = format!("{HANDSHAKE}Origin: https://app.example.org\r\n");
    assert_holds(&gateway.ask(&request).await, &["HTTP/1.1 404 "]);
    for path in ["/stomp", "/stomp/"] {
        let mut tcp = gateway.connect().await;
        let request = request.replace("/ws", path);
        assert_holds(&answer(&mut tcp, &format!("{request}\r\n"), "\r\n\r\n").await, &["HTTP/1.1 101 "]);
    }
}

#[tokio::test]
async fn the_chat_page_is_served_with_tags_and_a_policy() {
    let gateway = Gateway::start(|_| ());
    let page = gateway.ask("GET /demo/ HTTP/1.1\r\nHost: gateway\r\n").await;
    let headers = ["HTTP/1.1 200 ", "content-type: text/html", "default-src 'self'", "nosniff", "no-cache", "<html"];
    assert_holds(&page, &headers);
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    let tag = head.lines().find_map(|it| it.strip_prefix("etag: ")).unwrap();

    let known = gateway.ask(&format!("GET /demo/ HTTP/1.1\r\nHost: gateway\r\nIf-None-Match: {tag}\r\n")).await;
    assert_holds(&known, &["HTTP/1.1 304 "]);
    assert!(known.ends_with("\r\n\r\n"), "a 304 has no body:\n{known}");
    let head_only = gateway.ask("HEAD /demo/ HTTP/1.1\r\nHost: gateway\r\n").await;
    assert_holds(&head_only, &["HTTP/1.1 200 ", &format!("content-length: {}", body.len())]);
    assert!(head_only.ends_with("\r\n\r\n"), "an answer to HEAD has no body:\n{head_only}");

    for file in ["stomp.js", "sockjs.js", "demo.js", "demo.css"] {
        let file = gateway.ask(&format!("GET /demo/{file} HTTP/1.1\r\nHost: gateway\r\n")).await;
        assert_holds(&file, &["HTTP/1.1 200 "]);
    }
    for path in ["/", "/demo"] {
        let moved = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n")).await;
        assert_holds(&moved, &["HTTP/1.1 302 ", "location: /demo/\r\n"]);
    }
    assert_holds(&gateway.ask("GET /demo/other HTTP/1.1\r\nHost: gateway\r\n").await, &["HTTP/1.1 404 "]);
}

#[tokio::test]
async fn without_the_demo_its_paths_are_unknown() {
    let gateway = Gateway::start(|it| it.demo = false);
    for path in ["/", "/demo/", "/demo/stomp.js"] {
        let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n")).await;
        assert_holds(&answer, &["HTTP/1.1 404 ", "What is: /ws (WebSocket)."]);
    }
}

#[tokio::test]
async fn a_connection_serves_several_requests_and_upgrades_last() {
    let gateway = Gateway::start(|_| ());
    let mut tcp = gateway.connect().await;
    let greeted = answer(&mut tcp, "GET /ws HTTP/1.1\r\nHost: gateway\r\n\r\n", "SockJS!\n").await;
    assert_holds(&greeted, &["HTTP/1.1 200 "]);
    let missed = answer(&mut tcp, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    assert_holds(&missed, &["HTTP/1.1 404 "]);
    assert_holds(&answer(&mut tcp, &format!("{HANDSHAKE}\r\n"), "\r\n\r\n").await, &["HTTP/1.1 101 "]);
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_request_is_closed() {
    let gateway = Gateway::start(|it| it.header_timeout = Duration::from_millis(50));
    let mut silent = gateway.connect().await;
    let mut slow = gateway.connect().await;
    slow.write_all(b"GET /ws HTTP/1.1\r\nHost: gate").await.unwrap();
    let mut idle = gateway.connect().await;
    answer(&mut idle, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    for tcp in [&mut silent, &mut slow, &mut idle] {
        assert_eq!(rest(tcp).await, "");
    }
    until(|| gateway.registry.live() == 0).await;
}

#[tokio::test]
async fn a_connection_is_used_for_requests_no_longer_than_its_time() {
    let gateway = Gateway::start(|it| it.requests_time_max = Duration::from_millis(50));
    let mut client = gateway.upgrade().await;
    let mut tcp = gateway.connect().await;
    assert_eq!(rest(&mut tcp).await, "");
    // Which an upgraded one is not subject to.
    client.send(Message::text("hello")).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_refused() {
    let gateway = Gateway::start(|_| ());
    let answer = gateway.ask(&format!("GET / HTTP/1.1\r\nCookie: {}\r\n", "x".repeat(16 * 1024))).await;
    assert_holds(&answer, &["HTTP/1.1 431 "]);
}

#[tokio::test]
async fn a_connection_over_the_bound_is_told_so_and_silent_ones_count() {
    let gateway = Gateway::start(|it| it.connections_max = 2);
    let silent = gateway.connect().await;
    let mut client = gateway.upgrade().await;
    for request in [HANDSHAKE, "GET /demo/ HTTP/1.1\r\nHost: gateway\r\n"] {
        let refused = gateway.ask(request).await;
        assert_holds(&refused, &["HTTP/1.1 503 ", "retry-after: 5", "2 (http.connections_max)"]);
    }
    assert_eq!(gateway.counted("stompgate_http_refused_total", "connections_max"), 2.0);
    assert_eq!(gateway.registry.live(), 2);

    drop(silent);
    until(|| gateway.registry.live() == 1).await;
    assert_holds(&gateway.ask("GET /demo/ HTTP/1.1\r\nHost: gateway\r\n").await, &["HTTP/1.1 200 "]);
    client.close(None).await.unwrap();
    until(|| gateway.registry.live() == 0).await;
}

#[tokio::test]
async fn draining_ends_the_listening_and_leaves_clients_alone() {
    let gateway = Gateway::start(|_| ());
    let mut client = gateway.upgrade().await;
    let mut idle = gateway.connect().await;
    answer(&mut idle, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    gateway.lifecycle.drain();

    assert_eq!(rest(&mut idle).await, "");
    within(async { while TcpStream::connect(gateway.address).await.is_ok() {} }).await;
    client.send(Message::text("still here")).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("still here"));
    client.close(None).await.unwrap();
    within(gateway.lifecycle.ended()).await;
}

#[tokio::test]
async fn a_head_that_is_never_whole_does_not_hold_a_drain_up() {
    let gateway = Gateway::start(|it| it.header_timeout = Duration::from_secs(3_600));
    let mut slow = gateway.connect().await;
    let whole = "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n";
    // In one packet, so that the gateway has read both.
    answer(&mut slow, &format!("{whole}GET /demo/ HTTP/1.1\r\nHost:"), "page).\n").await;
    gateway.lifecycle.drain();
    within(gateway.lifecycle.ended()).await;
}
