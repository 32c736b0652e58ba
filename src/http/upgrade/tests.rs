//! Every way a handshake is accepted or refused.

use hyper::Request;

use super::*;

/// RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A good handshake with some headers replaced; an empty value removes one.
fn handshake(changes: &[(&'static str, &str)]) -> Parts {
    let (mut request, ()) = Request::get("/ws").body(()).unwrap().into_parts();
    let good = [
        ("host", "example.org"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    let all = good.iter().chain(changes);
    for (name, value) in all {
        request.headers.remove(*name);
        if !value.is_empty() {
            request.headers.append(*name, value.parse().unwrap());
        }
    }
    request
}

fn refused(request: &Parts) -> Refusal {
    check(request, &[]).unwrap_err()
}

#[test]
fn a_good_handshake_is_accepted_with_the_key_s_answer() {
    let accepted = check(&handshake(&[]), &[]).unwrap();
    assert_eq!(accepted, Accepted { accept: ACCEPT.to_owned(), protocol: None });
    let response = accepted.into_response();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["connection"], "Upgrade");
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["sec-websocket-accept"], ACCEPT);
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn the_first_known_sub_protocol_is_chosen_as_the_client_spells_it() {
    fn check_protocol(offered: &str, expected: Option<&str>) {
        let accepted = check(&handshake(&[("sec-websocket-protocol", offered)]), &[]).unwrap();
        let response = accepted.into_response();
        let chosen = response.headers().get("sec-websocket-protocol").map(|it| it.to_str().unwrap());
        assert_eq!(chosen, expected, "of {offered}");
    }
    check_protocol("v12.stomp, v11.stomp, v10.stomp", Some("v12.stomp"));
    check_protocol("v10.stomp,v12.stomp", Some("v10.stomp"));
    check_protocol("mqtt, V11.STOMP", Some("V11.STOMP"));
    check_protocol("mqtt", None);
    check_protocol("", None);

    let mut several = handshake(&[("sec-websocket-protocol", "mqtt")]);
    several.headers.append("sec-websocket-protocol", "v11.stomp".parse().unwrap());
    assert_eq!(check(&several, &[]).unwrap().protocol.unwrap(), "v11.stomp");
}

#[test]
fn what_is_no_handshake_is_refused() {
    fn check_refused(changes: &[(&'static str, &str)], expected: &Refusal) {
        assert_eq!(refused(&handshake(changes)), *expected, "{changes:?}");
    }
    let not_upgrade = Refusal::NotUpgrade { path: "/ws".to_owned() };
    check_refused(&[("upgrade", "")], &not_upgrade);
    check_refused(&[("upgrade", "h2c")], &not_upgrade);
    check_refused(&[("connection", "close")], &not_upgrade);
    check_refused(&[("sec-websocket-version", "")], &Refusal::VersionUnsupported);
    check_refused(&[("sec-websocket-version", ""), ("sec-websocket-key1", "1 2")], &Refusal::DraftUnsupported);
    check_refused(&[("sec-websocket-version", "8")], &Refusal::VersionUnsupported);
    check_refused(&[("sec-websocket-key", "")], &Refusal::KeyInvalid);
    check_refused(&[("sec-websocket-key", "c2hvcnQ=")], &Refusal::KeyInvalid);
    check_refused(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j!!==")], &Refusal::KeyInvalid);

    let mut old = handshake(&[]);
    old.version = Version::HTTP_10;
    assert_eq!(refused(&old), not_upgrade);
    let mut post = handshake(&[]);
    post.method = Method::POST;
    assert_eq!(refused(&post), Refusal::MethodNotAllowed { allowed: "GET" });
}

#[test]
fn an_origin_must_be_of_the_same_host_or_listed() {
    let foreign = handshake(&[("origin", "https://other.net")]);
    assert_eq!(refused(&foreign), Refusal::OriginForbidden { origin: "https://other.net".to_owned() });
    assert!(check(&foreign, &["https://other.net".to_owned()]).is_ok());
    assert!(check(&handshake(&[("origin", "https://example.org")]), &[]).is_ok());
}
