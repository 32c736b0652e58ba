//! Thousands of topics at once, as after the loss of RabbitMQ: how long they take, and what the rest feels of it.

use std::time::Duration;

use stompgate::broker::amqp::Settings;
use stompgate::destination::Destination;
use stompgate::session::AckMode;
use tokio::time::Instant;

use super::Gateway;
use crate::broker_contract::fixture::{Fixture, Session};

const TOPICS: usize = 10_000;

/// What a user would notice. Each step takes a few milliseconds when RabbitMQ has nothing else to do.
const BOUND: Duration = Duration::from_secs(1);

/// Who stood behind all of the binds would wait for most of the time that they take. Where a machine is so busy that this
/// part of it is more than [`BOUND`], a step may take as much.
const PART: u32 = 20;

/// For all of them, on a machine that is busy with much else.
const DEADLINE: Duration = Duration::from_secs(300);

/// How long the slowest of each step took.
#[derive(Debug)]
struct Slowest {
    begun: Instant,
    rounds: u32,
    confirm: Duration,
    delivery: Duration,
    queue: Duration,
    late_topic: Duration,
}

impl Slowest {
    fn begin() -> Self {
        let none = Duration::ZERO;
        Self { begun: Instant::now(), rounds: 0, confirm: none, delivery: none, queue: none, late_topic: none }
    }

    /// What others do meanwhile: a reader of a topic that was bound before, and sessions that come and go.
    async fn round(&mut self, fixture: &Fixture, reader: &mut Session, topic: &Destination) {
        assert!(self.begun.elapsed() < DEADLINE, "it does not end: {self:?}");
        let mut sender = fixture.open().await;
        let begun = Instant::now();
        sender.publish(topic, "x").await;
        self.confirm = self.confirm.max(begun.elapsed());
        reader.expect(&["x"]).await;
        self.delivery = self.delivery.max(begun.elapsed());
        let begun = Instant::now();
        sender.subscribe(&fixture.queue("of one")).await;
        self.queue = self.queue.max(begun.elapsed());
        let begun = Instant::now();
        sender.subscribe(&fixture.topic(&format!("late.{}", self.rounds))).await;
        self.late_topic = self.late_topic.max(begun.elapsed());
        sender.close();
        self.rounds += 1;
    }

    fn check(&self, what: &str) {
        let took = self.begun.elapsed();
        println!("{TOPICS} {what} in {took:?}: {self:?}");
        assert!(self.rounds > 3, "it was in progress: {self:?}");
        let bound = BOUND.max(took / PART);
        let steps = [self.confirm, self.delivery, self.queue, self.late_topic];
        assert!(steps.iter().all(|it| *it < bound), "more than {bound:?} while {what} went on: {self:?}");
    }
}

#[tokio::test]
async fn ten_thousand_binds_or_unbinds_in_progress_keep_nobody_else_waiting() {
    let gateway = Gateway::connected(Settings { unbind_linger: Duration::ZERO, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut reader = fixture.open().await;
    let topic = fixture.topic("before");
    reader.subscribe(&topic).await;
    // Each session has one subscribe in flight, as they all do when they come back.
    let mut sessions = Vec::new();
    for _ in 0..TOPICS {
        sessions.push(fixture.open().await);
    }

    let mut slowest = Slowest::begin();
    let mut pending = Vec::new();
    for (number, session) in sessions.iter_mut().enumerate() {
        pending.push(session.start_subscribe(&fixture.topic(&format!("many.{number}")), AckMode::Auto, 1).1);
    }
    while gateway.metric("feed_bindings", "") < TOPICS as f64 {
        slowest.round(&fixture, &mut reader, &topic).await;
    }
    slowest.check("binds");
    for it in pending {
        it.await.unwrap();
    }
    let last = sessions.last_mut().unwrap();
    last.publish(&fixture.topic(&format!("many.{}", TOPICS - 1)), "y").await;
    last.expect(&["y"]).await;

    let mut slowest = Slowest::begin();
    sessions.into_iter().for_each(Session::close);
    while gateway.metric("feed_bindings", "") > 2.0 {
        slowest.round(&fixture, &mut reader, &topic).await;
    }
    slowest.check("unbinds");
    gateway.stop().await;
}

#[tokio::test]
async fn a_thousand_sessions_that_ask_for_the_same_new_topic_make_one_bind() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let topic = fixture.topic("same");
    let mut sessions = Vec::new();
    for _ in 0..1_000 {
        sessions.push(fixture.open().await);
    }
    let pending: Vec<_> = sessions.iter_mut().map(|it| it.start_subscribe(&topic, AckMode::Auto, 1).1).collect();
    for it in pending {
        it.await.unwrap();
    }
    // It counts the binds that were made and not undone.
    assert_eq!(gateway.metric("feed_bindings", ""), 1.0);
    sessions[0].publish(&topic, "x").await;
    for session in &mut sessions {
        session.expect(&["x"]).await;
    }
    gateway.stop().await;
}
