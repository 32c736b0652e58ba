//! How connections are made: who the gateway says it is, and what becomes of sessions when that fails.

use std::time::Duration;

use futures::FutureExt;
use stompgate::broker::Outage;
use stompgate::broker::stomp::{Account, Address, Identity, Settings};
use stompgate::delivery;
use stompgate::session::{Credentials, Fault};
use tokio::net::TcpListener;

use super::support::Gateway;
use super::upstream::{Upstream, within};
use crate::broker_contract::fixture::Session;

async fn open(gateway: &Gateway, login: &str) -> Result<Session, Fault> {
    let text = |it: &str| Some(it.into());
    let credentials = Credentials { login: text(login), passcode: text("s3cret"), host: text("elsewhere") };
    gateway.fixture().try_open(delivery::Settings::default(), credentials, None).await
}

fn fault(opened: Result<Session, Fault>) -> Fault {
    opened.expect_err("the session is refused")
}

fn account(login: &str) -> Account {
    Account { login: login.to_owned(), passcode: format!("of {login}") }
}

#[tokio::test]
async fn sp9_each_connection_has_the_login_that_it_should_have() {
    for (identity, login, passcode) in
        [(Identity::Gateway, "clients", "of clients"), (Identity::Client, "ann", "s3cret")]
    {
        let upstream = Upstream::start().await;
        let (account, system_account) = (account("clients"), account("system"));
        let gateway = Gateway::started(Settings { identity, account, system_account, ..upstream.settings() });
        let (_system, connect) = upstream.greet().await;
        assert_eq!((connect.header("login"), connect.header("passcode")), (Some("system"), Some("of system")));
        assert_eq!(connect.header("accept-version"), Some("1.1,1.2"));
        assert_eq!(connect.header("heart-beat"), Some("10000,10000"));
        gateway.is_ready().await;
        let (opened, (_peer, connect)) = tokio::join!(open(&gateway, "ann"), upstream.greet());
        opened.unwrap();
        assert_eq!((connect.header("login"), connect.header("passcode")), (Some(login), Some(passcode)));
        assert_eq!(connect.headers.len(), 4, "{connect:?}");
    }
}

#[tokio::test]
async fn sp7_sp8_host_is_the_virtual_host_of_the_settings_and_left_out_without_one() {
    for virtual_host in [None, Some("site".to_owned())] {
        let upstream = Upstream::start().await;
        let gateway = Gateway::started(Settings { virtual_host: virtual_host.clone(), ..upstream.settings() });
        let (_system, of_system) = upstream.greet().await;
        gateway.is_ready().await;
        let (_opened, (_peer, of_client)) = tokio::join!(open(&gateway, "ann"), upstream.greet());
        for connect in [of_system, of_client] {
            assert_eq!(connect.header("host"), virtual_host.as_deref());
        }
    }
}

#[tokio::test]
async fn sp13_nobody_is_let_in_before_the_broker_was_reached() {
    for outage in [Outage::Hold, Outage::Reject] {
        let upstream = Upstream::start().await;
        let gateway = Gateway::started(Settings { outage, ..upstream.settings() });
        assert_eq!(fault(open(&gateway, "ann").await), Fault::Unavailable);
        assert!(!gateway.latch.is_set());
        let _system = upstream.greet().await;
        gateway.is_ready().await;
    }
}

#[tokio::test]
async fn the_words_of_a_broker_that_refuses_a_client_reach_that_client() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::started(Settings { identity: Identity::Client, ..upstream.settings() });
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    let refuse = async {
        let mut peer = upstream.accept().await;
        peer.expect("CONNECT").await;
        peer.send("ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'ann'\0").await;
    };
    let (opened, ()) = tokio::join!(open(&gateway, "ann"), refuse);
    let (title, text) = ("Bad CONNECT".to_owned(), "Access refused for user 'ann'".to_owned());
    assert_eq!(fault(opened), Fault::Relayed { title, text });
    assert_eq!(gateway.metric("connects_total", "failed"), 1.0);
}

#[tokio::test]
async fn a_refusal_of_the_gateways_own_login_is_not_a_matter_of_clients() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::started(upstream.settings());
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    let refuse = async {
        let mut peer = upstream.accept().await;
        peer.expect("CONNECT").await;
        peer.send("ERROR\nmessage:Bad CONNECT\n\nAccess refused for user 'guest'\0").await;
    };
    let (opened, ()) = tokio::join!(open(&gateway, "ann"), refuse);
    assert_eq!(fault(opened), Fault::Unavailable);
}

/// A port at which nobody listens.
async fn dead() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

#[tokio::test]
async fn the_next_address_is_tried_and_the_one_that_answers_is_tried_first_from_then_on() {
    let upstream = Upstream::start().await;
    let addresses = vec![dead().await, upstream.address()];
    let gateway = Gateway::started(Settings { addresses, ..upstream.settings() });
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    assert_eq!(gateway.metric("connects_total", "failed"), 1.0);
    let (opened, _peer) = tokio::join!(open(&gateway, "ann"), upstream.greet());
    opened.unwrap();
    assert_eq!(gateway.metric("connects_total", "failed"), 1.0);
}

/// What a session is told by a broker that has let the system connection in, and then does this.
async fn told(settings: Settings, upstream: &Upstream, behave: impl AsyncFnOnce()) -> String {
    let gateway = Gateway::started(Settings { outage: Outage::Reject, ..settings });
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    let (opened, ()) = tokio::join!(open(&gateway, "ann"), behave());
    fault(opened).to_string()
}

#[tokio::test]
async fn with_reject_the_words_for_a_connection_that_fails_are_springs() {
    let upstream = Upstream::start().await;
    let connected_timeout = Duration::from_millis(50);
    let silent = Settings { connected_timeout, ..upstream.settings() };
    let mut silent_peer = None;
    let text = told(silent, &upstream, async || silent_peer = Some(upstream.accept().await)).await;
    assert_eq!(text, "No CONNECTED frame received in 50 ms.");
    let upstream = Upstream::start().await;
    let answers = async |answer: &str| {
        let mut peer = upstream.accept().await;
        peer.expect("CONNECT").await;
        peer.send(answer).await;
    };
    let text = told(upstream.settings(), &upstream, async || answers("HTTP/1.1 400 Bad Request\r\n\r\n").await).await;
    assert_eq!(text, "Transport failure: unknown command 'HTTP/1.1 400 Bad Request'");
    let text = told(upstream.settings(), &upstream, async || answers("CONNECTED\nversion:1.0\n\n\0").await).await;
    assert_eq!(text, "Transport failure: version \"1.0\" instead of one of 1.1,1.2");
    let text = told(upstream.settings(), &upstream, async || drop(upstream.accept().await)).await;
    assert!(text.starts_with("Failed to connect: "), "{text}");
}

#[tokio::test]
async fn one_connection_more_than_there_may_be_is_refused_until_another_has_gone() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::started(Settings { connections_max: 1, ..upstream.settings() });
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    let (first, (mut peer, _)) = tokio::join!(open(&gateway, "ann"), upstream.greet());
    let refused = fault(open(&gateway, "bob").await).to_string();
    let expected = "Connection refused: the gateway holds at most 1 to the broker (broker.stomp.connections_max)";
    assert_eq!((&*refused, gateway.metric("connections_refused_total", "")), (expected, 1.0));
    first.unwrap().close();
    peer.confirm("DISCONNECT").await;
    assert!(peer.next().await.is_none());
    gateway.has("connections", 1.0).await;
    let (second, _peer) = tokio::join!(open(&gateway, "bob"), upstream.greet());
    second.unwrap();
}

#[tokio::test]
async fn sessions_connect_so_many_at_a_time() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::started(Settings { connects_in_flight_max: 1, ..upstream.settings() });
    let _system = upstream.greet().await;
    gateway.is_ready().await;
    let both = async { tokio::join!(open(&gateway, "ann"), open(&gateway, "bob")) };
    let serve = async {
        let mut first = upstream.accept().await;
        first.expect("CONNECT").await;
        tokio::task::yield_now().await;
        assert!(upstream.accept().now_or_never().is_none(), "the second waits for its turn");
        first.send("CONNECTED\nversion:1.2\n\n\0").await;
        let second = upstream.greet().await;
        (first, second)
    };
    let ((one, two), _peers) = within(async { tokio::join!(both, serve) }).await;
    one.unwrap();
    two.unwrap();
}
