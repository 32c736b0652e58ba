//! The catalogue of errors (E1 ..), each with `close_on_error` on and off: words, headers, and whether the session ends.

use super::*;

/// What becomes of the session with `close_on_error` off; with it on, every ERROR ends it.
#[derive(Clone, Copy, PartialEq)]
enum Off {
    Ends,
    GoesOn,
}

/// What the client reads: `title`, `stompgate-error`, body.
type Expected<'a> = (&'a str, &'a str, &'a str);

fn settings(close_on_error: bool) -> Settings {
    Settings { close_on_error, subscriptions_max: 2, transactions_max: 1, ..Settings::default() }
}

/// Sends the frames, each of which the broker accepts, but for the last: that one has `receipt:r` and gets an ERROR.
#[track_caller]
fn check(version: &str, frames: &[&str], expected: Expected, off: Off) {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_as(version, settings(close_on_error));
        check_dialogue(&mut it, frames, expected, off == Off::Ends || close_on_error);
    }
}

/// The same before CONNECT.
#[track_caller]
fn check_unconnected(frame: &str, expected: Expected) {
    for close_on_error in [true, false] {
        let mut it = Dialogue::new(settings(close_on_error));
        it.client(&with_receipt(frame));
        it.expect_answer(expected, true);
        if close_on_error {
            it.expect(&format!("close 1002 {}", expected.1));
        } else {
            // C8: another CONNECT is allowed.
            it.client("CONNECT accept-version:1.2");
            assert!(it.next().starts_with("open #1"));
        }
        it.expect_nothing();
    }
}

/// CONNECT, and the answer of whoever checks it.
#[track_caller]
fn check_connect(fault: Fault, expected: Expected) {
    for close_on_error in [true, false] {
        let mut it = Dialogue::new(settings(close_on_error));
        it.client("CONNECT accept-version:1.2 receipt:r");
        it.next();
        it.failed(1, fault.clone());
        it.expect_answer(expected, true);
        if close_on_error {
            it.expect(&format!("close 1002 {}", expected.1));
        } else {
            it.client("CONNECT accept-version:1.2");
            assert!(it.next().starts_with("open #2"));
            it.opened(2);
            assert!(it.next().starts_with("CONNECTED"));
        }
        it.expect_nothing();
    }
}

/// A SEND and a SUBSCRIBE that the broker answers with that fault.
#[track_caller]
fn check_broker(fault: Fault, expected: Expected, off: Off) {
    for frame in ["SEND destination:/queue/a receipt:r", "SUBSCRIBE id:a destination:/queue/a receipt:r"] {
        for close_on_error in [true, false] {
            let mut it = Dialogue::connected_with(settings(close_on_error));
            it.client(frame);
            it.next();
            it.failed(2, fault.clone());
            it.expect_answer(expected, true);
            it.expect_end(expected.1, off == Off::Ends || close_on_error);
            assert_eq!(it.session.subscriptions(), 0, "{frame}");
        }
    }
}

#[track_caller]
fn check_dialogue(it: &mut Dialogue, frames: &[&str], expected: Expected, ends: bool) {
    let (last, before) = frames.split_last().unwrap();
    for (frame, op) in before.iter().zip(2..) {
        it.client(frame);
        if it.next().starts_with("subscribe") {
            it.done(op);
        }
    }
    it.client(&with_receipt(last));
    it.expect_answer(expected, true);
    it.expect_end(expected.1, ends);
}

/// A header that comes first and one that comes last are the same to a frame.
fn with_receipt(frame: &str) -> String {
    let (command, rest) = frame.split_once(' ').unwrap_or((frame, ""));
    format!("{command} receipt:r {rest}").trim_end().to_owned()
}

impl Dialogue {
    /// RC9: the ERROR has the receipt of the frame, and no RECEIPT follows.
    #[track_caller]
    fn expect_answer(&mut self, (title, label, text): Expected, has_receipt: bool) {
        let title = title.replace(' ', "_");
        let receipt = if has_receipt { " receipt-id:r" } else { "" };
        let head = format!("ERROR message:{title} content-type:text/plain version:1.0,1.1,1.2 stompgate-error:{label}");
        self.expect(&format!("{head}{receipt} | {text}"));
    }

    #[track_caller]
    fn expect_end(&mut self, label: &str, ends: bool) {
        if ends {
            self.expect(&format!("close 1002 {label}"));
            assert!(!self.session.wants_frames());
        } else {
            self.expect_nothing();
            self.client("BEGIN transaction:alive receipt:alive");
            self.expect("RECEIPT receipt-id:alive");
        }
        self.expect_nothing();
    }
}

#[test]
fn e1_a_frame_before_connect() {
    let expected = ("Illegal command", "not_connected", "You must log in using CONNECT first");
    for frame in ["SEND destination:/queue/a", "DISCONNECT", "MESSAGE", "SUBSCRIBE id:a destination:/queue/a"] {
        check_unconnected(frame, expected);
    }
}

#[test]
fn e2_no_common_version() {
    let expected = ("Version mismatch", "version_mismatch", "Supported versions are 1.0,1.1,1.2");
    check_unconnected("CONNECT accept-version:2.0,3.0", expected);
    check_unconnected("STOMP accept-version:1.3", expected);
}

#[test]
fn e3_wrong_login_or_passcode() {
    let fault = Fault::AccessRefused { login: "ann".to_owned() };
    check_connect(fault, ("Bad CONNECT", "access_refused", "Access refused for user 'ann'"));
}

#[test]
fn e4_a_virtual_host_that_is_not_there_or_not_open() {
    let fault = Fault::VhostRefused { vhost: "shop".to_owned() };
    check_connect(fault, ("Bad CONNECT", "vhost_refused", "Virtual host 'shop' access denied"));
}

#[test]
fn e6_no_login() {
    let text = "Missing login or passcode header(s)";
    check_connect(Fault::LoginMissing, ("Bad CONNECT", "access_refused", text));
}

#[test]
fn e7_a_limit_of_connections() {
    let fault = Fault::ConnectionLimit("vhost connection limit reached".to_owned());
    let text = "Connection refused: vhost connection limit reached";
    check_connect(fault, ("Bad CONNECT", "broker_connection_limit", text));
}

#[test]
fn c8_a_client_that_is_refused_has_the_rest_of_its_time_to_try_again() {
    let mut it = Dialogue::new(settings(false));
    for op in [1, 2] {
        it.client("CONNECT accept-version:1.2");
        it.next();
        it.failed(op, Fault::AccessRefused { login: "ann".to_owned() });
        it.expect_error("access_refused", "Bad CONNECT");
        it.pass(Duration::from_secs(4));
        it.expect_nothing();
    }
    it.pass(Duration::from_secs(2));
    it.expect_error("connect_timeout", "No CONNECT received in time");
    it.expect("close 1002 connect_timeout");
}

#[test]
fn e8_a_header_that_can_not_be_read() {
    let check = |frame: &str, cause: &str| {
        let text = format!("Processing error: {cause}");
        check("1.2", &[frame], ("Processing error", "invalid_header", &text), Off::GoesOn);
    };
    let queue = "SUBSCRIBE id:a destination:/queue/a";
    check(&format!("{queue} ack:maybe"), "ack must be 'auto', 'client' or 'client-individual', not 'maybe'");
    check(&format!("{queue} prefetch-count:x"), "prefetch-count must be a whole number of messages, not 'x'");
    check(&format!("{queue} durable:1"), "durable must be 'true' or 'false', not '1'");
    check(
        "SUBSCRIBE id:/temp-queue/a destination:/queue/a",
        "SUBSCRIBE 'id' may not start with /temp-queue/: such ids are for the answers to reply-to, which come for as \
         long as the session lasts",
    );
    check("SEND destination:/queue/a expiration:soon", "expiration must be a whole number of milliseconds, not 'soon'");
    let not_served = "'/bogus/x' is not a valid destination.\nValid destination types are: /temp-queue, /exchange, \
                      /topic, /queue, /amq/queue, /reply-queue/.";
    let send = "SEND destination:/queue/a reply-to:/bogus/x";
    check(send, &format!("reply-to must be a destination: {not_served}"));
}

#[test]
fn e8_a_heart_beat_that_can_not_be_read() {
    let text = "Processing error: the heart-beat header must be two whole numbers of milliseconds, for example \
                10000,10000";
    let expected = ("Processing error", "invalid_header", text);
    check_unconnected("CONNECT accept-version:1.2 heart-beat:soon", expected);
}

#[test]
fn e9_a_command_that_only_servers_send() {
    for command in ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"] {
        let text = format!("Could not interpret command \"{command}\": only servers send it");
        check("1.2", &[command], ("Bad command", "server_command", &text), Off::GoesOn);
    }
}

#[test]
fn e9_an_unknown_command_ends_the_session_as_where_its_frame_ends_is_unknown() {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_with(settings(close_on_error));
        let error = DecodeError::UnknownCommand("NONSENSE".to_owned());
        it.input(Input::Malformed { error, receipt: None });
        it.expect_answer(("Bad command", "malformed", "Could not interpret command \"NONSENSE\""), false);
        it.expect_end("malformed", true);
    }
}

#[test]
fn e10_a_frame_without_destination() {
    let check = |frame: &str, text| {
        check("1.2", &[frame], ("Missing destination", "missing_header", text), Off::GoesOn);
    };
    check("SEND", "\"SEND\" must include a 'destination' header");
    check("SUBSCRIBE id:a", "\"SUBSCRIBE\" must include a 'destination' header");
}

#[test]
fn e11_a_destination_of_no_known_type() {
    for frame in ["SEND destination:/nowhere/a", "SUBSCRIBE id:a destination:/nowhere/a"] {
        let text = "'/nowhere/a' is not a valid destination.\nValid destination types are: /temp-queue, /exchange, \
                    /topic, /queue, /amq/queue, /reply-queue/.";
        check("1.2", &[frame], ("Unknown destination", "invalid_destination", text), Off::GoesOn);
    }
}

#[test]
fn e12_a_destination_of_the_wrong_form() {
    let check = |destination: &str, text: &str| {
        for frame in [format!("SEND destination:{destination}"), format!("SUBSCRIBE id:a destination:{destination}")] {
            let expected = ("Invalid destination", "invalid_destination", text);
            check("1.2", &[&frame], expected, Off::GoesOn);
        }
    };
    let slashes = "separate words with dots, or write a slash in a name as %2F";
    check("/queue/", "'/' is not a valid queue destination: it needs a name");
    check("/topic/a/b", &format!("'/a/b' is not a valid topic destination: {slashes}"));
    check("/exchange", "'' is not a valid exchange destination: it needs a name");
    check("/exchange/a/b/c", &format!("'/a/b/c' is not a valid exchange destination: {slashes}"));
    check("/amq/queue", "'' is not a valid amqqueue destination: it needs a name");
    check("/temp-queue/", "'/' is not a valid temp_queue destination: it needs a name");
    check("/reply-queue/", "'/' is not a valid reply_queue destination: it needs a name");
}

#[test]
fn e13_a_temporary_queue_used_directly() {
    let check = |frame: &str, text| {
        check("1.2", &[frame], ("Invalid destination", "invalid_destination", text), Off::GoesOn);
    };
    let text = "'/temp-queue/a' is not a valid destination for 'SEND': it is where answers come from; name it in \
                reply-to";
    check("SEND destination:/temp-queue/a", text);
    let text = "'/temp-queue/a' is not a valid destination for 'SUBSCRIBE': answers arrive by themselves; name it in \
                reply-to";
    check("SUBSCRIBE id:a destination:/temp-queue/a", text);
}

#[test]
fn e14_a_blank_destination() {
    for frame in ["SEND destination:", "SUBSCRIBE id:a destination:"] {
        let expected = ("Invalid destination", "invalid_destination", "Destination cannot be blank");
        check("1.2", &[frame], expected, Off::GoesOn);
    }
}

#[test]
fn e15_a_message_id_on_send_goes_before_its_destination() {
    let text = "'message-id' is not allowed on 'SEND'.\nA name of your own for the message goes into \
                'amqp-message-id'.";
    for frame in ["SEND message-id:1 destination:/queue/a", "SEND message-id:1"] {
        check("1.2", &[frame], ("Invalid header", "invalid_header", text), Off::GoesOn);
    }
}

#[test]
fn e16_a_durable_subscription_without_id() {
    let text = "Header 'id' is required for durable subscriptions";
    for version in ["1.0", "1.1", "1.2"] {
        for header in ["durable", "persistent"] {
            let frame = format!("SUBSCRIBE destination:/topic/a {header}:true");
            check(version, &[&frame], ("Missing Header", "missing_header", text), Off::GoesOn);
        }
    }
}

#[test]
fn e17_an_ack_that_names_nothing() {
    let check = |version, frame: &str, text| {
        check(version, &[frame], ("Missing header", "missing_header", text), Off::GoesOn);
    };
    check("1.2", "ACK message-id:1", "\"ACK\" must include the \"id\" header");
    check("1.2", "NACK", "\"NACK\" must include the \"id\" header");
    check("1.1", "ACK id:1 subscription:a", "\"ACK\" must include the \"message-id\" header");
    check("1.0", "NACK", "\"NACK\" must include the \"message-id\" header");
}

#[test]
fn e18_an_ack_id_that_is_none() {
    let check = |version, frame: &str, text: &str| {
        check(version, &[frame], ("Invalid header", "invalid_header", text), Off::GoesOn);
    };
    let valid =
        |command, header| format!("\"{command}\" must include a valid \"{header}\" header, as the MESSAGE had it");
    check("1.2", "ACK id:", &valid("ACK", "id"));
    check("1.2", "ACK id:3", &valid("ACK", "id"));
    check("1.2", &format!("NACK id:{SESSION}-x"), &valid("NACK", "id"));
    check("1.1", "ACK message-id:T_0@@session@@1", &valid("ACK", "message-id"));
}

#[test]
fn e20_an_ack_of_what_does_not_wait_for_it() {
    for id in [format!("{SESSION}-7"), "BBBBBBBBBBBBBBBBBBBBBB-7".to_owned()] {
        let text =
            format!("unknown delivery tag 7: '{id}' is no message of this session that waits for an ACK or NACK");
        for command in ["ACK", "NACK"] {
            let frame = format!("{command} id:{id}");
            check("1.2", &[&frame], ("Message not found", "ack_unknown", &text), Off::GoesOn);
        }
    }
}

#[test]
fn e22_a_subscription_id_that_is_in_use_ends_the_session_either_way() {
    let check = |version, frame: &str, text| {
        let expected = ("Duplicated subscription identifier", "subscription_exists", text);
        check(version, &[frame, frame], expected, Off::Ends);
    };
    check("1.2", "SUBSCRIBE id:a destination:/queue/a", "A subscription identified by 'T_a' already exists.");
    check("1.0", "SUBSCRIBE destination:/queue/a", "A subscription identified by 'Q_/queue/a' already exists.");
}

#[test]
fn e23_unsubscribe_from_answers() {
    let text = "UNSUBSCRIBE 'id' may not start with /temp-queue/: such ids are for the answers to reply-to, which come \
                for as long as the session lasts";
    let frames = ["SEND destination:/queue/a reply-to:/temp-queue/a", "UNSUBSCRIBE id:/temp-queue/a"];
    check("1.2", &frames, ("Invalid id", "invalid_header", text), Off::GoesOn);
}

#[test]
fn e24_unsubscribe_from_nothing() {
    for version in ["1.0", "1.1", "1.2"] {
        let text = "UNSUBSCRIBE must include a 'destination' or 'id' header";
        check(version, &["UNSUBSCRIBE"], ("Missing destination or id", "missing_header", text), Off::GoesOn);
    }
}

#[test]
fn e25_unsubscribe_from_what_there_is_not() {
    let check = |frames: &[&str], name| {
        let text =
            format!("UNSUBSCRIBE must refer to an existing subscription.\nSubscription to \"{name}\" not found.");
        check("1.2", frames, ("No subscription found", "subscription_unknown", &text), Off::GoesOn);
    };
    check(&["UNSUBSCRIBE id:x"], "id='x'");
    check(&["UNSUBSCRIBE id:x destination:/queue/a"], "id='x'");
    check(&["UNSUBSCRIBE destination:/queue/a"], "destination='/queue/a'");
    // U1: one with an id is not found by its destination.
    let subscribe = "SUBSCRIBE id:a destination:/queue/a";
    check(&[subscribe, "UNSUBSCRIBE destination:/queue/a"], "destination='/queue/a'");
}

/// A subscription that the broker ends, with its name in the ERROR.
fn check_cancelled(version: &str, subscribe: &str, subscription: &str, name: &str) {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_as(version, settings(close_on_error));
        for (frame, op) in [(subscribe, 2), ("SUBSCRIBE id:other destination:/queue/other", 3)] {
            it.client(frame);
            it.next();
            it.done(op);
        }
        it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
        it.expect(&format!(
            "ERROR message:Server_cancelled_subscription content-type:text/plain version:1.0,1.1,1.2 \
             stompgate-error:subscription_ended subscription:{subscription} | The server has canceled a \
             subscription.\nNo more messages will be delivered for \"{name}\"."
        ));
        if !close_on_error {
            it.deliver(2, 0, "still");
            assert!(it.next().ends_with("| still"));
            it.input(Input::SubscriptionEnded { key: SubscriptionKey(1) });
        }
        it.expect_end("subscription_ended", close_on_error);
    }
}

#[test]
fn e27_a16_a_subscription_that_the_broker_ends_is_named_and_others_go_on() {
    check_cancelled("1.2", "SUBSCRIBE id:x destination:/queue/a", "x", "id='x'");
    check_cancelled("1.0", "SUBSCRIBE destination:/queue/a", "/queue/a", "destination='/queue/a'");
}

#[test]
fn e29_a_transaction_without_name() {
    for command in ["BEGIN", "COMMIT", "ABORT"] {
        let text = format!("\"{command}\" must include a 'transaction' header");
        check("1.2", &[command], ("Missing transaction", "missing_header", &text), Off::GoesOn);
    }
}

#[test]
fn e30_a_transaction_that_is_not_open() {
    let frames = [
        "COMMIT transaction:tx",
        "ABORT transaction:tx",
        "SEND destination:/queue/a transaction:tx",
        "ACK id:x transaction:tx",
        "NACK id:x transaction:tx",
    ];
    for frame in frames {
        let text = "Invalid transaction identifier: \"tx\"";
        check("1.2", &[frame], ("Bad transaction", "transaction_unknown", text), Off::GoesOn);
    }
}

#[test]
fn e32_an_exception_of_the_broker_ends_the_session_either_way() {
    for (name, text) in [
        ("not_found", "NOT_FOUND - no exchange 'x' in vhost '/'"),
        ("precondition_failed", "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'a' in vhost '/'"),
        ("access_refused", "ACCESS_REFUSED - access to queue 'a' in vhost '/' refused for user 'ann'"),
    ] {
        check_broker(Fault::Amqp { name, text: text.to_owned() }, (name, "broker_exception", text), Off::Ends);
    }
}

#[test]
fn e33_the_loss_of_the_broker_ends_the_session_either_way() {
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_with(settings(close_on_error));
        it.input(Input::LinkLost(Fault::Unavailable));
        it.expect_error("broker_lost", "Connection to broker closed.");
        it.expect_end("broker_lost", true);
    }
}

#[test]
fn e34_a_limit_of_the_session() {
    let begin = ["BEGIN transaction:t", "BEGIN transaction:u"];
    let text = "A session holds at most 1 open transactions (session.transactions_max)";
    for close_on_error in [true, false] {
        let mut it = Dialogue::connected_with(settings(close_on_error));
        it.client(begin[0]);
        it.client(&with_receipt(begin[1]));
        it.expect_answer(("Limit exceeded", "limit_transactions", text), true);
        it.client("COMMIT transaction:t");
        it.expect(if close_on_error { "close 1002 limit_transactions" } else { "" });
    }
    let subscribe = |id| format!("SUBSCRIBE id:{id} destination:/queue/a");
    let frames = [subscribe(1), subscribe(2), subscribe(3)];
    let text = "A session holds at most 2 subscriptions (session.subscriptions_max)";
    let expected = ("Limit exceeded", "limit_subscriptions", text);
    check("1.2", &[&frames[0], &frames[1], &frames[2]], expected, Off::GoesOn);
}

#[test]
fn e35_the_broker_can_not_be_reached() {
    let expected = ("Broker not available.", "broker_unavailable", "Broker not available.");
    check_connect(Fault::Unavailable, expected);
    check_broker(Fault::Unavailable, expected, Off::GoesOn);
}

#[test]
fn e36_what_the_broker_did_not_do() {
    let check = |fault, label, text| check_broker(fault, ("Processing error", label, text), Off::GoesOn);
    check(Fault::Nacked, "nacked", "The broker refused the message");
    check(Fault::Refused("no".to_owned()), "broker_refused", "no");
    check(Fault::TimedOut(5), "broker_timeout", "The broker did not answer within 5 ms");
    check(Fault::Unsupported("not here"), "unsupported", "not here");
    let full = Fault::Full { what: "/queue/a".to_owned(), max: 10, unit: "messages", setting: "s" };
    check(full, "queue_full", "/queue/a is full: 10 messages (s)");
}

#[test]
fn e37_a_destination_that_no_rule_opens() {
    let text = "'/queue/a' is not open to clients here: a rule in auth.allow would open it";
    let fault = Fault::Forbidden { destination: "/queue/a".to_owned() };
    check_broker(fault, ("access_refused", "forbidden", text), Off::GoesOn);
}

#[test]
fn c11_a_second_connect_ends_the_session_either_way() {
    let text = "This session is connected already; CONNECT is sent once";
    let expected = ("Illegal command", "already_connected", text);
    check("1.2", &["CONNECT accept-version:1.2"], expected, Off::Ends);
}

#[test]
fn rc9_an_error_without_a_receipt_of_its_frame_has_none() {
    let mut it = Dialogue::connected_with(settings(false));
    it.client("SEND");
    let expected = ("Missing destination", "missing_header", "\"SEND\" must include a 'destination' header");
    it.expect_answer(expected, false);
}
