//! A drain: what was read still takes effect, with its receipts, and nothing after it.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::broker::Outage;
use crate::lifecycle;

/// A driver whose session is connected, and whose broker answers its first two SENDs when the test does.
struct Held {
    client: Client,
    answers: [oneshot::Sender<Result<(), Fault>>; 2],
    ended: JoinHandle<()>,
}

async fn held(gateway: &Gateway) -> Held {
    let (mut driver, mut client) = connected(gateway).await;
    for receipt in ["first", "second"] {
        driver.decoder.feed(send(receipt).as_bytes());
    }
    driver.carry_on();
    let answers = [0, 1].map(|i| {
        let (answer, pending) = oneshot::channel();
        driver.in_flight[i].step = Step::Asked(Pending::Waiting(pending));
        answer
    });
    // Read before anything else happens. The SUBSCRIBE waits for the SENDs, and the last one for the SUBSCRIBE.
    driver.decoder.feed(b"SUBSCRIBE\nid:s\ndestination:/topic/a\nreceipt:third\n\n\0");
    driver.decoder.feed(send("fourth").as_bytes());
    let ended = TaskTracker::new().spawn(serve(driver));
    client.expect("CONNECTED").await;
    Held { client, answers, ended }
}

fn send(receipt: &str) -> String {
    format!("SEND\ndestination:/queue/a\nreceipt:{receipt}\n\n\0")
}

async fn expect_receipt(client: &mut Client, receipt: &str) {
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some(receipt));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_the_drain_takes_effect_and_is_receipted() {
    let gateway = Gateway::new();
    let Held { mut client, answers, ended } = held(&gateway).await;
    gateway.context.lifecycle.drain();
    // Every session was told by now, and the broker has not answered yet.
    pass(gateway.context.drain_period).await;
    client.send(&send("too late"));
    pass(Duration::from_secs(1)).await;
    assert!(!ended.is_finished());
    for (answer, receipt) in answers.into_iter().zip(["first", "second"]) {
        answer.send(Ok(())).unwrap();
        // Written at once, though others are waited for.
        expect_receipt(&mut client, receipt).await;
    }
    expect_receipt(&mut client, "third").await;
    expect_receipt(&mut client, "fourth").await;
    client.expect_closed(1012).await;
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_holds_a_drain_up_until_its_deadline_and_no_longer() {
    let gateway = Gateway::new();
    let Held { mut client, answers, ended } = held(&gateway).await;
    let lifecycle = &gateway.context.lifecycle;
    lifecycle.spawn(async { ended.await.unwrap() });
    let begun = Instant::now();
    let drained = lifecycle.shut_down(lifecycle::Settings::default()).await;
    assert_eq!((drained, begun.elapsed().as_secs()), (lifecycle::Drained::Left(1), 10));
    assert!(client.next().await.is_none(), "nothing is receipted that was not confirmed");
    assert_eq!(client.peer.closed().map(|(code, _)| code), Some(1012));
    drop(answers);
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_a_drain_waits_for_sends_and_not_for_subscribes() {
    async fn check(frames: &str, expected: lifecycle::Drained) {
        let gateway = Gateway::new();
        let (mut client, gone) = (gateway.connect().await, gateway.connect().await);
        let Broker::Memory(broker) = &gateway.context.broker else { unreachable!("it was made with this one") };
        broker.suspend(Outage::Hold);
        client.send(frames);
        gone.send(frames);
        pass(Duration::from_secs(1)).await;
        gone.peer.send(Inbound::Gone);
        let drained = gateway.context.lifecycle.shut_down(lifecycle::Settings::default()).await;
        assert_eq!(drained, expected);
        assert!(client.next().await.is_none(), "nothing is receipted that the broker has not answered");
        assert_eq!(client.peer.closed().map(|(code, _)| code), Some(1012));
    }
    let subscribe = |id: &str| format!("SUBSCRIBE\nid:{id}\ndestination:/topic/a\nreceipt:{id}\n\n\0");
    check(&(subscribe("a") + &subscribe("b")), lifecycle::Drained::All).await;
    // That of the client that has gone is the affair of the broker.
    check(&send("r"), lifecycle::Drained::Left(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_pauses_is_closed_in_a_drain_all_the_same() {
    let gateway = Gateway::new();
    let mut client = gateway.connect().await;
    for _ in 0..10_000 {
        client.send("SEND\ndestination:/topic/a\nreceipt:r\n\n\0");
    }
    gateway.context.lifecycle.drain();
    client.expect_closed(1012).await;
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn closes_are_spread_evenly_over_the_period() {
    let gateway = Gateway::new();
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(gateway.connect().await);
    }
    let begun = Instant::now();
    gateway.context.lifecycle.drain();
    let closes = clients.iter_mut().map(async |client| {
        client.expect_closed(1012).await;
        begun.elapsed().as_millis()
    });
    let moments = futures::future::join_all(closes).await;
    // 100 are expected in each quarter; a share of less than 50 or more than 150 is 5 standard deviations away.
    for quarter in 0..4 {
        let (from, to) = (quarter * 500, (quarter + 1) * 500);
        let share = moments.iter().filter(|it| (from..=to).contains(*it)).count();
        assert!((50..=150).contains(&share), "{share} of 400 between {from} and {to} ms");
    }
}
