//! CONNECT: versions, heart-beats, credentials, refusals.

use super::*;
use crate::ident::Principal;

fn check_connected(connect: &str, connected: &str) {
    let mut it = Dialogue::new(Settings::default());
    it.client(connect);
    assert!(it.next().starts_with("open #1"), "{connect}");
    it.opened(1);
    assert_eq!(it.next(), connected);
    it.expect_nothing();
}

#[test]
fn connected_names_version_heart_beat_server_and_session() {
    let rest = format!("heart-beat:10000,10000 server:stompgate/0.1.0 session:{SESSION}");
    check_connected("CONNECT accept-version:1.0,1.1,1.2", &format!("CONNECTED version:1.2 {rest}"));
    check_connected("STOMP accept-version:1.1 heart-beat:5000,0", &format!("CONNECTED version:1.1 {rest}"));
    check_connected("CONNECT", &format!("CONNECTED version:1.0 {rest}"));
}

#[test]
fn the_credentials_go_to_whoever_checks_them_and_the_passcode_is_not_printed() {
    let mut it = Dialogue::new(Settings::default());
    it.client("CONNECT accept-version:1.2 login:alice passcode:secret host:shop");
    let Some(Action::Open { op, credentials }) = it.session.poll_action() else { panic!("not asked to open") };
    assert_eq!((credentials.login.as_deref(), credentials.passcode.as_deref()), (Some("alice"), Some("secret")));
    assert_eq!(credentials.host.as_deref(), Some("shop"));
    assert!(!format!("{credentials:?}").contains("secret"));
    let principal = Some(Principal::new("alice"));
    it.input(Input::Done { op, outcome: Ok(Answer::Opened { principal }) });
    assert!(it.next().ends_with(&format!("session:{SESSION} user-name:alice")));
}

#[test]
fn with_close_on_error_off_a_refused_client_may_try_again() {
    let mut it = Dialogue::new(Settings { close_on_error: false, ..Settings::default() });
    it.client("SEND destination:/queue/a receipt:r");
    assert!(it.expect_error("not_connected", "Illegal command").contains("receipt-id:r"));
    it.client("CONNECT accept-version:9");
    it.expect_error("version_mismatch", "Version mismatch");
    it.client("CONNECT accept-version:1.2");
    assert!(it.next().starts_with("open #1"));
    it.failed(1, Fault::Unavailable);
    it.expect_error("broker_unavailable", "Broker not available.");
    it.client("CONNECT accept-version:1.2");
    assert!(it.next().starts_with("open #2"));
    it.opened(2);
    assert!(it.next().starts_with("CONNECTED"));
}

#[test]
fn nothing_is_read_while_the_client_is_being_checked() {
    let mut it = Dialogue::new(Settings::default());
    assert!(it.session.wants_frames() && !it.session.wants_deliveries());
    it.client("CONNECT accept-version:1.2");
    assert!(!it.session.wants_frames() && it.session.version().is_none());
    it.next();
    it.opened(1);
    assert!(it.session.wants_frames() && it.session.wants_deliveries());
    assert_eq!(it.session.version(), Some(Version::V1_2));
}
