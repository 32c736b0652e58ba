//! What `[app]`, `[[app.routes]]` and `[[app.hooks]]` say.

use std::time::Duration;

use super::{GIB, HOUR, MIB, TIME_LIMIT_MIN};
use crate::broker::amqp;
use crate::config::Broker;
use crate::config::kind::{Kind, bytes, choice, duration, list, number, parsed, quoted, secret, string};
use crate::config::reader::Reader;
use crate::config::tables::Table;
use crate::handlers::{Concurrency, Event, Hook, OnError, Pattern, Route, Separator, Settings, Target, Template, Tls};
use crate::pem::File;

const CA: &str = "app.ca_file";

const ROUTED: &[(&str, Event)] = &[("send", Event::Send), ("subscribe", Event::Subscribe)];

const HOOKED: &[(&str, Event)] = &[
    ("connected", Event::Connected),
    ("disconnected", Event::Disconnected),
    ("subscribed", Event::Subscribed),
    ("unsubscribed", Event::Unsubscribed),
];

const ORDERS: &[(&str, Concurrency)] =
    &[("per-session", Concurrency::PerSession), ("unordered", Concurrency::Unordered)];

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn app(reader: &mut Reader, broker: &Broker) -> Settings {
    let default = Settings::default();
    let separators: &[_] = &[("slash", Separator::Slash), ("dot", Separator::Dot)];
    let separator = reader.key("app.separator", choice(separators), default.separator);
    let routes = "a list of tables, see [HANDLERS.md](HANDLERS.md#routes)";
    let routes = reader.tables("app.routes", routes, |table, before| route(table, before, separator, broker));
    let hooks = "a list of tables, see [HANDLERS.md](HANDLERS.md#hooks)";
    let hooks = reader.tables("app.hooks", hooks, |table, _| hook(table, broker));
    let secret = reader.key("app.secret", secret(), None);
    let ca = reader.key(CA, string("text; empty for none", |_| true), String::new());
    let connect_timeout = reader.time("app.connect_timeout", default.connect_timeout);
    let settings = Settings {
        separator,
        secret,
        tls: None,
        connect_timeout,
        header_bytes_max: reader.size("app.header_bytes_max", MIB, default.header_bytes_max),
        attribute_bytes_max: reader.key("app.attribute_bytes_max", bytes(0..=MIB), default.attribute_bytes_max),
        response_bytes_max: reader.size("app.response_bytes_max", GIB, default.response_bytes_max),
        breaker_failures: reader.key("app.breaker_failures", number(1..=1_000_000), default.breaker_failures),
        breaker_pause: reader.time("app.breaker_pause", default.breaker_pause),
        hook_queue_max: reader.count("app.hook_queue_max", default.hook_queue_max),
        routes,
        hooks,
    };
    let tls = if settings.targets().any(Target::is_https) || !ca.is_empty() { tls(reader, &ca) } else { None };
    Settings { tls, ..settings }
}

fn tls(reader: &mut Reader, ca: &str) -> Option<Tls> {
    match Tls::load(File { setting: CA, name: ca }) {
        Ok(tls) => Some(tls),
        Err(fault) => {
            reader.rule(&[CA, "app.routes", "app.hooks"], false, &fault.problem);
            None
        }
    }
}

fn route(table: &mut Table, before: &[Route], separator: Separator, broker: &Broker) -> Option<Route> {
    let pattern = table.required("match", &string("a destination below `/app/`", |_| true));
    let pattern = pattern.and_then(|text| match Pattern::parse(&text, separator) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            table.fault("match", format!("is {}: {error}", quoted(&text)));
            None
        }
    });
    let on = events(table, ROUTED, Some(vec![Event::Send]));
    let target = target(table, broker);
    let default = Template::default().as_str().to_owned();
    let reply = table.key("reply", &list(string("a destination such as `/topic{path}`", |_| true)), vec![default]);
    let on_error = "`ignore`, `receipt-only`, `error-frame` or `user:` and a destination such as `/queue/errors`";
    let on_error = parsed(on_error, OnError::to_string);
    let (timeout, concurrency) = (timeout(table), table.key("concurrency", &choice(ORDERS), Concurrency::PerSession));
    let calls_max = table.key("calls_max", &number(1..=1_000_000), 256);
    let retries = table.key("retries", &number(0..=100), 2);
    let on_error = table.key("on_error", &on_error, OnError::ReceiptOnly);
    let pattern = pattern?;
    let reply = templates(table, &reply, &pattern);
    let (on, target) = (on?, target?);
    let route = Route { pattern, on, target, timeout, concurrency, calls_max, retries, on_error, reply };
    if let Some(other) = before.iter().find(|it| it.is_as_good_as(&route)) {
        table.fault("match", format!("is {}, which matches as much as {} does", route.pattern, other.pattern));
    }
    Some(route)
}

fn hook(table: &mut Table, broker: &Broker) -> Option<Hook> {
    let (on, target, timeout) = (events(table, HOOKED, None), target(table, broker), timeout(table));
    Some(Hook { on: on?, target: target?, timeout })
}

fn events(
    table: &mut Table,
    words: &'static [(&'static str, Event)],
    default: Option<Vec<Event>>,
) -> Option<Vec<Event>> {
    let kind: Kind<Vec<Event>> = list(choice(words));
    let on = match default {
        Some(default) => Some(table.key("on", &kind, default)),
        None => table.required("on", &kind),
    };
    if on.as_ref().is_some_and(Vec::is_empty) {
        table.fault("on", "is empty: nothing would ever happen".to_owned());
    }
    on
}

fn target(table: &mut Table, broker: &Broker) -> Option<Target> {
    let allowed =
        "`http://host:port/path`, `https://..` (neither with a login), or `amqp:` and the name of an exchange";
    let target = table.required("target", &parsed(allowed, Target::to_string))?;
    let can_amqp = matches!(broker, Broker::Amqp(it) if it.identity == amqp::Identity::Gateway);
    if target.is_amqp() && !can_amqp {
        let needs = "which needs broker.kind = \"amqp\" and broker.amqp.identity = \"gateway\"";
        table.fault("target", format!("is {}, {needs}", quoted(&target.to_string())));
    }
    Some(target)
}

fn timeout(table: &mut Table) -> Duration {
    table.key("timeout", &duration(TIME_LIMIT_MIN..=HOUR), TIMEOUT)
}

fn templates(table: &mut Table, texts: &[String], pattern: &Pattern) -> Vec<Template> {
    let mut templates = Vec::new();
    for text in texts {
        match Template::parse(text, pattern) {
            Ok(template) => templates.push(template),
            Err(error) => table.fault("reply", format!("has {}, but {error}", quoted(text))),
        }
    }
    templates
}
