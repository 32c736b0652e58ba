//! What is read, what is refused, and that `docs/CONFIG.md` tells the same.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

mod app;
mod memory;
mod reloading;

/// A file of the test's own, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("stompgate-{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn load_both<const N: usize>(toml: &str, variables: [(&str, &str); N]) -> Result<Loaded, Faults> {
    let file = Scratch::new(toml);
    load(Sources::given(Some(file.0.clone()), variables))
}

fn load_variables<const N: usize>(variables: [(&str, &str); N]) -> Result<Loaded, Faults> {
    load(Sources::given(None, variables))
}

/// The faults, with FILE for the name of the file.
fn faults<const N: usize>(toml: &str, variables: [(&str, &str); N]) -> Vec<String> {
    let file = Scratch::new(toml);
    let faults = load(Sources::given(Some(file.0.clone()), variables)).unwrap_err();
    faults.0.iter().map(|it| it.to_string().replace(file.name(), "FILE")).collect()
}

fn effective(loaded: &Loaded, path: &str) -> String {
    loaded.keys.iter().find(|it| it.path == path).unwrap().effective.clone()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let loaded = load(Sources::default()).unwrap();
    assert!(loaded.keys.iter().all(|it| it.default == it.effective));
    assert!(matches!(loaded.settings.broker, Broker::Memory(_)));
    assert_eq!(loaded.settings.http.listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
    let toml = "[http]\nlisten = '0.0.0.0:1'\nbacklog = 7\n[broker]\nkind = 'amqp'";
    let loaded = load_both(toml, [("STOMPGATE__HTTP__LISTEN", "127.0.0.1:2")]).unwrap();
    assert_eq!(loaded.settings.http.listen.to_string(), "127.0.0.1:2");
    assert_eq!(loaded.settings.http.backlog, 7);
    assert_eq!(loaded.settings.http.endpoints[0].path, "/ws");
    assert!(matches!(loaded.settings.broker, Broker::Amqp(_)));
}

#[test]
fn every_fault_is_told_at_once_with_its_origin() {
    let toml = "
        [http]
        listen = 'here'
        prot = 1
        [stomp]
        frame_bytes_max = '8KiB'
        [broker]
        kind = 'kafka'
        [delivery]
        drop_oldest = ['/queue/a']
        [nonsense]
        [session.deeper]
        key = 1
    ";
    let variables = [
        ("STOMPGATE__HTTP__BACKLOG", "many"),
        ("STOMPGATE__SESSION__CONNECT_WAIT", "10"),
        ("STOMPGATE__SESION__CONNECT_WAIT", "10s"),
        ("STOMPGATE__ADMIN", "127.0.0.1:9000"),
        ("STOMPGATE_PORT", "what Kubernetes sets for a service of this name"),
    ];
    let expected = [
        r#"FILE: http.listen is "here": it must be an IP address and a port"#,
        r#"STOMPGATE__HTTP__BACKLOG: http.backlog is "many": it must be a whole number from 1 to 65535"#,
        "FILE: stomp.frame_bytes_max breaks a rule: stomp.frame_bytes_max_before_connect must not be larger than \
         stomp.frame_bytes_max",
        r#"STOMPGATE__SESSION__CONNECT_WAIT: session.connect_wait is "10": it must be a time with its unit from 100ms to 1h"#,
        "FILE: delivery.drop_oldest is [\"/queue/a\"]: it must be a list, or text with commas; each item must be a \
         topic such as `/topic/prices.#`",
        r#"FILE: broker.kind is "kafka": it must be one of `memory`, `amqp`, `stomp`"#,
        "STOMPGATE__ADMIN: admin is a section, not a key",
        "FILE: http.prot is unknown; there are allowed_origins, backlog, connections_max, connections_per_ip_max, demo, \
         forwarded, handshakes_max, header_timeout, listen, path, proxy_protocol, requests_time_max, tls, \
         trusted_proxies",
        "FILE: nonsense is unknown; there are admin, app, auth, broker, delivery, drain, http, limits, log, session, sockjs, \
         stomp, user",
        "STOMPGATE__SESION__CONNECT_WAIT: sesion.connect_wait is in no known section; there are admin, app, auth, broker, \
         delivery, drain, http, limits, log, session, sockjs, stomp, user",
        "FILE: session.deeper.key is in no known section; there are admin, app, auth, broker, delivery, drain, http, limits, log, \
         session, sockjs, stomp, user",
    ];
    assert_eq!(faults(toml, variables), expected);
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_what_else_is_wrong() {
    let all = faults("[http\n", [("STOMPGATE__HTTP__DEMO", "maybe")]);
    assert!(all[0].starts_with("FILE: is not TOML: TOML parse error at line 1"), "{}", all[0]);
    assert_eq!(all[1..], [r#"STOMPGATE__HTTP__DEMO: http.demo is "maybe": it must be `true` or `false`"#]);
    let missing = load(Sources::given(Some("/no/such.toml".into()), [])).unwrap_err();
    assert!(missing.to_string().contains("/no/such.toml: can't be read"), "{missing}");
}

#[test]
fn a_line_that_is_no_toml_is_not_quoted() {
    let all = faults("[broker.amqp]\nurl = \"amqp://ann:secret@host\nconnection_name = \"x\"\n", []);
    assert!(all[0].starts_with("FILE: is not TOML: TOML parse error at line 2, column "), "{}", all[0]);
    assert!(!all[0].contains("secret") && !all[0].contains('\n'), "{}", all[0]);
}

#[test]
fn keys_that_contradict_each_other_are_faults() {
    let same = [("STOMPGATE__HTTP__LISTEN", "0.0.0.0:9000")];
    assert!(faults("", same)[0].contains("http.listen is the same as admin.listen"));
    let off = [("STOMPGATE__HTTP__LISTEN", "0.0.0.0:9000"), ("STOMPGATE__ADMIN__LISTEN", "off")];
    assert_eq!(load_variables(off).unwrap().settings.admin.listen, None);
    let ephemeral = [("STOMPGATE__HTTP__LISTEN", "127.0.0.1:0"), ("STOMPGATE__ADMIN__LISTEN", "127.0.0.1:0")];
    assert!(load_variables(ephemeral).is_ok());
    for (name, value, rule) in [
        ("STOMPGATE__SESSION__PREFETCH_DEFAULT", "1001", "session.prefetch_default must not be larger"),
        ("STOMPGATE__DRAIN__PERIOD", "11s", "drain.period must not be longer"),
        ("STOMPGATE__BROKER__AMQP__RECONNECT_DELAY_MIN", "1m", "reconnect_delay_min must not be longer"),
        ("STOMPGATE__AUTH__USERS", "ann:1,ann:2", "each login must be there once"),
    ] {
        let all = faults("", [(name, value)]);
        assert!(all.len() == 1 && all[0].starts_with(name) && all[0].contains(rule), "{all:?}");
    }
}

#[test]
fn a_rule_is_not_judged_by_a_value_that_is_a_fault_itself() {
    assert_eq!(faults("[session]\nprefetch_default = 2000\nprefetch_max = 'x'", []).len(), 1);
}

#[test]
fn times_and_sizes_need_no_arithmetic() {
    let toml = "
        session.connect_wait = '1m 30s'
        stomp.heartbeat_send = '0s'
        stomp.heartbeat_receive = '250ms'
        stomp.frame_bytes_max = '1MiB'
        delivery.send_buffer_bytes = 100000
    ";
    let settings = load_both(toml, []).unwrap().settings;
    assert_eq!(settings.session.connect_wait, Duration::from_secs(90));
    assert_eq!((settings.session.heartbeat.send_ms, settings.session.heartbeat.receive_ms), (0, 250));
    assert_eq!(settings.http.websocket.message_bytes_max, (1 << 20) + 4_096);
    assert_eq!((settings.stomp.frame_bytes_max, settings.delivery.bytes_max), (1 << 20, 100_000));
    for bad in ["session.connect_wait = 10", "session.connect_wait = '1us'", "session.connect_wait = '2h'"] {
        assert_eq!(faults(bad, []).len(), 1, "{bad}");
    }
    for bad in ["'64MB'", "'65MiB'", "1", "-1", "1.5", "true", "[1]"] {
        assert_eq!(faults(&format!("stomp.frame_bytes_max = {bad}"), []).len(), 1, "{bad}");
    }
}

#[test]
fn a_list_is_a_list_or_text_with_commas() {
    let check = |loaded: Loaded, key: &str, expected: &str| assert_eq!(effective(&loaded, key), expected);
    let (origins, shown) = ("http.allowed_origins", r#"["https://a.example", "http://b:1"]"#);
    check(load_both(&format!("{origins} = {shown}"), []).unwrap(), origins, shown);
    let text = "https://a.example , http://b:1,";
    check(load_variables([("STOMPGATE__HTTP__ALLOWED_ORIGINS", text)]).unwrap(), origins, shown);
    let topics = load_variables([("STOMPGATE__DELIVERY__DROP_OLDEST", "/topic/a.#,/topic/b")]).unwrap();
    check(topics, "delivery.drop_oldest", r#"["/topic/a.#", "/topic/b"]"#);
    assert_eq!(faults("", [("STOMPGATE__HTTP__ALLOWED_ORIGINS", "https://a.example/path")]).len(), 1);
}

#[test]
fn users_are_tables_or_text_and_their_passcodes_are_kept_as_written() {
    let is_ann = |loaded: Loaded| {
        let it = loaded.settings.authenticator;
        it.authenticate(Some("ann"), Some("0123")).is_ok() && it.authenticate(Some("ann"), Some("123")).is_err()
    };
    assert!(is_ann(load_both("auth.users = [{ login = 'ann', passcode = '0123' }]", []).unwrap()));
    assert!(is_ann(load_variables([("STOMPGATE__AUTH__USERS", "ann:0123,bob:b:b")]).unwrap()));
    let bad = ["[{ login = 'ann' }]", "[{ login = 'ann', passcode = 123 }]", "['ann']", "[':x']", "'ann:'"];
    for users in bad {
        let all = faults(&format!("auth.users = {users}"), []);
        assert!(all.len() == 1 && all[0].contains("auth.users is not allowed") && !all[0].contains("123"), "{all:?}");
    }
}

#[test]
fn a_rule_that_is_none_is_told_with_its_reason() {
    let wrong = r#"auth.allow = ["/exchange/x/*", "/topic/a", "send /exchange/a/b/c"]"#;
    let expected = "FILE: auth.allow has \"/topic/a\", but /topic and /queue are open without a rule; it has \
                    \"send /exchange/a/b/c\", but a rule is /exchange/NAME/KEY, /exchange/NAME, /amq/queue/NAME or \
                    /reply-queue/NAME (a slash in a name is %2F), with `send ` or `subscribe ` before it if only that \
                    is meant, and `*` at the end for any rest";
    assert_eq!(faults(wrong, []), [expected]);
    assert_eq!(faults("auth.allow = [1]", []).len(), 1);
    let loaded = load_variables([("STOMPGATE__AUTH__ALLOW", "/exchange/x/*,send /amq/queue/audit")]).unwrap();
    assert_eq!(effective(&loaded, "auth.allow"), r#"["/exchange/x/*", "send /amq/queue/audit"]"#);
    assert!(matches!(loaded.settings.rules, Rules::Listed(rules) if rules.len() == 2));
}

#[test]
fn where_rabbitmq_knows_the_clients_its_permissions_decide_and_no_rule() {
    let check = |toml: &str| {
        let file = Scratch::new(toml);
        let (values, faults) = Sources::given(Some(file.0.clone()), []).read();
        let mut reader = Reader::new(values, faults);
        let settings = amqp::Settings { identity: amqp::Identity::Client, ..amqp::Settings::default() };
        let (_, rules) = sections::auth(&mut reader, &Broker::Amqp(settings));
        assert!(matches!(rules, Rules::Broker));
        reader.faults.iter().map(|it| it.problem.clone()).collect::<Vec<_>>()
    };
    assert_eq!(check(""), [""; 0]);
    let expected = "breaks a rule: with identity = \"client\" the permissions of the broker decide, and auth.allow must be \
                    empty";
    assert_eq!(check("auth.allow = ['/exchange/x/*']"), [expected]);
}

#[test]
fn an_ack_covers_what_stomp_says_unless_the_plugins_way_is_chosen() {
    let scope = |loaded: Loaded| loaded.settings.session.ack_scope;
    assert_eq!(scope(load_both("", []).unwrap()), session::AckScope::Subscription);
    assert_eq!(scope(load_both("session.ack_scope = 'session'", []).unwrap()), session::AckScope::Session);
    assert_eq!(faults("session.ack_scope = 'channel'", []).len(), 1);
}

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let secret = Scratch::new("amqp://u:s3cret@rabbit:5672/%2f\n");
    let check = |loaded: Result<Loaded, Faults>| {
        assert_eq!(effective(&loaded.unwrap(), "broker.amqp.url"), r#""amqp://u:***@rabbit:5672/%2f""#);
    };
    check(load_variables([("STOMPGATE__BROKER__AMQP__URL_FILE", secret.name())]));
    check(load_both(&format!("broker.amqp.url_file = '{}'", secret.name()), []));
    let lower = "broker.amqp.url = 'amqp://other'";
    check(load_both(lower, [("STOMPGATE__BROKER__AMQP__URL_FILE", secret.name())]));
}

#[test]
fn accounts_of_clients_need_files_of_their_own() {
    let own_files = |toml: &str| load_both(toml, []).unwrap().settings.http.own_files;
    let client = "identity = 'client'\naccounts_max = 50";
    assert_eq!(own_files(&format!("broker.kind = 'amqp'\n[broker.amqp]\n{client}")), 128 + 4 * 50);
    assert_eq!([own_files("broker.kind = 'amqp'"), own_files(&format!("[broker.amqp]\n{client}"))], [128, 128]);
}

#[test]
fn several_addresses_are_a_list_or_text_with_commas() {
    let check = |loaded: Loaded| {
        assert_eq!(effective(&loaded, "broker.amqp.url"), r#""amqp://u:***@a:5672/v,amqps://u:***@b:5671/v""#);
    };
    check(load_both("broker.amqp.url = 'amqp://u:p,q@a/v, amqps://u:,@b/v'", []).unwrap());
    check(load_both("broker.amqp.url = ['amqp://u:p,q@a/v', 'amqps://u:,@b/v']", []).unwrap());
    check(load_variables([("STOMPGATE__BROKER__AMQP__URL", "amqp://u:p@a/v,amqps://u:p@b/v")]).unwrap());
    for bad in ["[]", "''", "['amqp://a', 1]", "'amqp://a,b'"] {
        assert_eq!(faults(&format!("broker.amqp.url = {bad}"), []).len(), 1, "{bad}");
    }
    let of_two = faults("broker.amqp.url = 'amqp://u:s3cret@a/v,amqp://u:s3cret@b/w'", []);
    let rule = "all addresses must be of one virtual host, as they stand for one another";
    assert_eq!(of_two, [format!("FILE: broker.amqp.url breaks a rule: {rule}")]);
}

#[test]
fn users_of_the_gateway_and_users_of_rabbitmq_exclude_each_other() {
    let users = ("STOMPGATE__AUTH__USERS", "ann:1");
    let by_client = "broker = { kind = 'amqp', amqp = { identity = 'client' } }";
    let expected = "FILE: broker.amqp.identity is `client`, so that the broker checks logins and passcodes: leave out \
                    auth.users, or say `gateway`";
    assert_eq!(faults(by_client, [users]), [expected]);
    assert!(load_both(by_client, []).is_ok());
    assert!(load_both("broker.kind = 'amqp'", [users]).is_ok());
    assert!(load_both("broker.amqp.identity = 'client'", [users]).is_ok(), "the embedded broker is used");
}

#[test]
fn sessions_of_a_user_are_bounded_only_where_somebody_checks_logins() {
    let bound = "session.sessions_per_user_max = 1";
    let expected = "FILE: session.sessions_per_user_max is given, but nobody checks logins, so anybody could use up the \
                    sessions of another user: list auth.users, or have the broker check them (its identity = \
                    \"client\")";
    let client = "broker.amqp.identity = 'client'";
    assert_eq!(faults(bound, []), [expected]);
    assert_eq!(faults(&format!("{bound}\nbroker.kind = 'amqp'"), []), [expected]);
    assert_eq!(faults(&format!("{bound}\n{client}"), []), [expected], "the embedded broker is used");
    assert!(load_both(&format!("{bound}\n{client}\nbroker.kind = 'amqp'"), []).is_ok());
    assert!(load_both(bound, [("STOMPGATE__AUTH__USERS", "ann:1")]).is_ok());
}

#[test]
fn files_for_tls_are_read_at_the_start() {
    let pem = Scratch::new("no certificate");
    let toml = format!(
        "broker.amqp.url = 'amqps://a'\n[broker.amqp.tls]\nca_file = '/no/such.pem'\ncertificate_file = '{}'",
        pem.name()
    );
    let all = faults(&toml, [("STOMPGATE__BROKER__AMQP__TLS__SERVER_NAME", "a b")]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("STOMPGATE__BROKER__AMQP__TLS__SERVER_NAME: broker.amqp.tls.server_name is no name"));
    assert!(all[1].starts_with("FILE: broker.amqp.tls.ca_file names \"/no/such.pem\", which can't be read"), "{all:?}");
    let alone = "is given without broker.amqp.tls.key_file: give both or none";
    assert_eq!(all[2], format!("FILE: broker.amqp.tls.certificate_file {alone}"));
    assert!(load(Sources::default()).unwrap().keys.iter().any(|it| it.path == "broker.amqp.tls.key_file"));
    let plain = faults("broker.amqp.tls.server_name = 'rabbit'", []);
    let problem = "no address in broker.amqp.url begins with amqps://: passcodes would travel in the clear";
    assert_eq!(plain, [format!("FILE: broker.amqp.tls.server_name is given, but {problem}")]);
}

#[test]
fn a_certificate_for_clients_is_read_at_the_start() {
    let pem = Scratch::new("no certificate");
    let toml = format!("[http.tls]\ncertificate_file = '/no/such.pem'\nkey_file = '{}'", pem.name());
    let all = faults(&toml, []);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all[0].starts_with("FILE: http.tls.certificate_file names \"/no/such.pem\", which can't be read"),
        "{all:?}"
    );
    assert!(
        all[1].starts_with("FILE: http.tls.key_file names ") && all[1].contains("no private key in PEM"),
        "{all:?}"
    );
    let alone = faults("http.tls.key_file = 'key.pem'", []);
    let problem = "is given without http.tls.certificate_file: give both or none";
    assert_eq!(alone, [format!("FILE: http.tls.key_file {problem}")]);
}

#[test]
fn who_is_trusted_to_speak_for_clients_is_a_list_of_networks() {
    let toml =
        "http = { trusted_proxies = ['10.0.0.0/8', '::1'], forwarded = 'x-forwarded-for', proxy_protocol = true }";
    let loaded = load_both(toml, []).unwrap();
    assert_eq!(effective(&loaded, "http.trusted_proxies"), r#"["10.0.0.0/8", "::1"]"#);
    assert_eq!(loaded.settings.http.proxies.header, http::ClientHeader::XForwardedFor);
    assert_eq!(faults("http.trusted_proxies = ['10.0.0.0/33']", []).len(), 1);
    assert_eq!(faults("http.forwarded = 'both'", []).len(), 1);
    for toml in ["http.proxy_protocol = true", "http.forwarded = 'forwarded'"] {
        let all = faults(toml, []);
        assert!(
            all.len() == 1 && all[0].contains("list the addresses of your proxies in http.trusted_proxies"),
            "{all:?}"
        );
    }
}

#[test]
fn a_secret_is_given_once_and_can_be_read() {
    let both = [("STOMPGATE__BROKER__AMQP__URL", "amqp://a"), ("STOMPGATE__BROKER__AMQP__URL_FILE", "/no/such")];
    let expected = "STOMPGATE__BROKER__AMQP__URL: broker.amqp.url and broker.amqp.url_file are both given; one of them \
                    has to go";
    assert_eq!(faults("", both), [expected]);
    let unreadable = faults("", [("STOMPGATE__BROKER__AMQP__URL_FILE", "/no/such")]);
    assert!(unreadable[0].starts_with("STOMPGATE__BROKER__AMQP__URL_FILE: broker.amqp.url_file names \"/no/such\""));
    let wrong = Scratch::new("s3cret");
    let all = faults("", [("STOMPGATE__BROKER__AMQP__URL_FILE", wrong.name())]);
    assert!(all[0].starts_with(&format!("{}: broker.amqp.url is not allowed", wrong.name())), "{all:?}");
    assert!(!all[0].contains("s3cret"), "{all:?}");
    assert_eq!(faults("http.listen_file = 'x'", []).len(), 1, "only secrets have a file");
}

#[test]
fn what_is_printed_can_be_read_again_and_shows_no_secret() {
    let toml = "
        broker.amqp.url = 'amqps://u:s3cret@rabbit/v'
        auth.users = [{ login = 'a\"b', passcode = 's3cret' }]
        stomp.frame_bytes_max = 100000
        http.demo = false
        admin.listen = 'off'
        log.filter = 'debug'
    ";
    let printed = load_both(toml, []).unwrap().to_toml();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("frame_bytes_max = 100000") && printed.contains("listen = \"off\""), "{printed}");
    assert_eq!(load_both(&printed, []).unwrap().to_toml(), printed);
}

#[test]
fn an_empty_variable_is_not_set() {
    assert!(load_variables([("STOMPGATE__HTTP__LISTEN", ""), ("STOMPGATE__NONSENSE", "")]).is_ok());
}

/// The first three columns of each row that is about a key.
#[test]
fn the_documentation_lists_every_key_with_its_values_and_default() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIG.md")).unwrap();
    let keys = load(Sources::default()).unwrap().keys;
    let row = |it: &Key| {
        let mark = if reload::is_reloadable(it.path) { " ↻" } else { "" };
        format!("| `{}`{mark} | {} | `{}` |", it.path, it.allowed, it.default)
    };
    let expected: Vec<_> = keys.iter().map(row).collect();
    let found = text.lines().filter(|it| it.starts_with("| `"));
    let found: Vec<_> = found.map(|it| it.splitn(5, '|').take(4).collect::<Vec<_>>().join("|") + "|").collect();
    for i in 0..found.len().max(expected.len()) {
        assert_eq!(found.get(i), expected.get(i), "docs/CONFIG.md on the left, the program on the right");
    }
}
