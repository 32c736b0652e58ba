//! STOMP over SockJS, with a whole gateway.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::Raw;
use crate::client::{self, within};

/// One answer to a request on a connection of its own.
async fn post(address: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let mut raw = Raw::connect(address).await;
    raw.ask("POST", path, "", body).await;
    let answer = raw.answer().await;
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_polls_connects_subscribes_sends_and_receives() {
    let app = client::start(|_| ()).await;
    let at = app.http_addr;
    let (poll, send) = ("/ws/000/one/xhr", "/ws/000/one/xhr_send");
    let info = {
        let mut raw = Raw::connect(at).await;
        raw.ask("GET", "/ws/info", "", "").await;
        raw.answer().await
    };
    assert!(info.body.starts_with("{\"websocket\":true,"), "{info:?}");
    assert_eq!(post(at, poll, "").await, (200, "o\n".to_owned()));
    assert_eq!(post(at, send, r#"["CONNECT\naccept-version:1.2\n\n\u0000"]"#).await, (204, String::new()));
    let (status, connected) = post(at, poll, "").await;
    assert!(status == 200 && connected.starts_with(r#"a["CONNECTED\nversion:1.2\n"#), "{connected}");
    let frames =
        r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000","SEND\ndestination:/topic/a\n\nhel","lo\u0000"]"#;
    assert_eq!(post(at, send, frames).await.0, 204);
    let (status, message) = post(at, poll, "").await;
    assert!(status == 200 && message.starts_with(r#"a["MESSAGE\n"#), "{message}");
    assert!(message.ends_with("\\n\\nhello\\u0000\"]\n"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_websocket_connects_subscribes_sends_and_receives() {
    let app = client::start(|_| ()).await;
    let tcp = TcpStream::connect(app.http_addr).await.unwrap();
    let url = format!("ws://{}/ws/000/one/websocket", app.http_addr);
    let (mut socket, _) = client_async(url, tcp).await.unwrap();
    let mut next = async || within(socket.next()).await.unwrap().unwrap().into_text().unwrap().to_string();
    assert_eq!(next().await, "o");
    let frames = r#"["CONNECT\naccept-version:1.2\n\n\u0000"]"#;
    within(socket.send(Message::text(frames))).await.unwrap();
    let mut next = async || within(socket.next()).await.unwrap().unwrap().into_text().unwrap().to_string();
    assert!(next().await.starts_with(r#"a["CONNECTED\n"#));
    let frames = r#"["SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\u0000","SEND\ndestination:/topic/a\n\nhello\u0000"]"#;
    within(socket.send(Message::text(frames))).await.unwrap();
    let message = within(socket.next()).await.unwrap().unwrap().into_text().unwrap().to_string();
    assert!(message.starts_with(r#"a["MESSAGE\n"#) && message.ends_with("hello\\u0000\"]"), "{message}");
}
