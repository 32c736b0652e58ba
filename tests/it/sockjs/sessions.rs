//! The life of a session over HTTP (S36 to S60, SP76, SP77, SP79).

use tokio::io::AsyncWriteExt;

use super::{ANOTHER, GO_AWAY, INTERRUPTED, Services};

#[tokio::test]
async fn s36_s38_a_session_begins_with_o_and_what_waits_is_one_array() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    assert_eq!(services.send("/echo/0/a", r#"["x","y"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"x\",\"y\"]\n");
}

#[tokio::test]
async fn s37_h_is_written_when_nothing_else_was() {
    let services = Services::hasty();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    assert_eq!(services.poll("/echo/0/a").await, "h\n");
    let mut stream = services.stream("/echo/0/b").await;
    for expected in ["o\n", "h\n", "h\n"] {
        assert_eq!(stream.chunk().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn s39_s50_s55_the_end_is_told_again_and_again_until_it_is_forgotten() {
    let services = Services::hasty();
    assert_eq!(services.poll("/close/0/a").await, "o\n");
    for _ in 0..3 {
        assert_eq!(services.poll("/close/0/a").await, format!("{GO_AWAY}\n"));
        assert_eq!(services.send("/close/0/a", r#"["x"]"#).await, 204);
    }
    services.until_counted("stompgate_sockjs_sessions_ended_total", "closed", 1.0).await;
    assert_eq!(services.poll("/close/0/a").await, "o\n");
}

#[tokio::test]
async fn s40_s42_strings_are_escaped_on_their_way_out() {
    let services = Services::start();
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", r#"["  \u0000\n\r ","\u2028é\ud83d\ude00/"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"  \\u0000\\n\\r \",\"\\u2028é\\ud83d\\ude00/\"]\n");
}

#[tokio::test]
async fn s43_s44_every_string_comes_through() {
    let services = Services::start();
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", "[\"\u{fffe}\u{ffff}\\ud800x\"]").await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"\\ufffe\\uffff\\ufffdx\"]\n");
}

#[tokio::test]
async fn s45_an_array_of_nothing_does_nothing_and_a_broken_one_neither() {
    let services = Services::start();
    services.poll("/echo/0/a").await;
    assert_eq!(services.send("/echo/0/a", "[]").await, 204);
    assert_eq!(services.send("/echo/0/a", r#"["x",1]"#).await, 500);
    assert_eq!(services.send("/echo/0/a", r#"["y"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"y\"]\n");
}

#[tokio::test]
async fn s47_s48_a_poll_takes_what_waits_or_waits_for_it() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    let mut waiting = services.connect().await;
    waiting.ask("POST", "/echo/0/a/xhr", "", "").await;
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
    assert_eq!(waiting.answer().await.body, "a[\"x\"]\n");
    // It is kept, and what comes is told in one answer each (S51).
    waiting.ask("POST", "/echo/0/a/xhr", "", "").await;
    assert_eq!(services.send("/echo/0/a", r#"["y"]"#).await, 204);
    assert_eq!(waiting.answer().await.body, "a[\"y\"]\n");
}

#[tokio::test]
async fn s49_a_second_receiver_is_turned_away_and_the_first_goes_on() {
    let services = Services::start();
    let mut first = services.stream("/echo/0/a").await;
    assert_eq!(first.chunk().await.unwrap(), "o\n");
    assert_eq!(services.poll("/echo/0/a").await, format!("{ANOTHER}\n"));
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
    assert_eq!(first.chunk().await.unwrap(), "a[\"x\"]\n");
}

#[tokio::test]
async fn s65_a_second_stream_has_its_first_bytes_and_that_frame() {
    let services = Services::start();
    let mut first = services.stream("/echo/0/a").await;
    assert_eq!(first.chunk().await.unwrap(), "o\n");
    let mut second = services.stream("/echo/0/a").await;
    assert_eq!(second.chunk().await.unwrap(), format!("{ANOTHER}\n"));
    assert_eq!(second.chunk().await, None);
}

#[tokio::test]
async fn s52_who_comes_after_the_end_hears_of_the_end_and_not_of_another_connection() {
    let services = Services::start();
    let mut first = services.stream("/close/0/a").await;
    assert_eq!(first.chunk().await.unwrap(), "o\n");
    assert_eq!(first.chunk().await.unwrap(), format!("{GO_AWAY}\n"));
    assert_eq!(first.chunk().await, None);
    // The connection of the first is still there.
    let mut second = services.stream("/close/0/a").await;
    assert_eq!(second.chunk().await.unwrap(), format!("{GO_AWAY}\n"));
    assert_eq!(second.chunk().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn s53_a_client_that_has_its_answer_can_poll_at_once() {
    let services = Services::start();
    let (mut polling, mut sending) = (services.connect().await, services.connect().await);
    for expected in ["o\n"].into_iter().chain(std::iter::repeat_n("a[\"x\"]\n", 200)) {
        polling.ask("POST", "/echo/0/a/xhr", "", "").await;
        assert_eq!(polling.answer().await.body, expected);
        sending.ask("POST", "/echo/0/a/xhr_send", "", r#"["x"]"#).await;
        assert_eq!(sending.answer().await.status, 204);
    }
}

#[tokio::test]
async fn s54_without_a_receiver_a_session_ends() {
    let services = Services::hasty();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    services.until_counted("stompgate_sockjs_sessions_ended_total", "expired", 1.0).await;
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 404);
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
}

#[tokio::test]
async fn s56_t13_a_receiver_that_breaks_ends_its_session() {
    for transport in ["xhr", "xhr_streaming"] {
        let services = Services::hasty();
        assert_eq!(services.poll("/echo/0/a").await, "o\n");
        let mut broken = services.connect().await;
        broken.ask("POST", &format!("/echo/0/a/{transport}"), "", "").await;
        if transport == "xhr_streaming" {
            broken.head().await;
        }
        drop(broken);
        services.until_told(INTERRUPTED).await;
        assert_eq!(services.send("/echo/0/a", r#"["lost"]"#).await, 204);
        assert_eq!(services.poll("/echo/0/a").await, format!("{INTERRUPTED}\n"));
        services.until_counted("stompgate_sockjs_sessions_ended_total", "interrupted", 1.0).await;
        assert_eq!(services.poll("/echo/0/a").await, "o\n");
    }
}

#[tokio::test]
async fn s57_half_closed_is_gone() {
    let services = Services::start();
    let mut half = services.stream("/echo/0/a").await;
    assert_eq!(half.chunk().await.unwrap(), "o\n");
    half.tcp().shutdown().await.unwrap();
    services.until_told(INTERRUPTED).await;
}

#[tokio::test]
async fn s58_a_client_that_comes_back_is_not_taken_for_another_connection() {
    let services = Services::start();
    for i in 0..20 {
        let session = format!("/echo/0/{i}");
        let mut first = services.stream(&session).await;
        assert_eq!(first.chunk().await.unwrap(), "o\n");
        drop(first);
        assert_eq!(services.poll(&session).await, format!("{INTERRUPTED}\n"), "{i}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s59_what_is_sent_is_dealt_with_before_its_answer() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    for _ in 0..8 {
        assert_eq!(services.send("/echo/0/a", r#"["a"]"#).await, 204);
    }
    assert_eq!(services.poll("/echo/0/a").await, format!("a[{}]\n", [r#""a""#; 8].join(",")));
}

#[tokio::test]
async fn s60_any_transport_goes_on_with_a_session() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
    assert_eq!(services.get("/echo/0/a/jsonp?c=f").await.body, "/**/f(\"a[\\\"x\\\"]\");\r\n");
    assert_eq!(services.post("/echo/0/a/jsonp_send", r#"["y"]"#).await.body, "ok");
    let mut stream = services.stream("/echo/0/a").await;
    assert_eq!(stream.chunk().await.unwrap(), "a[\"y\"]\n");
}

impl Services {
    /// Polls until that is the answer: how soon the gateway hears of a broken connection is the network's.
    async fn until_told(&self, frame: &str) {
        loop {
            let told = self.poll("/echo/0/a").await;
            if told.trim_end() == frame {
                return;
            }
            assert!([ANOTHER, "h"].contains(&told.trim_end()), "{told}");
        }
    }
}
