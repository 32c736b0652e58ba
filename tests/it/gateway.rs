//! A whole gateway over real sockets: many clients, one that does not read, and nothing left behind.

use futures::future::join_all;
use stompgate::auth::{Authenticator, Rules, User};
use stompgate::config::Settings;
use tokio::sync::Barrier;

use crate::client::{self, Client, metric, until, within};

/// Buffers that a client which does not read fills soon.
fn small_buffers(settings: &mut Settings) {
    settings.delivery.bytes_max = 64 * 1024;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_of_one_topic_are_served_though_one_does_not_read() {
    const CLIENTS: usize = 1_000;
    const MESSAGES: usize = 40;
    let app = client::start(small_buffers).await;
    let mut stuck = Client::subscribe(&app, "/topic/all").await;
    let mut clients = join_all((0..CLIENTS).map(|_| Client::subscribe(&app, "/topic/all"))).await;
    let mut publisher = Client::connect(&app).await;
    let body = "x".repeat(60_000);
    // One message at a time for each of them, so that only who does not read falls behind.
    let all_have_it = Barrier::new(CLIENTS + 1);
    let reading = join_all(clients.iter_mut().map(async |client| {
        for i in 0..MESSAGES {
            let frame = client.expect("MESSAGE").await;
            assert_eq!(frame.header("number"), Some(&*i.to_string()));
            all_have_it.wait().await;
        }
    }));
    let writing = async {
        for i in 0..MESSAGES {
            let frame = format!("SEND\ndestination:/topic/all\nnumber:{i}\nreceipt:{i}\n\n{body}\0");
            publisher.send(&frame).await;
            publisher.expect("RECEIPT").await;
            within(all_have_it.wait()).await;
        }
    };
    tokio::join!(reading, writing);
    until(&app, "stompgate_sessions_closed_total{reason=\"slow_consumer\"}", 1.0).await;
    let code = loop {
        if let Err(code) = stuck.next().await {
            break code;
        }
    };
    // The kernel may have dropped the close frame behind what was not read.
    assert!([4500, 1006].contains(&code), "{code}");
    drop(clients);
    drop(publisher);
    until(&app, "stompgate_sessions{phase=\"connected\"}", 0.0).await;
    for series in ["stompgate_subscriptions", "stompgate_outbox_bytes", "stompgate_sessions{phase=\"closing\"}"] {
        until(&app, series, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let app = client::start(|_| ()).await;
    for round in 0..10 {
        let clients = join_all((0..100).map(|_| Client::subscribe(&app, "/topic/all"))).await;
        assert_eq!(metric(&app, "stompgate_subscriptions").await, 100.0, "round {round}");
        drop(clients);
        until(&app, "stompgate_subscriptions", 0.0).await;
    }
    until(&app, "stompgate_sessions{phase=\"connected\"}", 0.0).await;
    assert_eq!(metric(&app, "stompgate_http_upgrades_total").await, 1_000.0);
    assert_eq!(metric(&app, "stompgate_sessions_closed_total{reason=\"gone\"}").await, 1_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_every_client_with_1012_and_then_the_gateway_ends() {
    let app = client::start(|_| ()).await;
    let mut clients = join_all((0..50).map(|_| Client::subscribe(&app, "/topic/all"))).await;
    let closing = join_all(clients.iter_mut().map(async |client| client.next().await.unwrap_err()));
    let (drained, codes) = within(async { tokio::join!(app.shut_down(), closing) }).await;
    assert_eq!(drained, stompgate::lifecycle::Drained::All);
    assert!(codes.iter().all(|it| *it == 1012), "{codes:?}");
}

fn users(settings: &mut Settings) {
    let user = |name: &str| User { login: name.into(), passcode: name.into() };
    settings.authenticator = Authenticator::Users(vec![user("ann"), user("bob")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_logged_in_is_a_user_and_who_has_not_is_reached_by_the_session() {
    let subscribe = "SUBSCRIBE\nid:s\ndestination:/user/queue/a";
    let app = client::start(users).await;
    let ((mut ann, _), (mut bob, of_bob)) =
        (Client::connect_as(&app, "ann").await, Client::connect_as(&app, "bob").await);
    for client in [&mut ann, &mut bob] {
        client.confirmed(subscribe, "").await;
    }
    bob.confirmed("SEND\ndestination:/user/ann/queue/a", "for ann").await;
    let message = ann.expect("MESSAGE").await;
    assert_eq!((message.header("destination"), &*message.body), (Some("/user/queue/a"), &b"for ann"[..]));
    ann.confirmed(&format!("SEND\ndestination:/user/{of_bob}/queue/a"), "for that session").await;
    assert_eq!(bob.expect("MESSAGE").await.body, "for that session");
    ann.send("SEND\ndestination:/user/bob\nreceipt:r\n\n\0").await;
    let error = ann.expect("ERROR").await;
    assert_eq!((error.header("message"), error.header("receipt-id")), (Some("Invalid destination"), Some("r")));
    // Without a list of users a login proves nothing.
    let app = client::start(|_| ()).await;
    let ((mut nobody, id), mut other) = (Client::connect_as(&app, "ann").await, Client::connect(&app).await);
    nobody.confirmed(subscribe, "").await;
    other.confirmed("SEND\ndestination:/user/ann/queue/a", "unheard").await;
    other.confirmed(&format!("SEND\ndestination:/user/{id}/queue/a"), "heard").await;
    assert_eq!(nobody.expect("MESSAGE").await.body, "heard");
    assert_eq!(metric(&app, "stompgate_broker_memory_user_unreached_messages_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rule_opens_is_refused_and_what_one_opens_is_asked_of_the_broker() {
    let rules = vec!["send /exchange/orders/*".parse().unwrap()];
    for (rules, refusal) in [(Rules::default(), "forbidden"), (Rules::Listed(rules), "unsupported")] {
        let app = client::start(|it| it.rules = rules).await;
        let mut client = Client::connect(&app).await;
        client.send("SEND\ndestination:/exchange/orders/eu.de\nreceipt:r\n\n\0").await;
        let error = client.expect("ERROR").await;
        assert_eq!((error.header("stompgate-error"), error.header("receipt-id")), (Some(refusal), Some("r")));
        assert_eq!(client.next().await, Err(1002));
    }
}
