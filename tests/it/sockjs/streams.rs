//! Answers that go on (S62 to S65, S90).

use super::{PRELUDE_BYTES, Services};

#[tokio::test]
async fn s62_s90_first_bytes_and_each_frame_are_one_chunk() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.ask("POST", "/echo/0/a/xhr_streaming", "", "").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/javascript; charset=UTF-8")));
    assert_eq!((head.header("transfer-encoding"), head.header("content-length")), (Some("chunked"), None));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    let prelude = raw.chunk().await.unwrap();
    assert_eq!(prelude, format!("{}\n", "h".repeat(PRELUDE_BYTES - 1)));
    assert_eq!(raw.chunk().await.unwrap(), "o\n");
    for message in ["x", "y"] {
        assert_eq!(services.send("/echo/0/a", &format!("[\"{message}\"]")).await, 204);
        assert_eq!(raw.chunk().await.unwrap(), format!("a[\"{message}\"]\n"));
    }
}

#[tokio::test]
async fn s63_s64_an_answer_ends_after_the_frame_with_which_its_bytes_are_full() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    let mut stream = services.stream("/echo/0/a").await;
    // The first bytes don't count: 30 frames of 134 are 4020, and 31 are more than 4096.
    let message = format!("[\"{}\"]", "x".repeat(128));
    for _ in 0..31 {
        assert_eq!(services.send("/echo/0/a", &message).await, 204);
        assert_eq!(stream.chunk().await.unwrap(), format!("a{message}\n"));
    }
    assert_eq!(stream.chunk().await, None);
    // The connection and the session go on.
    stream.ask("POST", "/echo/0/a/xhr_streaming", "", "").await;
    assert_eq!(stream.head().await.status, 200);
    assert_eq!(stream.chunk().await.unwrap().len(), PRELUDE_BYTES);
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
    assert_eq!(stream.chunk().await.unwrap(), "a[\"x\"]\n");
}

#[tokio::test]
async fn s63_a_message_as_large_as_the_bound_ends_an_answer() {
    let services = Services::start();
    for (transport, prelude, frame_begin) in
        [("eventsource", "\r\n", "data: a[\""), ("htmlfile?c=x", "<!doctype", "<script>\np(\"a[")]
    {
        let id = transport.split('?').next().unwrap();
        let mut raw = services.connect().await;
        raw.ask("GET", &format!("/echo/0/{id}/{transport}"), "", "").await;
        raw.head().await;
        assert!(raw.chunk().await.unwrap().starts_with(prelude));
        assert!(raw.chunk().await.unwrap().contains('o'));
        assert_eq!(services.send(&format!("/echo/0/{id}"), &format!("[\"{}\"]", "x".repeat(4096))).await, 204);
        let frame = raw.chunk().await.unwrap();
        assert!(frame.len() > 4096 && frame.starts_with(frame_begin), "{frame}");
        assert_eq!(raw.chunk().await, None);
    }
}

#[tokio::test]
async fn s53_at_the_bound_the_next_request_meets_no_other_connection() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    for _ in 0..20 {
        let mut stream = services.stream("/echo/0/a").await;
        assert_eq!(services.send("/echo/0/a", &format!("[\"{}\"]", "x".repeat(4096))).await, 204);
        assert!(stream.chunk().await.unwrap().starts_with("a[\"x"));
        assert_eq!(stream.chunk().await, None);
    }
}

#[tokio::test]
async fn s57_an_answer_that_has_ended_of_itself_is_no_loss() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    let mut stream = services.stream("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", &format!("[\"{}\"]", "x".repeat(4096))).await, 204);
    assert!(stream.chunk().await.is_some() && stream.chunk().await.is_none());
    drop(stream);
    assert_eq!(services.send("/echo/0/a", r#"["y"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"y\"]\n");
}
