//! SockJS over WebSocket, and WebSocket without it (S81 to S88).

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{GO_AWAY, Services};
use crate::client::within;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(services: &Services, path: &str) -> Self {
        let tcp = TcpStream::connect(services.address).await.unwrap();
        Self(client_async(format!("ws://{}{path}", services.address), tcp).await.unwrap().0)
    }

    async fn send(&mut self, text: &str) {
        within(self.0.send(Message::text(text))).await.unwrap();
    }

    /// The next text, or code and reason of the close.
    async fn next(&mut self) -> Result<String, (u16, String)> {
        match within(self.0.next()).await.expect("closed without a word").unwrap() {
            Message::Text(text) => Ok(text.to_string()),
            Message::Close(Some(CloseFrame { code, reason })) => Err((code.into(), reason.to_string())),
            other => panic!("{other:?}"),
        }
    }

    async fn text(&mut self) -> String {
        self.next().await.unwrap()
    }
}

#[tokio::test]
async fn s82_a_handshake_is_answered_by_rfc_6455() {
    let services = Services::start();
    for path in ["/echo/0/a/websocket", "/echo/websocket"] {
        for more in ["", "Sec-WebSocket-Origin: http://evil.net\r\n", "Origin: http://a.org\r\n"] {
            let mut raw = services.connect().await;
            let upgrade = UPGRADE.replace("Connection: ", "Connection: keep-alive, ");
            raw.ask("GET", path, &format!("{upgrade}{more}"), "").await;
            let head = raw.head().await;
            assert_eq!((head.status, head.header("content-length")), (101, None));
            assert_eq!((head.header("connection"), head.header("upgrade")), (Some("Upgrade"), Some("websocket")));
            assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        }
        let other = services.ask("GET", path, &UPGRADE.replace("13", "8"), "").await;
        assert_eq!((other.status, other.header("sec-websocket-version")), (426, Some("13")));
        let keyless =
            UPGRADE.lines().filter(|it| !it.contains("Key")).map(|it| format!("{it}\r\n")).collect::<String>();
        assert_eq!(services.ask("GET", path, &keyless, "").await.status, 400);
    }
}

#[tokio::test]
async fn s81_what_is_no_handshake_is_refused() {
    let services = Services::start();
    let path = "/echo/0/a/websocket";
    for headers in ["", "Upgrade: WebSocket\r\nConnection: close\r\n"] {
        let answer = services.ask("GET", path, headers, "").await;
        assert_eq!((answer.status, &*answer.body), (400, "Not a valid websocket request\n"));
    }
    for headers in ["", UPGRADE] {
        let answer = services.ask("POST", path, headers, "").await;
        assert_eq!((answer.status, answer.header("allow"), &*answer.body), (405, Some("GET"), ""));
    }
}

#[tokio::test]
async fn s88_the_draft_before_the_rfc_is_declined() {
    let services = Services::start();
    let draft = "Connection: Upgrade\r\nUpgrade: WebSocket\r\nOrigin: http://a.org\r\n\
                 Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
    for path in ["/echo/0/a/websocket", "/echo/websocket"] {
        let answer = services.ask("GET", path, draft, "aaaaaaaa").await;
        assert!(answer.status == 400 && answer.body.contains("hixie-76"), "{answer:?}");
    }
}

#[tokio::test]
async fn s46_s83_frames_are_texts_and_a_close_is_told_twice() {
    let services = Services::start();
    let mut socket = Socket::open(&services, "/echo/0/a/websocket").await;
    assert_eq!(socket.text().await, "o");
    for (text, expected) in
        [("\"single\"", r#"a["single"]"#), (r#"["x","y"]"#, r#"a["x","y"]"#), ("[\"\u{ffff}\"]", r#"a["\uffff"]"#)]
    {
        socket.send("").await;
        socket.send("[]").await;
        socket.send(text).await;
        assert_eq!(socket.text().await, expected);
    }
    let mut socket = Socket::open(&services, "/close/0/a/websocket").await;
    assert_eq!(socket.text().await, "o");
    assert_eq!(socket.text().await, GO_AWAY);
    assert_eq!(socket.next().await, Err((3000, "Go away!".to_owned())));
}

#[tokio::test]
async fn s83_a_client_that_does_not_answer_the_close_is_not_waited_for_long() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.ask("GET", "/close/0/a/websocket", UPGRADE, "").await;
    assert_eq!(raw.head().await.status, 101);
    // The close has a code in two bytes, of which the second is no text.
    let begin = format!("\u{81}\u{1}o\u{81}\u{12}{GO_AWAY}");
    let frames = raw.bytes_to_the_end().await;
    let expected: Vec<u8> =
        begin.chars().map(|it| it as u8).chain([0x88, 10, 0x0b, 0xb8]).chain(*b"Go away!").collect();
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn s37_h_is_written_over_websocket_too() {
    let services = Services::hasty();
    let mut socket = Socket::open(&services, "/echo/0/a/websocket").await;
    for expected in ["o", "h", "h"] {
        assert_eq!(socket.text().await, expected);
    }
}

#[tokio::test]
async fn s84_a_session_is_its_websocket_s_alone() {
    let services = Services::start();
    let mut first = Socket::open(&services, "/echo/0/a/websocket").await;
    let mut second = Socket::open(&services, "/echo/0/a/websocket").await;
    assert_eq!((first.text().await, second.text().await), ("o".to_owned(), "o".to_owned()));
    first.send(r#"["1"]"#).await;
    second.send(r#"["2"]"#).await;
    assert_eq!((first.text().await, second.text().await), (r#"a["1"]"#.to_owned(), r#"a["2"]"#.to_owned()));
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 404);
    drop((first, second));
    assert_eq!(Socket::open(&services, "/echo/0/a/websocket").await.text().await, "o");
}

#[tokio::test]
async fn s85_broken_json_and_bytes_end_the_connection_without_a_frame() {
    let services = Services::start();
    for text in [r#"["x"#, "{}", "[1]"] {
        let mut socket = Socket::open(&services, "/echo/0/a/websocket").await;
        assert_eq!(socket.text().await, "o");
        socket.send(text).await;
        assert_eq!(socket.next().await.unwrap_err().0, 1007, "{text}");
    }
    let mut socket = Socket::open(&services, "/echo/0/a/websocket").await;
    assert_eq!(socket.text().await, "o");
    within(socket.0.send(Message::binary(&b"[\"x\"]"[..]))).await.unwrap();
    assert_eq!(socket.next().await.unwrap_err().0, 1003);
}

#[tokio::test]
async fn s86_without_websocket_its_paths_are_unknown() {
    let services = Services::start();
    for path in ["/0/a/websocket", "/websocket"] {
        let answer = services.ask("GET", &format!("/disabled_websocket_echo{path}"), UPGRADE, "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn s10_s87_the_base_and_websocket_below_it_carry_plain_messages() {
    let services = Services::start();
    for path in ["/echo/websocket", "/echo", "/echo/"] {
        let mut socket = Socket::open(&services, path).await;
        for text in ["[\"x", "\u{ffff}"] {
            socket.send(text).await;
            assert_eq!(socket.text().await, text);
        }
    }
    let mut socket = Socket::open(&services, "/close/websocket").await;
    assert_eq!(socket.next().await, Err((3000, "Go away!".to_owned())));
}
