//! Clients that are not read for a while, and gateways that do not run for a while.

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{advance, sleep_until};

use super::*;

/// A broker that does not answer; dropped, it is lost.
type Silent = oneshot::Sender<Result<(), Fault>>;

const SECOND: Duration = Duration::from_secs(1);

/// A session with heart-beats of a second both ways, whose broker does not answer those frames of it.
async fn unanswered(gateway: &Gateway, frames: &str) -> (Client, Vec<Silent>) {
    let (pipe, peer) = pair();
    let mut driver = Driver::new(Arc::clone(&gateway.context), Transport::Memory(pipe));
    driver.decoder.feed(b"CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n\0");
    driver.carry_on();
    let Opening { op, future } = driver.opening.take().expect("CONNECT asks for a link");
    driver.take(events::Event::Opened(op, future.await));
    driver.decoder.feed(frames.as_bytes());
    driver.carry_on();
    let mut answers = Vec::new();
    for it in &mut driver.in_flight {
        let (answer, pending) = oneshot::channel();
        it.step = Step::Asked(Pending::Waiting(pending));
        answers.push(answer);
    }
    gateway.context.lifecycle.spawn(serve(driver));
    let mut decoder = Decoder::new(stomp::Limits::default());
    decoder.set_version(Version::V1_2);
    let mut client = Client { peer, decoder };
    client.expect("CONNECTED").await;
    (client, answers)
}

fn beating() -> session::Settings {
    let heartbeat = stomp::HeartBeat { send_ms: 1_000, receive_ms: 1_000 };
    session::Settings { heartbeat, publishes_in_flight_max: 1, ..session::Settings::default() }
}

/// The client sends a heart-beat each second for that long, and says how many it was sent.
async fn beat(client: &Client, seconds: u32) -> u32 {
    let mut heard = 0;
    for _ in 0..seconds {
        client.send("\n");
        pass(SECOND).await;
        while let Some(bytes) = client.peer.receive().now_or_never() {
            let bytes = bytes.expect("the session is not given up");
            assert_eq!(&bytes[..], b"\n");
            heard += 1;
        }
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_for_minutes_costs_no_session() {
    let gateway = Gateway::with(beating(), delivery::Settings::default());
    for frames in [message("/topic/a", "1"), "SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\0".to_owned()] {
        let (mut client, answers) = unanswered(&gateway, &frames).await;
        assert!(beat(&client, 300).await >= 298);
        answers.into_iter().for_each(|it| it.send(Ok(())).unwrap());
        client.send("BEGIN\ntransaction:t\nreceipt:r\n\n\0");
        client.expect("RECEIPT").await;
    }
}

#[tokio::test(start_paused = true)]
async fn heart_beats_that_nobody_reads_because_frames_wait_before_them_are_not_missed() {
    let gateway = Gateway::with(beating(), delivery::Settings::default());
    let (mut client, answers) = unanswered(&gateway, &message("/topic/a", "1")).await;
    // More than is read ahead.
    let body = "x".repeat(1_000);
    (0..100).for_each(|_| client.send(&message("/topic/a", &body)));
    assert!(beat(&client, 300).await >= 298);
    answers.into_iter().for_each(|it| it.send(Ok(())).unwrap());
    client.send("BEGIN\ntransaction:t\nreceipt:r\n\n\0");
    client.expect("RECEIPT").await;
    assert_eq!(gateway.metric("stompgate_broker_memory_published_messages_total"), 101.0);
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_without_a_word_is_found_out_while_the_broker_does_not_answer() {
    let gateway = Gateway::with(beating(), delivery::Settings::default());
    let (mut client, _answers) = unanswered(&gateway, &message("/topic/a", "1")).await;
    let before = Instant::now();
    assert_eq!(client.expect("ERROR").await.header("stompgate-error"), Some("heartbeat_lost"));
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slowed_down_keeps_its_heart_beats() {
    let session = session::Settings { messages_per_second_max: 1, bytes_per_second_max: 100, ..beating() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let (mut client, _) = unanswered(&gateway, "").await;
    client.send(&message("/topic/a", &"x".repeat(10_000)));
    client.send("BEGIN\ntransaction:t\nreceipt:r\n\n\0");
    assert!(beat(&client, 90).await >= 88);
    let frame = tokio::time::timeout(20 * SECOND, client.expect("RECEIPT")).await.expect("its turn comes");
    assert_eq!(frame.header("receipt-id"), Some("r"));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sent_while_the_gateway_did_not_run_is_read_before_its_silence_is_judged() {
    let gateway = Gateway::new();
    let (pipe, peer) = pair();
    let mut driver = Driver::new(Arc::clone(&gateway.context), Transport::Memory(pipe));
    let mut timer = pin!(sleep_until(Instant::now()));
    timer.as_mut().await;
    (0..2).for_each(|_| peer.send_text("\n"));
    let mut events = Vec::new();
    for _ in 0..3 {
        let event = std::future::poll_fn(|cx| driver.poll_event(cx, timer.as_mut())).await;
        events.push(matches!(event, events::Event::Inbound(_)));
        driver.take(event);
    }
    assert_eq!(events, [true, false, true], "a deadline waits for one read and not for more");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_suspended_gives_its_clients_the_time_to_be_heard() {
    let gateway = Gateway::with(beating(), delivery::Settings::default());
    let (mut client, _) = unanswered(&gateway, "").await;
    advance(3_600 * SECOND).await;
    pass(2 * SECOND).await;
    assert!(beat(&client, 10).await >= 9);
    advance(3_600 * SECOND).await;
    let before = Instant::now();
    assert_eq!(client.expect("ERROR").await.header("stompgate-error"), Some("heartbeat_lost"));
    assert_eq!(before.elapsed().as_secs(), 3);
}
