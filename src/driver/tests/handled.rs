//! Handlers that answer when the test does: order, what may go on meanwhile, and the end.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::handlers::{
    self, Concurrency, Handlers, Hook, OnError, Outgoing, Pattern as PathPattern, Response, Route, Rpc, Separator,
    Target, Template, Unanswered,
};
use crate::sync::lock;

type Outcome = Result<Response, Unanswered>;

/// Holds the calls until they are answered.
#[derive(Debug, Default)]
struct Service {
    calls: Mutex<VecDeque<(Outgoing, oneshot::Sender<Outcome>)>>,
    called: Notify,
}

impl Rpc for Service {
    fn call(&self, _: &str, outgoing: Outgoing) -> BoxFuture<'static, Outcome> {
        let (answer, answered) = oneshot::channel();
        lock(&self.calls).push_back((outgoing, answer));
        self.called.notify_one();
        Box::pin(async move { answered.await.expect("the test answers") })
    }
}

struct Called {
    outgoing: Outgoing,
    answer: oneshot::Sender<Outcome>,
}

impl Called {
    fn says(&self, name: &str) -> String {
        let found = self.outgoing.metadata.iter().find(|(it, _)| *it == format!("Stompgate-{name}"));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    fn reply(self, body: &str) {
        self.answer(200, &[], body);
    }

    fn answer(self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().copied().collect();
        let response = Response { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
        drop(self.answer.send(Ok(response)));
    }
}

impl Service {
    async fn next(&self) -> Called {
        loop {
            if let Some((outgoing, answer)) = lock(&self.calls).pop_front() {
                return Called { outgoing, answer };
            }
            self.called.notified().await;
        }
    }

    /// How many wait for an answer and were not taken.
    fn waiting(&self) -> usize {
        lock(&self.calls).len()
    }
}

fn route(pattern: &str, change: impl FnOnce(&mut Route)) -> Route {
    let pattern = PathPattern::parse(pattern, Separator::Slash).unwrap();
    let reply = vec![Template::default()];
    let mut route = Route {
        on: vec![handlers::Event::Send, handlers::Event::Subscribe],
        target: Target::Amqp("x".into()),
        timeout: Duration::from_secs(5),
        concurrency: Concurrency::PerSession,
        calls_max: 3,
        retries: 0,
        on_error: OnError::ReceiptOnly,
        reply,
        pattern,
    };
    change(&mut route);
    route
}

fn gateway(settings: handlers::Settings) -> (Gateway, Arc<Service>) {
    let service = Arc::new(Service::default());
    let session = session::Settings { has_routes: true, ..session::Settings::default() };
    let mut gateway = Gateway::with(session, delivery::Settings::default());
    let metrics = handlers::Metrics::new(&gateway.metrics);
    let context = Arc::get_mut(&mut gateway.context).unwrap();
    context.handlers = Some(Handlers::start(settings, Some(service.clone()), metrics, &context.lifecycle));
    (gateway, service)
}

/// Of any path.
fn answering(change: impl FnOnce(&mut Route)) -> (Gateway, Arc<Service>) {
    gateway(handlers::Settings { routes: vec![route("/app/**", change)], ..handlers::Settings::default() })
}

fn receipted(destination: &str, receipt: &str) -> String {
    format!("SEND\ndestination:{destination}\nreceipt:{receipt}\n\n{receipt}\0")
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_after_a_call_takes_effect_after_its_replies() {
    let (gateway, service) = answering(|_| ());
    let mut reader = gateway.subscribe("/topic/a").await;
    let mut client = gateway.connect().await;
    client.send(&receipted("/app/a", "1"));
    client.send(&receipted("/topic/a", "2"));
    client.send(&receipted("/app/a", "3"));
    let first = service.next().await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(service.waiting(), 0, "the second call waits for the first one");
    first.reply("reply to 1");
    for body in ["reply to 1", "2"] {
        reader.expect_body(body).await;
    }
    service.next().await.reply("reply to 3");
    reader.expect_body("reply to 3").await;
    for receipt in ["1", "2", "3"] {
        assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some(receipt));
    }
}

#[tokio::test(start_paused = true)]
async fn unordered_calls_run_side_by_side_and_hold_up_nothing() {
    let (gateway, service) = answering(|it| it.concurrency = Concurrency::Unordered);
    let mut reader = gateway.subscribe("/topic/a").await;
    let mut client = gateway.connect().await;
    client.send(&receipted("/app/a", "1"));
    client.send(&receipted("/app/a", "2"));
    client.send(&receipted("/topic/a", "3"));
    let (first, second) = (service.next().await, service.next().await);
    reader.expect_body("3").await;
    second.reply("second");
    reader.expect_body("second").await;
    first.reply("first");
    reader.expect_body("first").await;
    // They say what has taken effect, in the order of the frames.
    for receipt in ["1", "2", "3"] {
        assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some(receipt));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_holds_up_neither_heart_beats_nor_messages_nor_others() {
    let (gateway, service) = answering(|it| it.timeout = Duration::from_secs(60));
    let mut client = gateway.open();
    client.send("CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n\0");
    client.expect("CONNECTED").await;
    client.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nreceipt:s\n\n\0");
    client.expect("RECEIPT").await;
    client.send("SUBSCRIBE\nid:n\ndestination:/app/n\n\n\0");
    let call = service.next().await;
    let mut other = gateway.connect().await;
    for number in 0..5 {
        pass(Duration::from_secs(9)).await;
        client.send("\n");
        other.send(&receipted("/topic/a", &number.to_string()));
        other.expect("RECEIPT").await;
        client.expect_body(&number.to_string()).await;
    }
    call.reply("42");
    let message = client.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("destination")), (&b"42"[..], Some("/app/n")));
}

#[tokio::test(start_paused = true)]
async fn one_more_call_than_the_bound_waits_and_then_is_refused_by_its_name() {
    let (gateway, service) = answering(|it| it.on_error = OnError::ErrorFrame);
    let mut clients = Vec::new();
    for number in 0..7 {
        if number == 3 {
            pass(Duration::from_secs(1)).await;
        }
        let client = gateway.connect().await;
        client.send(&receipted("/app/a", "r"));
        clients.push(client);
    }
    let _calls = [service.next().await, service.next().await, service.next().await];
    pass(Duration::from_secs(3)).await;
    assert_eq!(service.waiting(), 0, "three calls are under way, and may be");
    // Their time is over: three others have a place, and one has waited for as long as a call may take.
    pass(Duration::from_secs(3)).await;
    assert_eq!(service.waiting(), 3);
    let error = clients[6].expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("limit_handler"));
    let text = str::from_utf8(&error.body).unwrap();
    assert!(text.contains("3 calls under way") && text.contains("calls_max"), "{text}");
    for client in &mut clients[..3] {
        assert_eq!(client.expect("ERROR").await.header("stompgate-error"), Some("handler_timeout"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_handler_counts_towards_the_memory_of_all() {
    let service = Arc::new(Service::default());
    let session = session::Settings { has_routes: true, ..session::Settings::default() };
    let (outbox, broker) = (delivery::Settings::default(), memory::Settings::default());
    let mut gateway = Gateway::with_memory(session, outbox, broker, 40_000);
    let metrics = handlers::Metrics::new(&gateway.metrics);
    let context = Arc::get_mut(&mut gateway.context).unwrap();
    let settings = handlers::Settings { routes: vec![route("/app/**", |_| ())], ..handlers::Settings::default() };
    context.handlers = Some(Handlers::start(settings, Some(service.clone()), metrics, &context.lifecycle));
    let mut client = gateway.connect().await;
    let body = "x".repeat(10_000);
    // The call, and what waits behind it.
    client.send(&message("/app/a", &body));
    client.send(&message("/topic/a", &body));
    let call = service.next().await;
    pass(Duration::from_secs(1)).await;
    assert!(gateway.metric("stompgate_memory_bytes") > 20_000.0);
    client.send(&message("/app/a", &body));
    pass(Duration::from_secs(1)).await;
    call.reply("");
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("queue_full"));
    let text = str::from_utf8(&error.body).unwrap();
    assert!(text.contains("limits.memory_bytes_max"), "{text}");
    client.expect_closed(1002).await;
    assert_eq!(gateway.metric("stompgate_memory_bytes"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_that_has_gone_had_asked_for_is_still_done() {
    let (gateway, service) = answering(|_| ());
    let mut reader = gateway.subscribe("/topic/a").await;
    let client = gateway.connect().await;
    client.send(&message("/app/a", "1"));
    client.send(&message("/topic/a", "2"));
    let call = service.next().await;
    client.peer.send(Inbound::Gone);
    pass(Duration::from_secs(1)).await;
    call.reply("reply");
    reader.expect_body("reply").await;
    reader.expect_body("2").await;
    drop(client);
    pass(Duration::from_secs(1)).await;
    assert_eq!(gateway.closed("gone"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_calls_under_way() {
    let (gateway, service) = answering(|_| ());
    let mut client = gateway.connect().await;
    client.send(&receipted("/app/a", "r"));
    let call = service.next().await;
    gateway.context.lifecycle.drain();
    pass(gateway.context.drain_period + Duration::from_secs(1)).await;
    call.reply("reply");
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("r"));
    client.expect_closed(1012).await;
}

/// The broker refuses what it is not made for, and so the frame has failed.
#[tokio::test(start_paused = true)]
async fn a_reply_that_the_broker_does_not_take_is_a_failure_of_the_frame() {
    for (on_error, is_told) in [(OnError::ReceiptOnly, true), (OnError::Ignore, false)] {
        let (gateway, service) = answering(|it| it.on_error = on_error);
        let mut client = gateway.connect().await;
        client.send(&receipted("/app/a", "r"));
        service.next().await.answer(200, &[("stompgate-send-to", "/exchange/x/y")], "!");
        if is_told {
            assert_eq!(client.expect("ERROR").await.header("receipt-id"), Some("r"));
        } else {
            pass(Duration::from_secs(1)).await;
            client.send("DISCONNECT\nreceipt:d\n\n\0");
            assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("d"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_no_route_is_for_is_refused_by_the_setting() {
    let (gateway, _service) = gateway(handlers::Settings {
        routes: vec![route("/app/a", |it| it.on = vec![handlers::Event::Subscribe])],
        ..handlers::Settings::default()
    });
    let mut client = gateway.connect().await;
    client.send(&receipted("/app/a", "r"));
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("stompgate-error"), Some("handler_missing"));
    assert_eq!(error.body, "No route handles SEND to '/app/a': one in app.routes would");
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_answer_ends_and_the_client_is_told() {
    let (gateway, service) = answering(|it| it.on_error = OnError::ErrorFrame);
    let mut client = gateway.connect().await;
    client.send(&message("/app/a", "1"));
    let _call = service.next().await;
    let begun = Instant::now();
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("stompgate-error"), begun.elapsed().as_secs()), (Some("handler_timeout"), 5));
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_end_the_session_and_end_it_with_an_error() {
    let actions = ("content-type", "application/vnd.stompgate.actions+json");
    let (gateway, service) = answering(|_| ());
    let mut reader = gateway.subscribe("/topic/bye").await;
    let mut client = gateway.connect().await;
    client.send(&receipted("/app/a", "r"));
    let body = r#"[{"action":"disconnect"},{"action":"send","destination":"/topic/bye","json":{"who":1}}]"#;
    service.next().await.answer(200, &[actions], body);
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("r"));
    client.expect_closed(1000).await;
    let message = reader.expect("MESSAGE").await;
    assert_eq!((&*message.body, message.header("content-type")), (&br#"{"who":1}"#[..], Some("application/json")));
    let mut client = gateway.connect().await;
    client.send(&message_to_app());
    service.next().await.answer(200, &[actions], r#"[{"action":"error","message":"not you"}]"#);
    let error = client.expect("ERROR").await;
    assert_eq!((error.header("stompgate-error"), &*error.body), (Some("handler_refused"), &b"not you"[..]));
}

fn message_to_app() -> String {
    message("/app/a", "1")
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_remembers_of_a_session_is_told_in_its_later_requests() {
    let (gateway, service) = answering(|_| ());
    let client = gateway.connect().await;
    // The second one is there already when the first one is answered.
    for number in ["1", "2"] {
        client.send(&message("/app/a", number));
    }
    let actions = ("content-type", "application/vnd.stompgate.actions+json");
    let call = service.next().await;
    assert_eq!(call.says("Attribute-sum"), "");
    call.answer(200, &[actions], r#"[{"action":"set-attribute","name":"sum","value":"55"}]"#);
    assert_eq!(service.next().await.says("Attribute-sum"), "55");
    let other = gateway.connect().await;
    other.send(&message("/app/a", "3"));
    assert_eq!(service.next().await.says("Attribute-sum"), "");
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_in_order_and_never_waited_for() {
    use handlers::Event::{Connected, Disconnected, Subscribed, Unsubscribed};
    let hook = Hook {
        on: vec![Connected, Disconnected, Subscribed, Unsubscribed],
        target: Target::Amqp("hooks".into()),
        timeout: Duration::from_secs(5),
    };
    let (gateway, service) = gateway(handlers::Settings { hooks: vec![hook], ..handlers::Settings::default() });
    // Nothing is answered before all of it has happened.
    let mut client = gateway.subscribe("/topic/a").await;
    client.send("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\0");
    client.expect("RECEIPT").await;
    client.send("DISCONNECT\n\n\0");
    client.expect_closed(1000).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let call = service.next().await;
        told.push(["Event", "Destination", "Subscription", "Reason"].map(|it| call.says(it)));
        call.answer(204, &[], "");
    }
    let expected = [
        ["connected", "", "", ""],
        ["subscribed", "/topic/a", "s", ""],
        ["unsubscribed", "", "s", ""],
        ["disconnected", "", "", "disconnect"],
    ];
    assert_eq!(told, expected.map(|it| it.map(str::to_owned)));
}

#[tokio::test(start_paused = true)]
async fn events_beyond_the_queue_of_hooks_are_lost_and_counted() {
    let (on, target) = (vec![handlers::Event::Connected], Target::Amqp("hooks".into()));
    let hooks = vec![Hook { on, target, timeout: Duration::from_secs(5) }];
    // One of these waits for each worker, beside the one that it tells.
    let settings = handlers::Settings { hooks, hook_queue_max: 16, ..handlers::Settings::default() };
    let (gateway, service) = gateway(settings);
    let clients = futures::future::join_all((0..200).map(|_| gateway.connect())).await;
    pass(Duration::from_secs(1)).await;
    let told = service.waiting();
    assert!(told <= 16, "{told} calls at a time");
    let dropped = gateway.metric("stompgate_handler_hooks_dropped_total");
    assert!(dropped >= 200.0 - 32.0, "{dropped} were lost");
    drop(clients);
}
