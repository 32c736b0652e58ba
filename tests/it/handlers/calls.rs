//! How services are called: attempts, connections, bounds, signatures, hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::service::{Service, answer, gateway};
use crate::client::{Client, metric, until, within};

fn route(more: &str) -> String {
    format!("[[app.routes]]\nmatch = '/app/**'\non = 'send, subscribe'\ntarget = 'TARGET'\n{more}\n")
}

/// Counts from 1 on.
fn counter() -> impl Fn() -> usize + Clone {
    let count = Arc::new(AtomicUsize::new(0));
    move || count.fetch_add(1, Ordering::Relaxed) + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_with_the_same_key() {
    let next = counter();
    let service = Service::start(move |_| {
        let number = next();
        async move { if number < 3 { answer(503, &[], "secret") } else { answer(204, &[], "") } }
    })
    .await;
    let app = gateway(&service, &route("")).await;
    let mut client = Client::connect(&app).await;
    client.confirmed("SEND\ndestination:/app/a", "x").await;
    let seen = [service.seen().await, service.seen().await, service.seen().await];
    assert_eq!(seen.each_ref().map(|it| it.header("stompgate-attempt").to_owned()), ["1", "2", "3"]);
    let key = seen[0].header("stompgate-delivery");
    assert!(!key.is_empty() && seen.iter().all(|it| it.header("stompgate-delivery") == key && it.body == "x"));
    assert_eq!(metric(&app, "stompgate_handler_retries_total").await, 2.0);
    client.confirmed("SEND\ndestination:/app/a", "y").await;
    assert_ne!(service.seen().await.header("stompgate-delivery"), key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_says_what_the_service_said() {
    let service = Service::start(async |_| answer(404, &[], "No such order")).await;
    let app = gateway(&service, &route("")).await;
    let mut client = Client::connect(&app).await;
    client.send("SEND\ndestination:/app/a\n\n\0").await;
    client.send("SEND\ndestination:/app/a\nreceipt:r\n\n\0").await;
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("receipt-id"), &*error.body), (Some("r"), &b"No such order"[..]));
    assert_eq!(metric(&app, "stompgate_handler_calls_total{event=\"send\",outcome=\"refused\"}").await, 2.0);
    assert_eq!(metric(&app, "stompgate_handler_retries_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_service_that_fails_the_client_learns_nothing_but_the_key() {
    let service = Service::start(async |_| answer(500, &[], "secret of db.internal")).await;
    let app = gateway(&service, &route("retries = 0\non_error = 'error-frame'")).await;
    let mut client = Client::connect(&app).await;
    client.send("SEND\ndestination:/app/a\n\n\0").await;
    let error = client.expect("ERROR").await;
    let text = String::from_utf8(error.body.to_vec()).unwrap();
    let key = service.seen().await;
    let key = key.header("stompgate-delivery");
    assert_eq!(text, format!("The handler failed (the log of the gateway has more under {key})"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_is_left_alone_and_comes_back_by_itself() {
    let is_well = Arc::new(AtomicUsize::new(0));
    let well = Arc::clone(&is_well);
    let service = Service::start(move |_| {
        let status = if well.load(Ordering::Relaxed) == 0 { 500 } else { 204 };
        async move { answer(status, &[], "") }
    })
    .await;
    let breaker = "[app]\nbreaker_failures = 2\nbreaker_pause = '100ms'\n";
    let app = gateway(&service, &format!("{breaker}{}", route("retries = 0"))).await;
    let mut client = Client::connect(&app).await;
    // Two failures, and more that nobody has seen.
    for _ in 0..2 {
        client.send("SEND\ndestination:/app/a\n\n\0").await;
    }
    until(&app, "stompgate_handler_breakers_open", 1.0).await;
    assert_eq!(metric(&app, "stompgate_handler_breakers_opened_total").await, 1.0);
    is_well.store(1, Ordering::Relaxed);
    within(async {
        while metric(&app, "stompgate_handler_breakers_open").await > 0.0 {
            client.send("SEND\ndestination:/app/a\n\n\0").await;
        }
    })
    .await;
    client.confirmed("SEND\ndestination:/app/a", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_told_within_the_time() {
    let service = Service::start(async |_| answer(204, &[], "")).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let toml = route("timeout = '500ms'\nretries = 100").replace("TARGET", &format!("http://{nobody}/"));
    let app = gateway(&service, &toml).await;
    let mut client = Client::connect(&app).await;
    client.send("SEND\ndestination:/app/a\nreceipt:r\n\n\0").await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("handler_unavailable"));
    assert!(!String::from_utf8(error.body.to_vec()).unwrap().contains("127.0.0.1"));
    assert!(metric(&app, "stompgate_handler_retries_total").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sp55_a_thousand_sends_are_answered_in_their_order() {
    let service = Service::start(async |seen| answer(200, &[], &seen.body)).await;
    let app = gateway(&service, &route("")).await;
    let mut client = Client::subscribe(&app, "/topic/echo").await;
    let frames: String = (0..1_000).map(|it| format!("SEND\ndestination:/app/echo\n\n{it}\0")).collect();
    client.send(&frames).await;
    for expected in 0..1_000 {
        assert_eq!(client.expect("MESSAGE").await.body, expected.to_string());
    }
    // One after the other, so on one connection.
    assert_eq!(service.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_answer_than_the_bound_is_a_failure() {
    for (bytes, is_ok) in [(1_024, true), (1_025, false)] {
        let service = Service::start(move |_| async move { answer(200, &[], &"x".repeat(bytes)) }).await;
        let app = gateway(&service, &format!("[app]\nresponse_bytes_max = 1024\n{}", route(""))).await;
        let mut client = Client::connect(&app).await;
        client.send("SEND\ndestination:/app/a\nreceipt:r\n\n\0").await;
        let command = if is_ok { "RECEIPT" } else { "ERROR" };
        client.expect(command).await;
        let series = "stompgate_handler_calls_total{event=\"send\",outcome=\"failed\"}";
        assert_eq!(metric(&app, series).await, if is_ok { 0.0 } else { 1.0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_with_more_headers_than_the_bound_is_refused_by_its_name() {
    let service = Service::start(async |_| answer(204, &[], "")).await;
    let app = gateway(&service, &format!("[app]\nheader_bytes_max = 1024\n{}", route(""))).await;
    let mut client = Client::connect(&app).await;
    client.confirmed(&format!("SEND\ndestination:/app/a\nx:{}", "x".repeat(600)), "").await;
    client.send(&format!("SEND\ndestination:/app/a\nreceipt:r\nx:{}\n\n\0", "x".repeat(1_024))).await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("limit_handler"));
    let text = String::from_utf8(error.body.to_vec()).unwrap();
    assert!(text.contains("1024") && text.contains("app.header_bytes_max"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_write_a_header_of_a_request() {
    let service = Service::start(async |_| answer(204, &[], "")).await;
    let app = gateway(&service, &route("")).await;
    let mut client = Client::connect(&app).await;
    let headers = "a:1\\r\\nStompgate-User\\c root\na\\nb:2\nstompgate-user:root\nStompgate-User:root\nx-ü:ü 100%";
    client.confirmed(&format!("SEND\ndestination:/app/a\n{headers}"), "").await;
    let seen = service.seen().await;
    assert_eq!(seen.header("stomp-a"), "1%0D%0AStompgate-User: root");
    assert_eq!((seen.header("stomp-a%0ab"), seen.header("stomp-x-%c3%bc")), ("2", "%C3%BC 100%25"));
    assert_eq!(seen.header("stompgate-user"), "");
    // Not one that only the gateway writes, so it is what the client says.
    assert_eq!(seen.header("stomp-stompgate-user"), "root");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_and_carry_who_sent_the_frame() {
    let service = Service::start(async |_| answer(204, &[], "")).await;
    let toml = "[app]\nsecret = 'sixteen or more bytes'\n[auth]\nusers = 'ann:pw'\n";
    let app = gateway(&service, &format!("{toml}{}", route("").replace("**", "{room}/x"))).await;
    let mut client = Client::open(&app).await;
    client.send("CONNECT\naccept-version:1.2\nlogin:ann\npasscode:pw\n\n\0").await;
    let connected = client.expect("CONNECTED").await;
    client.confirmed("SEND\ndestination:/app/blue room/x", "hi").await;
    let seen = service.seen().await;
    assert_eq!(seen.header("stompgate-session"), connected.header("session").unwrap());
    assert_eq!((seen.header("stompgate-user"), seen.header("stompgate-var-room")), ("ann", "blue room"));
    let signature = seen.header("stompgate-signature");
    assert_eq!((signature.len(), &signature[..3]), (3 + 64, "v1="));
    assert!(seen.header("stompgate-timestamp").parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_route_answers() {
    let service = Service::start(async |_| answer(200, &[], "any")).await;
    let other = Service::start(async |_| answer(200, &[], "exact")).await;
    let exact = format!("[[app.routes]]\nmatch = '/app/a/b'\ntarget = '{}'\nreply = '/topic/a'\n", other.url());
    let app = gateway(&service, &format!("{}{exact}", route("reply = '/topic/a'"))).await;
    let mut client = Client::subscribe(&app, "/topic/a").await;
    for (path, expected) in [("a/b", "exact"), ("a/c", "any"), ("a", "any")] {
        client.send(&format!("SEND\ndestination:/app/{path}\n\n\0")).await;
        assert_eq!(client.expect("MESSAGE").await.body, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_hear_who_comes_and_goes_and_a_drain_waits_for_them() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let service = Service::start(move |_| {
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            answer(204, &[], "")
        }
    })
    .await;
    let hooks = "[[app.hooks]]\non = 'connected, disconnected, subscribed'\ntarget = 'TARGET'\n";
    let app = gateway(&service, hooks).await;
    let mut client = Client::subscribe(&app, "/topic/a").await;
    let draining = async {
        assert_eq!(client.next().await, Err(1012));
        let mut told = Vec::new();
        for _ in 0..3 {
            gate.notify_one();
            told.push(service.seen().await.header("stompgate-event").to_owned());
        }
        assert_eq!(told, ["connected", "subscribed", "disconnected"]);
    };
    let (drained, ()) = within(async { tokio::join!(app.shut_down(), draining) }).await;
    assert_eq!(drained, stompgate::lifecycle::Drained::All);
}

/// A certificate for this machine that its own file alone makes trusted.
#[tokio::test(flavor = "multi_thread")]
async fn https_trusts_the_roots_of_the_file_and_no_others() {
    let (service, ca_file) = Service::start_tls(async |_| answer(204, &[], "")).await;
    let route = route("retries = 0").replace("http://", "https://");
    for (roots, outcome) in [(format!("ca_file = '{}'", ca_file.display()), "RECEIPT"), (String::new(), "ERROR")] {
        let app = gateway(&service, &format!("[app]\n{roots}\n{route}")).await;
        let mut client = Client::connect(&app).await;
        client.send("SEND\ndestination:/app/a\nreceipt:r\n\n\0").await;
        client.expect(outcome).await;
    }
    std::fs::remove_file(ca_file).unwrap();
}
