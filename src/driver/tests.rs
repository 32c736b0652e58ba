//! Drivers over a connection in memory and the embedded broker: what a client that stalls, leaves or floods does to
//! itself and to others.

use bytes::Bytes;

use super::*;
use crate::broker::{Pending, memory};
use crate::delivery::{self, Budget, Item};
use crate::destination::Pattern;
use crate::message::{Delivery, Message};
use crate::registry::{Registry, Users};
use crate::stomp::{Frame, Headers, Version};
use crate::telemetry;
use crate::transport::Inbound;
use crate::transport::memory::{Peer, pair};

mod drain;
mod handled;
mod limits;
mod panics;
mod rules;
mod silence;

/// A gateway without a network.
struct Gateway {
    context: Arc<Context>,
    registry: Registry,
    metrics: telemetry::Registry,
}

struct Client {
    peer: Peer,
    decoder: Decoder,
}

impl Gateway {
    fn new() -> Self {
        Self::with(session::Settings::default(), delivery::Settings::default())
    }

    fn with(session: session::Settings, outbox: delivery::Settings) -> Self {
        Self::with_broker(session, outbox, memory::Settings::default())
    }

    fn with_broker(session: session::Settings, outbox: delivery::Settings, broker: memory::Settings) -> Self {
        Self::with_memory(session, outbox, broker, usize::MAX)
    }

    fn with_memory(
        session: session::Settings,
        outbox: delivery::Settings,
        broker: memory::Settings,
        memory_bytes_max: usize,
    ) -> Self {
        let metrics = telemetry::Registry::default();
        let outbox_metrics = delivery::Metrics::new(&metrics);
        let broker = memory::Broker::new(broker, memory::Metrics::new(&metrics));
        let context = Context {
            authenticator: Authenticator::Broker,
            broker: Broker::Memory(broker),
            drain_period: Duration::from_secs(2),
            handlers: None,
            lifecycle: Lifecycle::default(),
            limits: stomp::Limits::default(),
            metrics: Metrics::new(&metrics),
            outboxes: Outboxes::new(outbox, Budget::new(memory_bytes_max, outbox_metrics.clone()), outbox_metrics),
            rules: Rules::default(),
            users: Users::new(session.sessions_per_user_max),
            session: Arc::new(session),
        };
        Self { context: Arc::new(context), registry: Registry::new(1_000, 0), metrics }
    }

    fn open(&self) -> Client {
        let (pipe, peer) = pair();
        let admission = self.registry.admit().unwrap();
        self.context.lifecycle.spawn(run(Arc::clone(&self.context), Transport::Memory(pipe), admission));
        self.client(peer)
    }

    fn client(&self, peer: Peer) -> Client {
        let mut decoder = Decoder::new(stomp::Limits::default());
        decoder.set_version(Version::V1_2);
        Client { peer, decoder }
    }

    async fn connect(&self) -> Client {
        let mut client = self.open();
        client.send("CONNECT\naccept-version:1.2\n\n\0");
        client.expect("CONNECTED").await;
        client
    }

    async fn subscribe(&self, destination: &str) -> Client {
        let mut client = self.connect().await;
        client.send(&format!("SUBSCRIBE\nid:s\ndestination:{destination}\nreceipt:s\n\n\0"));
        client.expect("RECEIPT").await;
        client
    }

    /// The sum of all samples of a metric.
    fn metric(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|it| it.name() == name).expect("a metric of that name");
        family.get_metric().iter().map(|it| it.get_gauge().get_value() + it.get_counter().get_value()).sum()
    }

    /// How many sessions ended for that reason.
    fn closed(&self, reason: &str) -> f64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|it| it.name() == "stompgate_sessions_closed_total").unwrap();
        let metric = family.get_metric().iter().find(|it| it.get_label()[0].value() == reason);
        metric.unwrap_or_else(|| panic!("no label {reason}")).get_counter().get_value()
    }

    /// Waits until every session is over.
    async fn empty(&self) {
        self.context.lifecycle.ended().await;
        assert_eq!(self.registry.live(), 0);
        assert_eq!(self.metric("stompgate_sessions"), 0.0);
        assert_eq!(self.metric("stompgate_subscriptions"), 0.0);
        assert_eq!(self.metric("stompgate_outbox_bytes"), 0.0);
    }
}

impl Client {
    fn send(&self, text: &str) {
        self.peer.send_text(text);
    }

    /// The next frame; `None` once the connection is closed.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let bytes: Bytes = self.peer.receive().await?;
            self.decoder.feed(&bytes);
        }
    }

    #[track_caller]
    fn expect(&mut self, command: &'static str) -> impl Future<Output = Frame> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await.unwrap_or_else(|| panic!("{caller}: closed instead of {command}"));
            assert_eq!(frame.command.as_str(), command, "{caller}: {frame:?}");
            frame
        }
    }

    async fn expect_body(&mut self, body: &str) {
        let frame = self.expect("MESSAGE").await;
        assert_eq!(frame.body, body.as_bytes());
    }

    async fn expect_closed(&mut self, code: u16) {
        while self.next().await.is_some() {}
        assert_eq!(self.peer.closed().map(|(code, _)| code), Some(code));
    }
}

/// The clock moves on, and the drivers do what there is to do meanwhile.
async fn pass(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
}

/// A driver that is not run yet, and its client: CONNECT is answered, nothing is written.
async fn connected(gateway: &Gateway) -> (Driver, Client) {
    let (pipe, peer) = pair();
    let mut driver = Driver::new(Arc::clone(&gateway.context), Transport::Memory(pipe));
    driver.decoder.feed(b"CONNECT\naccept-version:1.2\n\n\0");
    driver.carry_on();
    let Opening { op, future } = driver.opening.take().expect("CONNECT asks for a link");
    driver.take(events::Event::Opened(op, future.await));
    driver.carry_on();
    (driver, gateway.client(peer))
}

/// A SEND of that body without a receipt.
fn message(destination: &str, body: &str) -> String {
    format!("SEND\ndestination:{destination}\n\n{body}\0")
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_reaches_who_is_subscribed() {
    let gateway = Gateway::new();
    let mut alice = gateway.subscribe("/topic/a.*").await;
    let bob = gateway.connect().await;
    bob.send(&message("/topic/a.b", "hello"));
    let frame = alice.expect("MESSAGE").await;
    assert_eq!((frame.header("subscription"), frame.header("destination")), (Some("s"), Some("/topic/a.b")));
    assert_eq!(frame.body, "hello");
}

#[tokio::test(start_paused = true)]
async fn frames_may_be_cut_anywhere_and_come_together() {
    let gateway = Gateway::new();
    let mut client = gateway.open();
    let all = format!(
        "CONNECT\naccept-version:1.2\n\n\0\nSUBSCRIBE\nid:s\ndestination:/topic/a\n\n\0{}{}",
        message("/topic/a", "1"),
        message("/topic/a", "2")
    );
    for byte in all.as_bytes() {
        client.peer.send(Inbound::Data(Bytes::copy_from_slice(&[*byte])));
    }
    client.expect("CONNECTED").await;
    client.expect_body("1").await;
    client.expect_body("2").await;
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_of_the_connection_takes_effect() {
    let gateway = Gateway::new();
    let mut alice = gateway.subscribe("/topic/a").await;
    let bob = gateway.open();
    bob.send(&format!("CONNECT\naccept-version:1.2\n\n\0{}", message("/topic/a", "last words")));
    bob.peer.send(Inbound::Gone);
    alice.expect_body("last words").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_closed_and_delays_nobody() {
    let outbox = delivery::Settings { bytes_max: 10_000, ..delivery::Settings::default() };
    let gateway = Gateway::with(session::Settings::default(), outbox);
    let mut stuck = gateway.subscribe("/topic/a").await;
    let mut other = gateway.subscribe("/topic/a").await;
    let publisher = gateway.connect().await;
    stuck.peer.stall(true);
    let body = "x".repeat(1_000);
    let rounds = (WRITE_BUFFER_MAX + 10_000) / body.len() + 5;
    for _ in 0..rounds {
        publisher.send(&message("/topic/a", &body));
        other.expect_body(&body).await;
    }
    let before = Instant::now();
    stuck.expect_closed(4500).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(gateway.metric("stompgate_outbox_overflows_total"), 1.0);
    publisher.send(&message("/topic/a", "on"));
    other.expect_body("on").await;
}

#[tokio::test(start_paused = true)]
async fn s28_a_client_that_loses_messages_is_told_how_many() {
    let drop_oldest = vec![Pattern::new("a")];
    let outbox = delivery::Settings { messages_max: 40, drop_oldest, ..delivery::Settings::default() };
    let gateway = Gateway::with(session::Settings::default(), outbox);
    let mut slow = gateway.subscribe("/topic/a").await;
    let mut other = gateway.subscribe("/topic/a").await;
    let publisher = gateway.connect().await;
    slow.peer.stall(true);
    let filler = "x".repeat(1_000);
    for number in 0..200 {
        let body = format!("{number} {filler}");
        // Whoever publishes can't say it.
        publisher.send(&message("/topic/a", &body).replacen('\n', "\nx-dropped:7\n", 1));
        assert_eq!(other.expect("MESSAGE").await.header("x-dropped"), None);
    }
    slow.peer.stall(false);
    let (mut next, mut lost) = (0, 0);
    while next < 200 {
        let frame = slow.expect("MESSAGE").await;
        let dropped: u32 = frame.header("x-dropped").map_or(0, |it| it.parse().unwrap());
        let number: u32 = str::from_utf8(&frame.body).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(number, next + dropped);
        (next, lost) = (number + 1, lost + dropped);
    }
    assert!(lost > 50, "{lost} were lost");
    assert_eq!(gateway.metric("stompgate_outbox_dropped_messages_total"), f64::from(lost));
}

#[tokio::test(start_paused = true)]
async fn what_a_subscription_lost_is_forgotten_with_it() {
    let drop_oldest = vec![Pattern::new("a"), Pattern::new("b")];
    let outbox = delivery::Settings { bytes_max: 1_000, drop_oldest, ..delivery::Settings::default() };
    let gateway = Gateway::with(session::Settings::default(), outbox);
    let (pipe, peer) = pair();
    let mut driver = Driver::new(Arc::clone(&gateway.context), Transport::Memory(pipe));
    let outbox = Arc::clone(&driver.outbox);
    gateway.context.lifecycle.spawn(async move {
        driver.in_flight.push_back(InFlight {
            op: OpId(0),
            step: Step::Asked(Pending::ready(Ok(()))),
            asked: Asked::Unsubscribe(SubscriptionKey(1), SubscriptionId::new("s")),
        });
        driver.drive().await;
    });
    let push = |key: u32, size: usize| {
        let message = Message::new("m", "/topic/a", Headers::new(), Bytes::from(vec![0; size]));
        outbox.push(Delivery { subscription: SubscriptionKey(key), message, token: None, redelivered: false })
    };
    push(1, 900);
    push(2, 9_000);
    pass(Duration::from_secs(1)).await;
    assert!(matches!(outbox.pop(), Some(Item::Delivery(_))));
    push(1, 1);
    assert!(matches!(outbox.pop(), Some(Item::Delivery(it)) if it.subscription.0 == 1));
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_takes_nothing_is_given_up_after_its_time() {
    let gateway = Gateway::new();
    let mut stuck = gateway.subscribe("/topic/a").await;
    stuck.peer.stall(true);
    let publisher = gateway.connect().await;
    publisher.send(&message("/topic/a", "1"));
    let before = Instant::now();
    stuck.expect_closed(4500).await;
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_frame_larger_than_the_outbox_passes_when_nothing_else_waits() {
    let outbox = delivery::Settings { bytes_max: 1_000, ..delivery::Settings::default() };
    let gateway = Gateway::with(session::Settings::default(), outbox);
    let mut alice = gateway.subscribe("/topic/a").await;
    let body = "x".repeat(50_000);
    gateway.connect().await.send(&message("/topic/a", &body));
    alice.expect_body(&body).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_writes_and_does_not_read_is_no_longer_read_from() {
    let gateway = Gateway::new();
    let client = gateway.connect().await;
    client.peer.stall(true);
    let receipt = "r".repeat(1_000);
    for _ in 0..1_000 {
        client.send(&format!("SEND\ndestination:/topic/a\nreceipt:{receipt}\n\n\0"));
    }
    let mut client = client;
    client.expect_closed(4500).await;
    let taken = gateway.metric("stompgate_frames_sent_total");
    assert!(taken < 80.0, "{taken} frames were made for a client that does not read");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_goes_to_another_consumer() {
    let gateway = Gateway::new();
    let mut stuck = gateway.subscribe("/queue/q").await;
    stuck.peer.stall(true);
    let publisher = gateway.connect().await;
    publisher.send(&message("/queue/q", "1"));
    publisher.send(&message("/queue/q", "2"));
    stuck.expect_closed(4500).await;
    let mut other = gateway.subscribe("/queue/q").await;
    for body in ["1", "2"] {
        let frame = other.expect("MESSAGE").await;
        assert_eq!((&frame.body[..], frame.header("redelivered")), (body.as_bytes(), Some("true")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_settled() {
    let gateway = Gateway::new();
    let mut first = gateway.subscribe("/queue/q").await;
    let publisher = gateway.connect().await;
    publisher.send(&message("/queue/q", "1"));
    first.expect_body("1").await;
    first.send("DISCONNECT\nreceipt:d\n\n\0");
    first.expect("RECEIPT").await;
    first.expect_closed(1000).await;
    let mut second = gateway.subscribe("/queue/q").await;
    publisher.send(&message("/queue/q", "2"));
    second.expect_body("2").await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_frame_is_answered_with_its_receipt_and_closed() {
    let gateway = Gateway::new();
    let mut client = gateway.connect().await;
    client.send("SEND\nreceipt:r\ndestination:/topic/a\nno colon\n\nx\0");
    let frame = client.expect("ERROR").await;
    assert_eq!((frame.header("receipt-id"), frame.header("message")), (Some("r"), Some("Malformed frame")));
    client.expect_closed(1002).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_beyond_the_limit_before_connect_is_refused() {
    let gateway = Gateway::new();
    let mut client = gateway.open();
    client.send(&format!("CONNECT\naccept-version:1.2\nlogin:{}\n\n\0", "x".repeat(16 * 1024)));
    let frame = client.expect("ERROR").await;
    let text = String::from_utf8_lossy(&frame.body).into_owned();
    assert!(text.contains("16384 bytes"), "{text}");
    client.expect_closed(1009).await;
}

#[tokio::test(start_paused = true)]
async fn transport_faults_are_passed_on() {
    let gateway = Gateway::new();
    let mut large = gateway.connect().await;
    large.peer.send(Inbound::TooLarge { max: 9 });
    large.expect("ERROR").await;
    large.expect_closed(1009).await;
    let mut rude = gateway.connect().await;
    rude.peer.send(Inbound::Violation { rule: "unmasked" });
    rude.expect_closed(1002).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_a_pong_keeps_it() {
    let gateway = Gateway::new();
    let mut client = gateway.connect().await;
    tokio::time::advance(Duration::from_secs(46)).await;
    while client.peer.pings() == 0 {
        tokio::task::yield_now().await;
    }
    client.peer.send(Inbound::Alive { bytes: 6 });
    tokio::time::advance(Duration::from_secs(60)).await;
    client.send("BEGIN\ntransaction:t\nreceipt:r\n\n\0");
    client.expect("RECEIPT").await;
    let before = Instant::now();
    client.expect("ERROR").await;
    assert_eq!(before.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_each_client_within_its_period() {
    let gateway = Gateway::new();
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(gateway.subscribe("/topic/a").await);
    }
    let unconnected = gateway.open();
    let begun = Instant::now();
    gateway.context.lifecycle.drain();
    let closes = clients.iter_mut().map(async |client| {
        client.expect_closed(1012).await;
        begun.elapsed().as_millis()
    });
    let moments = futures::future::join_all(closes).await;
    let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    assert!(*last <= 2_001 && last - first > 500, "{moments:?}");
    Client { peer: unconnected.peer, decoder: unconnected.decoder }.expect_closed(1012).await;
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_sessions_that_ended() {
    let gateway = Gateway::new();
    for i in 0..20 {
        let mut client = gateway.subscribe("/topic/a").await;
        client.send(&message("/topic/a", "hello"));
        client.expect_body("hello").await;
        match i % 3 {
            0 => client.send("DISCONNECT\n\n\0"),
            1 => client.peer.send(Inbound::Gone),
            _ => client.send("NONSENSE\n\n\0"),
        }
    }
    gateway.empty().await;
    let closed = gateway.metric("stompgate_sessions_closed_total");
    assert_eq!(closed, 20.0);
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_to_a_ping_took_along_is_written_and_settled() {
    let session = session::Settings { prefetch_default: 1, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let mut client = gateway.subscribe("/queue/q").await;
    let publisher = gateway.connect().await;
    client.peer.stall(true);
    publisher.send(&message("/queue/q", "1"));
    publisher.send(&message("/queue/q", "2"));
    // Long enough for the driver to find that the network takes nothing, and not for more.
    pass(Duration::from_secs(1)).await;
    client.peer.resume_with(Inbound::Alive { bytes: 6 });
    client.expect_body("1").await;
    client.expect_body("2").await;
    pass(Duration::from_secs(20)).await;
    assert_eq!(client.peer.closed(), None);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_too_large_by_one_byte_is_refused_however_it_is_cut() {
    let gateway = Gateway::new();
    let mut client = gateway.connect().await;
    let max = stomp::Limits::default().frame_bytes_max;
    let frame = message("/topic/a", &"x".repeat(max));
    client.send(&frame[..max]);
    tokio::task::yield_now().await;
    client.send(&frame[max..=max]);
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("limit_frame_bytes"));
    client.expect_closed(1009).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_pauses_does_not_hold_up_its_deadlines() {
    let gateway = Gateway::new();
    let mut flooding = gateway.open();
    tokio::task::yield_now().await;
    let pieces = 100_000;
    for _ in 0..pieces {
        flooding.send("\n");
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    flooding.expect("ERROR").await;
    flooding.expect_closed(1002).await;
    let read = gateway.metric("stompgate_received_bytes_total");
    assert!(read < f64::from(pieces), "{read} bytes were read after the deadline");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_pauses_is_still_written_to() {
    let gateway = Gateway::new();
    let mut flooding = gateway.subscribe("/topic/a").await;
    let publisher = gateway.connect().await;
    let before = gateway.metric("stompgate_received_bytes_total");
    let pieces = 100_000;
    for _ in 0..pieces {
        flooding.send("\n");
    }
    publisher.send(&message("/topic/a", "hello"));
    flooding.expect_body("hello").await;
    let read = gateway.metric("stompgate_received_bytes_total") - before;
    assert!(read < f64::from(pieces) / 2.0, "{read} bytes were read before the message was written");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_kept() {
    let gateway = Gateway::new();
    let mut slow = gateway.subscribe("/topic/a").await;
    let publisher = gateway.connect().await;
    slow.peer.stall(true);
    let bodies: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    for body in &bodies {
        publisher.send(&message("/topic/a", body));
    }
    for body in &bodies {
        pass(Duration::from_secs(9)).await;
        // It goes on sending, so that silence is not what ends it.
        slow.send("\n");
        slow.peer.read_one();
        slow.expect_body(body).await;
    }
    assert_eq!(slow.peer.closed(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_session_at_once() {
    let gateway = Gateway::new();
    let mut client = gateway.connect().await;
    let before = Instant::now();
    gateway.context.lifecycle.stop();
    client.expect_closed(1012).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_dropped_is_no_longer_counted() {
    let gateway = Gateway::new();
    let (pipe, peer) = pair();
    let admission = gateway.registry.admit().unwrap();
    let mut driver = Box::pin(run(Arc::clone(&gateway.context), Transport::Memory(pipe), admission));
    peer.send_text("CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\0");
    // What becomes of a task that panics: its future is dropped where it is.
    tokio::time::timeout(Duration::from_secs(1), driver.as_mut()).await.unwrap_err();
    assert_eq!(gateway.metric("stompgate_subscriptions"), 1.0);
    drop(driver);
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_not_kept_for_a_broker_that_does_not_answer() {
    async fn check(last: &str) {
        let gateway = Gateway::new();
        let (mut driver, client) = connected(&gateway).await;
        let (_broker, pending) = tokio::sync::oneshot::channel();
        driver.decoder.feed(message("/topic/a", "1").as_bytes());
        driver.carry_out();
        driver.carry_on();
        driver.in_flight[0].step = Step::Asked(Pending::Waiting(pending));
        client.send(last);
        client.peer.send(Inbound::Gone);
        let reason = tokio::time::timeout(Duration::from_secs(3_600), driver.drive()).await.expect(last);
        assert_eq!(reason, CloseReason::Gone);
    }
    check("").await;
    check("DISCONNECT\nreceipt:d\n\n\0").await;
    check("SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\0").await;
}

#[tokio::test(start_paused = true)]
async fn a7_as_the_plugin_does_one_nack_gives_back_all_that_the_session_had() {
    let ack_scope = session::AckScope::Session;
    let session = session::Settings { ack_scope, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let mut client = gateway.connect().await;
    for (id, destination) in [("1", "/queue/a"), ("2", "/queue/b"), ("3", "/queue/a")] {
        client.send(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\nack:client\nreceipt:r\n\n\0"));
        client.expect("RECEIPT").await;
    }
    let sent = [("/queue/a", "a1"), ("/queue/b", "b1"), ("/queue/a", "a2"), ("/queue/b", "b2")];
    let mut last = String::new();
    for (destination, body) in sent {
        client.send(&message(destination, body));
        let frame = client.expect("MESSAGE").await;
        assert_eq!(frame.header("redelivered"), Some("false"));
        last = frame.header("ack").unwrap().to_owned();
    }
    client.send(&format!("NACK\nid:{last}\n\n\0"));
    let mut again = Vec::new();
    for _ in sent {
        let frame = client.expect("MESSAGE").await;
        assert_eq!(frame.header("redelivered"), Some("true"));
        again.push(String::from_utf8_lossy(&frame.body).into_owned());
    }
    again.sort_unstable();
    assert_eq!(again, ["a1", "a2", "b1", "b2"]);
}
