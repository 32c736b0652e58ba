//! Where a client is, by the words of proxies that are trusted, and of nobody else.

use stompgate::http::{ClientHeader, Proxies};

use super::*;

/// Version 2, PROXY, TCP over IPv4, 12 bytes of addresses: 203.0.113.7:4711 to 192.0.2.1:80.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x12\x67\0\x50";
/// Version 2, LOCAL.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn trusting(trusted: &str, proxy_protocol: bool, header: ClientHeader) -> impl FnOnce(&mut Settings) {
    let trusted = vec![trusted.parse().unwrap()];
    move |it| it.proxies = Proxies { trusted, proxy_protocol, header }
}

fn announcing(trusted: &str) -> Gateway {
    Gateway::start(trusting(trusted, true, ClientHeader::Off))
}

/// Whom the gateway takes a client for that sends these parts, one by one, and then upgrades.
async fn peer(gateway: &Gateway, parts: &[&[u8]], headers: &[(&'static str, &str)]) -> String {
    let mut tcp = gateway.connect().await;
    tcp.set_nodelay(true).unwrap();
    let own = tcp.local_addr().unwrap();
    for part in parts {
        tcp.write_all(part).await.unwrap();
        tcp.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut request = format!("ws://{}/ws", gateway.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let (mut client, _) = within(client_async(request, tcp)).await.unwrap();
    client.send(Message::text("peer")).await.unwrap();
    let told = within(client.next()).await.unwrap().unwrap().into_text().unwrap();
    if told.as_str() == own.to_string() { "own".to_owned() } else { told.to_string() }
}

#[tokio::test]
async fn a_trusted_proxy_says_in_its_header_who_the_client_is() {
    let gateway = announcing("127.0.0.0/8");
    let text = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n";
    assert_eq!(peer(&gateway, &[BINARY], &[]).await, "203.0.113.7:4711");
    assert_eq!(peer(&gateway, &[text], &[]).await, "[2001:db8::7]:4711");
    assert_eq!(
        peer(&gateway, &[&text[..3], &text[3..14], &text[14..40], &text[40..]], &[]).await,
        "[2001:db8::7]:4711"
    );
    assert_eq!(peer(&gateway, &[&BINARY[..5], &BINARY[5..17], &BINARY[17..]], &[]).await, "203.0.113.7:4711");
    assert_eq!(peer(&gateway, &[LOCAL], &[]).await, "own");
    assert_eq!(peer(&gateway, &[b"PROXY UNKNOWN\r\n"], &[]).await, "own");
}

#[tokio::test]
async fn a_request_right_behind_the_header_is_not_lost() {
    let gateway = announcing("127.0.0.1");
    for header in [BINARY, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n"] {
        let mut tcp = gateway.connect().await;
        tcp.write_all(&[header, HANDSHAKE.as_bytes(), b"\r\n"].concat()).await.unwrap();
        assert_holds(&answer(&mut tcp, "", "\r\n\r\n").await, &["HTTP/1.1 101 "]);
    }
}

#[tokio::test]
async fn a_trusted_proxy_without_a_good_header_is_closed() {
    let gateway = announcing("127.0.0.1");
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let huge = [&BINARY[..14], &[0xff, 0xff], &[0; 100]].concat();
    let all: [&[u8]; 5] = [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 here there 1 2\r\n", &endless, &huge, b"PROXY "];
    for (header, count) in all.into_iter().zip(1..) {
        let mut tcp = gateway.connect().await;
        tcp.write_all(header).await.unwrap();
        tcp.shutdown().await.unwrap();
        // What it has sent and nobody has read turns the end into a reset.
        let mut received = Vec::new();
        let _ended = within(tcp.read_to_end(&mut received)).await;
        assert_eq!(received, b"", "{header:?}");
        until(|| gateway.counted("stompgate_http_refused_total", "proxy_header_invalid") == f64::from(count)).await;
    }
    until(|| gateway.registry.live() == 0).await;
}

#[tokio::test]
async fn the_header_has_a_deadline() {
    let gateway = Gateway::start(|it| {
        trusting("127.0.0.1", true, ClientHeader::Off)(it);
        it.header_timeout = Duration::from_millis(50);
    });
    let mut slow = gateway.connect().await;
    slow.write_all(&BINARY[..20]).await.unwrap();
    let _ended = within(slow.read_u8()).await.unwrap_err();
    until(|| gateway.counted("stompgate_http_timeouts_total", "proxy_header") == 1.0).await;
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let gateway = announcing("192.0.2.1");
    let header = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n";
    assert_holds(&gateway.ask(&format!("{header}{HANDSHAKE}")).await, &["HTTP/1.1 400 "]);
    assert_eq!(peer(&gateway, &[], &[]).await, "own");
    let gateway = Gateway::start(trusting("192.0.2.1", false, ClientHeader::XForwardedFor));
    assert_eq!(peer(&gateway, &[], &[("x-forwarded-for", "203.0.113.7")]).await, "own");
    // Where no proxy announces, what looks like it is no HTTP.
    let gateway = Gateway::start(trusting("127.0.0.1", false, ClientHeader::Off));
    assert_holds(&gateway.ask(&format!("{header}{HANDSHAKE}")).await, &["HTTP/1.1 400 "]);
}

#[tokio::test]
async fn the_header_of_the_setting_tells_who_the_client_is() {
    let both =
        [("x-forwarded-for", "198.51.100.1, 203.0.113.7, 127.0.0.9"), ("forwarded", "for=\"[2001:db8::7]:4711\"")];
    let gateway = Gateway::start(trusting("127.0.0.0/8", false, ClientHeader::XForwardedFor));
    assert_eq!(peer(&gateway, &[], &both).await, "203.0.113.7:0");
    let gateway = Gateway::start(trusting("127.0.0.0/8", false, ClientHeader::Forwarded));
    assert_eq!(peer(&gateway, &[], &both).await, "[2001:db8::7]:4711");
    assert_eq!(peer(&gateway, &[], &[]).await, "own");
}

#[tokio::test]
async fn a_proxy_behind_a_proxy_is_read_past() {
    let gateway = Gateway::start(trusting("127.0.0.0/8", true, ClientHeader::XForwardedFor));
    let forwarded = [("x-forwarded-for", "203.0.113.9")];
    let outer: &[u8] = b"PROXY TCP4 127.0.0.7 127.0.0.1 4711 80\r\n";
    assert_eq!(peer(&gateway, &[outer], &forwarded).await, "203.0.113.9:0");
    // Who is announced is a client and not trusted.
    assert_eq!(peer(&gateway, &[BINARY], &forwarded).await, "203.0.113.7:4711");
}
