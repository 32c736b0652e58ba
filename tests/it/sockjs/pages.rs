//! Iframe pages and info (S11 to S20, SP75).

use super::{NOT_CACHED, Services};

const IFRAME: &str = r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/demo/sockjs.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"#;

#[tokio::test]
async fn s12_s13_an_iframe_page_loads_the_client_and_may_be_kept_for_a_year() {
    let services = Services::start();
    for name in ["iframe", "iframe-", "iframe-a", "iframe-0.1.2", "iframe-0.1.2abc-dirty.2144"] {
        for query in ["", "?t=qweqweq123"] {
            let answer = services.get(&format!("/echo/{name}.html{query}")).await;
            assert_eq!((answer.status, &*answer.body), (200, IFRAME));
            assert_eq!(answer.header("content-type"), Some("text/html; charset=UTF-8"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000"));
            assert!(answer.header("expires").unwrap().ends_with(" GMT"));
            assert_eq!((answer.header("last-modified"), answer.header("set-cookie")), (None, None));
        }
    }
}

#[tokio::test]
async fn s14_an_iframe_page_that_the_client_has_is_not_sent_again() {
    let services = Services::start();
    let first = services.get("/echo/iframe.html").await;
    let tag = first.header("etag").unwrap();
    assert_eq!(services.get("/echo/iframe-1.html").await.header("etag"), Some(tag));
    let known = services.ask("GET", "/echo/iframe.html", &format!("If-None-Match: {tag}\r\n"), "").await;
    assert_eq!((known.status, &*known.body, known.header("content-type")), (304, "", None));
}

#[tokio::test]
async fn s15_the_script_of_the_iframe_is_a_setting_and_nothing_stops_it() {
    let library = "https://example.org/sockjs.js";
    let services =
        Services::with(|it| it.endpoints[0].sockjs.as_mut().unwrap().client_library_url = library.to_owned());
    let answer = services.get("/echo/iframe.html").await;
    assert!(answer.body.contains("<script src=\"https://example.org/sockjs.js\"></script>"));
    assert_eq!((answer.header("x-frame-options"), answer.header("content-security-policy")), (None, None));
}

#[tokio::test]
async fn s16_s17_info_says_what_there_is_and_something_random() {
    let services = Services::start();
    let mut entropies = Vec::new();
    for _ in 0..3 {
        let answer = services.get("/echo/info").await;
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
        assert_eq!(answer.header("cache-control"), Some(NOT_CACHED));
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
        let entropy =
            answer.body.strip_prefix(r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":"#);
        entropies.push(entropy.unwrap().strip_suffix('}').unwrap().parse::<u32>().unwrap());
    }
    entropies.sort_unstable();
    entropies.dedup();
    assert_eq!(entropies.len(), 3);
    assert_eq!(services.get("/cookie_needed_echo/info").await.header("set-cookie"), None);
}

#[tokio::test]
async fn s18_n3_info_names_the_address_of_this_gateway_if_it_has_one() {
    let services = Services::with(|it| {
        it.endpoints[0].sockjs.as_mut().unwrap().base_url = Some("https://g1.example.org/ws".into())
    });
    let info = services.get("/echo/info").await.body;
    assert!(info.ends_with(r#","base_url":"https://g1.example.org/ws"}"#), "{info}");
}

#[tokio::test]
async fn s6_s101_fixed_answers_and_o_wait_for_nothing() {
    let services = Services::start();
    // One connection: each answer is there before the next request is written.
    let mut raw = services.connect().await;
    for (method, path) in [("GET", "/echo"), ("GET", "/echo/info"), ("POST", "/echo/0/a/xhr"), ("GET", "/echo/a.html")]
    {
        raw.ask(method, path, "", "").await;
        assert_ne!(raw.answer().await.body, "", "{path}");
    }
}
