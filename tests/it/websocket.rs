//! The WebSocket transport against a client on the loopback interface.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use stompgate::transport::websocket::{Settings, WebSocket};
use stompgate::transport::{Closing, Gone, Inbound, Metered};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

const SETTINGS: Settings = Settings { message_bytes_max: 1000, read_buffer_bytes: 64 };
const PATIENCE: Duration = Duration::from_secs(10);
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

type Client = WebSocketStream<TcpStream>;

/// Small buffers in the kernel, so that a client that does not read is noticed soon.
async fn sockets() -> (TcpStream, TcpStream) {
    sockets_of(16 * 1024).await
}

async fn sockets_of(buffer_bytes: u32) -> (TcpStream, TcpStream) {
    let listening = TcpSocket::new_v4().unwrap();
    listening.set_send_buffer_size(buffer_bytes).unwrap();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listening: TcpListener = listening.listen(1).unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(buffer_bytes).unwrap();
    let client = client.connect(listening.local_addr().unwrap()).await.unwrap();
    (listening.accept().await.unwrap().0, client)
}

/// Over TLS, and a network that takes little at a time. What the client is sent is not decrypted.
async fn secured_pair() -> (WebSocket, TcpStream) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    let (gateway, tcp) = sockets_of(4 * 1024).await;
    let (gateway, client) = tokio::join!(
        TlsAcceptor::from(Arc::new(server)).accept(Metered::from(gateway)),
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("gateway.test").unwrap(), tcp),
    );
    let gateway = WebSocket::after_handshake(gateway.unwrap().into(), PEER, &[], SETTINGS).await;
    (gateway, client.unwrap().into_inner().0)
}

async fn raw_pair() -> (Box<WebSocket>, TcpStream) {
    let (gateway, client) = sockets().await;
    (Box::new(WebSocket::after_handshake(gateway.into(), PEER, &[], SETTINGS).await), client)
}

async fn pair() -> (Box<WebSocket>, Client) {
    let (gateway, client) = raw_pair().await;
    (gateway, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
}

async fn receive(gateway: &mut WebSocket) -> Inbound {
    let received = poll_fn(|cx| gateway.poll_receive(cx));
    tokio::time::timeout(PATIENCE, received).await.expect("something is received")
}

async fn flush(gateway: &mut WebSocket) -> Result<(), Gone> {
    tokio::time::timeout(PATIENCE, poll_fn(|cx| gateway.poll_flush(cx))).await.expect("everything is flushed")
}

fn data(bytes: impl AsRef<[u8]>) -> Inbound {
    Inbound::Data(Bytes::copy_from_slice(bytes.as_ref()))
}

fn closing(code: u16, reason: &str) -> Closing<'_> {
    Closing { code, reason, patience: PATIENCE }
}

fn close_of(received: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> (u16, String) {
    match received.unwrap().unwrap() {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("expected a close, received {other:?}"),
    }
}

/// A masked frame with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[tokio::test]
async fn text_binary_and_fragments_all_arrive_as_data() {
    let (mut gateway, mut client) = pair().await;
    client.send(Message::text("Grüße")).await.unwrap();
    client.send(Message::binary(vec![0, 0xff])).await.unwrap();
    client.send(Message::text("")).await.unwrap();
    // The cut goes through a character.
    for (part, opcode, is_final) in [(&b"a\xc3"[..], Data::Text, false), (&b"\xa4b"[..], Data::Continue, true)] {
        client.send(Message::Frame(Frame::message(part, OpCode::Data(opcode), is_final))).await.unwrap();
    }

    for expected in [data("Grüße"), data([0, 0xff]), data(""), data("aäb")] {
        assert_eq!(receive(&mut gateway).await, expected);
    }
}

#[tokio::test]
async fn bytes_that_came_with_the_handshake_are_received_first() {
    let (gateway, mut client) = sockets().await;
    let early = masked(0x81, b"early");
    let mut gateway = WebSocket::after_handshake(gateway.into(), PEER, &early[..4], SETTINGS).await;
    client.write_all(&early[4..]).await.unwrap();
    assert_eq!(receive(&mut gateway).await, data("early"));
}

#[tokio::test]
async fn a_ping_is_answered_without_a_flush_and_ping_and_pong_are_signs_of_life() {
    let (mut gateway, mut client) = pair().await;
    client.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(receive(&mut gateway).await, Inbound::Alive { bytes: 6 + "are you there".len() });
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));

    gateway.queue_ping();
    flush(&mut gateway).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Ping(Bytes::new()));
    client.flush().await.unwrap();
    assert_eq!(receive(&mut gateway).await, Inbound::Alive { bytes: 6 });
}

#[tokio::test]
async fn what_the_network_takes_of_what_tls_holds_is_seen() {
    let (mut gateway, mut client) = secured_pair().await;
    gateway.queue(vec![b'x'; 60_000].into());
    let (mut buffer, mut tail) = ([0; 512], Vec::new());
    let drain = poll_fn(|cx| {
        loop {
            if let Poll::Ready(flushed) = gateway.poll_flush(cx) {
                return Poll::Ready(flushed);
            }
            tail.push((gateway.buffered(), gateway.taken()));
            ready!(Pin::new(&mut client).poll_read(cx, &mut ReadBuf::new(&mut buffer))).unwrap();
        }
    });
    tokio::time::timeout(PATIENCE, drain).await.expect("the client reads").unwrap();
    let last = tail.last().unwrap().0;
    tail.retain(|(buffered, _)| *buffered == last);
    tail.dedup();
    assert!(tail.len() > 1, "though nothing seems to have become less: {tail:?}");
    assert!(gateway.taken() > 60_000 && gateway.buffered() == 0);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_whole_or_in_fragments() {
    let max = SETTINGS.message_bytes_max;
    let (mut gateway, mut client) = pair().await;
    client.send(Message::binary(vec![0; max])).await.unwrap();
    assert_eq!(receive(&mut gateway).await, data(vec![0; max]));
    client.send(Message::binary(vec![0; max + 1])).await.unwrap();
    assert_eq!(receive(&mut gateway).await, Inbound::TooLarge { max });

    let (mut gateway, mut client) = pair().await;
    for (opcode, length) in [(Data::Binary, max), (Data::Continue, 1)] {
        client.send(Message::Frame(Frame::message(vec![0; length], OpCode::Data(opcode), false))).await.unwrap();
    }
    assert_eq!(receive(&mut gateway).await, Inbound::TooLarge { max });
}

#[tokio::test]
async fn a_broken_rule_is_named() {
    async fn check(raw: &[u8], expected: &'static str) {
        let (mut gateway, mut client) = raw_pair().await;
        client.write_all(raw).await.unwrap();
        assert_eq!(receive(&mut gateway).await, Inbound::Violation { rule: expected });
        assert_eq!(receive(&mut gateway).await, Inbound::Gone);
    }
    check(&[0x81, 1, b'a'], "The frames of a client must be masked").await;
    check(&masked(0xc1, b"a"), "Reserved bits must be 0, no extension was negotiated").await;
    check(&masked(0x83, b"a"), "Unknown opcode").await;
    check(&masked(0x8b, b"a"), "Unknown opcode").await;
    check(&masked(0x81, b"\xff"), "Text must be UTF-8").await;
    check(&masked(0x80, b"a"), "A continuation needs a message to continue").await;
    check(&masked(0x09, b"a"), "A control frame must not be fragmented").await;
    check(&masked(0x88, b"a"), "A close frame has a code or nothing").await;
    check(
        &[masked(0x01, b"a"), masked(0x81, b"b")].concat(),
        "A fragmented message must be finished before the next one",
    )
    .await;
    check(&[&[0x89, 0xfe, 0, 126][..], &[0; 4 + 126]].concat(), "A control frame has at most 125 bytes").await;
}

#[tokio::test]
async fn a_client_that_half_closes_or_resets_is_gone() {
    let (mut gateway, mut client) = raw_pair().await;
    client.shutdown().await.unwrap();
    assert_eq!(receive(&mut gateway).await, Inbound::Gone);

    let (mut gateway, client) = raw_pair().await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(receive(&mut gateway).await, Inbound::Gone);
    gateway.queue("too late".into());
    assert_eq!(flush(&mut gateway).await, Err(Gone));
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_behind_what_waits() {
    let (mut gateway, mut client) = pair().await;
    gateway.queue("last".into());
    client.send(Message::Close(Some(CloseFrame { code: 3001.into(), reason: "bye".into() }))).await.unwrap();
    assert_eq!(receive(&mut gateway).await, Inbound::Gone);
    drop(gateway);

    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("last"));
    assert_eq!(close_of(client.next().await), (3001, "bye".to_owned()));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn what_is_not_utf_8_goes_out_as_binary_and_everything_else_as_text() {
    let (mut gateway, mut client) = pair().await;
    for payload in [&b"plain"[..], "Grüße\0".as_bytes(), b"\xff\xfe", b"\n"] {
        gateway.queue(Bytes::from_static(payload));
    }
    flush(&mut gateway).await.unwrap();
    let expected =
        [Message::text("plain"), Message::text("Grüße\0"), Message::binary(&b"\xff\xfe"[..]), Message::text("\n")];
    for expected in expected {
        assert_eq!(client.next().await.unwrap().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_the_flush_until_it_reads_and_nothing_is_lost() {
    let (mut gateway, mut client) = pair().await;
    // Every length of header, and more than the kernel takes.
    let sent: Vec<Bytes> = (0..300).map(|i| vec![b'a' + (i % 26) as u8; [3, 200, 70_000][i % 3]].into()).collect();
    for payload in &sent {
        gateway.queue(payload.clone());
    }
    let queued = gateway.buffered();
    assert!(sent.iter().map(Bytes::len).sum::<usize>() < queued);
    let stalled = poll_fn(|cx| Poll::Ready(gateway.poll_flush(cx))).await;
    assert_eq!(stalled, Poll::Pending);
    assert!((1..queued).contains(&gateway.buffered()));

    let read = async {
        for expected in &sent {
            assert!(client.next().await.unwrap().unwrap().into_data() == expected);
        }
    };
    let (flushed, ()) = tokio::join!(flush(&mut gateway), read);
    flushed.unwrap();
    assert_eq!(gateway.buffered(), 0);
}

#[tokio::test]
async fn a_large_frame_goes_out_whole() {
    let (mut gateway, mut client) = pair().await;
    let payload: Bytes = (0..1024 * 1024).map(|i: u32| b'a' + (i % 23) as u8).collect();
    gateway.queue(payload.clone());
    let (flushed, received) = tokio::join!(flush(&mut gateway), client.next());
    flushed.unwrap();
    assert!(received.unwrap().unwrap().into_data() == payload);
}

#[tokio::test]
async fn pings_of_a_client_that_does_not_read_do_not_pile_up() {
    let (mut gateway, client) = raw_pair().await;
    let (mut unread, mut client) = client.into_split();
    let pings = masked(0x89, &[b'p'; 125]).repeat(1000);
    let flood = async {
        for _ in 0..20 {
            client.write_all(&pings).await.unwrap();
        }
        client.write_all(&masked(0x81, b"end")).await.unwrap();
    };
    let receive_all = async {
        let mut buffered_max = 0;
        while matches!(receive(&mut gateway).await, Inbound::Alive { .. }) {
            buffered_max = buffered_max.max(gateway.buffered());
        }
        buffered_max
    };
    let ((), buffered_max) = tokio::join!(flood, receive_all);
    assert!((1..=4096).contains(&buffered_max), "{buffered_max} bytes waited");
    // The pongs that were not dropped are whole, and what was queued is not in the middle of one.
    gateway.queue("after".into());
    let mut received = Vec::new();
    let leave = async {
        flush(&mut gateway).await.unwrap();
        drop(gateway);
    };
    let (read, ()) = tokio::join!(unread.read_to_end(&mut received), leave);
    read.unwrap();
    let (after, pong) = (b"\x81\x05after", [&[0x8a, 125][..], &[b'p'; 125]].concat());
    let at = received.windows(after.len()).position(|it| it == after).expect("the queued message arrives");
    received.drain(at..at + after.len());
    assert!(received.chunks(pong.len()).all(|it| it == pong));
}

#[tokio::test]
async fn the_client_sees_the_last_frames_the_code_and_the_reason_also_when_it_wrote_what_nobody_read() {
    let (mut gateway, mut client) = pair().await;
    let unread = async {
        // More than the kernel takes, so the client can only read once the gateway has taken it.
        for _ in 0..100 {
            client.send(Message::binary(vec![0; SETTINGS.message_bytes_max])).await.unwrap();
        }
        let last = client.next().await.unwrap().unwrap().into_data();
        assert!(last == vec![b'x'; 100_000]);
        assert_eq!(close_of(client.next().await), (4500, "too slow".to_owned()));
        assert!(client.next().await.is_none());
    };
    gateway.queue(vec![b'x'; 100_000].into());
    tokio::join!(gateway.close(closing(4500, "too slow")), unread);
}

#[tokio::test]
async fn after_a_violation_the_client_still_sees_code_and_reason() {
    let (mut gateway, mut client) = raw_pair().await;
    client.write_all(&[[0x81, 1, b'a'].repeat(1000), masked(0x81, b"never read")].concat()).await.unwrap();
    assert!(matches!(receive(&mut gateway).await, Inbound::Violation { .. }));
    let read = async {
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        client.shutdown().await.unwrap();
        received
    };
    let ((), received) = tokio::join!(gateway.close(closing(1002, "why")), read);
    assert_eq!(received, b"\x88\x05\x03\xeawhy");
}

#[tokio::test]
async fn a_reason_is_cut_to_123_bytes_between_characters() {
    async fn check(reason: &str, expected: &str) {
        let (gateway, mut client) = pair().await;
        let read = async {
            let received = close_of(client.next().await);
            assert!(client.next().await.is_none());
            received
        };
        let (received, ()) = tokio::join!(read, gateway.close(closing(1002, reason)));
        assert_eq!(received, (1002, expected.to_owned()));
    }
    check(&"x".repeat(124), &"x".repeat(123)).await;
    check(&format!("{}ä", "x".repeat(122)), &"x".repeat(122)).await;
    check(&format!("{}ä", "x".repeat(121)), &format!("{}ä", "x".repeat(121))).await;
    check("", "").await;
}

#[tokio::test]
async fn codes_that_must_not_be_sent_end_the_connection_without_a_close_frame() {
    for code in [0, 1004, 1005, 1006, 1015, 2999] {
        let (gateway, mut client) = raw_pair().await;
        let mut received = Vec::new();
        let (read, ()) = tokio::join!(client.read_to_end(&mut received), gateway.close(closing(code, "")));
        assert_eq!((read.unwrap(), received.len()), (0, 0), "code {code}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_waited_for_no_longer_than_patience() {
    let (mut gateway, client) = raw_pair().await;
    gateway.queue(vec![b'x'; 10_000_000].into());
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    gateway.close(closing(1000, "")).await;
    assert_eq!(begin.elapsed().as_secs(), PATIENCE.as_secs());
    drop(client);
}
