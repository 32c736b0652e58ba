//! What answers mean: where they go, and who is told.

use std::time::Duration;

use super::*;
use crate::handlers::pattern::{Pattern, Separator};
use crate::handlers::settings::{Concurrency, Target};
use crate::handlers::template::Template;
use crate::ident::{Principal, SessionId};

const SESSION: SessionId = SessionId::from_random([0; 16]);

fn route(on_error: &str) -> Route {
    let pattern = Pattern::parse("/app/rooms/{room}", Separator::Slash).unwrap();
    Route {
        on: vec![Event::Send, Event::Subscribe],
        target: Target::Amqp("x".into()),
        timeout: Duration::from_secs(5),
        concurrency: Concurrency::PerSession,
        calls_max: 1,
        retries: 0,
        on_error: on_error.parse().unwrap(),
        reply: vec![Template::parse("/topic/{words}", &pattern).unwrap()],
        pattern,
    }
}

fn handled(event: Event, user: Option<&str>, on_error: &str, response: Response) -> Handled {
    let place = Place { path: "/rooms/7".into(), variables: vec![("room".into(), "7".into())] };
    let sender = Sender { session: SESSION, user: user.map(Principal::new) };
    let (attributes, attribute_bytes_max) = (&Attributes::default(), 10);
    let route = &route(on_error);
    Asked { route, place: &place, event, sender: &sender, attributes, attribute_bytes_max }.handled(Ok(response))
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    Response { status, headers: headers.iter().copied().collect(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Destinations with `/user/NAME`, `/user/SESSION` and `subscription` among them.
fn shown(handled: &Handled) -> Vec<String> {
    let to = |it: &Reply| match &it.to {
        To::Destination(destination) => destination.to_string(),
        To::Subscription => "subscription".to_owned(),
    };
    handled.replies.iter().map(to).collect()
}

/// Where the answer to a SEND of `user` goes.
fn check(user: Option<&str>, headers: &[(&str, &str)], expected: &[&str]) {
    let handled = handled(Event::Send, user, "ignore", response(200, headers, "x"));
    assert_eq!((shown(&handled), handled.outcome), (expected.iter().map(|it| (*it).to_owned()).collect(), Ok(())));
}

#[test]
fn sp74_without_a_word_it_goes_where_the_route_says() {
    check(Some("ann"), &[], &["/topic/rooms.7"]);
    let handled = handled(Event::Subscribe, None, "ignore", response(200, &[], "x"));
    assert_eq!(shown(&handled), ["subscription"]);
}

#[test]
fn sp74_named_destinations_take_the_variables_of_the_route() {
    check(None, &[("stompgate-send-to", "/topic/a, /queue/{room}")], &["/topic/a", "/queue/7"]);
    let twice = [("stompgate-send-to", "/topic/a"), ("stompgate-send-to", "/user/b%2Fc/queue/x")];
    check(None, &twice, &["/topic/a", "/user/b%2Fc/queue/x"]);
    let handled = handled(Event::Subscribe, None, "ignore", response(200, &[("stompgate-send-to", "/topic/a")], "x"));
    assert_eq!(shown(&handled), ["/topic/a"]);
}

#[test]
fn sp74_the_user_has_all_sessions_or_this_one_and_without_a_user_there_is_only_this_one() {
    let session = format!("/user/{SESSION}/queue/x");
    let to_user = ("stompgate-send-to-user", "/queue/x");
    check(Some("ann"), &[to_user], &["/user/ann/queue/x"]);
    check(Some("ann"), &[to_user, ("stompgate-broadcast", "false")], &[&session]);
    check(None, &[to_user], &[&session]);
    check(Some("ann"), &[to_user, ("stompgate-send-to", "/topic/a")], &["/topic/a", "/user/ann/queue/x"]);
}

#[test]
fn sp74_headers_of_the_reply_are_those_that_the_handler_gives() {
    let headers = [("content-type", "a/b"), ("stomp-x", "1"), ("stomp-subscription", "spoofed"), ("date", "now")];
    let handled = handled(Event::Send, None, "ignore", response(200, &headers, "x"));
    assert_eq!(handled.replies[0].headers, Headers::from_iter([("content-type", "a/b"), ("x", "1")]));
}

#[test]
fn an_empty_answer_is_done_and_says_nothing() {
    for (status, headers) in [(204, &[][..]), (200, &[]), (200, &[("stompgate-send-to", "/topic/a")])] {
        let handled = handled(Event::Send, None, "ignore", response(status, headers, ""));
        assert_eq!((handled.replies, handled.outcome), (Vec::new(), Ok(())));
    }
}

#[test]
fn what_makes_no_sense_is_a_fault_of_the_handler() {
    let bad = [
        response(302, &[("location", "/")], ""),
        response(500, &[], "secret"),
        response(200, &[("stompgate-send-to", "/app/loop")], "x"),
        response(200, &[("stompgate-send-to", "/nowhere")], "x"),
        response(200, &[("stompgate-send-to-user", "queue/x")], "x"),
        response(200, &[("content-type", "application/vnd.stompgate.actions+json; charset=utf-8")], "{}"),
    ];
    for response in bad {
        let handled = handled(Event::Send, None, "error-frame", response);
        assert_eq!((handled.replies, handled.told), (Vec::new(), Told::Sender));
        let failure = handled.outcome.unwrap_err();
        assert_eq!((failure.cause, &*failure.text), (Cause::Failed, "The handler failed"));
    }
}

#[test]
fn a_refusal_is_told_as_the_route_says() {
    let refused = |on_error| handled(Event::Send, Some("ann"), on_error, response(409, &[], "Sold out"));
    for (on_error, told) in [
        ("ignore", Told::Nobody),
        ("receipt-only", Told::WhoAskedForReceipt),
        ("error-frame", Told::Sender),
        ("user:/queue/errors", Told::Nobody),
    ] {
        let handled = refused(on_error);
        assert_eq!(handled.told, told, "{on_error}");
        assert_eq!(handled.outcome.unwrap_err().text, "Sold out");
    }
}

/// What the handler says of the error is the message, as with Spring's handlers of exceptions.
#[test]
fn sp58_a_refusal_goes_to_the_destination_of_the_user_with_its_body() {
    let refusal = response(400, &[("content-type", "text/plain")], "Got error: Bad input");
    let refused = handled(Event::Send, Some("joe"), "user:/queue/error", refusal);
    assert_eq!(shown(&refused), ["/user/joe/queue/error"]);
    assert_eq!(refused.replies[0].body, "Got error: Bad input");
    assert_eq!(refused.replies[0].headers.get("content-type"), Some("text/plain"));
    let broken = handled(Event::Send, Some("joe"), "user:/queue/{room}", response(503, &[], "secret"));
    assert_eq!(shown(&broken), ["/user/joe/queue/7"]);
    assert_eq!(broken.replies[0].body, "The handler failed");
}

fn actions(event: Event, body: &str) -> Handled {
    let headers = [("content-type", "application/vnd.stompgate.actions+json")];
    handled(event, Some("ann"), "ignore", response(200, &headers, body))
}

#[test]
fn actions_are_carried_out_in_their_order() {
    let body = r#"[
        {"action": "send", "destination": "/topic/{room}", "body": "1", "headers": {"x": "y", "message-id": "no"}},
        {"action": "send-to-user", "destination": "/queue/x", "json": [1]},
        {"action": "send-to-user", "destination": "/queue/x", "broadcast": false},
        {"action": "send-to-user", "user": "bob", "destination": "/queue/x"},
        {"action": "send-to-session", "destination": "/queue/x", "body": "", "content-type": "a/b"},
        {"action": "reply-subscription", "body": "s"},
        {"action": "receipt"},
        {"action": "disconnect"}
    ]"#;
    let handled = actions(Event::Subscribe, body);
    let session = format!("/user/{SESSION}/queue/x");
    let to = ["/topic/7", "/user/ann/queue/x", &session, "/user/bob/queue/x", &session, "subscription"];
    assert_eq!(shown(&handled), to);
    assert_eq!((&handled.outcome, handled.ends_session), (&Ok(()), true));
    let headers = |at: usize| handled.replies[at].headers.clone();
    assert_eq!(headers(0), Headers::from_iter([("x", "y")]));
    assert_eq!(
        (headers(1), &*handled.replies[1].body),
        (Headers::from_iter([("content-type", "application/json")]), &b"[1]"[..])
    );
    assert_eq!(headers(4), Headers::from_iter([("content-type", "a/b")]));
}

#[test]
fn one_action_that_makes_no_sense_spoils_all() {
    let bad = [
        r#"[{"action":"send","destination":"/topic/a","body":"x"},{"action":"sing"}]"#,
        r#"[{"destination":"/topic/a"}]"#,
        r#"[{"action":"send"}]"#,
        r#"[{"action":"send","destination":"/topic/a","body":1}]"#,
        r#"[{"action":"send","destination":"/topic/a","body":"x","json":1}]"#,
        r#"[{"action":"send","destination":"/topic/a","headers":{"x":1}}]"#,
        r#"[{"action":"send-to-user","destination":"/queue/x","broadcast":"no"}]"#,
        r#"[{"action":"reply-subscription","body":"x"}]"#,
        r#"[{"action":"error"}]"#,
        r#"[{"action":"set-attribute","value":"x"}]"#,
        r#"[{"action":"set-attribute","name":"a","value":"0123456789"}]"#,
        "[1]",
        "nonsense",
        &format!("[{}]", [r#"{"action":"receipt"}"#; 101].join(",")),
    ];
    for body in bad {
        let handled = actions(Event::Send, body);
        assert_eq!(handled.replies, [], "{body}");
        assert_eq!(handled.outcome.unwrap_err().cause, Cause::Failed, "{body}");
    }
}
