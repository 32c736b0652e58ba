//! A backlog before a broker that reads and confirms when it likes, in any order, and is lost at any moment.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lapin::{BasicProperties, Confirmation, ErrorKind};
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::broker::amqp::context::unbounded;
use crate::broker::amqp::metrics::Metrics;
use crate::broker::amqp::publishing::Routed;
use crate::broker::amqp::publishing::outgoing::{LOSSES_MAX, Turn};
use crate::broker::amqp::publishing::window::State;
use crate::broker::room::{Bound, Room};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Registry;

const WINDOW_MAX: usize = 5;
const SESSIONS: u8 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish {
        session: u8,
        needs_preparation: bool,
    },
    /// Also what can't be published is answered in its turn.
    Refuse(u8),
    Prepared {
        session: u8,
        is_refused: bool,
    },
    Write,
    /// The broker has read so many, and routed them.
    Read(usize),
    Confirm {
        which: usize,
        is_accepted: bool,
    },
    Settle,
    Suspect(u8),
    Expire,
    /// The generation ends.
    Lose,
    /// The next one begins.
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let session = || 0..SESSIONS;
    prop_oneof![
        8 => (session(), prop::bool::weighted(0.2))
            .prop_map(|(session, needs_preparation)| Step::Publish { session, needs_preparation }),
        1 => session().prop_map(Step::Refuse),
        3 => (session(), prop::bool::weighted(0.2))
            .prop_map(|(session, is_refused)| Step::Prepared { session, is_refused }),
        6 => Just(Step::Write),
        6 => (1..4_usize).prop_map(Step::Read),
        4 => (0..WINDOW_MAX, prop::bool::weighted(0.9))
            .prop_map(|(which, is_accepted)| Step::Confirm { which, is_accepted }),
        5 => Just(Step::Settle),
        1 => session().prop_map(Step::Suspect),
        1 => Just(Step::Expire),
        2 => Just(Step::Lose),
        3 => Just(Step::Connect),
    ]
}

type Confirmed = BoxFuture<'static, lapin::Result<Confirmation>>;
type Outcome = Result<(), Fault>;

/// A message that was written: its number, and how its writer hears of it.
struct Written {
    number: usize,
    /// Who waits for its bytes to be written.
    read: Option<oneshot::Sender<()>>,
    confirmed: oneshot::Sender<Confirmation>,
}

struct Model {
    backlog: Backlog<Confirmed>,
    room: Arc<Room>,
    metrics: Metrics,
    begun: Instant,
    is_connected: bool,
    /// Whose each message is, and whether it needs its session to be prepared.
    messages: Vec<(u8, bool)>,
    /// Sessions that are prepared in this generation, and those that wait for it.
    prepared: HashSet<u8>,
    preparing: HashSet<u8>,
    on_the_way: VecDeque<Written>,
    unconfirmed: Vec<Written>,
    /// What the broker has read, whatever became of its confirm.
    routed: Vec<usize>,
    confirmed: HashSet<usize>,
    written_now: Vec<usize>,
    times_written: Vec<u32>,
    answers: Vec<(usize, Outcome)>,
}

impl Model {
    fn new() -> Self {
        let metrics = Metrics::new(&Registry::default());
        let bound = Bound { bytes_max: 1 << 30, what: "", setting: "" };
        Self {
            backlog: Backlog::new(WINDOW_MAX, Counts::new(&metrics)),
            room: Room::new(bound, metrics.publish_queue.waiting.clone(), &unbounded()),
            metrics,
            begun: Instant::now(),
            is_connected: false,
            messages: Vec::new(),
            prepared: HashSet::new(),
            preparing: HashSet::new(),
            on_the_way: VecDeque::new(),
            unconfirmed: Vec::new(),
            routed: Vec::new(),
            confirmed: HashSet::new(),
            written_now: Vec::new(),
            times_written: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish { session, needs_preparation } => self.publish(session, needs_preparation, Ok(routed())),
            Step::Refuse(session) => self.publish(session, false, Err(Fault::Nacked)),
            Step::Prepared { session, is_refused } => self.prepare(session, is_refused),
            Step::Write => self.write(),
            Step::Read(count) => self.read(count),
            Step::Confirm { which, is_accepted } => self.confirm(which, is_accepted),
            Step::Settle => self.settle(),
            Step::Suspect(session) => self.backlog.suspects.insert(id(session), Instant::now()),
            Step::Expire => self.expire(),
            Step::Lose => self.lose(),
            Step::Connect => self.connect(),
        }
    }

    /// Its time says which number it has.
    fn publish(&mut self, session: u8, needs_preparation: bool, content: Result<Box<Routed>, Fault>) {
        let place = self.room.take(0).unwrap();
        let mut publish = Outgoing::new(id(session), content, place, Lifecycle::default().hold(), oneshot::channel().0);
        publish.called = self.begun + Duration::from_secs(self.messages.len() as u64);
        self.messages.push((session, needs_preparation));
        self.times_written.push(0);
        self.admit(publish);
    }

    fn number(&self, publish: &Outgoing) -> usize {
        usize::try_from((publish.called - self.begun).as_secs()).unwrap()
    }

    fn admit(&mut self, publish: Outgoing) {
        let needs = needs_preparation(self.is_connected, self.begun, &self.messages, &self.prepared);
        let session = self.messages[self.number(&publish)].0;
        if self.backlog.admit(publish, needs) {
            self.preparing.insert(session);
        }
    }

    fn prepare(&mut self, session: u8, is_refused: bool) {
        if !self.preparing.remove(&session) {
            return;
        }
        let outcome = if is_refused { Err(Fault::Nacked) } else { Ok(()) };
        if !is_refused {
            self.prepared.insert(session);
        }
        let needs = needs_preparation(self.is_connected, self.begun, &self.messages, &self.prepared);
        if self.backlog.prepared(id(session), outcome, needs) {
            self.preparing.insert(session);
        }
    }

    fn write(&mut self) {
        let count = self.backlog.writable();
        if !self.is_connected || count == 0 || self.backlog.window.is_writing() {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        for publish in self.backlog.take(count) {
            let state = match &publish.turn {
                Turn::Answer(outcome) => State::Answered(outcome.clone()),
                Turn::Write(_) => self.written(&publish),
            };
            self.backlog.window.push(publish, state, None, &mut cx);
        }
        assert!(self.backlog.window.len() <= WINDOW_MAX);
    }

    fn written(&mut self, publish: &Outgoing) -> State<Confirmed> {
        let number = self.number(publish);
        assert!(!self.confirmed.contains(&number), "{number} is written though it was confirmed");
        assert!(!publish.goes_alone() || self.backlog.window.is_empty(), "{number} is not alone");
        self.written_now.push(number);
        self.times_written[number] += 1;
        let (read, is_read) = oneshot::channel();
        let (confirmed, confirm) = oneshot::channel();
        self.on_the_way.push_back(Written { number, read: Some(read), confirmed });
        let confirm = confirm.map(|it| it.map_err(|_| lost())).boxed();
        // The library takes some of them before they are on their way.
        let is_taken = number.is_multiple_of(2);
        State::Writing(
            async move {
                if !is_taken {
                    is_read.await.map_err(|_| lost())?;
                }
                Ok(confirm)
            }
            .boxed(),
        )
    }

    fn read(&mut self, count: usize) {
        let count = count.min(self.on_the_way.len());
        for mut written in self.on_the_way.drain(..count) {
            self.routed.push(written.number);
            // The others are not waited for.
            if let Some(read) = written.read.take().filter(|it| !it.is_closed()) {
                read.send(()).unwrap();
            }
            self.unconfirmed.push(written);
        }
    }

    fn confirm(&mut self, which: usize, is_accepted: bool) {
        if which >= self.unconfirmed.len() {
            return;
        }
        let Written { number, confirmed, .. } = self.unconfirmed.remove(which);
        let confirmation = if is_accepted { Confirmation::Ack(None) } else { Confirmation::Nack(None) };
        if confirmed.send(confirmation).is_ok() {
            self.confirmed.insert(number);
        }
    }

    fn settle(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.backlog.window.poll(&mut cx).is_ready() {
            let Some(front) = self.backlog.window.front() else { return };
            match &front.state {
                State::Answered(outcome) => {
                    let outcome = outcome.clone();
                    let publish = self.backlog.window.pop().unwrap().publish;
                    self.answer(&publish, outcome);
                }
                State::Failed(_) => {
                    assert!(!self.is_connected, "only the loss of a generation fails a message here");
                    front.state = State::Waiting;
                }
                State::Confirming { .. } | State::Waiting | State::Writing(_) => {}
            }
        }
    }

    /// For whatever is in the older half.
    fn expire(&mut self) {
        let end = self.begun + Duration::from_secs(self.messages.len() as u64 / 2);
        for publish in self.backlog.take_overdue(|it| it.called < end) {
            self.answer(&publish, Err(Fault::Unavailable));
        }
    }

    fn answer(&mut self, publish: &Outgoing, outcome: Outcome) {
        let number = self.number(publish);
        let session = self.messages[number].0;
        let last = self.answers.iter().rev().find(|it| self.messages[it.0].0 == session);
        assert!(last.is_none_or(|it| it.0 < number), "{number} is answered after {last:?}");
        assert!(outcome.is_err() || self.confirmed.contains(&number), "{number} was not confirmed");
        self.answers.push((number, outcome));
    }

    fn lose(&mut self) {
        self.is_connected = false;
        self.backlog.end_generation();
        self.prepared.clear();
        self.preparing.clear();
        self.on_the_way.clear();
        self.unconfirmed.clear();
        self.check_written();
    }

    fn connect(&mut self) {
        if self.is_connected {
            return;
        }
        self.is_connected = true;
        for publish in self.backlog.take_all() {
            self.admit(publish);
        }
    }

    /// In one generation nothing is written twice here, and each session's in order.
    fn check_written(&mut self) {
        self.check_order(&self.written_now);
        self.written_now.clear();
    }

    fn check_order(&self, numbers: &[usize]) {
        for session in 0..SESSIONS {
            let own: Vec<_> = numbers.iter().filter(|it| self.messages[**it].0 == session).collect();
            assert!(own.is_sorted_by(|a, b| a < b), "session {session} has {own:?} of {numbers:?}");
        }
    }

    /// From now on the broker does all that it should.
    fn finish(&mut self) {
        while self.answers.len() < self.messages.len() {
            let before = (self.answers.len(), self.preparing.len(), self.routed.len(), self.confirmed.len());
            self.connect();
            (0..SESSIONS).for_each(|it| self.prepare(it, false));
            self.write();
            self.read(usize::MAX);
            while !self.unconfirmed.is_empty() {
                self.confirm(0, true);
            }
            self.settle();
            let after = (self.answers.len(), self.preparing.len(), self.routed.len(), self.confirmed.len());
            assert_ne!(before, after, "nothing goes on");
        }
        self.check_written();
        let mut seen = HashSet::new();
        let first_of_each: Vec<_> = self.routed.iter().copied().filter(|it| seen.insert(*it)).collect();
        self.check_order(&first_of_each);
        for (number, outcome) in &self.answers {
            assert!(outcome.is_err() || seen.contains(number), "{number} is lost");
        }
        assert!(self.times_written.iter().all(|it| *it <= LOSSES_MAX + 1), "{:?}", self.times_written);
        assert_eq!(self.metrics.publishes_in_flight.get(), 0);
        assert_eq!(self.metrics.publish_queue.waiting.messages.get(), 0);
    }
}

fn needs_preparation(
    is_connected: bool,
    begun: Instant,
    messages: &[(u8, bool)],
    prepared: &HashSet<u8>,
) -> impl Fn(&Outgoing) -> bool {
    move |publish| {
        let (session, needs_preparation) = messages[usize::try_from((publish.called - begun).as_secs()).unwrap()];
        is_connected && publish.content().is_some() && needs_preparation && !prepared.contains(&session)
    }
}

fn id(session: u8) -> SessionId {
    SessionId::from_random([session; 16])
}

fn lost() -> lapin::Error {
    ErrorKind::MissingHeartbeatError.into()
}

fn routed() -> Box<Routed> {
    Box::new(Routed {
        exchange: "".into(),
        is_exchange_unsure: false,
        is_mandatory: false,
        key: "".into(),
        properties: BasicProperties::default(),
        body: bytes::Bytes::new(),
        queue: None,
        replies: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_publish_is_answered_once_in_order_and_none_is_lost_whenever_generations_end(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
        }
        model.finish();
    }
}

/// The broker may have let go of the queues of this gateway before it routed the one to an exchange.
#[test]
fn of_what_is_confirmed_and_not_answered_at_a_loss_that_to_exchanges_is_published_again() {
    let mut model = Model::new();
    let to_exchange = Box::new(Routed { exchange: "amq.topic".into(), ..*routed() });
    model.publish(0, false, Ok(routed()));
    model.publish(1, false, Ok(to_exchange));
    model.connect();
    model.write();
    model.read(usize::MAX);
    model.confirm(0, true);
    model.confirm(0, true);
    model.lose();
    model.confirmed.remove(&1);
    model.finish();
    assert_eq!(model.times_written, [1, 2]);
}

/// It would be published for ever, and everybody's with it.
#[test]
fn a_publish_that_costs_each_generation_is_refused_and_costs_no_other() {
    let mut model = Model::new();
    for number in 0..4 {
        model.publish(number % 2, false, Ok(routed()));
    }
    for _ in 0..=LOSSES_MAX {
        model.connect();
        while !model.written_now.contains(&1) {
            model.write();
            model.read(usize::MAX);
            if !model.written_now.contains(&1) {
                model.confirm(0, true);
            }
            model.settle();
        }
        model.lose();
    }
    model.finish();
    let outcome = |number| &model.answers.iter().find(|it| it.0 == number).unwrap().1;
    assert_eq!(*outcome(1), Err(Fault::Unavailable));
    assert!([0, 2, 3].iter().all(|it| outcome(*it).is_ok()));
    assert_eq!(model.times_written, [3, LOSSES_MAX + 1, 3, 3]);
}
