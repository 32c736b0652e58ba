//! Every command in every state.

use super::*;
use crate::destination::DestinationError;
use crate::ident::SubscriptionId;
use crate::session::{HandlerFault, Limit, Refusal, SubscriptionName};
use crate::stomp::{Command, HeartBeatError};

/// The least that each command needs to be understood.
fn minimal(command: Command) -> String {
    let headers = match command {
        Command::Abort | Command::Begin | Command::Commit => " transaction:t",
        Command::Ack | Command::Nack => " id:x",
        Command::Connect | Command::Stomp => " accept-version:1.2",
        Command::Send => " destination:/queue/a",
        Command::Subscribe => " id:a destination:/topic/a",
        Command::Unsubscribe => " id:a",
        Command::Connected | Command::Disconnect | Command::Error | Command::Message | Command::Receipt => "",
    };
    format!("{}{headers}", command.as_str())
}

#[test]
fn before_connect_only_connect_is_understood() {
    for command in Command::ALL {
        let mut it = Dialogue::new(Settings::default());
        it.client(&minimal(command));
        if matches!(command, Command::Connect | Command::Stomp) {
            it.expect("open #1 None None None");
        } else {
            it.expect_refusal("not_connected", "Illegal command");
        }
    }
}

#[test]
fn once_connected_each_command_has_its_answer() {
    for command in Command::ALL {
        let mut it = Dialogue::connected();
        it.client(&minimal(command));
        match command {
            Command::Begin => it.expect_nothing(),
            Command::Disconnect => it.expect("close 1000 disconnect"),
            Command::Send => it.expect("publish #2 /queue/a | "),
            Command::Subscribe => it.expect("subscribe #2 s1 /topic/a id=a auto 64"),
            Command::Abort | Command::Commit => it.expect_refusal("transaction_unknown", "Bad transaction"),
            Command::Ack | Command::Nack => it.expect_refusal("invalid_header", "Invalid header"),
            Command::Connect | Command::Stomp => it.expect_refusal("already_connected", "Illegal command"),
            Command::Unsubscribe => it.expect_refusal("subscription_unknown", "No subscription found"),
            Command::Connected | Command::Error | Command::Message | Command::Receipt => {
                it.expect_refusal("server_command", "Bad command");
            }
        }
    }
}

#[test]
fn while_opening_leaving_or_closed_no_frame_has_an_effect() {
    let opening = || {
        let mut it = Dialogue::new(Settings::default());
        it.client("CONNECT accept-version:1.2");
        it.next();
        it
    };
    let leaving = || {
        let mut it = Dialogue::connected();
        it.client("SEND destination:/queue/a");
        it.client("DISCONNECT");
        it.next();
        it
    };
    let closed = || {
        let mut it = Dialogue::connected();
        it.input(Input::Gone);
        it.next();
        it
    };
    for command in Command::ALL {
        for mut it in [opening(), leaving(), closed()] {
            assert!(!it.session.wants_frames());
            it.client(&minimal(command));
            it.expect_nothing();
        }
    }
}

#[test]
fn faults_end_a_session_in_every_state() {
    let mut opening = Dialogue::new(Settings::default());
    opening.client("CONNECT accept-version:1.2");
    opening.next();
    for mut it in [Dialogue::new(Settings::default()), opening, Dialogue::connected()] {
        it.input(Input::Gone);
        it.expect("close 1006 gone");
        it.opened(1);
        it.expect_nothing();
    }
}

const HANDLER_FAULTS: [HandlerFault; 6] = [
    HandlerFault::Failed,
    HandlerFault::Limit,
    HandlerFault::Missing,
    HandlerFault::Refused,
    HandlerFault::TimedOut,
    HandlerFault::Unavailable,
];

/// One of each reason, and of each refusal.
pub(super) fn all_reasons() -> Vec<CloseReason> {
    let id = || "x".to_owned();
    let name = SubscriptionName::Id(SubscriptionId::new("x"));
    let refusals = vec![
        Refusal::AckMalformed { command: Command::Ack, header: "id" },
        Refusal::AckUnknown { id: id(), number: 1 },
        Refusal::AlreadyConnected,
        Refusal::BadAckMode(id()),
        Refusal::BadBoolean { header: "durable", value: id() },
        Refusal::BadExpiration(id()),
        Refusal::BadHeartBeat(HeartBeatError),
        Refusal::BadPrefetch(id()),
        Refusal::BadReplyTo(DestinationError::Blank),
        Refusal::Broker(Fault::AccessRefused { login: id() }),
        Refusal::Broker(Fault::Amqp { name: "not_found", text: id() }),
        Refusal::Broker(Fault::ConnectionLimit(id())),
        Refusal::Broker(Fault::Forbidden { destination: id() }),
        Refusal::Broker(Fault::Full { what: id(), max: 1, unit: "messages", setting: "x" }),
        Refusal::Broker(Fault::LoginMissing),
        Refusal::Broker(Fault::Nacked),
        Refusal::Broker(Fault::Refused(id())),
        Refusal::Broker(Fault::TimedOut(1)),
        Refusal::Broker(Fault::Unavailable),
        Refusal::Broker(Fault::Unsupported("x")),
        Refusal::Broker(Fault::UserSessions { user: id(), max: 1 }),
        Refusal::Broker(Fault::VhostRefused { vhost: id() }),
        Refusal::Destination(DestinationError::Blank),
        Refusal::DestinationNotFor { command: Command::Send, destination: id(), remedy: "x" },
        Refusal::DurableUnnamed,
        Refusal::Limit(Limit::Subscriptions { max: 1 }),
        Refusal::Limit(Limit::TransactionBytes { max: 1 }),
        Refusal::Limit(Limit::TransactionFrames { max: 1 }),
        Refusal::Limit(Limit::Transactions { max: 1 }),
        Refusal::Limit(Limit::Unsettled { max: 1 }),
        Refusal::MessageIdSent,
        Refusal::Missing { command: Command::Send, header: "destination" },
        Refusal::NotConnected,
        Refusal::ReservedId(Command::Subscribe),
        Refusal::ServerCommand(Command::Message),
        Refusal::SubscriptionEnded(name.clone()),
        Refusal::SubscriptionExists(name.clone()),
        Refusal::SubscriptionUnknown(name),
        Refusal::TransactionExists { id: id() },
        Refusal::TransactionUnknown { id: id() },
        Refusal::UnsubscribeUnnamed,
        Refusal::VersionMismatch,
    ];
    let reasons = vec![
        CloseReason::BrokerLost,
        CloseReason::ConnectTimeout { ms: 1 },
        CloseReason::Disconnected,
        CloseReason::Dismissed,
        CloseReason::Draining,
        CloseReason::Gone,
        CloseReason::HeartBeatLost { ms: 1 },
        CloseReason::Malformed(DecodeError::FrameTooLarge { max: 1, before_connect: true }),
        CloseReason::Malformed(DecodeError::HeadersTooLarge { max: 1 }),
        CloseReason::Malformed(DecodeError::NotUtf8),
        CloseReason::Malformed(DecodeError::TooManyHeaders { max: 1 }),
        CloseReason::Malformed(DecodeError::UnknownCommand(id())),
        CloseReason::MessageTooLarge { max: 1 },
        CloseReason::Panicked,
        CloseReason::SlowConsumer,
        CloseReason::TransportViolated { rule: "x" },
        CloseReason::WriteStalled { ms: 1 },
    ];
    let handlers = HANDLER_FAULTS.map(|cause| Refusal::Broker(Fault::Handler { cause, text: id() }));
    refusals.into_iter().chain(handlers).map(CloseReason::Refused).chain(reasons).collect()
}
