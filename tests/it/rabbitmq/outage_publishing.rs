//! What is published while RabbitMQ is away, or goes away: `broker.outage = "hold"`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join, join_all};
use futures::stream::FuturesOrdered;
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use stompgate::broker::amqp::Settings;
use stompgate::broker::{Outage, Pending};
use stompgate::destination::Destination;
use stompgate::session::Fault;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Gateway;
use super::loss::{behind, broker_address};
use super::node::Node;
use super::proxy::Proxy;
use super::support::{eventually, foreign_channel};
use crate::broker_contract::fixture::{Session, done};

/// Ports of each [`Node`].
const KILLED_AFTER: u16 = 40;
const STOPPED_AFTER: u16 = 30;

/// With the start of a node.
const ALL_WITHIN: Duration = Duration::from_secs(120);

const OPERATION_TIMEOUT: Duration = Duration::from_millis(500);

fn holding() -> Settings {
    let reconnect_delay_max = Duration::from_millis(400);
    Settings { outage: Outage::Hold, reconnect_delay_max, publishers: 1, ..Settings::default() }
}

async fn is_down(proxy: &Proxy, gateway: &Gateway) {
    proxy.go_down();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
}

/// Publishes numbers, which are kept over a restart.
fn send(session: &mut Session, queue: &Destination, numbers: std::ops::Range<usize>) -> Vec<Pending> {
    let headers = [("persistent", "true")];
    numbers.map(|it| session.start_publish_with(queue, &headers, it.to_string().as_bytes())).collect()
}

async fn are_done(pending: Vec<Pending>) {
    for it in pending {
        done(it).await;
    }
}

/// All that the queue holds.
async fn drained(channel: &Channel, queue: &Destination) -> Vec<usize> {
    let name = queue.to_string().replace("/queue/", "");
    let mut numbers = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(name.clone().into(), options).await.unwrap() {
        numbers.push(std::str::from_utf8(&message.data).unwrap().parse().unwrap());
    }
    numbers
}

/// Without those that came again.
fn first_of_each(numbers: &[usize]) -> Vec<usize> {
    let mut seen = std::collections::HashSet::new();
    numbers.iter().copied().filter(|it| seen.insert(*it)).collect()
}

#[tokio::test]
async fn what_was_sent_before_and_while_rabbitmq_is_away_is_published_in_order_at_once_when_it_is_back() {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, holding()).await;
    let fixture = gateway.fixture();
    let mut sessions = Vec::new();
    for number in 0..10 {
        let (mut session, queue) = (fixture.open().await, fixture.queue(&number.to_string()));
        are_done(send(&mut session, &queue, 0..1)).await;
        sessions.push((session, queue));
    }
    let (mut gone, gone_queue) = (fixture.open().await, fixture.queue("gone"));
    proxy.fall_silent();
    let mut pending: Vec<_> = sessions.iter_mut().flat_map(|(it, queue)| send(it, queue, 1..31)).collect();
    is_down(&proxy, &gateway).await;
    pending.extend(sessions.iter_mut().flat_map(|(it, queue)| send(it, queue, 31..101)));
    // It was accepted, whether somebody waits for a RECEIPT or not.
    drop(send(&mut gone, &gone_queue, 0..3));
    gone.close();
    assert_eq!(gateway.metric("publish_queue_messages", ""), 1_003.0);
    assert!(gateway.metric("publish_queue_bytes", "") >= 512_000.0);
    let mut held = join_all(pending);
    assert!(timeout(Duration::from_secs(3), &mut held).await.is_err(), "nothing is told meanwhile");
    proxy.come_up();
    let begun = Instant::now();
    assert!(held.await.iter().all(Result::is_ok));
    let resumed = begun.elapsed();
    println!("1,000 messages that were held for 3 s were published {resumed:?} after RabbitMQ was back");
    assert!(resumed < Duration::from_secs(3), "{resumed:?}");
    eventually("all is published", async || gateway.metric("publish_queue_messages", "") == 0.0).await;
    let channel = foreign_channel().await;
    for (_, queue) in &sessions {
        let numbers = drained(&channel, queue).await;
        assert_eq!(first_of_each(&numbers), (0..101).collect::<Vec<_>>());
    }
    assert_eq!(drained(&channel, &gone_queue).await, [0, 1, 2]);
    assert_eq!(gateway.metric("publishes_expired_total", ""), 0.0);
    assert!((1.0..=300.0).contains(&gateway.metric("republished_total", "")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_silent_rabbitmq_is_not_told_and_the_next_generation_publishes_all() {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, Settings { operation_timeout: OPERATION_TIMEOUT, ..holding() }).await;
    let fixture = gateway.fixture();
    let (mut session, mut other) = (fixture.open().await, fixture.open().await);
    let (queue, undeclared) = (fixture.queue("a"), fixture.queue("b"));
    are_done(send(&mut session, &queue, 0..1)).await;
    proxy.fall_silent();
    let mut pending = send(&mut session, &queue, 1..10);
    pending.extend(send(&mut other, &undeclared, 0..10));
    pending.push(other.start_publish(&Destination::Exchange { name: "amq.fanout".into(), key: "".into() }, "x"));
    let mut held = join_all(pending);
    assert!(timeout(4 * OPERATION_TIMEOUT, &mut held).await.is_err(), "no time-out is told");
    proxy.cut();
    assert!(held.await.iter().all(Result::is_ok));
    let channel = foreign_channel().await;
    assert_eq!(drained(&channel, &queue).await, (0..10).collect::<Vec<_>>());
    assert_eq!(drained(&channel, &undeclared).await, (0..10).collect::<Vec<_>>());
    gateway.stop().await;
}

#[tokio::test]
async fn one_byte_more_than_the_room_is_refused_while_rabbitmq_is_away_and_the_others_are_held() {
    let proxy = Proxy::start(broker_address()).await;
    let publish_queue_bytes_max = 4 * (512 + 1_000);
    let gateway = behind(&proxy, Settings { publish_queue_bytes_max, ..holding() }).await;
    let mut session = gateway.fixture().open().await;
    let (topic, text) = (gateway.fixture().topic("a"), "x".repeat(1_000));
    is_down(&proxy, &gateway).await;
    let held: Vec<_> = (0..4).map(|_| session.start_publish(&topic, &text)).collect();
    let refused = session.start_publish(&topic, "").await;
    let Err(Fault::Full { max, setting, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((max, setting), (publish_queue_bytes_max, "broker.amqp.publish_queue_bytes_max"));
    proxy.come_up();
    are_done(held).await;
    done(session.start_publish(&topic, &text)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_held_too_long_is_refused_written_or_not() {
    let proxy = Proxy::start(broker_address()).await;
    let hold_time = Duration::from_millis(700);
    let gateway = behind(&proxy, Settings { hold_time, ..holding() }).await;
    let fixture = gateway.fixture();
    let (mut session, queue) = (fixture.open().await, fixture.queue("a"));
    are_done(send(&mut session, &queue, 0..1)).await;
    proxy.fall_silent();
    let begun = Instant::now();
    let mut pending = send(&mut session, &queue, 1..5);
    pending.extend(send(&mut session, &fixture.queue("undeclared"), 0..3));
    for it in pending {
        assert_eq!(it.await, Err(Fault::Unavailable));
    }
    assert!((hold_time..3 * hold_time).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    is_down(&proxy, &gateway).await;
    let begun = Instant::now();
    let pending = send(&mut session, &queue, 5..105);
    assert!(join_all(pending).await.iter().all(|it| *it == Err(Fault::Unavailable)));
    assert!((hold_time..3 * hold_time).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(gateway.metric("publishes_expired_total", ""), 107.0);
    proxy.come_up();
    gateway.is_ready().await;
    are_done(send(&mut session, &queue, 200..201)).await;
    assert_eq!(drained(&foreign_channel().await, &queue).await, [0, 200]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_time_to_hold_does_not_run_while_rabbitmq_blocks() {
    let proxy = Proxy::start(broker_address()).await;
    let hold_time = Duration::from_millis(500);
    let gateway = behind(&proxy, Settings { hold_time, ..holding() }).await;
    let fixture = gateway.fixture();
    let (mut session, topic) = (fixture.open().await, fixture.topic("a"));
    session.publish(&topic, "before").await;
    proxy.block();
    eventually("it is blocked", async || gateway.metric("blocked", "") == 1.0).await;
    let mut held = join_all((0..100).map(|_| session.start_publish(&topic, "while")).collect::<Vec<_>>());
    assert!(timeout(4 * hold_time, &mut held).await.is_err(), "nothing is told while it is blocked");
    proxy.unblock();
    assert!(held.await.iter().all(Result::is_ok));
    assert_eq!(gateway.metric("publishes_expired_total", ""), 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_costs_each_generation_is_given_up_and_all_others_are_published() {
    let proxy = Proxy::start(broker_address()).await;
    let gateway = behind(&proxy, holding()).await;
    let fixture = gateway.fixture();
    let (mut careless, mut other) = (fixture.open().await, fixture.open().await);
    let (queue, others) = (fixture.queue("a"), fixture.queue("b"));
    are_done(send(&mut careless, &queue, 0..1)).await;
    are_done(send(&mut other, &others, 0..1)).await;
    proxy.cut_at("poison for RabbitMQ");
    let mut pending = send(&mut careless, &queue, 1..50);
    pending.extend(send(&mut other, &others, 1..200));
    let poison = careless.start_publish(&queue, "poison for RabbitMQ");
    pending.extend(send(&mut careless, &queue, 50..100));
    pending.extend(send(&mut other, &others, 200..400));
    assert!(join_all(pending).await.iter().all(Result::is_ok));
    assert_eq!(poison.await, Err(Fault::Unavailable));
    let connects = gateway.metric("connects_total", "connected");
    println!("found after {connects} connects; {} published again", gateway.metric("republished_total", ""));
    assert!(connects <= 13.0, "{connects}");
    let channel = foreign_channel().await;
    assert_eq!(first_of_each(&drained(&channel, &queue).await), (0..100).collect::<Vec<_>>());
    assert_eq!(first_of_each(&drained(&channel, &others).await), (0..400).collect::<Vec<_>>());
    gateway.stop().await;
}

/// SENDs of one session that are not answered at a time.
const IN_FLIGHT_MAX: usize = 64;

/// Sends until some time after the kill. Returns what was answered with a RECEIPT.
async fn keep_sending(
    mut session: Session,
    queue: Destination,
    confirmed: Arc<AtomicUsize>,
    killed: Arc<AtomicUsize>,
) -> Vec<usize> {
    let (mut pending, mut number, mut last, mut receipted) = (FuturesOrdered::new(), 1, None, vec![0]);
    while last.is_none_or(|last| number < last) || !pending.is_empty() {
        if last.is_none() && killed.load(Ordering::Relaxed) > 0 {
            last = Some(number + 200);
        }
        if pending.len() < IN_FLIGHT_MAX && last.is_none_or(|last| number < last) {
            let sent = send(&mut session, &queue, number..number + 1).remove(0);
            let of = number;
            pending.push_back(async move { (of, sent.await) });
            number += 1;
            continue;
        }
        let (of, outcome) = pending.next().await.expect("it is not empty");
        assert_eq!(outcome, Ok(()), "of {of}");
        receipted.push(of);
        confirmed.fetch_add(1, Ordering::Relaxed);
    }
    session.close();
    receipted
}

/// What was receipted is there, in order, when the node has gone and come back under load.
async fn loses_nothing(node: &Node, goes: impl AsyncFnOnce(&Node), comes_back: impl AsyncFnOnce(&Node)) {
    let settings = Settings { hold_time: Duration::from_secs(300), publishers: 2, ..holding() };
    let gateway = Gateway::started(Settings { urls: vec![node.url()], ..settings });
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let (confirmed, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let queues: Vec<_> = (0..4).map(|it| fixture.queue(&it.to_string())).collect();
    let mut sessions = Vec::new();
    for queue in &queues {
        let mut session = fixture.open().await;
        are_done(send(&mut session, queue, 0..1)).await;
        sessions.push(session);
    }
    node.keeps_what_was_declared().await;
    let mut senders = JoinSet::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let sending = keep_sending(session, queues[number].clone(), confirmed.clone(), killed.clone());
        senders.spawn(async move { (number, sending.await) });
    }
    eventually("it is under load", async || confirmed.load(Ordering::Relaxed) > 1_000).await;
    goes(node).await;
    killed.store(1, Ordering::Relaxed);
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    let all_is_answered = async {
        let back = node.is_back().await;
        let receipted = senders.join_all().await;
        println!("all was published {:?} after the node took connections", back.elapsed());
        receipted
    };
    let ((), receipted) = join(comes_back(node), timeout(ALL_WITHIN, all_is_answered)).await;
    let receipted = receipted.expect("all is answered");
    let connection = Connection::connect(&node.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for (number, receipted) in receipted {
        let kept = drained(&channel, &queues[number]).await;
        println!("session {number}: {} receipted, {} kept", receipted.len(), kept.len());
        assert_eq!(first_of_each(&kept), receipted);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_under_load_loses_nothing_that_was_receipted() {
    let node = Node::start(KILLED_AFTER).await;
    loses_nothing(&node, Node::kill, Node::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_in_order_under_load_loses_nothing_that_was_receipted() {
    let node = Node::start(STOPPED_AFTER).await;
    loses_nothing(&node, Node::stop, Node::resume).await;
}
