//! Sessions as dialogues: what goes in and what comes out, each as a line of text, with time passed in.

mod acks;
mod app;
mod closing;
mod connect;
mod errors;
mod foreign;
mod ordering;
mod rates;
mod receipts;
mod send;
mod states;
mod subscribe;
mod timers;
mod transactions;
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{AckMode, AckScope, Action, Answer, CloseReason, Fault, Holder, Input, Sent, Session, Settings, Verdict};
use crate::ident::{OpId, SessionId, SubscriptionKey};
use crate::message::{AckToken, Delivery, Message};
use crate::stomp::{DecodeError, Decoder, Frame, Headers, Limits, Version};

/// 16 zero bytes.
const SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A session and its clock.
struct Dialogue {
    session: Session,
    now: Instant,
    version: Version,
}

impl Dialogue {
    fn new(settings: Settings) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the only way to make an Instant; all others are reckoned from it"
        )]
        let now = Instant::now();
        let session = Session::new(SessionId::from_random([0; 16]), Arc::new(settings), now);
        Self { session, now, version: Version::V1_2 }
    }

    /// A connected session with heart-beats off.
    fn connected() -> Self {
        Self::connected_with(Settings::default())
    }

    fn connected_with(settings: Settings) -> Self {
        Self::connected_as("1.2", settings)
    }

    fn connected_as(version: &str, settings: Settings) -> Self {
        let mut it = Self::new(settings);
        it.client(&format!("CONNECT accept-version:{version}"));
        assert!(it.next().starts_with("open #1"));
        it.opened(1);
        assert!(it.next().starts_with("CONNECTED"));
        it.version = it.session.version().unwrap();
        it
    }

    /// A connected session with that subscription, whose key is 1.
    fn subscribed(id: &str, destination: &str, ack: &str) -> Self {
        let mut it = Self::connected();
        it.client(&format!("SUBSCRIBE id:{id} destination:{destination} ack:{ack}"));
        assert!(it.next().starts_with("subscribe #2 s1"));
        it.done(2);
        it
    }

    /// `COMMAND name:value name:value | body`; no blanks in values.
    fn client(&mut self, line: &str) {
        let frame = frame(line);
        self.input(Input::Frame(frame));
    }

    fn input(&mut self, input: Input) {
        self.session.handle(self.now, input);
    }

    fn opened(&mut self, op: u64) {
        self.input(Input::Done { op: OpId(op), outcome: Ok(Answer::Opened { principal: None }) });
    }

    fn done(&mut self, op: u64) {
        self.input(Input::Done { op: OpId(op), outcome: Ok(Answer::Done) });
    }

    fn failed(&mut self, op: u64, fault: Fault) {
        self.input(Input::Done { op: OpId(op), outcome: Err(fault) });
    }

    /// A delivery of `body` to the subscription with that key, to be settled under `token` unless that is 0.
    fn deliver(&mut self, key: u32, token: u64, body: &str) {
        self.deliver_again(key, token, body, false);
    }

    fn deliver_again(&mut self, key: u32, token: u64, body: &str, redelivered: bool) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let message = Message::new("m1", "/topic/a", Headers::new(), body);
        let token = (token > 0).then_some(AckToken { scope: 0, tag: token });
        let subscription = SubscriptionKey(key);
        let delivery = Delivery { subscription, message, token, redelivered };
        self.input(Input::Deliver { delivery, dropped: 0 });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Timeout);
    }

    fn next(&mut self) -> String {
        let action = self.session.poll_action();
        action.map(|it| show(&it, self.version)).unwrap_or_default()
    }

    #[track_caller]
    fn expect(&mut self, line: &str) {
        assert_eq!(self.next(), line);
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        self.expect("");
    }

    /// An ERROR with these words, then the close.
    #[track_caller]
    fn expect_refusal(&mut self, label: &str, title: &str) {
        self.expect_error(label, title);
        self.expect(&format!("close 1002 {label}"));
        self.expect_nothing();
    }

    #[track_caller]
    fn expect_error(&mut self, label: &str, title: &str) -> String {
        let line = self.next();
        let expected = format!(
            "ERROR message:{} content-type:text/plain version:1.0,1.1,1.2 stompgate-error:{label}",
            title.replace(' ', "_")
        );
        assert!(line.starts_with(&expected), "{line}\nis not\n{expected}");
        line
    }
}

fn frame(line: &str) -> Frame {
    let (head, body) = line.split_once(" | ").unwrap_or((line, ""));
    let mut words = head.split(' ');
    let command = crate::stomp::Command::parse(words.next().unwrap().as_bytes()).unwrap();
    let headers = words.map(|it| it.split_once(':').unwrap()).collect();
    Frame { command, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn show(action: &Action, version: Version) -> String {
    match action {
        Action::Close(reason) => format!("close {} {}", reason.closing().code, reason.closing().label),
        Action::Open { op, credentials } => {
            format!("open #{} {:?} {:?} {:?}", op.0, credentials.login, credentials.passcode, credentials.host)
        }
        Action::Ping => "ping".to_owned(),
        Action::Publish { op, publish } => {
            let body = String::from_utf8_lossy(&publish.body);
            let reply = publish.reply_to.map(|it| format!(" reply=s{}", it.0));
            let headers = show_headers(&publish.headers);
            format!("publish #{} {}{headers}{} | {body}", op.0, publish.destination, reply.unwrap_or_default())
        }
        Action::Settle { tokens, verdict } => format!("{} {}", show_verdict(*verdict), show_tokens(tokens)),
        Action::SettleWhenWritten(token) => format!("when written {}", token.tag),
        Action::Subscribe { op, subscribe } => {
            let ack = match subscribe.ack {
                AckMode::Auto => "auto",
                AckMode::Client => "client",
                AckMode::ClientIndividual => "individual",
            };
            let durable = if subscribe.is_durable { " durable" } else { "" };
            let (id, prefetch) = (subscribe.id.as_str(), subscribe.prefetch);
            format!(
                "subscribe #{} s{} {} id={id} {ack} {prefetch}{durable}",
                op.0, subscribe.key.0, subscribe.destination
            )
        }
        Action::Throttle(rate) => format!("throttle {rate:?}"),
        Action::Transmit { sent: Sent::HeartBeat, bytes } => {
            assert_eq!(&bytes[..], b"\n");
            "heart-beat".to_owned()
        }
        Action::Transmit { bytes, .. } => show_frame(bytes, version),
        Action::Unsubscribe { op, holder, unsubscribe, .. } => {
            let is_final = if unsubscribe.is_final { " final" } else { "" };
            let holder = if *holder == Holder::Nobody { " of nobody" } else { "" };
            format!("unsubscribe #{} s{}{is_final}{holder}", op.0, unsubscribe.key.0)
        }
    }
}

fn show_frame(bytes: &[u8], version: Version) -> String {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(version);
    decoder.feed(bytes);
    let frame = decoder.next_frame().unwrap().expect("an action carries whole frames");
    let headers = show_headers(&frame.headers);
    let body = String::from_utf8_lossy(&frame.body);
    let body = if body.is_empty() { String::new() } else { format!(" | {body}") };
    format!("{}{headers}{body}", frame.command.as_str())
}

fn show_headers(headers: &Headers) -> String {
    let shown = headers.iter().filter(|(name, _)| *name != "content-length");
    shown.map(|(name, value)| format!(" {name}:{}", value.replace(' ', "_"))).collect()
}

fn show_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accept",
        Verdict::Discarded => "discard",
        Verdict::Requeued => "requeue",
    }
}

fn show_tokens(tokens: &[AckToken]) -> String {
    tokens.iter().map(|it| it.tag.to_string()).collect::<Vec<_>>().join(",")
}
