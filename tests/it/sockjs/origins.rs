//! Pages of other sites, and cookies (S26 to S35, SP75, SP76, SP81).

use super::Services;
use super::raw::Answer;

fn cors(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials"))
}

#[tokio::test]
async fn s29_the_origin_is_repeated_as_it_was_told() {
    let services = Services::start();
    for origin in ["http://example.org", "null", "test"] {
        let headers = format!("Origin: {origin}\r\n");
        let id = format!("/echo/0/{}", origin.len());
        for (method, path, body) in
            [("GET", "/echo/info", ""), ("POST", &*format!("{id}/xhr"), ""), ("POST", &*format!("{id}/xhr_send"), "[]")]
        {
            let answer = services.ask(method, path, &headers, body).await;
            assert_eq!(cors(&answer), (Some(origin), Some("true")), "{path}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
        for (method, transport) in [("POST", "xhr_streaming"), ("GET", "eventsource")] {
            let mut raw = services.connect().await;
            raw.ask(method, &format!("/echo/0/{transport}{}/{transport}", origin.len()), &headers, "").await;
            assert_eq!(cors(&raw.head().await), (Some(origin), Some("true")), "{transport}");
        }
    }
    let answer = services.post("/echo/0/none/xhr", "").await;
    assert_eq!(cors(&answer), (Some("*"), None));
}

#[tokio::test]
async fn s19_s30_s31_a_preflight_lets_pass_what_is_asked_for_and_is_kept_for_a_year() {
    let services = Services::start();
    let asked = "Origin: test\r\nAccess-Control-Request-Method: OPTIONS, PUT\r\n\
                 Access-Control-Request-Headers: a, b, c\r\n";
    for (path, methods) in [
        ("/echo/info", "OPTIONS, GET"),
        ("/echo/0/a/xhr", "OPTIONS, POST"),
        ("/echo/0/a/xhr_streaming", "OPTIONS, POST"),
        ("/echo/0/a/xhr_send", "OPTIONS, POST"),
    ] {
        let answer = services.ask("OPTIONS", path, asked, "").await;
        assert_eq!((answer.status, &*answer.body), (204, ""));
        assert_eq!(cors(&answer), (Some("test"), Some("true")));
        assert_eq!(answer.header("access-control-allow-headers"), Some("a, b, c"));
        assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
        assert_eq!(answer.header("access-control-max-age"), Some("31536000"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000"));
        assert!(answer.header("expires").is_some());
    }
    for headers in ["", "Access-Control-Request-Headers: \r\n"] {
        let answer = services.ask("OPTIONS", "/echo/info", headers, "").await;
        assert_eq!(answer.header("access-control-allow-headers"), None);
        assert_eq!(cors(&answer), (Some("*"), None));
    }
}

#[tokio::test]
async fn s32_pages_that_are_not_listed_are_refused_everywhere() {
    let services = Services::with(|it| it.allowed_origins = vec!["https://app.example.org".to_owned()]);
    let requests = [
        ("OPTIONS", "/echo/info"),
        ("OPTIONS", "/echo/0/a/xhr_send"),
        ("GET", "/echo/info"),
        ("POST", "/echo/0/a/xhr"),
        ("POST", "/echo/0/a/xhr_streaming"),
        ("POST", "/echo/0/a/xhr_send"),
        ("GET", "/echo/0/a/eventsource"),
        ("GET", "/echo/0/a/websocket"),
        ("GET", "/echo/websocket"),
    ];
    for (method, path) in requests {
        let answer = services.ask(method, path, "Origin: http://evil.net\r\n", "").await;
        assert_eq!((answer.status, cors(&answer)), (403, (None, None)), "{method} {path}");
    }
    for origin in ["https://app.example.org", "http://localhost"] {
        let answer = services.ask("GET", "/echo/info", &format!("Origin: {origin}\r\n"), "").await;
        assert_eq!((answer.status, cors(&answer)), (200, (Some(origin), Some("true"))));
    }
}

#[tokio::test]
async fn s26_a_session_stays_with_the_page_that_began_it() {
    let services = Services::start();
    let from = async |origin: &str, method: &str, body: &str| {
        let headers = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        services.ask("POST", &format!("/echo/0/a/{method}"), &headers, body).await.status
    };
    assert_eq!(from("", "xhr", "").await, 200);
    // The first that is told counts.
    assert_eq!(from("http://a.org", "xhr_send", r#"["x"]"#).await, 204);
    assert_eq!(from("http://b.org", "xhr_send", r#"["x"]"#).await, 404);
    assert_eq!(from("http://b.org", "xhr", "").await, 404);
    assert_eq!(from("", "xhr_send", r#"["y"]"#).await, 204);
    assert_eq!(services.poll("/echo/0/a").await, "a[\"x\",\"y\"]\n");
}

#[tokio::test]
async fn s33_pages_can_read_what_is_wrong() {
    let services = Services::start();
    services.poll("/echo/0/b").await;
    for (path, status) in [("/echo/0/a/xhr_send", 404), ("/echo/0/b/xhr_send", 500)] {
        let answer = services.ask("POST", path, "Origin: http://a.org\r\n", "").await;
        assert_eq!((answer.status, cors(&answer)), (status, (Some("http://a.org"), Some("true"))));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    }
}

#[tokio::test]
async fn p5_somebody_else_may_write_the_cors_headers() {
    let services = Services::with(|it| it.endpoints[0].sockjs.as_mut().unwrap().suppress_cors = true);
    for (method, path) in [("GET", "/echo/info"), ("OPTIONS", "/echo/info"), ("POST", "/echo/0/a/xhr")] {
        let answer = services.ask(method, path, "Origin: http://a.org\r\n", "").await;
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
    }
}

#[tokio::test]
async fn s34_the_cookie_is_set_by_answers_of_sessions_where_it_is_on() {
    let services = Services::start();
    let base = "/cookie_needed_echo";
    let cookie = async |method: &str, path: &str, headers: &str, body: &str| {
        let mut raw = services.connect().await;
        raw.ask(method, &format!("{base}{path}"), headers, body).await;
        raw.head().await.header("set-cookie").map(str::to_owned)
    };
    let (dummy, own) = (Some("JSESSIONID=dummy; path=/".to_owned()), Some("JSESSIONID=abcdef; path=/".to_owned()));
    assert_eq!(cookie("POST", "/0/a/xhr", "", "").await, dummy);
    assert_eq!(cookie("POST", "/0/a/xhr_send", "Cookie: JSESSIONID=abcdef\r\n", "[]").await, own);
    assert_eq!(cookie("POST", "/0/b/xhr_streaming", "Cookie: JSESSIONID=abcdef\r\n", "").await, own);
    for transport in ["eventsource", "htmlfile?c=x", "jsonp?c=x"] {
        let id = transport.split('?').next().unwrap();
        assert_eq!(cookie("GET", &format!("/0/{id}/{transport}"), "", "").await, dummy, "{transport}");
    }
    assert_eq!(cookie("POST", "/0/jsonp/jsonp_send", "", "[]").await, dummy);
    for path in ["", "/info", "/iframe.html"] {
        assert_eq!(cookie("GET", path, "", "").await, None, "{path}");
    }
    assert_eq!(services.post("/echo/0/a/xhr", "").await.header("set-cookie"), None);
}
