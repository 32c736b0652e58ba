//! Reading a configuration again: what changes, what is named, and what keeps all as it was.

use super::*;

fn in_force<const N: usize>(file: &Scratch, variables: [(&str, &str); N]) -> InForce {
    let sources = Sources::given(Some(file.0.clone()), variables);
    let loaded = load(sources.clone()).unwrap();
    InForce::new(sources, loaded)
}

/// The keys that changed, and those that need a restart.
fn keys(reloaded: &Reloaded) -> (String, String) {
    (reloaded.changed.join(" "), reloaded.needs_restart.join(" "))
}

fn has_user(settings: &Settings, login: &str, passcode: &str) -> bool {
    settings.authenticator.authenticate(Some(login), Some(passcode)).is_ok()
}

#[test]
fn what_is_marked_changes_and_everything_else_is_named_and_stays() {
    let file = Scratch::new("http.backlog = 7\nlog.filter = 'warn'");
    let mut it = in_force(&file, [("STOMPGATE__SESSION__PREFETCH_DEFAULT", "5")]);
    file.write(
        "http = { backlog = 8, allowed_origins = ['*'] }\nsession = { prefetch_default = 6, subscriptions_max = 9 }",
    );
    let reloaded = it.reload().unwrap();
    let changed = "http.allowed_origins session.subscriptions_max log.filter";
    assert_eq!(keys(&reloaded), (changed.to_owned(), "http.backlog".to_owned()));
    let settings = &reloaded.settings;
    assert_eq!((settings.http.backlog, settings.session.subscriptions_max), (7, 9));
    assert_eq!(settings.session.prefetch_default, 5, "the environment goes before the file");
    assert_eq!((settings.log.filter.as_str(), &*settings.http.allowed_origins[0]), ("info,lapin=off", "*"));
    assert_eq!(keys(&it.reload().unwrap()), (String::new(), "http.backlog".to_owned()), "as long as they differ");
}

#[test]
fn with_a_fault_anywhere_nothing_changes() {
    let file = Scratch::new("session.subscriptions_max = 1");
    let mut it = in_force(&file, []);
    for bad in ["http.backlog = 'many'", "[", "nonsense = 1"] {
        file.write(&format!("session.subscriptions_max = 2\n{bad}"));
        let faults = it.reload().unwrap_err();
        assert!(faults.0.iter().all(|it| it.origin == file.name()), "{faults}");
        assert_eq!(it.settings().session.subscriptions_max, 1);
    }
    file.write("session.subscriptions_max = 2");
    assert_eq!(it.reload().unwrap().settings.session.subscriptions_max, 2);
}

#[test]
fn a_secret_that_changed_is_noticed_and_never_shown() {
    let passcode = Scratch::new("ann:one3cret");
    let url = Scratch::new("amqp://u:one3cret@rabbit");
    let toml = format!("auth.users_file = '{}'\nbroker.amqp.url_file = '{}'", passcode.name(), url.name());
    let file = Scratch::new(&toml);
    let mut it = in_force(&file, []);
    assert_eq!(keys(&it.reload().unwrap()), (String::new(), String::new()), "nothing has changed");
    passcode.write("ann:two3cret");
    url.write("amqp://u:two3cret@rabbit");
    let reloaded = it.reload().unwrap();
    assert_eq!(keys(&reloaded), ("auth.users".to_owned(), "broker.amqp.url".to_owned()));
    assert!(has_user(&reloaded.settings, "ann", "two3cret") && !has_user(&reloaded.settings, "ann", "one3cret"));
    let again = it.reload().unwrap();
    assert_eq!(keys(&again), (String::new(), "broker.amqp.url".to_owned()), "as long as they differ");
    url.write("amqp://u:one3cret@rabbit");
    assert_eq!(keys(&it.reload().unwrap()), (String::new(), String::new()), "as it was at the start");
    let printed = format!("{it:?} {reloaded:?}");
    assert!(!printed.contains("3cret"), "{printed}");
}

#[test]
fn keys_are_checked_against_those_that_stay() {
    let file = Scratch::new("broker.kind = 'amqp'\nauth.users = 'ann:1'");
    let mut it = in_force(&file, []);
    // Right for the next start. Until then RabbitMQ is not asked who a client is, so nobody would be.
    file.write("broker = { kind = 'amqp', amqp = { identity = 'client' } }");
    let reloaded = it.reload().unwrap();
    assert_eq!(keys(&reloaded), ("auth.users".to_owned(), "broker.amqp.identity".to_owned()));
    assert!(matches!(reloaded.settings.rules, Rules::Listed(_)), "destinations are not left to RabbitMQ's permissions");

    let file = Scratch::new("broker = { kind = 'amqp', amqp = { identity = 'client' } }");
    let mut it = in_force(&file, []);
    file.write("broker.kind = 'amqp'\nauth.users = 'ann:1'");
    let faults = it.reload().unwrap_err().to_string();
    assert!(faults.contains("leave out auth.users, or say `gateway`"), "{faults}");
}
