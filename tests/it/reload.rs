//! HUP: what changes for new sessions, what stays for old ones, and what a broken file does.

use std::fs;
use std::path::PathBuf;

use crate::client::{Client, metric_at};
use crate::process::{Process, stompgate};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The ERROR that its CONNECT gets, if any.
async fn connect(gateway: &Process, login: &str, passcode: &str) -> Result<Client, String> {
    let mut client = Client::open_at(gateway.http).await;
    client.send(&format!("CONNECT\naccept-version:1.2\nlogin:{login}\npasscode:{passcode}\n\n\0")).await;
    let answer = client.next().await.unwrap();
    match answer.header("stompgate-error") {
        Some(error) => Err(error.to_owned()),
        None => Ok(client),
    }
}

const REFUSED: &str = "access_refused";

#[tokio::test(flavor = "multi_thread")]
async fn new_sessions_get_what_changed_and_old_ones_stay_as_they_are() {
    let path = file("reloaded.toml");
    fs::write(&path, "auth.users = 'ann:1'").unwrap();
    let gateway = Process::start(&mut stompgate(&["serve", "--config", path.to_str().unwrap()]));
    let mut old = connect(&gateway, "ann", "1").await.unwrap();
    assert_eq!(connect(&gateway, "bob", "2").await.err().as_deref(), Some(REFUSED));

    let changed = "auth.users = 'bob:2'\nsession.subscriptions_max = 1\nlog.filter = 'debug'\nhttp.backlog = 7\n\
                   stomp.frame_bytes_max = '1MiB'\ndelivery.send_buffer_bytes = '4MiB'";
    fs::write(&path, changed).unwrap();
    gateway.signal("HUP");
    let line = gateway.wait_for("the configuration was read again");
    let keys = "stomp.frame_bytes_max, session.subscriptions_max, delivery.send_buffer_bytes, auth.users, log.filter";
    assert!(line.contains(keys), "{line}");
    let line = gateway.wait_for("not before the next start");
    assert!(line.contains("\"keys\":\"http.backlog\"") && line.contains("WARN"), "{line}");

    assert_eq!(connect(&gateway, "ann", "1").await.err().as_deref(), Some(REFUSED));
    let mut new = connect(&gateway, "bob", "2").await.unwrap();
    let large = "x".repeat(900_000);
    new.confirmed("SUBSCRIBE\nid:1\ndestination:/topic/a", "").await;
    new.send(&format!("SEND\ndestination:/topic/a\n\n{large}\0")).await;
    assert_eq!(new.expect("MESSAGE").await.body, large);
    new.send("SUBSCRIBE\nid:2\ndestination:/topic/b\n\n\0").await;
    assert_eq!(new.expect("ERROR").await.header("stompgate-error"), Some("limit_subscriptions"));
    for id in ["1", "2", "3"] {
        old.confirmed(&format!("SUBSCRIBE\nid:{id}\ndestination:/topic/old.{id}"), "").await;
    }
    old.send("DISCONNECT\n\n\0").await;
    let line = gateway.wait_for("\"reason\":\"disconnect\"");
    assert!(line.contains("\"level\":\"DEBUG\""), "{line}");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_faults_changes_nothing_and_is_named() {
    let path = file("broken.toml");
    fs::write(&path, "auth.users = 'ann:1'").unwrap();
    let gateway = Process::start(&mut stompgate(&["serve", "--config", path.to_str().unwrap()]));
    fs::write(&path, "auth.users = 'ann:s3cret'\nhttp.backlog = 'many'\nnonsense = 1").unwrap();
    gateway.signal("HUP");
    for (key, problem) in [("http.backlog", "is \\\"many\\\": it must be"), ("nonsense", "is unknown; there are")] {
        let line = gateway.wait_for("a fault of the configuration");
        let expected = format!("\"origin\":\"{}\",\"key\":\"{key}\",\"problem\":\"{problem}", path.display());
        assert!(line.contains(&expected) && line.contains("\"ERROR\"") && !line.contains("s3cret"), "{line}");
    }
    gateway.wait_for("nothing is reloaded");
    assert!(connect(&gateway, "ann", "1").await.is_ok());
    let reloads = "stompgate_config_reloads_total{outcome=\"refused\"}";
    assert_eq!(metric_at(gateway.admin, reloads).await, 1.0);
    fs::write(&path, "auth.users = 'ann:s3cret'").unwrap();
    gateway.signal("HUP");
    gateway.wait_for("the configuration was read again");
    assert_eq!(connect(&gateway, "ann", "1").await.err().as_deref(), Some(REFUSED));
    assert!(connect(&gateway, "ann", "s3cret").await.is_ok());
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}
