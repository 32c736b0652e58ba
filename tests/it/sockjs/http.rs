//! What HTTP itself has to be like (S89 to S95).

use super::{PRELUDE_BYTES, Services};

#[tokio::test]
async fn s89_a_connection_serves_many_requests_and_says_nothing_of_its_end() {
    let services = Services::start();
    let mut raw = services.connect().await;
    for (method, path) in
        [("GET", "/echo"), ("POST", "/echo/0/a/xhr"), ("POST", "/echo/0/a/xhr_send"), ("GET", "/echo/x")]
    {
        for headers in ["", "Connection: Keep-Alive\r\n"] {
            let body = if path.ends_with("send") { r#"["x"]"# } else { "" };
            raw.ask(method, path, headers, body).await;
            let answer = raw.answer().await;
            assert!(answer.header("connection").is_none_or(|it| it.eq_ignore_ascii_case("keep-alive")), "{answer:?}");
            services.send("/echo/0/a", r#"["x"]"#).await;
        }
    }
}

#[tokio::test]
async fn s91_http_1_0_has_a_length_and_is_kept_only_if_asked_for() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.write("GET /echo HTTP/1.0\r\n\r\n").await;
    let answer = raw.answer().await;
    assert!(answer.header("connection").is_none_or(|it| it == "close"), "{answer:?}");
    assert_eq!((&*answer.body, &*raw.rest().await), ("Welcome to SockJS!\n", ""));
    let mut raw = services.connect().await;
    for _ in 0..2 {
        raw.write("GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
        let answer = raw.answer().await;
        assert_eq!(answer.header("connection").map(str::to_ascii_lowercase), Some("keep-alive".to_owned()));
        assert_eq!((answer.header("content-length"), &*answer.body), (Some("19"), "Welcome to SockJS!\n"));
    }
}

#[tokio::test]
async fn s92_s93_over_http_1_0_a_stream_ends_by_closing() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.write("POST /close/0/a/xhr_streaming HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (None, None));
    assert!(head.header("connection").is_none_or(|it| it == "close"), "{head:?}");
    let body = raw.rest().await;
    assert_eq!(&body[PRELUDE_BYTES..], "o\nc[3000,\"Go away!\"]\n");
}

#[tokio::test]
async fn s94_a_body_may_be_absent_or_come_in_chunks() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.write("POST /echo/0/a/xhr HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, "o\n");
    raw.write("POST /echo/0/a/xhr_send HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    raw.write("3\r\n[\"x\r\n2\r\n\"]\r\n0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 204);
    raw.write("POST /echo/0/a/xhr HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, "a[\"x\"]\n");
}

#[tokio::test]
async fn s95_an_answer_always_says_how_long_it_is() {
    let services = Services::start();
    for (method, path) in
        [("GET", "/echo/x"), ("POST", "/echo"), ("GET", "/echo/0/a/jsonp"), ("POST", "/echo/0/a/xhr_send")]
    {
        let answer = services.ask(method, path, "", "").await;
        assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string(), "{answer:?}");
    }
}
