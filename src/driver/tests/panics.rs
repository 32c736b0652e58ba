//! A panic in one session: what its client sees, what is counted, and that nobody else notices.

use super::*;

/// A session with a subscription, of which the next step panics: an answer of the broker that is a fault of ours.
async fn panicking(gateway: &Gateway) -> Client {
    let (mut driver, mut client) = connected(gateway).await;
    driver.decoder.feed(b"SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\0");
    driver.carry_on();
    let admission = gateway.registry.admit().unwrap();
    gateway.context.lifecycle.spawn(async move {
        driver.opening = Some(Opening { op: OpId(1), future: Box::pin(async { panic!("on purpose") }) });
        serve(driver).await;
        drop(admission);
    });
    client.expect("CONNECTED").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_session_and_no_other() {
    let gateway = Gateway::new();
    let mut other = gateway.subscribe("/topic/a").await;
    let mut client = panicking(&gateway).await;
    client.expect_closed(1011).await;
    assert_eq!(gateway.closed("panicked"), 1.0);

    other.send(&message("/topic/a", "still here"));
    other.expect_body("still here").await;
    assert_eq!(gateway.metric("stompgate_sessions"), 1.0);
    assert_eq!(gateway.metric("stompgate_subscriptions"), 1.0);
    assert_eq!(gateway.registry.live(), 1);
    gateway.context.lifecycle.drain();
    other.expect_closed(1012).await;
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_session_that_panicked_had_not_settled_is_delivered_to_another() {
    let gateway = Gateway::new();
    let (mut driver, mut client) = connected(&gateway).await;
    driver.decoder.feed(b"SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client\n\n\0");
    driver.decoder.feed(message("/queue/a", "precious").as_bytes());
    driver.carry_on();
    let driving = tokio::time::timeout(Duration::ZERO, driver.drive()).await;
    assert!(driving.is_err(), "it waits for an ACK");
    client.expect("CONNECTED").await;
    client.expect_body("precious").await;
    driver.opening = Some(Opening { op: OpId(1), future: Box::pin(async { panic!("on purpose") }) });
    serve(driver).await;

    let mut other = gateway.connect().await;
    other.send("SUBSCRIBE\nid:s\ndestination:/queue/a\n\n\0");
    let again = other.expect("MESSAGE").await;
    assert_eq!((again.header("redelivered"), &*again.body), (Some("true"), b"precious".as_slice()));
}
