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
fn a_version_that_nobody_knows_is_refused_with_those_that_are() {
    let mut it = Dialogue::new(Settings::default());
    it.client("CONNECT accept-version:2.0,3.0");
    assert!(it.expect_error("version_mismatch", "Version mismatch").ends_with("| Supported versions are 1.0,1.1,1.2"));
    it.expect("close 1002 version_mismatch");
}

#[test]
fn a_heart_beat_that_is_no_pair_of_numbers_is_refused() {
    let mut it = Dialogue::new(Settings::default());
    it.client("CONNECT accept-version:1.2 heart-beat:soon,later");
    it.expect_refusal("invalid_header", "Invalid header");
}

#[test]
fn wrong_credentials_are_refused_with_the_login_and_without_the_passcode() {
    let mut it = Dialogue::new(Settings::default());
    it.client("CONNECT accept-version:1.2 login:alice passcode:wrong");
    it.next();
    it.failed(1, Fault::AccessRefused { login: "alice".to_owned() });
    let error = it.expect_error("access_refused", "Bad CONNECT");
    assert!(error.ends_with("| Access refused for user 'alice'"), "{error}");
    it.expect("close 1002 access_refused");
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
fn a_second_connect_ends_the_session_either_way() {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_with(Settings { close_on_error, ..Settings::default() });
        it.client("CONNECT accept-version:1.2");
        it.expect_refusal("already_connected", "Illegal command");
    }
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
