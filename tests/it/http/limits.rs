//! How many connections there may be, of whom, and how long each of their steps may take.

use stompgate::http::{ClientHeader, Proxies};
use tokio::net::TcpSocket;

use super::*;

/// A connection from another address of the loopback network.
async fn connect_from(gateway: &Gateway, ip: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    socket.connect(gateway.address).await.unwrap()
}

#[tokio::test]
async fn a_client_over_its_bound_is_told_so_and_others_are_served() {
    let gateway = Gateway::start(|it| it.connections_per_ip_max = 2);
    let silent = gateway.connect().await;
    let mut client = gateway.upgrade().await;
    until(|| gateway.registry.live() == 2).await;
    let refused = gateway.ask(HANDSHAKE).await;
    let expected = ["HTTP/1.1 429 ", "retry-after: 5", "Clients at 127.0.0.1", "2 (http.connections_per_ip_max)"];
    assert_holds(&refused, &expected);
    assert_eq!(gateway.counted("stompgate_http_refused_total", "connections_per_ip_max"), 1.0);

    let mut other = connect_from(&gateway, [127, 0, 0, 2]).await;
    assert_holds(&answer(&mut other, &format!("{HANDSHAKE}\r\n"), "\r\n\r\n").await, &["HTTP/1.1 101 "]);
    drop(silent);
    until(|| gateway.registry.live() == 2).await;
    gateway.upgrade().await;
    client.close(None).await.unwrap();
}

#[tokio::test]
async fn who_a_header_tells_of_is_counted_at_the_upgrade() {
    let gateway = Gateway::start(|it| {
        let trusted = vec!["127.0.0.1".parse().unwrap()];
        it.proxies = Proxies { trusted, proxy_protocol: false, header: ClientHeader::XForwardedFor };
        it.connections_per_ip_max = 1;
    });
    let request = |client: &str| format!("{HANDSHAKE}X-Forwarded-For: {client}\r\n\r\n");
    // Connections of the proxy are not its own.
    let [mut first, mut second, mut third] =
        [gateway.connect().await, gateway.connect().await, gateway.connect().await];
    let accepted = answer(&mut first, &request("2001:db8::1"), "\r\n\r\n").await;
    assert_holds(&accepted, &["HTTP/1.1 101 "]);
    second.write_all(request("2001:db8::2").as_bytes()).await.unwrap();
    let refused = ["HTTP/1.1 429 ", "Clients at 2001:db8::2", "1 (http.connections_per_ip_max)"];
    assert_holds(&rest(&mut second).await, &refused);
    assert_holds(&answer(&mut third, &request("2001:db8:0:1::2"), "\r\n\r\n").await, &["HTTP/1.1 101 "]);
    assert_eq!(gateway.counted("stompgate_http_refused_total", "connections_per_ip_max"), 1.0);
}

#[tokio::test]
async fn who_comes_while_all_places_for_handshakes_are_taken_waits_for_one() {
    let gateway = Gateway::start(|it| it.handshakes_max = 2);
    let silent = gateway.connect().await;
    until(|| gateway.counted("stompgate_http_accepted_total", "") == 1.0).await;
    // One place is left, and whoever has it gives it back with the first request.
    let mut idle = gateway.connect().await;
    answer(&mut idle, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    let _clients = [gateway.upgrade().await, gateway.upgrade().await];
    until(|| gateway.counted("stompgate_http_handshakes", "") == 1.0).await;

    let other_silent = gateway.connect().await;
    until(|| gateway.counted("stompgate_http_handshakes", "") == 2.0).await;
    assert!(gateway.counted("stompgate_http_accept_waits_total", "") > 0.0);
    let mut waiting = gateway.connect().await;
    waiting.write_all(format!("{HANDSHAKE}\r\n").as_bytes()).await.unwrap();
    // Others go on meanwhile.
    answer(&mut idle, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    assert_eq!(gateway.counted("stompgate_http_accepted_total", ""), 5.0);
    drop(silent);
    assert_holds(&answer(&mut waiting, "", "\r\n\r\n").await, &["HTTP/1.1 101 "]);
    assert_eq!(gateway.counted("stompgate_http_accepted_total", ""), 6.0);
    drop(other_silent);
    until(|| gateway.counted("stompgate_http_handshakes", "") == 0.0).await;
}

#[tokio::test]
async fn hundreds_who_come_at_once_are_served_through_a_few_places() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let gateway = Gateway::start(|it| it.handshakes_max = 4);
    let all = futures::future::join_all((0..300).map(|_| gateway.upgrade()));
    assert_eq!(within(all).await.len(), 300);
    assert!(gateway.counted("stompgate_http_accept_waits_total", "") > 0.0);
    assert_eq!(gateway.counted("stompgate_http_upgrades_total", ""), 300.0);
}

#[tokio::test]
async fn what_a_client_was_slow_with_is_counted() {
    let counted = |gateway: &Gateway| {
        ["idle", "request_head", "requests"].map(|it| gateway.counted("stompgate_http_timeouts_total", it))
    };
    let gateway = Gateway::start(|it| it.header_timeout = Duration::from_millis(50));
    assert_eq!(rest(&mut gateway.connect().await).await, "");
    until(|| counted(&gateway) == [1.0, 0.0, 0.0]).await;
    let mut slow = gateway.connect().await;
    slow.write_all(b"GET /ws HTTP/1.1\r\nHost: gate").await.unwrap();
    assert_eq!(rest(&mut slow).await, "");
    until(|| counted(&gateway) == [1.0, 1.0, 0.0]).await;
    let mut idle = gateway.connect().await;
    answer(&mut idle, "GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n", "page).\n").await;
    assert_eq!(rest(&mut idle).await, "");
    until(|| counted(&gateway) == [2.0, 1.0, 0.0]).await;

    let gateway = Gateway::start(|it| it.requests_time_max = Duration::from_millis(50));
    assert_eq!(rest(&mut gateway.connect().await).await, "");
    until(|| counted(&gateway) == [0.0, 0.0, 1.0]).await;
}
