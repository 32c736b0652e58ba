//! What each transport over HTTP looks like (S61 to S80, SP77, SP78).

use super::{GO_AWAY, NOT_CACHED, Services};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn s66_s67_xhr_send_takes_any_type_and_answers_with_204() {
    let services = Services::start();
    services.poll("/echo/0/a").await;
    let types =
        ["text/plain", "T", "application/json", "application/xml", "text/xml", "text/plain; charset=utf-8", "", ";"];
    for content_type in types {
        let headers = format!("Content-Type: {content_type}\r\n");
        let answer = services.ask("POST", "/echo/0/a/xhr_send", &headers, r#"["a"]"#).await;
        assert_eq!((answer.status, &*answer.body), (204, ""), "{content_type}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some(NOT_CACHED));
    }
    assert_eq!(services.poll("/echo/0/a").await, format!("a[{}]\n", vec![r#""a""#; types.len()].join(",")));
}

#[tokio::test]
async fn s68_s69_a_body_without_payload_is_refused_and_the_session_lives_on() {
    let services = Services::start();
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 404);
    services.poll("/echo/0/a").await;
    for (body, text) in [
        (r#"["x"#, "Broken JSON encoding."),
        ("x", "Broken JSON encoding."),
        ("", "Payload expected."),
        ("null", "Payload expected."),
        (r#"{"a":1}"#, "Payload expected."),
    ] {
        let answer = services.post("/echo/0/a/xhr_send", body).await;
        assert!(answer.status == 500 && answer.body.contains(text), "{body}: {answer:?}");
    }
    assert_eq!(services.send("/echo/0/a", r#"["y"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"y\"]\n");
    assert_eq!(services.counted("stompgate_http_refused_total", "payload_invalid"), 5.0);
}

#[tokio::test]
async fn s61_xhr_answers_have_their_type_and_s70_their_body_is_ignored() {
    let services = Services::start();
    let answer = services.post("/echo/0/a/xhr", "anything").await;
    assert_eq!((answer.status, &*answer.body), (200, "o\n"));
    assert_eq!(answer.header("content-type"), Some("application/javascript; charset=UTF-8"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
}

#[tokio::test]
async fn s72_s73_an_event_source_has_a_blank_line_first_and_escapes_percent_signs() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.ask("GET", "/echo/0/a/eventsource", "", "").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(raw.chunk().await.unwrap(), "\r\n");
    assert_eq!(raw.chunk().await.unwrap(), "data: o\r\n\r\n");
    services.send("/echo/0/a", r#"["  \u0000\n\r ","%41%99"]"#).await;
    assert_eq!(raw.chunk().await.unwrap(), "data: a[\"  \\u0000\\n\\r \",\"%2541%2599\"]\r\n\r\n");
}

#[tokio::test]
async fn s75_s76_an_html_file_calls_its_parent() {
    let services = Services::start();
    let mut raw = services.connect().await;
    raw.ask("GET", "/echo/0/a/htmlfile?c=%63allback", "", "").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/html; charset=UTF-8")));
    let page = raw.chunk().await.unwrap();
    assert!(1024 < page.len() && page.ends_with(" \r\n\r\n") && page.contains("    var c = parent.callback;\n"));
    let begin = "<!doctype html>\n<html><head>\n  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n";
    assert!(page.starts_with(begin), "{page}");
    assert_eq!(raw.chunk().await.unwrap(), "<script>\np(\"o\");\n</script>\r\n");
    services.send("/echo/0/a", r#"["x","</script>"]"#).await;
    let frame = "<script>\np(\"a[\\\"x\\\",\\\"\\u003c/script>\\\"]\");\n</script>\r\n";
    assert_eq!(raw.chunk().await.unwrap(), frame);
}

#[tokio::test]
async fn s77_jsonp_calls_the_function_that_was_named() {
    let services = Services::start();
    let answer = services.get("/close/0/a/jsonp?c=%63allback").await;
    assert_eq!((answer.status, &*answer.body), (200, "/**/callback(\"o\");\r\n"));
    assert_eq!(answer.header("content-type"), Some("application/javascript; charset=UTF-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let quoted = GO_AWAY.replace('"', "\\\"");
    assert_eq!(services.get("/close/0/a/jsonp?c=x").await.body, format!("/**/x(\"{quoted}\");\r\n"));
}

#[tokio::test]
async fn s74_without_a_callback_that_is_a_name_there_is_no_session() {
    let services = Services::start();
    for transport in ["htmlfile", "jsonp"] {
        for (query, text) in [
            ("", "\"callback\" parameter required"),
            ("?c=", "\"callback\" parameter required"),
            ("?c=a%20b", "invalid \"callback\" parameter"),
            ("?c=a*", "invalid \"callback\" parameter"),
            ("?c=a()", "invalid \"callback\" parameter"),
            ("?c=%28", "invalid \"callback\" parameter"),
        ] {
            let answer = services.get(&format!("/echo/0/a/{transport}{query}")).await;
            assert!(answer.status == 500 && answer.body.contains(text), "{query}: {answer:?}");
        }
    }
    assert_eq!(services.send("/echo/0/a", "[]").await, 404);
    assert_eq!(services.counted("stompgate_http_refused_total", "callback_invalid"), 12.0);
}

#[tokio::test]
async fn s78_s79_jsonp_send_takes_a_form_or_the_json_itself() {
    let services = Services::start();
    let send = async |headers: &str, body: &str| {
        let answer = services.ask("POST", "/echo/0/a/jsonp_send", headers, body).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some(NOT_CACHED));
        (answer.status, answer.body)
    };
    assert_eq!(send("", r#"["x"]"#).await.0, 404);
    services.poll("/echo/0/a").await;
    assert_eq!(send(FORM, "d=%5B%22x+%25%22%5D").await, (200, "ok".to_owned()));
    assert_eq!(send("Content-Type: text/plain\r\n", r#"["%61bc"]"#).await, (200, "ok".to_owned()));
    for (headers, body, text) in [
        (FORM, "d=%5B%22x", "Broken JSON encoding.\n"),
        (FORM, "", "Payload expected.\n"),
        (FORM, "d=", "Payload expected.\n"),
        (FORM, "p=p", "Payload expected.\n"),
        ("", "", "Payload expected.\n"),
    ] {
        assert_eq!(send(headers, body).await, (500, text.to_owned()), "{body}");
    }
    assert_eq!(services.poll("/echo/0/a").await, "a[\"x %\",\"%61bc\"]\n");
}

#[tokio::test]
async fn s80_transports_that_tell_no_origin_need_a_word_of_the_operator() {
    let restricted = Services::with(|it| it.allowed_origins.clear());
    for path in ["jsonp?c=x", "htmlfile?c=x"] {
        assert_eq!(restricted.get(&format!("/echo/0/a/{path}")).await.status, 404, "{path}");
    }
    assert_eq!(restricted.post("/echo/0/a/jsonp_send", "[]").await.status, 404);
    assert_eq!(restricted.get("/echo/0/a/jsonp_send").await.status, 404);
    assert_eq!(restricted.poll("/echo/0/a").await, "o\n");
    let named = Services::with(|it| {
        it.allowed_origins.clear();
        it.endpoints[0].sockjs.as_mut().unwrap().transports = Some(vec![stompgate::http::sockjs::Receiving::Jsonp]);
    });
    assert_eq!(named.get("/echo/0/a/jsonp?c=x").await.status, 200);
    for path in ["xhr", "xhr_streaming", "xhr_send"] {
        assert_eq!(named.post(&format!("/echo/0/a/{path}"), "[]").await.status, 404, "{path}");
    }
}
