//! `[app]` and its lists of tables.

use super::*;
use crate::handlers::{Event, OnError, Target};

const AMQP: &str = "[broker]\nkind = 'amqp'\n";

#[test]
fn a_route_needs_what_it_matches_and_who_answers() {
    let toml = "[[app.routes]]\nmatch = '/app/orders/{id}'\ntarget = 'http://orders:8090/x'";
    let loaded = load_both(toml, []).unwrap();
    let route = &loaded.settings.handlers.routes[0];
    assert_eq!(
        (route.pattern.as_str(), route.target.to_string()),
        ("/app/orders/{id}", "http://orders:8090/x".to_owned())
    );
    assert_eq!((&route.on, &route.on_error), (&vec![Event::Send], &OnError::ReceiptOnly));
    assert_eq!((route.timeout, route.retries, route.calls_max), (Duration::from_secs(5), 2, 256));
    assert_eq!(route.reply[0].as_str(), "/topic{path}");
    assert!(loaded.settings.session.has_routes);
    assert!(!load(Sources::default()).unwrap().settings.session.has_routes);
}

#[test]
fn all_of_it_can_be_said_and_is_printed_so_that_it_can_be_read_again() {
    let toml = "
        [broker]
        kind = 'amqp'
        [app]
        separator = 'dot'
        secret = 'sixteen or more bytes'
        [[app.routes]]
        match = '/app/a.{id}'
        on = 'send, subscribe'
        target = 'amqp:stompgate.app'
        reply = ['/topic/{words}', '/queue/{id}']
        timeout = '1s'
        retries = 0
        concurrency = 'unordered'
        calls_max = 7
        on_error = 'user:/queue/errors'
        [[app.hooks]]
        on = ['connected', 'subscribed']
        target = 'http://h/'
        timeout = '1s'
    ";
    let loaded = load_both(toml, []).unwrap();
    let handlers = &loaded.settings.handlers;
    assert_eq!(handlers.routes[0].target, Target::Amqp("stompgate.app".into()));
    assert_eq!(handlers.hooks[0].on, [Event::Connected, Event::Subscribed]);
    let printed = loaded.to_toml();
    assert!(!printed.contains("sixteen"), "{printed}");
    let again = load_both(&printed.replace("***", "sixteen or more bytes"), []).unwrap();
    assert_eq!(effective(&again, "app.routes"), effective(&loaded, "app.routes"));
    assert_eq!(effective(&again, "app.hooks"), effective(&loaded, "app.hooks"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_by_its_place() {
    let toml = "
        [app]
        secret = 'too short'
        [[app.routes]]
        on = []
        target = 'ftp://a/'
        timeout = 10
        colour = 'red'
        [[app.routes]]
        match = '/topic/a'
        target = 'amqp:x'
        reply = '/topic/{room}'
        [[app.routes]]
        match = '/app/a/{x}'
        target = 'http://a'
        reply = '/topic/{room}'
        [[app.routes]]
        match = '/app/a/{y}'
        on = ['subscribe', 'send']
        target = 'http://a'
        [[app.hooks]]
        target = 'http://user:pw@a'
    ";
    let target = "it must be `http://host:port/path`, `https://..` (neither with a login), or `amqp:` and the name of an \
                  exchange";
    let expected = [
        "FILE: app.routes[0].match is missing: it must be a destination below `/app/`".to_owned(),
        "FILE: app.routes[0].on is empty: nothing would ever happen".to_owned(),
        format!("FILE: app.routes[0].target is \"ftp://a/\": {target}"),
        "FILE: app.routes[0].timeout is 10: it must be a time with its unit from 100ms to 1h".to_owned(),
        "FILE: app.routes[0].colour is unknown; there are calls_max, concurrency, match, on, on_error, reply, retries, \
         target, timeout"
            .to_owned(),
        "FILE: app.routes[1].match is \"/topic/a\": it has to begin with /app/".to_owned(),
        "FILE: app.routes[1].target is \"amqp:x\", which needs broker.kind = \"amqp\" and broker.amqp.identity = \
         \"gateway\""
            .to_owned(),
        "FILE: app.routes[2].reply has \"/topic/{room}\", but {room} is neither {path}, nor {words}, nor a variable of \
         /app/a/{x}"
            .to_owned(),
        "FILE: app.routes[3].match is /app/a/{y}, which matches as much as /app/a/{x} does".to_owned(),
        "FILE: app.hooks[0].on is missing: it must be a list, or text with commas; each item must be one of `connected`, \
         `disconnected`, `subscribed`, `unsubscribed`"
            .to_owned(),
        format!("FILE: app.hooks[0].target is \"http://user:pw@a\": {target}"),
        "FILE: app.secret is not allowed: it must be text of 16 bytes or more; empty for none".to_owned(),
    ];
    assert_eq!(faults(toml, []), expected);
}

#[test]
fn routes_that_match_the_same_are_a_fault() {
    let route = |name: &str, on: &str| {
        format!("[[app.routes]]\nmatch = '/app/a/{{{name}}}'\non = '{on}'\ntarget = 'http://a'\n")
    };
    assert!(load_both(&(route("x", "send") + &route("y", "subscribe")), []).is_ok());
    assert_eq!(faults(&(route("x", "send") + &route("y", "send")), []).len(), 1);
}

#[test]
fn a_handler_behind_rabbitmq_needs_the_account_of_the_gateway() {
    let route = "[[app.routes]]\nmatch = '/app/a'\ntarget = 'amqp:x'\n";
    assert!(load_both(&format!("{AMQP}{route}"), []).is_ok());
    assert_eq!(faults(&format!("{AMQP}amqp.identity = 'client'\n{route}"), []).len(), 1);
}

#[test]
fn a_list_of_tables_is_nothing_else() {
    let expected = ["FILE: app.routes is \"a\": it must be a list of tables, see [HANDLERS.md](HANDLERS.md#routes)"];
    assert_eq!(faults("[app]\nroutes = 'a'", []), expected);
    assert_eq!(faults("[app]\nroutes = [1]", []).len(), 1);
}

#[test]
fn roots_for_https_are_read_at_once() {
    let toml = "[app]\nca_file = '/no/such.pem'\n[[app.routes]]\nmatch = '/app/a'\ntarget = 'https://a'\n";
    let found = faults(toml, []);
    assert!(found[0].starts_with("FILE: app.ca_file names \"/no/such.pem\", which can't be read"), "{found:?}");
}
