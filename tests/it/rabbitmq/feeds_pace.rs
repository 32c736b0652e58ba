//! Thousands of topics at once, as after the loss of RabbitMQ: how long they take, and what the rest feels of it.

use std::time::Duration;

use stompgate::broker::amqp::Settings;
use stompgate::session::AckMode;
use tokio::time::Instant;

use super::Gateway;

const TOPICS: usize = 10_000;

/// What a user would notice. Each step takes a few milliseconds when RabbitMQ has nothing else to do.
const BOUND: Duration = Duration::from_secs(1);

/// Who stood behind all of the binds would wait for most of the time that they take. Where a machine is so busy that this
/// part of it is more than [`BOUND`], a step may take as much.
const PART: u32 = 20;

#[tokio::test]
async fn ten_thousand_binds_in_progress_keep_nobody_else_waiting() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let mut reader = fixture.open().await;
    let before = fixture.topic("before");
    reader.subscribe(&before).await;
    // Each session has one subscribe in flight, as they all do when they come back.
    let mut sessions = Vec::new();
    for _ in 0..TOPICS {
        sessions.push(fixture.open().await);
    }
    let begun = Instant::now();
    let mut pending = Vec::new();
    for (number, session) in sessions.iter_mut().enumerate() {
        pending.push(session.start_subscribe(&fixture.topic(&format!("many.{number}")), AckMode::Auto, 1).1);
    }
    let mut slowest = [Duration::ZERO; 4];
    let mut rounds = 0;
    while gateway.metric("feed_bindings", "") < TOPICS as f64 {
        let mut took = [Duration::ZERO; 4];
        let mut sender = fixture.open().await;
        let confirm = Instant::now();
        sender.publish(&before, "x").await;
        took[0] = confirm.elapsed();
        reader.expect(&["x"]).await;
        took[1] = confirm.elapsed();
        let queue = Instant::now();
        sender.subscribe(&fixture.queue(&rounds.to_string())).await;
        took[2] = queue.elapsed();
        let late = Instant::now();
        sender.subscribe(&fixture.topic(&format!("late.{rounds}"))).await;
        took[3] = late.elapsed();
        sender.close();
        for (slowest, took) in slowest.iter_mut().zip(took) {
            *slowest = took.max(*slowest);
        }
        rounds += 1;
    }
    let took = begun.elapsed();
    for it in pending {
        it.await.unwrap();
    }
    let [confirm, delivery, queue, late] = slowest;
    let rate = TOPICS as f64 / took.as_secs_f64();
    println!(
        "{TOPICS} binds in {took:?} ({rate:.0} a second); the slowest of {rounds} rounds: confirm {confirm:?}, delivery \
         {delivery:?}, declare and consume of a queue {queue:?}, one more topic {late:?}"
    );
    assert!(rounds > 3, "it was in progress: {rounds} rounds");
    assert!(slowest.iter().all(|it| *it < BOUND.max(took / PART)), "{slowest:?}");
    // The last of them is as good as the first.
    let last = sessions.last_mut().unwrap();
    last.publish(&fixture.topic(&format!("many.{}", TOPICS - 1)), "y").await;
    last.expect(&["y"]).await;
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
