//! One over each limit of a session: what its client is told, how the connection ends, and what is counted.

use super::*;

/// Small bounds, and a broker that holds one message.
fn gateway() -> Gateway {
    let session = session::Settings {
        subscriptions_max: 1,
        transactions_max: 1,
        transaction_frames_max: 1,
        transaction_bytes_max: 10,
        ..session::Settings::default()
    };
    let bounds = memory::Settings { queue_messages_max: 1, queue_bytes_max: 1_000, ..memory::Settings::default() };
    let broker = memory::Settings { queues_max: 2, bytes_max: 1_500, ..bounds };
    Gateway::with_broker(session, delivery::Settings::default(), broker)
}

/// The last of the frames is one over a limit. `text` names it, its value and its setting.
async fn check(gateway: &Gateway, frames: &str, label: &str, text: &str, code: u16) {
    let mut client = gateway.connect().await;
    client.send(frames);
    check_refused(gateway, &mut client, label, text, code).await;
}

async fn check_refused(gateway: &Gateway, client: &mut Client, label: &str, text: &str, code: u16) {
    let before = gateway.closed(label);
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some(label), "{error:?}");
    assert_eq!(String::from_utf8_lossy(&error.body), text);
    client.expect_closed(code).await;
    assert_eq!(gateway.closed(label), before + 1.0, "{label}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_a_limit_of_its_size_is_closed_with_1009() {
    let gateway = gateway();
    let large = message("/topic/a", &"x".repeat(64 * 1024));
    let text = "frame is larger than 65536 bytes (stomp.frame_bytes_max)";
    check(&gateway, &large, "limit_frame_bytes", text, 1009).await;
    let header = format!("SEND\ndestination:/topic/a\nx:{}\n\n\0", "x".repeat(16 * 1024));
    let text = "headers are larger than 16384 bytes (stomp.header_bytes_max)";
    check(&gateway, &header, "limit_header_bytes", text, 1009).await;
    let headers = format!("SEND\ndestination:/topic/a\n{}\n\0", "x:y\n".repeat(100));
    let text = "more than 100 headers (stomp.header_count_max)";
    check(&gateway, &headers, "limit_header_count", text, 1009).await;

    let mut stranger = gateway.open();
    stranger.send(&message("/topic/a", &"x".repeat(16 * 1024)));
    let text = "frame is larger than 16384 bytes (stomp.frame_bytes_max_before_connect)";
    check_refused(&gateway, &mut stranger, "limit_frame_bytes", text, 1009).await;

    let mut client = gateway.connect().await;
    client.peer.send(Inbound::TooLarge { max: 69_632 });
    let text = "A message may have at most 69632 bytes (stomp.frame_bytes_max and 4096 more; over SockJS six times that, \
                or sockjs.body_bytes_max)";
    check_refused(&gateway, &mut client, "limit_message_bytes", text, 1009).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_a_limit_of_its_session_is_refused_by_its_name() {
    let gateway = gateway();
    let subscribe = |id: &str| format!("SUBSCRIBE\nid:{id}\ndestination:/topic/a\n\n\0");
    let frames = subscribe("a") + &subscribe("b");
    let text = "A session holds at most 1 subscriptions (session.subscriptions_max)";
    check(&gateway, &frames, "limit_subscriptions", text, 1002).await;
    let begin = "BEGIN\ntransaction:t\n\n\0";
    let text = "A session holds at most 1 open transactions (session.transactions_max)";
    check(&gateway, &format!("{begin}{}", begin.replace(":t", ":u")), "limit_transactions", text, 1002).await;
    let send = |body: &str| format!("SEND\ndestination:/topic/a\ntransaction:t\n\n{body}\0");
    let text = "A transaction holds at most 1 frames (session.transaction_frames_max)";
    check(&gateway, &format!("{begin}{}{}", send("1"), send("2")), "limit_transaction_frames", text, 1002).await;
    let text = "A transaction holds at most 10 bytes (session.transaction_bytes_max)";
    check(&gateway, &format!("{begin}{}", send("12345678901")), "limit_transaction_bytes", text, 1002).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_ack_is_bounded_over_all_subscriptions() {
    let session = session::Settings { unsettled_max: 10, prefetch_max: 10, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let subscribe = |id: &str, ack: &str, prefetch: u16| {
        format!("SUBSCRIBE\nid:{id}\ndestination:/queue/{id}\nack:{ack}\nprefetch-count:{prefetch}\n\n\0")
    };
    let frames = [("a", "client", 6), ("b", "auto", 10), ("c", "client-individual", 4)]
        .map(|(id, ack, n)| subscribe(id, ack, n));
    let text = "A session holds at most 10 messages that wait for an ACK or NACK (session.unsettled_max); what its \
                subscriptions may have at a time counts, so ask for a smaller prefetch-count";
    check(&gateway, &(frames.concat() + &subscribe("d", "client", 1)), "limit_unsettled", text, 1002).await;
}

#[tokio::test(start_paused = true)]
async fn a_user_with_all_their_sessions_gets_no_other_one_until_one_ends() {
    let session = session::Settings { sessions_per_user_max: 2, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let connect = |login: &str| {
        let client = gateway.open();
        client.send(&format!("CONNECT\naccept-version:1.2\n{login}\n\0"));
        client
    };
    let (mut first, mut second) = (connect("login:ann\n"), connect("login:ann\n"));
    first.expect("CONNECTED").await;
    second.expect("CONNECTED").await;
    let text = "User 'ann' has 2 sessions, and may have no more at a time (session.sessions_per_user_max)";
    check_refused(&gateway, &mut connect("login:ann\n"), "limit_user_sessions", text, 1002).await;
    for other in ["login:bob\n", "", "", ""] {
        connect(other).expect("CONNECTED").await;
    }
    first.send("DISCONNECT\n\n\0");
    first.expect_closed(1000).await;
    connect("login:ann\n").expect("CONNECTED").await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_the_embedded_broker_has_no_room_for_is_refused_by_the_setting() {
    async fn check_full(gateway: &Gateway, frames: &str, setting: &str) {
        let mut client = gateway.connect().await;
        let before = gateway.closed("queue_full");
        client.send(frames);
        let error = client.expect("ERROR").await;
        let text = String::from_utf8_lossy(&error.body).into_owned();
        assert!(text.ends_with(&format!("({setting})")), "{text}");
        client.expect_closed(1002).await;
        assert_eq!(gateway.closed("queue_full"), before + 1.0);
    }
    let gateway = gateway();
    let large = "x".repeat(1_000);
    check_full(&gateway, &message("/queue/a", &large), "broker.memory.queue_bytes_max").await;
    let one = message("/queue/a", &large[..500]);
    check_full(&gateway, &one.repeat(2), "broker.memory.queue_messages_max").await;
    check_full(&gateway, &message("/queue/b", &large[..700]), "broker.memory.bytes_max").await;
    check_full(&gateway, &(message("/queue/b", "x") + &message("/queue/c", "x")), "broker.memory.queues_max").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_too_slow_to_connect_or_silent_is_told_how_long_it_had() {
    let gateway = gateway();
    let text = "No CONNECT was accepted within 10000 ms (session.connect_wait)";
    check_refused(&gateway, &mut gateway.open(), "connect_timeout", text, 1002).await;
    let mut silent = gateway.connect().await;
    check_refused(&gateway, &mut silent, "heartbeat_lost", "Nothing was received for 90000 ms", 1002).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_for_which_too_much_waits_is_counted_by_its_reason() {
    async fn check_slow(outbox: delivery::Settings, label: &str) {
        let gateway = Gateway::with(session::Settings::default(), outbox);
        let mut stuck = gateway.subscribe("/topic/a").await;
        stuck.peer.stall(true);
        let publisher = gateway.connect().await;
        for _ in 0..100 {
            publisher.send(&message("/topic/a", &"x".repeat(1_000)));
        }
        stuck.expect_closed(4500).await;
        assert_eq!(gateway.closed(label), 1.0);
    }
    check_slow(delivery::Settings { bytes_max: 5_000, ..delivery::Settings::default() }, "slow_consumer").await;
    check_slow(delivery::Settings { messages_max: 5, ..delivery::Settings::default() }, "slow_consumer").await;
    check_slow(delivery::Settings::default(), "write_stalled").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_floods_is_slowed_down_and_served_on() {
    async fn check(session: session::Settings, seconds: u64) {
        let gateway = Gateway::with(session, delivery::Settings::default());
        let mut listener = gateway.subscribe("/topic/flood").await;
        let mut flooding = gateway.subscribe("/topic/a").await;
        let quiet = gateway.connect().await;
        let begun = Instant::now();
        let body = "x".repeat(1_000);
        (0..600).for_each(|_| flooding.send(&message("/topic/flood", &body)));
        for i in 0..600 {
            listener.expect_body(&body).await;
            if i % 100 == 99 {
                quiet.send(&message("/topic/a", "on"));
                flooding.expect_body("on").await;
            }
        }
        let took = begun.elapsed().as_secs();
        assert!((seconds..=seconds + 1).contains(&took), "{took} s");
        assert!(gateway.metric("stompgate_sessions_throttled_total") > 10.0);
        assert_eq!((listener.peer.closed(), flooding.peer.closed()), (None, None));
    }
    check(session::Settings { messages_per_second_max: 10, ..session::Settings::default() }, 59).await;
    check(session::Settings { bytes_per_second_max: 10_000, ..session::Settings::default() }, 60).await;
}

#[tokio::test(start_paused = true)]
async fn pings_and_pongs_count_towards_the_bytes_of_a_second() {
    let session = session::Settings { bytes_per_second_max: 1_000, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let mut flooding = gateway.connect().await;
    let begun = Instant::now();
    (0..100).for_each(|_| flooding.peer.send(Inbound::Alive { bytes: 131 }));
    flooding.send("BEGIN\ntransaction:t\nreceipt:r\n\n\0");
    flooding.expect("RECEIPT").await;
    assert_eq!(begun.elapsed().as_secs(), 12);
    assert!(gateway.metric("stompgate_sessions_throttled_total") > 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sent_that_was_slowed_down_and_has_gone_takes_effect_at_once() {
    let rates = [
        session::Settings { messages_per_second_max: 1, ..session::Settings::default() },
        session::Settings { bytes_per_second_max: 1, ..session::Settings::default() },
    ];
    for session in rates {
        let gateway = Gateway::with(session, delivery::Settings::default());
        let flooding = gateway.open();
        flooding.send("CONNECT\naccept-version:1.2\n\n\0");
        (0..600).for_each(|_| flooding.send(&message("/topic/flood", "x")));
        pass(Duration::from_millis(10)).await;
        let begun = Instant::now();
        flooding.peer.send(Inbound::Gone);
        gateway.empty().await;
        assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(gateway.metric("stompgate_broker_memory_published_messages_total"), 600.0);
    }
}

/// What was read of it takes effect at once: it is bounded, and the drain has a deadline.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_slowed_down_does_not_hold_a_drain_up() {
    let session = session::Settings { messages_per_second_max: 10, ..session::Settings::default() };
    let gateway = Gateway::with(session, delivery::Settings::default());
    let mut flooding = gateway.connect().await;
    flooding.send(&message("/topic/flood", "x").repeat(600));
    let begun = Instant::now();
    gateway.context.lifecycle.drain();
    flooding.expect_closed(1012).await;
    assert!(begun.elapsed() <= gateway.context.drain_period, "{:?}", begun.elapsed());
    gateway.empty().await;
}

#[tokio::test(start_paused = true)]
async fn when_memory_is_short_who_does_not_read_goes_and_who_reads_stays() {
    let outbox = delivery::Settings { bytes_max: 1 << 30, ..delivery::Settings::default() };
    let (session, broker) = (session::Settings::default(), memory::Settings::default());
    let gateway = Gateway::with_memory(session, outbox, broker, 512 * 1024);
    let mut stuck = gateway.subscribe("/topic/a").await;
    let mut other = gateway.subscribe("/topic/a").await;
    let publisher = gateway.connect().await;
    stuck.peer.stall(true);
    let body = "x".repeat(1_000);
    let rounds = (WRITE_BUFFER_MAX + 256 * 1024) / body.len() + 1;
    for _ in 0..rounds {
        publisher.send(&message("/topic/a", &body));
        other.expect_body(&body).await;
    }
    let before = Instant::now();
    stuck.expect_closed(4500).await;
    assert_eq!((before.elapsed(), gateway.closed("slow_consumer")), (Duration::ZERO, 1.0));
    assert_eq!(gateway.metric("stompgate_memory_refused_total"), 1.0);
    assert_eq!(gateway.metric("stompgate_memory_bytes"), 0.0);
    publisher.send(&message("/topic/a", "on"));
    other.expect_body("on").await;
}
