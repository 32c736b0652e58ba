//! Any inputs, in any order, keep the invariants of a session. Shared by the fuzz target and the property test.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stompgate::ident::{OpId, SessionId, SubscriptionKey};
use stompgate::message::{AckToken, Delivery, Message};
use stompgate::session::{AckScope, Action, Answer, Fault, Input, Sent, Session, Settings};
use stompgate::stomp::{Command, Decoder, Frame, Headers, Limits, Version};

const IN_FLIGHT_MAX: usize = 8;

/// Plays the driver, a client and a broker that do what the bytes say.
struct World {
    session: Session,
    now: Instant,
    version: Version,
    /// Asked of the broker and not answered.
    ops: VecDeque<OpId>,
    last_op: OpId,
    subscriptions: Vec<SubscriptionKey>,
    /// Tokens handed out, and whether they were settled.
    tokens: HashMap<AckToken, bool>,
    ack_ids: Vec<String>,
    asked: HashSet<String>,
    answered: HashSet<String>,
    publishes: usize,
    is_closed: bool,
}

/// `script` is read as one step a byte pair.
pub(crate) fn check(script: &[u8], start: Instant) {
    let is_set = |bit: u8| script.first().is_some_and(|it| it & bit != 0);
    let settings = Settings {
        bytes_per_second_max: if is_set(4) { 100 } else { 0 },
        messages_per_second_max: if is_set(8) { 4 } else { 0 },
        has_routes: is_set(16),
        ack_scope: if is_set(2) { AckScope::Session } else { AckScope::Subscription },
        close_on_error: !is_set(1),
        publishes_in_flight_max: IN_FLIGHT_MAX,
        subscriptions_max: 5,
        transactions_max: 2,
        transaction_frames_max: 4,
        transaction_bytes_max: 64,
        ..Settings::default()
    };
    let mut world = World {
        session: Session::new(SessionId::from_random([7; 16]), Arc::new(settings), start),
        now: start,
        version: Version::V1_0,
        ops: VecDeque::new(),
        last_op: OpId(0),
        subscriptions: Vec::new(),
        tokens: HashMap::new(),
        ack_ids: Vec::new(),
        asked: HashSet::new(),
        answered: HashSet::new(),
        publishes: 0,
        is_closed: false,
    };
    for pair in script.chunks(2) {
        world.step(pair[0], pair.get(1).copied().unwrap_or(0));
    }
}

impl World {
    fn step(&mut self, what: u8, detail: u8) {
        match what % 16 {
            0..8 => self.client(what, detail),
            8..10 => self.broker_answers(detail),
            10 => self.deliver(detail),
            11 => self.pass(Duration::from_secs(u64::from(detail) / 4)),
            12 => self.time_comes(),
            13 => self.input(match detail % 4 {
                0 => Input::ReadEnded,
                1 => Input::ReadPaused,
                2 => Input::ReadResumed,
                _ => Input::Received { bytes: usize::from(detail) },
            }),
            14 => self.input(match detail % 3 {
                0 => Input::WriteBlocked,
                1 => Input::Written,
                _ => Input::WrittenInPart,
            }),
            _ => self.rare(detail),
        }
    }

    fn rare(&mut self, detail: u8) {
        match detail {
            0..3 => self.input(Input::Drain),
            3 => self.input(Input::Draining),
            4 => self.input(Input::Gone),
            // What a handler may want.
            7 => self.input(Input::Dismissed),
            5 => self.input(Input::LinkLost(Fault::Unavailable)),
            6 => self.input(Input::Overflowed),
            _ => {
                if let Some(key) = self.subscriptions.get(usize::from(detail) % 8) {
                    self.input(Input::SubscriptionEnded { key: *key });
                }
            }
        }
    }

    /// The driver feeds a frame only while one is wanted.
    fn client(&mut self, what: u8, detail: u8) {
        if self.session.wants_frames() {
            let frame = self.frame(what, detail);
            if let Some(receipt) = frame.header("receipt") {
                self.asked.insert(receipt.to_owned());
            }
            self.input(Input::Frame(frame));
        }
    }

    fn frame(&self, what: u8, detail: u8) -> Frame {
        let number = detail % 4;
        let (id, transaction) = (format!("s{number}"), format!("t{}", detail % 3));
        let destination = ["/topic/a", "/queue/a", "/app/a", "/topic/a.*"][usize::from(detail / 4 % 4)];
        let subscription = if what & 64 == 0 { ("id", &*id) } else { ("destination", destination) };
        let receipt = format!("r{}", self.asked.len());
        let ack_id = self.ack_ids.get(usize::from(detail) % self.ack_ids.len().max(1)).map_or("none", |it| it);
        let ack_mode = ["auto", "client", "client-individual"][usize::from(detail / 16 % 3)];
        let mut headers: Vec<(&str, &str)> = Vec::new();
        let command = match what % 8 {
            0 if self.session.version().is_none() => {
                headers.push(("accept-version", ["1.0", "1.1", "1.2"][usize::from(detail % 3)]));
                headers.push(("heart-beat", ["0,0", "10000,10000", "5000,0", "x"][usize::from(detail / 3 % 4)]));
                Command::Connect
            }
            0 | 1 => {
                headers.push(("destination", destination));
                if detail & 64 != 0 {
                    headers.push(("transaction", &transaction));
                }
                if detail & 128 != 0 {
                    headers.push(("reply-to", "/temp-queue/x"));
                }
                Command::Send
            }
            2 => {
                headers.extend([subscription, ("destination", destination), ("ack", ack_mode)]);
                Command::Subscribe
            }
            3 => {
                headers.push(subscription);
                Command::Unsubscribe
            }
            4 | 5 => {
                headers.extend([("id", ack_id), ("message-id", ack_id)]);
                if detail & 64 != 0 {
                    headers.push(("transaction", &transaction));
                }
                if what & 16 == 0 { Command::Ack } else { Command::Nack }
            }
            6 => {
                headers.push(("transaction", &transaction));
                [Command::Begin, Command::Commit, Command::Abort][usize::from(detail / 4 % 3)]
            }
            _ if detail < 8 => Command::Disconnect,
            _ => Command::ALL[usize::from(detail) % Command::ALL.len()],
        };
        if what & 32 == 0 {
            headers.push(("receipt", &receipt));
        }
        let body =
            if command == Command::Send { Bytes::from(vec![b'x'; usize::from(detail / 8)]) } else { Bytes::new() };
        Frame { command, headers: headers.into_iter().collect(), body }
    }

    fn broker_answers(&mut self, detail: u8) {
        let Some(op) = self.ops.pop_front() else { return };
        let outcome = match detail % 8 {
            0 => Err(Fault::Nacked),
            1 => Err(Fault::Unavailable),
            2 => Err(Fault::Amqp { name: "not_found", text: "NOT_FOUND".to_owned() }),
            3 => Ok(Answer::Untold(Some(Fault::Nacked))),
            4 => Ok(Answer::Untold(None)),
            _ => Ok(Answer::Done),
        };
        self.input(Input::Done { op, outcome });
    }

    fn deliver(&mut self, detail: u8) {
        let Some(key) = self.subscriptions.get(usize::from(detail) % 8).copied() else { return };
        if !self.session.wants_deliveries() {
            return;
        }
        let token = (detail & 128 != 0).then(|| AckToken { scope: 1, tag: self.tokens.len() as u64 + 1 });
        if let Some(token) = token {
            self.tokens.insert(token, false);
        }
        let message = Message::new("m", "/topic/a", Headers::new(), Bytes::from_static(b"x"));
        let redelivered = detail & 64 != 0;
        let delivery = Delivery { subscription: key, message, token, redelivered };
        self.input(Input::Deliver { delivery, dropped: u64::from(detail / 16 % 2) });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Timeout);
    }

    /// Exactly when the session asked for it: it must make progress, or a driver would spin.
    fn time_comes(&mut self) {
        let Some(deadline) = self.session.poll_timeout() else { return };
        self.now = self.now.max(deadline);
        self.input(Input::Timeout);
        assert!(self.session.poll_timeout().is_none_or(|it| it > self.now), "a deadline that has passed still stands");
    }

    fn input(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(action) = self.session.poll_action() {
            assert!(!self.is_closed, "an action after the close: {action:?}");
            self.action(action);
        }
        if let Some(version) = self.session.version() {
            self.version = version;
        }
        assert!(self.publishes <= IN_FLIGHT_MAX + 4, "unconfirmed SENDs are bounded, but for those of one COMMIT");
        assert!(self.session.subscriptions() <= 5);
        if self.is_closed {
            assert!(!self.session.wants_frames() && !self.session.wants_deliveries());
            assert!(self.session.poll_timeout().is_none());
        }
    }

    fn action(&mut self, action: Action) {
        match action {
            Action::Close(_) => self.is_closed = true,
            Action::Open { op, .. } => self.asked_broker(op),
            Action::Ping | Action::Throttle(_) => {}
            Action::Publish { op, publish } => {
                self.asked_broker(op);
                self.subscriptions.extend(publish.reply_to);
            }
            Action::Settle { tokens, .. } => tokens.into_iter().for_each(|it| self.settled(it)),
            Action::SettleWhenWritten(token) => self.settled(token),
            Action::Subscribe { op, subscribe } => {
                self.asked_broker(op);
                self.subscriptions.push(subscribe.key);
            }
            Action::Transmit { sent, bytes } => self.transmitted(sent, &bytes),
            Action::Unsubscribe { op, .. } => self.asked_broker(op),
        }
        self.publishes = self.ops.len();
    }

    fn asked_broker(&mut self, op: OpId) {
        assert!(op > self.last_op, "operations have rising numbers");
        self.last_op = op;
        self.ops.push_back(op);
    }

    fn settled(&mut self, token: AckToken) {
        let was_settled = self.tokens.insert(token, true);
        assert_eq!(was_settled, Some(false), "{token:?} was settled twice, or never given");
    }

    fn transmitted(&mut self, sent: Sent, bytes: &[u8]) {
        if sent == Sent::HeartBeat {
            assert_eq!(bytes, b"\n");
            return;
        }
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(self.session.version().unwrap_or(self.version));
        decoder.feed(bytes);
        let frame = decoder.next_frame().expect("what is sent is well formed").expect("and whole");
        assert_eq!(decoder.buffered(), 0);
        if let Some(id) = frame.header("receipt-id") {
            assert!(self.asked.contains(id), "a receipt nobody asked for");
            assert!(self.answered.insert(id.to_owned()), "{id} was answered twice");
        }
        if sent == Sent::Message {
            self.ack_ids.extend(frame.header("message-id").filter(|it| *it != "m").map(str::to_owned));
        }
    }
}
