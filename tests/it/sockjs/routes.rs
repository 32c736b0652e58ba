//! Services and routes (S1 to S10, SP75).

use super::{NOT_CACHED, Services};

#[tokio::test]
async fn s1_one_id_under_two_services_is_two_sessions() {
    let services = Services::start();
    assert_eq!(services.poll("/echo/000/a").await, "o\n");
    assert_eq!(services.poll("/disabled_websocket_echo/000/a").await, "o\n");
    assert_eq!(services.send("/echo/000/a", r#"["x"]"#).await, 204);
    assert_eq!(services.poll("/echo/000/a").await, "a[\"x\"]\n");
}

#[tokio::test]
async fn s2_the_four_services_do_what_their_names_say() {
    let services = Services::start();
    for (service, websocket, cookie_needed) in
        [("/echo", true, false), ("/disabled_websocket_echo", false, false), ("/cookie_needed_echo", true, true)]
    {
        let info = services.get(&format!("{service}/info")).await.body;
        let expected = format!("\"websocket\":{websocket},\"origins\":[\"*:*\"],\"cookie_needed\":{cookie_needed},");
        assert!(info.contains(&expected), "{info}");
        assert_eq!(services.poll(&format!("{service}/0/a")).await, "o\n");
        assert_eq!(services.send(&format!("{service}/0/a"), r#"["x"]"#).await, 204);
        assert_eq!(services.poll(&format!("{service}/0/a")).await, "a[\"x\"]\n");
    }
    assert_eq!(services.poll("/close/0/a").await, "o\n");
    assert_eq!(services.poll("/close/0/a").await, "c[3000,\"Go away!\"]\n");
}

#[tokio::test]
async fn s3_a_path_is_judged_before_its_method_and_that_before_the_origin() {
    let services = Services::with(|it| it.allowed_origins.clear());
    let foreign = "Origin: http://evil.net\r\n";
    assert_eq!(services.ask("GET", "/echo/a./a/xhr", foreign, "").await.status, 404);
    assert_eq!(services.ask("GET", "/echo/a/a/jsonp", foreign, "").await.status, 404);
    assert_eq!(services.ask("GET", "/echo/a/a/xhr", foreign, "").await.status, 405);
    assert_eq!(services.ask("POST", "/echo/a/a/xhr", foreign, "").await.status, 403);
    assert_eq!(services.ask("POST", "/disabled_websocket_echo/a/a/websocket", foreign, "").await.status, 404);
}

#[tokio::test]
async fn s4_paths_are_taken_as_they_are_sent() {
    let services = Services::start();
    assert_eq!(services.get("/echo/info/").await.status, 200);
    for path in ["/echo//info", "/echo/./info", "/echo/x/../info", "/ECHO/info", "/echo/Info", "//echo/info"] {
        assert_eq!(services.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn s5_parameters_that_nobody_knows_are_ignored() {
    let services = Services::start();
    assert_eq!(services.post("/echo/000/a/xhr?token=x&t=1", "").await.body, "o\n");
    assert_eq!(services.get("/echo/info?t=1").await.status, 200);
    assert_eq!(services.get("/echo?x").await.body, "Welcome to SockJS!\n");
}

#[tokio::test]
async fn s7_the_base_greets() {
    let services = Services::start();
    for path in ["/echo", "/echo/"] {
        let answer = services.get(path).await;
        assert_eq!((answer.status, &*answer.body), (200, "Welcome to SockJS!\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn s8_what_is_nothing_is_not_found() {
    let services = Services::start();
    for path in ["/a", "/a/", "/a.html", "/a/a", "/a/a/", "//", "///"] {
        let answer = services.get(&format!("/echo{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string());
    }
}

#[tokio::test]
async fn s9_a_wrong_method_is_told_the_right_ones() {
    let services = Services::start();
    let check = async |method: &str, path: &str, allowed: &str| {
        let answer = services.ask(method, &format!("/echo{path}"), "", "").await;
        assert_eq!((answer.status, &*answer.body), (405, ""), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        assert_eq!((answer.header("content-type"), answer.header("content-length")), (None, Some("0")));
    };
    check("POST", "", "GET").await;
    check("POST", "/info", "OPTIONS, GET").await;
    check("POST", "/iframe.html", "GET").await;
    check("POST", "/websocket", "GET").await;
    check("POST", "/a/a/websocket", "GET").await;
    for transport in ["xhr", "xhr_streaming", "xhr_send"] {
        check("GET", &format!("/a/a/{transport}"), "OPTIONS, POST").await;
        check("PUT", &format!("/a/a/{transport}"), "OPTIONS, POST").await;
    }
    for transport in ["eventsource", "htmlfile", "jsonp"] {
        check("POST", &format!("/a/a/{transport}"), "GET").await;
    }
    check("GET", "/a/a/jsonp_send", "POST").await;
}

#[tokio::test]
async fn s21_s22_a_session_is_found_by_the_second_segment_alone() {
    let services = Services::start();
    for path in ["/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"] {
        assert_eq!(services.poll(&format!("/echo{path}")).await, "o\n");
    }
    for path in ["/", "//", "///", "/a./a", "/a/a.", "/./."] {
        for method in ["GET", "POST"] {
            assert_eq!(services.ask(method, &format!("/echo{path}/xhr"), "", "").await.status, 404, "{path}");
        }
    }
    assert_eq!(services.send("/echo/999/a", r#"["x"]"#).await, 204);
    assert_eq!(services.poll("/echo/000/a").await, "a[\"x\"]\n");
}

#[tokio::test]
async fn s25_only_a_receiving_request_begins_a_session() {
    let services = Services::start();
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 404);
    assert_eq!(services.ask("OPTIONS", "/echo/0/a/xhr", "", "").await.status, 204);
    assert_eq!(services.get("/echo/0/a/jsonp").await.status, 500);
    assert_eq!(services.get("/echo/0/a/websocket").await.status, 400);
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 404);
    assert_eq!(services.poll("/echo/0/a").await, "o\n");
    assert_eq!(services.send("/echo/0/a", r#"["x"]"#).await, 204);
}

#[tokio::test]
async fn s27_answers_about_sessions_are_not_cached() {
    let services = Services::start();
    let mut answers = vec![services.get("/echo/info").await, services.post("/echo/0/a/xhr", "").await];
    answers.push(services.post("/echo/0/a/xhr_send", "[]").await);
    answers.push(services.post("/echo/0/a/xhr_send", "").await);
    answers.push(services.get("/echo/0/b/jsonp?c=x").await);
    answers.push(services.post("/echo/0/b/jsonp_send", "[]").await);
    for transport in ["eventsource", "htmlfile?c=x"] {
        let mut raw = services.connect().await;
        raw.ask("GET", &format!("/echo/0/{transport}/{transport}").replacen("?c=x", "", 1), "", "").await;
        answers.push(raw.head().await);
    }
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some(NOT_CACHED), "{answer:?}");
        assert_eq!((answer.header("expires"), answer.header("last-modified")), (None, None));
    }
}
