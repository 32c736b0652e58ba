//! The keys: one function for each section. What a key means is said in `docs/CONFIG.md`.

mod app;
mod broker;
mod memory;
mod sockjs;

use std::net::SocketAddr;
use std::time::Duration;

use super::kind::{
    address, address_or_off, bytes, choice, duration, flag, list, number, parsed, quoted, string, topic, user,
};
use super::reader::Reader;
use super::reload::Certificate;
use super::{Broker, Limits, Settings};
use crate::auth::{Authenticator, Rule, Rules, User};
use crate::broker::{amqp, stomp as stomp_broker};
use crate::destination::{Grammar, Syntax, UserPrefix};
use crate::session::AckScope;
use crate::stomp::HeartBeat;
use crate::telemetry::{Filter, Format};
use crate::{admin, delivery, http, lifecycle, session, stomp, telemetry};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

const HOUR: Duration = Duration::from_secs(3_600);
/// The shortest time limit: anything below would hit clients that do nothing wrong.
const TIME_LIMIT_MIN: Duration = Duration::from_millis(100);

/// Connections to RabbitMQ that one account has, unless its sessions fill those.
const ACCOUNT_FILES: usize = 4;

/// What a WebSocket message may hold beside the largest frame: line ends between frames, for example.
const MESSAGE_BYTES_BESIDE_FRAME: usize = 4_096;

/// What `[stomp]` says, about frames and about sessions.
struct Protocol {
    limits: stomp::Limits,
    heartbeat: HeartBeat,
    close_on_error: bool,
}

pub(super) fn read(reader: &mut Reader, certificate: Option<&Certificate>) -> Settings {
    let (mut http, path) = http(reader, certificate);
    http.endpoints = vec![http::Endpoint { path, sockjs: sockjs::sockjs(reader) }];
    let Protocol { limits: stomp, heartbeat, close_on_error } = stomp(reader);
    http.websocket.message_bytes_max = stomp.frame_bytes_max + MESSAGE_BYTES_BESIDE_FRAME;
    let session = session(reader);
    let (delivery, write_stall_max) = delivery(reader);
    let limits = limits(reader);
    let user_prefix = user_prefix(reader);
    let broker = broker::broker(reader, &user_prefix, session.unsettled_max);
    http.own_files += account_files(&broker);
    let (authenticator, rules) = auth(reader, &broker);
    reader.rule(
        &["session.sessions_per_user_max", "auth.users", "broker.amqp.identity", "broker.stomp.identity"],
        session.sessions_per_user_max == 0 || !matches!(authenticator, Authenticator::Open),
        "is given, but nobody checks logins, so anybody could use up the sessions of another user: list auth.users, or \
         have the broker check them (its identity = \"client\")",
    );
    let handlers = app::app(reader, &broker);
    let admin = admin(reader);
    let lifecycle = drain(reader);
    let log = log(reader);
    reader.rule(
        &["http.listen", "admin.listen"],
        admin.listen.is_none_or(|it| !collide(it, http.listen)),
        "is the same as admin.listen: clients and operators need an address each",
    );
    let session = session::Settings {
        heartbeat,
        close_on_error,
        grammar: grammar(&broker),
        has_routes: !handlers.routes.is_empty(),
        user_prefix,
        write_stall_max,
        ..session
    };
    Settings { admin, authenticator, broker, delivery, handlers, http, lifecycle, limits, log, rules, session, stomp }
}

/// What follows for destinations from the broker that serves them.
fn grammar(broker: &Broker) -> Grammar {
    match broker {
        Broker::Memory(it) if it.patterns == Syntax::Ant => Grammar::Plain,
        Broker::Amqp(_) | Broker::Memory(_) => Grammar::RabbitMq,
        Broker::Stomp(_) => Grammar::Foreign,
    }
}

/// And the path of the endpoint.
fn http(reader: &mut Reader, certificate: Option<&Certificate>) -> (http::Settings, String) {
    let (default, endpoint) = (http::Settings::default(), http::Endpoint::default());
    let path = string("a path such as `/ws`, other than `/demo`", is_path);
    let origins = list(string("an origin such as `https://www.example.org`, or `*`", is_origin));
    let per_ip = number(0..=100_000_000).worded("a whole number from 1 to 100000000; 0 for no limit");
    let listen = reader.key("http.listen", address(), default.listen);
    let path = reader.key("http.path", path, endpoint.path);
    let settings = http::Settings {
        listen,
        allowed_origins: reader.key("http.allowed_origins", origins, default.allowed_origins),
        connections_max: reader.count("http.connections_max", default.connections_max),
        connections_per_ip_max: reader.key("http.connections_per_ip_max", per_ip, default.connections_per_ip_max),
        handshakes_max: reader.count("http.handshakes_max", default.handshakes_max),
        header_timeout: reader.time("http.header_timeout", default.header_timeout),
        backlog: reader.key("http.backlog", number(1..=65_535), default.backlog),
        demo: reader.key("http.demo", flag(), default.demo),
        own_files: default.own_files,
        requests_time_max: reader.time("http.requests_time_max", default.requests_time_max),
        proxies: proxies(reader),
        tls_handshake_timeout: default.tls_handshake_timeout,
        tls: None,
        endpoints: Vec::new(),
        websocket: default.websocket,
    };
    let tls = https(reader, certificate);
    let tls_handshake_timeout = reader.time("http.tls.handshake_timeout", settings.tls_handshake_timeout);
    (http::Settings { tls, tls_handshake_timeout, ..settings }, path)
}

/// File descriptors of what sessions have at the broker.
fn account_files(broker: &Broker) -> usize {
    match broker {
        Broker::Amqp(it) if it.identity == amqp::Identity::Client => it.accounts_max.saturating_mul(ACCOUNT_FILES),
        Broker::Amqp(_) | Broker::Memory(_) => 0,
        Broker::Stomp(it) => it.connections_max,
    }
}

fn proxies(reader: &mut Reader) -> http::Proxies {
    let network = parsed("an IP address, or a network such as `10.0.0.0/8`", http::Network::to_string);
    let headers: &[_] = &[
        ("off", http::ClientHeader::Off),
        ("forwarded", http::ClientHeader::Forwarded),
        ("x-forwarded-for", http::ClientHeader::XForwardedFor),
    ];
    let proxies = http::Proxies {
        trusted: reader.key("http.trusted_proxies", list(network), Vec::new()),
        proxy_protocol: reader.key("http.proxy_protocol", flag(), false),
        header: reader.key("http.forwarded", choice(headers), http::ClientHeader::Off),
    };
    let is_used = proxies.proxy_protocol || proxies.header != http::ClientHeader::Off;
    reader.rule(
        &["http.proxy_protocol", "http.forwarded", "http.trusted_proxies"],
        !is_used || !proxies.trusted.is_empty(),
        "is given, but nobody is trusted to speak for clients: list the addresses of your proxies in \
         http.trusted_proxies",
    );
    proxies
}

/// TLS towards clients. The files of the certificate in force are not read once more.
fn https(reader: &mut Reader, certificate: Option<&Certificate>) -> Option<http::Tls> {
    let mut text = |path| reader.key(path, string("text; empty for none", |_| true), String::new());
    let files = http::TlsFiles { certificate: text(http::TlsFiles::CERTIFICATE), key: text(http::TlsFiles::KEY) };
    let in_force = certificate.and_then(|it| it.of(&files));
    in_force.unwrap_or_else(|| http::Tls::load(files)).unwrap_or_else(|faults| {
        faults.iter().for_each(|it| reader.rule(&[it.setting], false, &it.problem));
        None
    })
}

fn stomp(reader: &mut Reader) -> Protocol {
    let (default, session) = (stomp::Limits::default(), session::Settings::default());
    let before_connect = "stomp.frame_bytes_max_before_connect";
    let limits = stomp::Limits {
        frame_bytes_max: reader.size("stomp.frame_bytes_max", 64 * MIB, default.frame_bytes_max),
        frame_bytes_max_before_connect: reader.size(before_connect, 64 * MIB, default.frame_bytes_max_before_connect),
        header_count_max: reader.key("stomp.header_count_max", number(10..=10_000), default.header_count_max),
        header_bytes_max: reader.size("stomp.header_bytes_max", 64 * MIB, default.header_bytes_max),
    };
    let heartbeat = HeartBeat {
        send_ms: heartbeat(reader, "stomp.heartbeat_send", session.heartbeat.send_ms),
        receive_ms: heartbeat(reader, "stomp.heartbeat_receive", session.heartbeat.receive_ms),
    };
    let close_on_error = reader.key("stomp.close_on_error", flag(), session.close_on_error);
    reader.rule(
        &[before_connect, "stomp.frame_bytes_max"],
        limits.frame_bytes_max_before_connect <= limits.frame_bytes_max,
        "breaks a rule: stomp.frame_bytes_max_before_connect must not be larger than stomp.frame_bytes_max",
    );
    Protocol { limits, heartbeat, close_on_error }
}

/// None at all if it is zero.
fn heartbeat(reader: &mut Reader, path: &'static str, default_ms: u32) -> u32 {
    let every = reader.key(path, duration(Duration::ZERO..=HOUR), Duration::from_millis(default_ms.into()));
    every.as_millis().try_into().expect("an hour is few enough milliseconds")
}

/// What other sections decide of a session is left at its default here.
fn session(reader: &mut Reader) -> session::Settings {
    let default = session::Settings::default();
    let (frames, frame_bytes) = ("session.transaction_frames_max", "session.transaction_bytes_max");
    let (publishes, publish_bytes) = ("session.publishes_in_flight_max", "session.publish_bytes_in_flight_max");
    let (messages, sessions) = ("session.messages_per_second_max", "session.sessions_per_user_max");
    let scopes: &[_] = &[("subscription", AckScope::Subscription), ("session", AckScope::Session)];
    let session = session::Settings {
        connect_wait: reader.time("session.connect_wait", default.connect_wait),
        ping_interval: reader.time("session.ping_interval", default.ping_interval),
        subscriptions_max: reader.count("session.subscriptions_max", default.subscriptions_max),
        transactions_max: reader.count("session.transactions_max", default.transactions_max),
        transaction_frames_max: reader.count(frames, default.transaction_frames_max),
        transaction_bytes_max: reader.size(frame_bytes, GIB, default.transaction_bytes_max),
        prefetch_default: reader.key("session.prefetch_default", number(1..=u16::MAX), default.prefetch_default),
        prefetch_max: reader.key("session.prefetch_max", number(1..=u16::MAX), default.prefetch_max),
        publishes_in_flight_max: reader.count(publishes, default.publishes_in_flight_max),
        publish_bytes_in_flight_max: reader.size(publish_bytes, GIB, default.publish_bytes_in_flight_max),
        unsettled_max: reader.count("session.unsettled_max", default.unsettled_max),
        sessions_per_user_max: reader.key(sessions, number(0..=100_000_000), default.sessions_per_user_max),
        messages_per_second_max: reader.key(messages, number(0..=100_000_000), default.messages_per_second_max),
        bytes_per_second_max: reader.key("session.bytes_per_second_max", bytes(0..=GIB), default.bytes_per_second_max),
        ack_scope: reader.key("session.ack_scope", choice(scopes), default.ack_scope),
        ..default
    };
    reader.rule(
        &["session.prefetch_max", "session.unsettled_max"],
        usize::from(session.prefetch_max) <= session.unsettled_max,
        "breaks a rule: session.prefetch_max must not be larger than session.unsettled_max",
    );
    reader.rule(
        &["session.prefetch_default", "session.prefetch_max"],
        session.prefetch_default <= session.prefetch_max,
        "breaks a rule: session.prefetch_default must not be larger than session.prefetch_max",
    );
    session
}

/// And how long a client may read nothing.
fn delivery(reader: &mut Reader) -> (delivery::Settings, Duration) {
    let (default, session) = (delivery::Settings::default(), session::Settings::default());
    let delivery = delivery::Settings {
        bytes_max: reader.size("delivery.send_buffer_bytes", GIB, default.bytes_max),
        messages_max: reader.count("delivery.send_buffer_messages", default.messages_max),
        drop_oldest: reader.key("delivery.drop_oldest", list(topic()), default.drop_oldest),
    };
    (delivery, reader.time("delivery.send_time_limit", session.write_stall_max))
}

fn limits(reader: &mut Reader) -> Limits {
    Limits { memory_bytes_max: reader.key("limits.memory_bytes_max", bytes(MIB..=1024 * GIB), GIB) }
}

fn user_prefix(reader: &mut Reader) -> UserPrefix {
    let prefix =
        parsed("what no other destination begins with, such as `/user/`", |it: &UserPrefix| it.as_str().to_owned());
    reader.key("user.prefix", prefix, UserPrefix::default())
}

pub(super) fn auth(reader: &mut Reader, broker: &Broker) -> (Authenticator, Rules) {
    let users: Vec<User> = reader.key("auth.users", list(user()), Vec::new());
    let mut logins: Vec<_> = users.iter().map(|it| &it.login).collect();
    logins.sort();
    logins.dedup();
    reader.rule(&["auth.users"], logins.len() == users.len(), "breaks a rule: each login must be there once");
    let is_checked_there = is_identity_the_clients(broker);
    reader.rule(
        &["broker.amqp.identity", "broker.stomp.identity", "auth.users"],
        !is_checked_there || users.is_empty(),
        "is `client`, so that the broker checks logins and passcodes: leave out auth.users, or say `gateway`",
    );
    let authenticator = match (is_checked_there, users.is_empty()) {
        (true, _) => Authenticator::Broker,
        (false, true) => Authenticator::Open,
        (false, false) => Authenticator::Users(users),
    };
    (authenticator, rules(reader, broker))
}

/// Whether the broker knows the clients by their logins.
fn is_identity_the_clients(broker: &Broker) -> bool {
    match broker {
        Broker::Amqp(settings) => settings.identity == amqp::Identity::Client,
        Broker::Memory(_) => false,
        Broker::Stomp(settings) => settings.identity == stomp_broker::Identity::Client,
    }
}

fn rules(reader: &mut Reader, broker: &Broker) -> Rules {
    let rule = string("a rule such as `/exchange/orders/*` or `send /amq/queue/audit`", |it| !it.is_empty());
    let allow = reader.key("auth.allow", list(rule), Vec::new());
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for text in &allow {
        match text.parse::<Rule>() {
            Ok(rule) => rules.push(rule),
            Err(error) => wrong.push(format!("has {}, but {error}", quoted(text))),
        }
    }
    reader.rule(&["auth.allow"], wrong.is_empty(), &wrong.join("; it "));
    let has_permissions = is_identity_the_clients(broker);
    reader.rule(
        &["auth.allow", "broker.amqp.identity", "broker.stomp.identity"],
        !has_permissions || allow.is_empty(),
        "breaks a rule: with identity = \"client\" the permissions of the broker decide, and auth.allow must be empty",
    );
    if has_permissions { Rules::Broker } else { Rules::Listed(rules) }
}

fn admin(reader: &mut Reader) -> admin::Settings {
    let default = admin::Settings::default();
    admin::Settings { listen: reader.key("admin.listen", address_or_off(), default.listen) }
}

fn drain(reader: &mut Reader) -> lifecycle::Settings {
    let default = lifecycle::Settings::default();
    let drain = lifecycle::Settings {
        drain_delay: reader.key("drain.delay", duration(Duration::ZERO..=HOUR), default.drain_delay),
        drain_period: reader.key("drain.period", duration(Duration::ZERO..=HOUR), default.drain_period),
        drain_deadline: reader.key("drain.deadline", duration(Duration::ZERO..=HOUR), default.drain_deadline),
    };
    reader.rule(
        &["drain.period", "drain.deadline"],
        drain.drain_period <= drain.drain_deadline,
        "breaks a rule: drain.period must not be longer than drain.deadline",
    );
    drain
}

fn log(reader: &mut Reader) -> telemetry::LogSettings {
    let default = telemetry::LogSettings::default();
    let formats: &[_] = &[("auto", Format::Auto), ("human", Format::Human), ("json", Format::Json)];
    let filter = parsed("filter directives such as `info,hyper=warn`", |it: &Filter| it.as_str().to_owned());
    telemetry::LogSettings {
        format: reader.key("log.format", choice(formats), default.format),
        filter: reader.key("log.filter", filter, default.filter),
    }
}

/// The ranges that most keys have.
impl Reader {
    fn count(&mut self, path: &'static str, default: usize) -> usize {
        self.key(path, number(1..=100_000_000), default)
    }

    fn size(&mut self, path: &'static str, max: usize, default: usize) -> usize {
        self.key(path, bytes(KIB..=max), default)
    }

    fn time(&mut self, path: &'static str, default: Duration) -> Duration {
        self.key(path, duration(TIME_LIMIT_MIN..=HOUR), default)
    }
}

/// Where one of two listeners would find the port taken by the other. Port 0 is another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_ip
}

fn is_path(text: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/-._~".contains(it);
    let is_demo = text == "/demo" || text.starts_with("/demo/");
    text.len() > 1 && text.starts_with('/') && !text.ends_with('/') && text.chars().all(is_plain) && !is_demo
}

/// RFC 6454 section 6.2: scheme, host, and a port unless it is the scheme's own.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-.:[]".contains(it);
    text == "*" || host.is_some_and(|it| !it.is_empty() && it.chars().all(is_plain))
}
