//! `broker.amqp.identity = "client"`: RabbitMQ knows who each session is.

use std::time::Duration;

use stompgate::broker::Outage;
use stompgate::broker::amqp::{Identity, Settings};
use stompgate::delivery::Item;
use stompgate::session::{AckMode, Credentials, Fault};
use tokio::net::TcpListener;

use super::Gateway;
use super::support::{PASSCODE, Site, credentials, eventually, rabbitmqctl};

fn by_client() -> Settings {
    Settings { identity: Identity::Client, ..Settings::default() }
}

async fn refusal(gateway: &Gateway, credentials: Credentials) -> Fault {
    gateway.open(credentials).await.expect_err("RabbitMQ refuses it")
}

#[tokio::test]
async fn e3_a_wrong_passcode_is_refused_each_time_and_a_right_one_never() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    let wrong = || credentials(Some(&site.name), Some("wrong"), Some(&site.name));
    let refused = Fault::AccessRefused { login: site.name.clone() };
    for outcome in futures::future::join_all((0..20).map(|_| refusal(&gateway, wrong()))).await {
        assert_eq!(outcome, refused);
    }
    // RabbitMQ was asked once by all of them.
    assert_eq!(gateway.metric("connects_total", "failed"), 1.0);
    let session = gateway.open(site.credentials()).await.unwrap();
    // With its account connected, too.
    assert_eq!(refusal(&gateway, wrong()).await, refused);
    assert_eq!(refusal(&gateway, credentials(Some(&site.name), None, Some(&site.name))).await, refused);
    gateway.open(site.credentials()).await.unwrap().close();
    session.close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn e6_c20_what_is_no_login_is_not_tried() {
    let gateway = Gateway::connected(by_client()).await;
    assert_eq!(refusal(&gateway, credentials(None, Some(PASSCODE), None)).await, Fault::LoginMissing);
    let refused = |login: &str| Fault::AccessRefused { login: login.to_owned() };
    assert_eq!(refusal(&gateway, credentials(Some("guest\0guest"), None, None)).await, refused("guest\0guest"));
    assert_eq!(refusal(&gateway, credentials(Some("guest"), Some("guest\0"), None)).await, refused("guest"));
    let vhost = "v".repeat(256);
    let outcome = refusal(&gateway, credentials(Some("guest"), Some("guest"), Some(&vhost))).await;
    assert_eq!(outcome, Fault::VhostRefused { vhost });
    assert_eq!(gateway.metric("connects_total", ""), 0.0);
    gateway.stop().await;
}

/// For a frame that is too long RabbitMQ has no answer, only a pause in which the attempt is nobody else's.
#[tokio::test]
async fn a_login_of_any_length_and_script_is_answered() {
    let gateway = Gateway::connected(Settings { connection_name: "n".repeat(200), ..by_client() }).await;
    for login in ["", "j\u{f6}\u{202E}", &"l".repeat(3 * 1024), &"\u{1F430}".repeat(3 * 256)] {
        let outcome = refusal(&gateway, credentials(Some(login), None, None)).await;
        assert_eq!(outcome, Fault::AccessRefused { login: login.to_owned() });
        // RabbitMQ 4.0 closes the connection without an answer for a long name of other letters.
        let vhost: String = login.chars().filter(char::is_ascii).take(60).chain(['x']).collect();
        let outcome = refusal(&gateway, credentials(Some("guest"), Some("guest"), Some(&vhost))).await;
        assert_eq!(outcome, Fault::VhostRefused { vhost });
    }
    let long = refusal(&gateway, credentials(Some(&"l".repeat(3_000)), Some(&"p".repeat(73)), None)).await;
    assert_eq!(
        long,
        Fault::Refused("login and passcode hold at most 3072 bytes (broker.amqp.credentials_bytes_max)".to_owned())
    );
    gateway.stop().await;
}

#[tokio::test]
async fn e4_a_virtual_host_must_exist_and_be_open_to_the_user() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    for vhost in ["/", "no-such-vhost", ""] {
        let outcome = refusal(&gateway, credentials(Some(&site.name), Some(PASSCODE), Some(vhost))).await;
        assert_eq!(outcome, Fault::VhostRefused { vhost: vhost.to_owned() });
    }
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn e7_limits_of_connections_are_told() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    let limit = |text: &str| Fault::ConnectionLimit(text.to_owned());
    rabbitmqctl(&["set_vhost_limits", "-p", &site.name, r#"{"max-connections":0}"#]).await;
    assert_eq!(refusal(&gateway, site.credentials()).await, limit("vhost connection limit (0) is reached"));
    rabbitmqctl(&["clear_vhost_limits", "-p", &site.name]).await;
    rabbitmqctl(&["set_user_limits", &site.name, r#"{"max-connections":0}"#]).await;
    assert_eq!(refusal(&gateway, site.credentials()).await, limit("user connection limit (0) is reached"));
    site.remove(&[]).await;
    gateway.stop().await;
}

/// A connection that is needed later may be refused, too: it costs what needs it, and nothing else.
#[tokio::test]
async fn a_limit_that_stands_in_the_way_of_a_later_connection_leaves_the_others_alone() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    rabbitmqctl(&["set_vhost_limits", "-p", &site.name, r#"{"max-connections":2}"#]).await;
    let fixture = gateway.fixture();
    let mut session = gateway.open(site.credentials()).await.unwrap();
    session.subscribe(&fixture.topic("a")).await;
    let refused = Fault::ConnectionLimit("vhost connection limit (2) is reached".to_owned());
    assert_eq!(session.start_publish(&fixture.topic("a"), "too early").await, Err(refused));
    session.subscribe(&fixture.queue("a")).await;
    rabbitmqctl(&["clear_vhost_limits", "-p", &site.name]).await;
    session.publish(&fixture.topic("a"), "now").await;
    session.expect(&["now"]).await;
    assert_eq!(gateway.metric("connections", ""), 3.0);
    session.close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn c4_each_session_is_in_the_virtual_host_that_it_named() {
    let gateway = Gateway::connected(by_client()).await;
    let (one, two) = (Site::new().await, Site::new().await);
    let fixture = gateway.fixture();
    let (topic, queue) = (fixture.topic("a"), fixture.queue("a"));
    let mut here = gateway.open(one.credentials()).await.unwrap();
    let mut there = gateway.open(two.credentials()).await.unwrap();
    // No host: that of the URL.
    let mut elsewhere = gateway.open(credentials(Some("guest"), Some("guest"), None)).await.unwrap();
    let sessions = [(&mut here, "here"), (&mut there, "there"), (&mut elsewhere, "elsewhere")];
    for (session, name) in sessions {
        session.subscribe(&topic).await;
        session.subscribe(&queue).await;
        session.publish(&topic, name).await;
        session.expect(&[name]).await;
        session.publish(&queue, name).await;
        session.expect(&[name]).await;
    }
    let queue = queue.to_string();
    let queue = queue.strip_prefix("/queue/").unwrap();
    for vhost in [&*one.name, &two.name, "/"] {
        let queues = rabbitmqctl(&["list_queues", "-p", vhost, "name"]).await;
        assert!(queues.iter().any(|it| it == queue), "{vhost}: {queues:?}");
    }
    for mut session in [here, there, elsewhere] {
        session.expect_nothing();
        session.close();
    }
    for site in [one, two] {
        site.remove(&[]).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn permissions_are_those_of_the_client() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    let reader = format!("reader-{}", site.name);
    site.add_user(&reader, ["^stomp", "^stomp", "^(stomp|amq.topic)"]).await;
    let topic_rule = ["set_topic_permissions", "-p", &site.name, &reader, "amq.topic", "^$", r"^test\..*\.open"];
    rabbitmqctl(&topic_rule).await;
    let fixture = gateway.fixture();
    let (open, closed) = (fixture.topic("open"), fixture.topic("closed"));
    let mut owner = gateway.open(site.credentials()).await.unwrap();
    let mut guest = gateway.open(site.credentials_of(&reader)).await.unwrap();
    guest.subscribe(&open).await;
    for refused in [&closed, &fixture.queue("a")] {
        let (_, outcome) = guest.start_subscribe(refused, AckMode::Auto, 1);
        let Err(Fault::Amqp { name: "access_refused", text }) = outcome.await else { panic!("{refused} is open") };
        // Its own name is no secret to it.
        assert!(text.contains(&reader), "{text}");
    }
    assert!(guest.start_publish(&fixture.queue("a"), "x").await.is_err());
    assert!(guest.start_publish(&open, "x").await.is_err());
    owner.publish(&open, "for all").await;
    guest.expect(&["for all"]).await;
    owner.close();
    guest.close();
    site.remove(&[&reader]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn sessions_of_one_client_share_connections_and_those_of_two_never_do() {
    let (gateway, site) = (Gateway::connected(by_client()).await, Site::new().await);
    let other = format!("other-{}", site.name);
    site.add_user(&other, [".*"; 3]).await;
    let (fixture, mut sessions) = (gateway.fixture(), Vec::new());
    let both = (0..20).map(|number| site.credentials_of(if number % 2 == 0 { &site.name } else { &other }));
    for session in futures::future::join_all(both.map(|it| gateway.open(it))).await {
        sessions.push(session.unwrap());
    }
    for session in &mut sessions {
        session.subscribe(&fixture.topic("a")).await;
        session.subscribe(&fixture.queue("a")).await;
        session.publish(&fixture.topic("b"), "x").await;
    }
    assert_eq!(gateway.metric("connects_total", "connected"), 2.0);
    assert_eq!(gateway.metric("accounts", ""), 2.0);
    let connections = rabbitmqctl(&["list_connections", "user", "vhost", "client_properties"]).await;
    for user in [&site.name, &other] {
        let ours: Vec<_> =
            connections.iter().filter(|it| it.starts_with(&format!("{user}\t{}\t", site.name))).collect();
        assert_eq!(ours.len(), 4, "{ours:?}");
        for role in ["checks", "feeds", "private", "publish"] {
            let name = format!("\"stompgate {role} ({user})\"");
            let found = ours.iter().filter(|it| it.contains(&name) && it.contains("{\"product\",\"stompgate\"}"));
            assert_eq!(found.count(), 1, "{name}: {ours:?}");
        }
    }
    sessions.into_iter().for_each(|it| it.close());
    site.remove(&[&other]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_account_without_sessions_is_closed_after_a_while_and_opened_again() {
    let account_idle_time = Duration::from_millis(200);
    let gateway = Gateway::connected(Settings { account_idle_time, ..by_client() }).await;
    let site = Site::new().await;
    for round in 1..=2 {
        let session = gateway.open(site.credentials()).await.unwrap();
        assert_eq!(gateway.metric("connects_total", "connected"), f64::from(round));
        gateway.open(site.credentials()).await.unwrap().close();
        // Several idle times later it is still there for the first session.
        gateway.fixture().elapse(3 * account_idle_time).await;
        assert_eq!(gateway.metric("accounts", ""), 1.0);
        session.close();
        eventually("it is closed", async || gateway.metric("connections", "") == 0.0).await;
        eventually("it is forgotten", async || gateway.metric("accounts", "") == 0.0).await;
        assert!(gateway.latch.is_set());
    }
    assert_eq!(gateway.metric("connection_losses_total", ""), 0.0);
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn one_account_over_the_bound_is_refused_by_its_name() {
    let gateway = Gateway::connected(Settings { accounts_max: 1, ..by_client() }).await;
    let site = Site::new().await;
    let session = gateway.open(site.credentials()).await.unwrap();
    let refused = refusal(&gateway, credentials(Some("guest"), Some("guest"), None)).await;
    assert!(matches!(&refused, Fault::ConnectionLimit(text) if text.contains("at most 1 ")), "{refused:?}");
    assert!(refused.to_string().contains("broker.amqp.accounts_max"), "{refused}");
    // Those who are in are not disturbed.
    gateway.open(site.credentials()).await.unwrap().close();
    session.close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn who_is_refused_takes_no_room_from_who_is_not() {
    let gateway = Gateway::connected(Settings { accounts_max: 1, ..by_client() }).await;
    let site = Site::new().await;
    let wrong: Vec<_> = (0..8).map(|it| format!("{it}-{}", site.name)).collect();
    let wrong = futures::future::join_all(wrong.iter().map(|it| refusal(&gateway, site.credentials_of(it))));
    let (refusals, session) = tokio::join!(wrong, gateway.open(site.credentials()));
    session.unwrap().close();
    for refused in refusals {
        assert!(matches!(&refused, Fault::AccessRefused { .. }), "{refused:?}");
    }
    site.remove(&[]).await;
    gateway.stop().await;
}

/// The exchange of topics is missing in one virtual host: whoever enters it is told, and leaves nothing behind.
#[tokio::test]
async fn an_attempt_that_fails_after_the_login_leaves_no_connection() {
    let topic_exchange = "no-such-exchange".parse().unwrap();
    let gateway = Gateway::connected(Settings { topic_exchange, ..by_client() }).await;
    let site = Site::new().await;
    for _ in 0..5 {
        let refused = refusal(&gateway, site.credentials()).await;
        assert!(matches!(&refused, Fault::Amqp { name: "not_found", .. }), "{refused:?}");
    }
    eventually("RabbitMQ has none of them", async || {
        let connections = rabbitmqctl(&["list_connections", "vhost"]).await;
        !connections.contains(&site.name)
    })
    .await;
    assert_eq!((gateway.metric("connections", ""), gateway.metric("accounts", "")), (0.0, 0.0));
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_passcode_that_was_changed_lets_nobody_in_for_long() {
    let account_check_interval = Duration::from_millis(1);
    let gateway = Gateway::connected(Settings { account_check_interval, ..by_client() }).await;
    let (site, fixture) = (Site::new().await, gateway.fixture());
    let mut session = gateway.open(site.credentials()).await.unwrap();
    session.subscribe(&fixture.topic("a")).await;
    session.publish(&fixture.topic("b"), "x").await;
    // Checked, and let in on the same connections.
    gateway.open(site.credentials()).await.unwrap().close();
    assert_eq!(gateway.metric("connects_total", "connected"), 1.0);
    rabbitmqctl(&["change_password", &site.name, "another"]).await;
    let refused = Fault::AccessRefused { login: site.name.clone() };
    for _ in 0..2 {
        assert_eq!(refusal(&gateway, site.credentials()).await, refused);
    }
    // As RabbitMQ has it: who is connected stays so.
    session.publish(&fixture.topic("a"), "still here").await;
    session.expect(&["still here"]).await;
    gateway.open(credentials(Some(&site.name), Some("another"), Some(&site.name))).await.unwrap().close();
    session.close();
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_lost_account_ends_its_own_sessions_and_comes_back_when_asked_for() {
    let settings = Settings { outage: Outage::Reject, ..by_client() };
    let (gateway, site) = (Gateway::connected(settings).await, Site::new().await);
    let fixture = gateway.fixture();
    let mut lost = gateway.open(site.credentials()).await.unwrap();
    let mut other = gateway.open(credentials(Some("guest"), Some("guest"), None)).await.unwrap();
    lost.subscribe(&fixture.topic("a")).await;
    other.subscribe(&fixture.topic("a")).await;
    rabbitmqctl(&["close_all_connections", "--vhost", &site.name, "a test wants it"]).await;
    assert!(matches!(lost.next_item().await, Item::LinkLost));
    lost.expect_nothing();
    eventually("it is given up", async || gateway.metric("accounts", "") == 1.0).await;
    assert_eq!(gateway.metric("connection_losses_total", ""), 1.0);
    other.publish(&fixture.topic("a"), "undisturbed").await;
    other.expect(&["undisturbed"]).await;
    let mut back = gateway.open(site.credentials()).await.unwrap();
    back.subscribe(&fixture.topic("a")).await;
    back.publish(&fixture.topic("a"), "back").await;
    back.expect(&["back"]).await;
    for session in [lost, other, back] {
        session.close();
    }
    site.remove(&[]).await;
    gateway.stop().await;
}

#[tokio::test]
async fn g2_a_broker_that_does_not_answer_is_not_available_and_few_try_at_a_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://{}/%2f", silent.local_addr().unwrap()).parse().unwrap();
    let (connect_timeout, connects_in_flight_max) = (Duration::from_millis(500), 2);
    // With `Outage::Hold` one probe would try, and not they.
    let outage = Outage::Reject;
    let settings = Settings { urls: vec![url], connect_timeout, connects_in_flight_max, outage, ..by_client() };
    let gateway = Gateway::started(settings);
    let logins: Vec<_> = (0..10).map(|it| it.to_string()).collect();
    let opened = logins.iter().map(|it| gateway.open(credentials(Some(it), None, None)));
    for outcome in futures::future::join_all(opened).await {
        assert_eq!(outcome.map(drop), Err(Fault::Unavailable));
    }
    eventually("those that waited have given up", async || gateway.metric("connects_total", "failed") >= 2.0).await;
    assert_eq!(gateway.metric("connects_total", "failed"), 2.0);
    assert!(!gateway.latch.is_set());
    // Stopping does not wait for an attempt.
    let trying = gateway.open(credentials(Some("late"), None, None));
    let begun = tokio::time::Instant::now();
    let ((), outcome) = tokio::join!(async { gateway.halt() }, trying);
    assert_eq!(outcome.map(drop), Err(Fault::Unavailable));
    gateway.stop().await;
    assert!(begun.elapsed() < connect_timeout, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_latch_follows_rabbitmq_without_any_account() {
    let gateway = Gateway::started(Settings { urls: vec!["amqp://127.0.0.1:1".parse().unwrap()], ..by_client() });
    assert_eq!(refusal(&gateway, credentials(Some("guest"), Some("guest"), None)).await, Fault::Unavailable);
    assert!(!gateway.latch.is_set());
    gateway.stop().await;
    let gateway = Gateway::connected(by_client()).await;
    assert_eq!((gateway.metric("connected", ""), gateway.metric("accounts", "")), (1.0, 0.0));
    gateway.stop().await;
}
