//! Rows of `docs/protocol/rabbitmq.md` as clients of RabbitMQ's own plugin meet them: dialogues over a whole gateway.

use lapin::types::ShortString;
use stompgate::app::App;
use stompgate::auth::Rules;
use stompgate::broker::amqp::{self, Identity};
use stompgate::config::Settings;
use stompgate::session::AckScope;
use stompgate::stomp::Frame;

use super::outside;
use super::support::{PASSCODE, Site, eventually, rabbitmqctl, url};
use super::whole::{Vhost, start, start_with, unique};
use crate::client::{Client, until};

/// What every ERROR of these dialogues has beside its `message`, of a frame with `receipt:r`.
fn error<'a>(message: &'a str, label: &'a str) -> Vec<(&'a str, &'a str)> {
    let fixed = [("content-type", "text/plain"), ("version", "1.0,1.1,1.2")];
    [("message", message)].into_iter().chain(fixed).chain([("stompgate-error", label), ("receipt-id", "r")]).collect()
}

fn headers(frame: &Frame) -> Vec<(&str, &str)> {
    frame.headers.iter().filter(|(name, _)| *name != "content-length").collect()
}

fn text(frame: &Frame) -> &str {
    str::from_utf8(&frame.body).unwrap()
}

fn header<'a>(frame: &'a Frame, name: &str) -> &'a str {
    frame.header(name).unwrap_or_else(|| panic!("no {name} in {frame:?}"))
}

/// Everything at RabbitMQ is open to clients.
fn open_rules(settings: &mut Settings) {
    settings.rules = Rules::Listed(["/exchange/*", "/amq/queue/*"].map(|it| it.parse().unwrap()).into());
}

impl Client {
    async fn expect_body(&mut self, body: &str) -> Frame {
        let frame = self.expect("MESSAGE").await;
        assert_eq!(text(&frame), body, "{frame:?}");
        frame
    }

    async fn expect_receipt(&mut self, id: &str) {
        assert_eq!(self.expect("RECEIPT").await.header("receipt-id"), Some(id));
    }

    async fn expect_close(&mut self, code: u16) {
        assert_eq!(self.next().await.unwrap_err(), code);
    }

    /// Nothing came before the answer to a frame that has no other effect.
    async fn expect_silence(&mut self) {
        self.confirmed("SEND\ndestination:/topic/nobody", "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e32_d11_d13_d17_what_does_not_exist_is_told_and_ends_the_session_either_way() {
    let vhost = Vhost::create().await;
    for close_on_error in [true, false] {
        let amqp = amqp::Settings { urls: vec![vhost.url()], ..amqp::Settings::default() };
        let app = start_with(amqp, |settings| {
            open_rules(settings);
            settings.session.close_on_error = close_on_error;
        })
        .await;
        let mut other = Client::subscribe(&app, "/topic/other").await;
        let exchange = "NOT_FOUND - no exchange 'missing'";
        let refused = [
            ("SEND\ndestination:/exchange/missing/k", exchange),
            ("SUBSCRIBE\nid:s\ndestination:/exchange/missing/k", exchange),
            ("SUBSCRIBE\nid:s\nack:client\ndestination:/exchange/missing/k", exchange),
            ("SUBSCRIBE\nid:s\ndurable:true\nexclusive:false\ndestination:/exchange/missing/k", exchange),
            ("SUBSCRIBE\nid:s\ndestination:/amq/queue/missing", "NOT_FOUND - no queue 'missing'"),
        ];
        for (frame, expected) in refused {
            let mut client = Client::connect(&app).await;
            client.send(&format!("{frame}\nreceipt:r\n\n\0")).await;
            let answer = client.expect("ERROR").await;
            assert_eq!(headers(&answer), error("not_found", "broker_exception"), "{frame}");
            assert_eq!(text(&answer), expected, "{frame}");
            client.expect_close(1002).await;
        }
        // Into the void, as with the plugin.
        other.confirmed("SEND\ndestination:/amq/queue/missing", "").await;
        other.send("SEND\ndestination:/topic/other\n\nstill here\0").await;
        other.expect_body("still here").await;
        app.shut_down().await;
        eventually("no queue is left", async || vhost.queues().await.is_empty()).await;
    }
    vhost.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e27_a16_a_queue_that_is_deleted_ends_its_subscription_and_others_go_on() {
    for close_on_error in [true, false] {
        let amqp = amqp::Settings { urls: vec![url()], ..amqp::Settings::default() };
        let app = start_with(amqp, |settings| settings.session.close_on_error = close_on_error).await;
        let [doomed, other] = [unique(), unique()];
        let mut client = Client::connect(&app).await;
        let subscribe = |id: &str, destination: &str| format!("SUBSCRIBE\nid:{id}\ndestination:{destination}");
        client.confirmed(&subscribe("d", &format!("/queue/{doomed}")), "").await;
        client.confirmed(&subscribe("o", &format!("/queue/{other}")), "").await;
        client.confirmed(&subscribe("t", &format!("/topic/{other}")), "").await;
        outside::delete(&doomed.as_str().into()).await;
        let ended = client.expect("ERROR").await;
        let mut expected = error("Server cancelled subscription", "subscription_ended");
        expected[4] = ("subscription", "d");
        assert_eq!(headers(&ended), expected);
        let expected = "The server has canceled a subscription.\nNo more messages will be delivered for \"id='d'\".";
        assert_eq!(text(&ended), expected);
        if close_on_error {
            client.expect_close(1002).await;
        } else {
            for (id, kind, name) in [("o", "queue", &other), ("t", "topic", &other), ("d", "queue", &doomed)] {
                if id == "d" {
                    // The id is free, and the queue is made anew.
                    client.confirmed(&subscribe("d", &format!("/queue/{doomed}")), "").await;
                }
                client.send(&format!("SEND\ndestination:/{kind}/{name}\n\n{id}\0")).await;
                assert_eq!(client.expect_body(id).await.header("subscription"), Some(id));
            }
            client.confirmed("DISCONNECT", "").await;
            outside::delete(&doomed.as_str().into()).await;
        }
        outside::delete(&other.as_str().into()).await;
        app.shut_down().await;
    }
}

/// A gateway whose clients log in to RabbitMQ.
async fn start_for_clients(close_on_error: bool) -> App {
    let amqp = amqp::Settings { urls: vec![url()], identity: Identity::Client, ..amqp::Settings::default() };
    start_with(amqp, |settings| {
        settings.rules = Rules::Broker;
        settings.session.close_on_error = close_on_error;
    })
    .await
}

fn connect_frame(login: &str, passcode: &str, host: &str) -> String {
    format!("CONNECT\naccept-version:1.2\nlogin:{login}\npasscode:{passcode}\nhost:{host}\nreceipt:r\n\n\0")
}

async fn connect_as(app: &App, login: &str, host: &str) -> Client {
    let mut client = Client::open(app).await;
    client.send(&connect_frame(login, PASSCODE, host)).await;
    assert_eq!(client.expect("CONNECTED").await.header("user-name"), Some(login));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn e3_e4_e6_c8_a_client_that_rabbitmq_does_not_know_is_told_why_and_may_try_again() {
    let site = Site::new().await;
    let name = &site.name;
    let refused = [
        (connect_frame(name, "wrong", name), "access_refused", format!("Access refused for user '{name}'")),
        // C6: the passcode comes first.
        (connect_frame(name, "wrong", "nowhere"), "access_refused", format!("Access refused for user '{name}'")),
        (connect_frame(name, PASSCODE, "nowhere"), "vhost_refused", "Virtual host 'nowhere' access denied".to_owned()),
        (connect_frame(name, PASSCODE, "/"), "vhost_refused", "Virtual host '/' access denied".to_owned()),
        (
            "CONNECT\naccept-version:1.2\nreceipt:r\n\n\0".to_owned(),
            "access_refused",
            "Missing login or passcode header(s)".to_owned(),
        ),
    ];
    for close_on_error in [true, false] {
        let app = start_for_clients(close_on_error).await;
        let mut client = Client::open(&app).await;
        for (frame, label, expected) in &refused {
            client.send(frame).await;
            let answer = client.expect("ERROR").await;
            assert_eq!(headers(&answer), error("Bad CONNECT", label));
            assert_eq!(text(&answer), expected);
            if close_on_error {
                client.expect_close(1002).await;
                client = Client::open(&app).await;
            }
        }
        client.send(&connect_frame(name, PASSCODE, name)).await;
        let connected = client.expect("CONNECTED").await;
        assert_eq!(connected.header("user-name"), Some(&**name));
        assert!(header(&connected, "server").starts_with("stompgate/"));
        // C10: what comes next is the answer to this frame, and not to CONNECT.
        client.send("BEGIN\ntransaction:t\nreceipt:begun\n\n\0").await;
        client.expect_receipt("begun").await;
        client.confirmed("DISCONNECT", "").await;
        app.shut_down().await;
    }
    site.remove(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_e32_what_the_permissions_of_a_client_do_not_cover_is_told_and_ends_its_session() {
    let site = Site::new().await;
    let reader = format!("reader-{}", site.name);
    site.add_user(&reader, ["^stomp-subscription", "^stomp", "^(stomp|amq.topic)"]).await;
    for close_on_error in [true, false] {
        let app = start_for_clients(close_on_error).await;
        let mut owner = connect_as(&app, &site.name, &site.name).await;
        let mut fellow = connect_as(&app, &reader, &site.name).await;
        fellow.confirmed("SUBSCRIBE\nid:t\ndestination:/topic/a", "").await;
        let user_id = format!("SEND\ndestination:/topic/a\nuser-id:{}", site.name);
        let refused = [
            ("SEND\ndestination:/topic/a", "access_refused", "exchange 'amq.topic'"),
            ("SEND\ndestination:/queue/a", "access_refused", "queue 'a'"),
            ("SUBSCRIBE\nid:s\ndestination:/queue/a", "access_refused", "queue 'a'"),
            ("SUBSCRIBE\nid:s\nack:client\ndestination:/exchange/amq.direct/a", "access_refused", "'amq.direct'"),
        ];
        for (frame, message, expected) in refused {
            let mut client = connect_as(&app, &reader, &site.name).await;
            client.send(&format!("{frame}\nreceipt:r\n\n\0")).await;
            let answer = client.expect("ERROR").await;
            assert_eq!(headers(&answer), error(message, "broker_exception"), "{frame}");
            assert!(text(&answer).starts_with("ACCESS_REFUSED - ") && text(&answer).contains(expected), "{answer:?}");
            client.expect_close(1002).await;
        }
        // P3: nobody speaks as somebody else, and no channel has to be closed over it.
        let mut client = connect_as(&app, &site.name, &site.name).await;
        client.send("SEND\ndestination:/topic/a\nuser-id:guest\nreceipt:r\n\n\0").await;
        assert_eq!(headers(&client.expect("ERROR").await), error("Processing error", "broker_refused"));
        if close_on_error {
            client.expect_close(1002).await;
        } else {
            client.expect_silence().await;
        }
        // The refusals cost others of the same account nothing.
        owner.confirmed(&user_id, "for all").await;
        assert_eq!(fellow.expect_body("for all").await.header("user-id"), Some(&*site.name));
        app.shut_down().await;
    }
    site.remove(&[&reader]).await;
}

/// Of D20's table of names, so the plugin's clients find their messages.
const DURABLE: &str = "id:1234\ndestination:/topic/my-durable\ndurable:true";
const DURABLE_QUEUE: &str = "stomp-subscription-ywnduRGdS9QBdgzKJKz3-A";

impl Vhost {
    /// Name, durable, auto-delete, exclusive.
    async fn queues(&self) -> Vec<String> {
        self.queues_with(&["name", "durable", "auto_delete", "exclusive"]).await
    }

    async fn queues_with(&self, columns: &[&str]) -> Vec<String> {
        let ask = ["list_queues", "-q", "--no-table-headers", "-p", self.name()];
        rabbitmqctl(&[&ask, columns].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn u3_u4_u7_d20_two_clients_share_a_durable_topic_until_one_unsubscribes_for_good() {
    let vhost = Vhost::create().await;
    let app = start(vhost.url()).await;
    let subscribe = format!("SUBSCRIBE\nauto-delete:false\n{DURABLE}");
    let [mut one, mut two] = [Client::connect(&app).await, Client::connect(&app).await];
    one.confirmed(&subscribe, "").await;
    two.confirmed(&subscribe, "").await;
    assert_eq!(vhost.queues().await, [format!("{DURABLE_QUEUE}\ttrue\tfalse\tfalse")]);
    let mut sender = Client::connect(&app).await;
    for body in ["1", "2"] {
        sender.confirmed("SEND\ndestination:/topic/my-durable", body).await;
    }
    one.expect_body("1").await;
    let message = two.expect_body("2").await;
    assert_eq!((header(&message, "subscription"), header(&message, "destination")), ("1234", "/topic/my-durable"));
    // U4: without the header of the SUBSCRIBE the queue is kept, and so is what comes meanwhile.
    one.confirmed("UNSUBSCRIBE\nid:1234", "").await;
    two.confirmed("DISCONNECT", "").await;
    sender.confirmed("SEND\ndestination:/topic/my-durable", "meanwhile").await;
    let mut three = Client::connect(&app).await;
    three.confirmed(&subscribe, "").await;
    three.expect_body("meanwhile").await;
    // U3: for good. Whoever else shares it is told.
    one.confirmed(&subscribe, "").await;
    three.confirmed(&format!("UNSUBSCRIBE\n{DURABLE}"), "").await;
    assert_eq!(header(&one.expect("ERROR").await, "subscription"), "1234");
    assert_eq!(vhost.queues().await, [""; 0]);
    // U4: unless the SUBSCRIBE says otherwise, the queue goes with its last consumer.
    three.confirmed(&format!("SUBSCRIBE\n{DURABLE}"), "").await;
    assert_eq!(vhost.queues().await, [format!("{DURABLE_QUEUE}\ttrue\ttrue\tfalse")]);
    three.confirmed("UNSUBSCRIBE\nid:1234", "").await;
    eventually("the queue is gone", async || vhost.queues().await.is_empty()).await;
    app.shut_down().await;
    vhost.delete().await;
}

/// Both delete the queue: the second finds it gone, or hears of it before.
#[tokio::test(flavor = "multi_thread")]
async fn u6_a_durable_topic_that_is_gone_already_is_unsubscribed_without_a_refusal_of_rabbitmq() {
    let vhost = Vhost::create().await;
    let amqp = amqp::Settings { urls: vec![vhost.url()], ..amqp::Settings::default() };
    let app = start_with(amqp, |settings| settings.session.close_on_error = false).await;
    let mut clients = [Client::connect(&app).await, Client::connect(&app).await];
    for client in &mut clients {
        client.confirmed(&format!("SUBSCRIBE\n{DURABLE}"), "").await;
    }
    for client in &mut clients {
        client.send(&format!("UNSUBSCRIBE\n{DURABLE}\n\n\0")).await;
    }
    for client in &mut clients {
        client.send("BEGIN\ntransaction:t\nreceipt:still-here\n\n\0").await;
        loop {
            let frame = client.next().await.unwrap();
            let told = ["subscription_ended", "subscription_unknown"].map(Some);
            match frame.command.as_str() {
                "RECEIPT" => break,
                _ => assert!(told.contains(&frame.header("stompgate-error")), "{frame:?}"),
            }
        }
    }
    eventually("the queue is gone", async || vhost.queues().await.is_empty()).await;
    app.shut_down().await;
    vhost.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_e23_u8_one_client_answers_another_through_its_temporary_queue() {
    let amqp = amqp::Settings { urls: vec![url()], ..amqp::Settings::default() };
    let app = start_with(amqp, |settings| settings.session.close_on_error = false).await;
    let service = unique();
    let mut server = Client::subscribe(&app, &format!("/queue/{service}")).await;
    let mut client = Client::connect(&app).await;
    let ask = format!("SEND\ndestination:/queue/{service}\nreply-to:/temp-queue/answers\ncorrelation-id:7");
    let mut addresses = Vec::new();
    for _ in 0..2 {
        client.confirmed(&ask, "question").await;
        let question = server.expect_body("question").await;
        let reply_to = header(&question, "reply-to");
        let address = reply_to.strip_prefix("/reply-queue/").expect("it can be sent to");
        assert!(address.starts_with("amq.gen-"), "{address}");
        server.confirmed(&format!("SEND\ndestination:{reply_to}\ncorrelation-id:7"), "answer").await;
        let answer = client.expect_body("answer").await;
        assert_eq!(header(&answer, "subscription"), "/temp-queue/answers");
        assert_eq!(header(&answer, "destination"), format!("/queue/{address}"));
        assert_eq!((answer.header("correlation-id"), answer.header("ack")), (Some("7"), None));
        addresses.push(ShortString::from(address));
    }
    assert_eq!(addresses[0], addresses[1]);
    // Who is told the address may answer there, and not listen.
    server.send(&format!("SUBSCRIBE\nid:x\ndestination:/reply-queue/{}\nreceipt:r\n\n\0", addresses[0])).await;
    assert_eq!(headers(&server.expect("ERROR").await), error("access_refused", "forbidden"));
    client.send("UNSUBSCRIBE\nid:/temp-queue/answers\nreceipt:r\n\n\0").await;
    assert_eq!(headers(&client.expect("ERROR").await), error("Invalid id", "invalid_header"));
    client.confirmed("DISCONNECT", "").await;
    outside::is_gone(&addresses[0]).await;
    outside::delete(&service.as_str().into()).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rc1_rc8_receipts_of_sends_come_in_their_order_and_that_of_disconnect_last() {
    const MESSAGES: usize = 50;
    let (app, queue) = (start(url()).await, unique());
    let mut client = Client::connect(&app).await;
    let mut frames = String::new();
    for number in 0..MESSAGES {
        // Persistent or not, to somebody or to nobody.
        let destination = if number % 2 == 0 { format!("/queue/{queue}") } else { format!("/topic/{queue}") };
        let persistent = number % 4 == 0;
        frames += &format!("SEND\ndestination:{destination}\npersistent:{persistent}\nreceipt:{number}\n\n{number}\0");
    }
    client.send(&format!("{frames}DISCONNECT\nreceipt:bye\n\n\0")).await;
    for number in 0..MESSAGES {
        client.expect_receipt(&number.to_string()).await;
    }
    client.expect_receipt("bye").await;
    client.expect_close(1000).await;
    let mut reader = Client::subscribe(&app, &format!("/queue/{queue}")).await;
    for number in (0..MESSAGES).step_by(2) {
        reader.expect_body(&number.to_string()).await;
    }
    outside::delete(&queue.as_str().into()).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rc3_t7_t8_t9_what_is_in_a_transaction_waits_for_its_commit_and_else_never_was() {
    let (app, queue) = (start(url()).await, unique());
    let destination = format!("destination:/queue/{queue}");
    let mut client = Client::connect(&app).await;
    for transaction in ["kept", "aborted", "forgotten"] {
        client.confirmed(&format!("BEGIN\ntransaction:{transaction}"), "").await;
        let receipt = format!("receipt:{transaction}");
        client.send(&format!("SEND\n{destination}\ntransaction:{transaction}\n{receipt}\n\n{transaction}\0")).await;
    }
    // T9: not of the transaction, whatever it says. RC3: no receipt of a SEND came before that of this frame.
    client.confirmed(&format!("SUBSCRIBE\nid:s\n{destination}\ntransaction:kept"), "").await;
    client.confirmed("ABORT\ntransaction:aborted", "").await;
    client.expect_silence().await;
    client.send("COMMIT\ntransaction:kept\nreceipt:committed\n\n\0").await;
    // The MESSAGE comes over another connection than the confirms.
    let (mut receipts, mut bodies) = (Vec::new(), Vec::new());
    while receipts.len() + bodies.len() < 3 {
        let frame = client.next().await.unwrap();
        match frame.command.as_str() {
            "RECEIPT" => receipts.push(header(&frame, "receipt-id").to_owned()),
            _ => bodies.push(text(&frame).to_owned()),
        }
    }
    assert_eq!((receipts.join(" "), bodies.join(" ")), ("kept committed".to_owned(), "kept".to_owned()));
    client.confirmed("UNSUBSCRIBE\nid:s\ntransaction:forgotten", "").await;
    client.confirmed("DISCONNECT", "").await;
    let mut other = Client::subscribe(&app, &format!("/queue/{queue}")).await;
    other.send(&format!("SEND\n{destination}\n\nlast\0")).await;
    other.expect_body("last").await;
    outside::delete(&queue.as_str().into()).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_a14_an_ack_covers_its_subscription_or_the_session_and_the_rest_comes_again() {
    for (scope, left) in [(AckScope::Subscription, 2.0), (AckScope::Session, 0.0)] {
        let amqp = amqp::Settings { urls: vec![url()], ..amqp::Settings::default() };
        let app = start_with(amqp, |settings| settings.session.ack_scope = scope).await;
        let queues = [unique(), unique(), unique()];
        let mut client = Client::connect(&app).await;
        let mut last = String::new();
        for (queue, ack) in queues.iter().zip(["client", "client-individual", "client"]) {
            client.confirmed(&format!("SUBSCRIBE\nid:{queue}\nack:{ack}\ndestination:/queue/{queue}"), "").await;
            client.send(&format!("SEND\ndestination:/queue/{queue}\n\nfirst\0")).await;
            header(&client.expect_body("first").await, "ack").clone_into(&mut last);
        }
        until(&app, "stompgate_broker_amqp_unsettled", 3.0).await;
        client.confirmed(&format!("ACK\nid:{last}"), "").await;
        until(&app, "stompgate_broker_amqp_unsettled", left).await;
        client.confirmed("DISCONNECT", "").await;
        let mut heir = Client::connect(&app).await;
        for (queue, comes_again) in queues.iter().zip([left > 0.0, left > 0.0, false]) {
            heir.confirmed(&format!("SUBSCRIBE\nid:{queue}\ndestination:/queue/{queue}"), "").await;
            if comes_again {
                assert_eq!(header(&heir.expect_body("first").await, "redelivered"), "true");
            }
            heir.send(&format!("SEND\ndestination:/queue/{queue}\n\nsecond\0")).await;
            assert_eq!(header(&heir.expect_body("second").await, "redelivered"), "false");
            outside::delete(&queue.as_str().into()).await;
            heir = Client::connect(&app).await;
        }
        app.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d51_d55_a_consumer_of_higher_priority_comes_first_and_a_selector_selects_nothing() {
    let (app, queue) = (start(url()).await, unique());
    let mut other = Client::subscribe(&app, &format!("/queue/{queue}")).await;
    let mut client = Client::connect(&app).await;
    let ignored = "selector:colour = 'red'\nno-local:true\nbrowser:true\nactivemq.prefetchSize:1";
    client.confirmed(&format!("SUBSCRIBE\nid:s\ndestination:/queue/{queue}\nx-priority:5\n{ignored}"), "").await;
    for number in ["1", "2", "3"] {
        client.send(&format!("SEND\ndestination:/queue/{queue}\ncolour:blue\n\n{number}\0")).await;
        client.expect_body(number).await;
    }
    other.expect_silence().await;
    outside::delete(&queue.as_str().into()).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d40_to_d47_headers_make_the_queue_that_they_say() {
    let vhost = Vhost::create().await;
    let amqp = amqp::Settings { urls: vec![vhost.url()], ..amqp::Settings::default() };
    let app = start_with(amqp, open_rules).await;
    let mut client = Client::connect(&app).await;
    // RabbitMQ never has an exclusive queue durable, whatever its declare says.
    let made = [
        ("SEND\ndestination:/queue/a\npersistent:false", "a\ttrue\tfalse\tfalse"),
        ("SUBSCRIBE\nid:b\ndestination:/queue/b\npersistent:False", "b\tfalse\ttrue\ttrue"),
        (
            "SUBSCRIBE\nid:c\ndestination:/queue/c\nauto-delete:true\nx-max-length:10\nx-overflow:reject-publish\n\
             x-dead-letter-exchange: amq.fanout ",
            "c\ttrue\ttrue\tfalse",
        ),
        ("SUBSCRIBE\nid:d\ndestination:/queue/d\nexclusive:True", "d\tfalse\tfalse\ttrue"),
        (
            "SUBSCRIBE\nid:e\ndestination:/queue/e\ndurable:false\nx-queue-type:quorum\nauto-delete:false",
            "e\ttrue\tfalse\t",
        ),
        ("SUBSCRIBE\nid:f\ndestination:/topic/t\nx-queue-name:f", "f\tfalse\ttrue\ttrue"),
        ("SUBSCRIBE\nid:g\ndestination:/exchange/amq.direct/k\ndurable:true\nx-queue-name:g", "g\tfalse\ttrue\ttrue"),
    ];
    for (frame, _) in made {
        client.confirmed(frame, "").await;
    }
    let mut queues = vhost.queues().await;
    queues.sort_unstable();
    assert_eq!(queues.len(), made.len(), "{queues:?}");
    for (queue, (frame, expected)) in queues.iter().zip(made) {
        // Of a quorum queue RabbitMQ 3.10 does not say whether it is exclusive.
        assert!(queue.starts_with(expected), "{frame}\n{queue}");
    }
    let arguments = vhost.queues_with(&["name", "arguments"]).await;
    let of = |name: &str| arguments.iter().find(|it| it.starts_with(name)).unwrap();
    for argument in [r#"{"x-max-length",10}"#, r#"{"x-dead-letter-exchange","amq.fanout"}"#] {
        assert!(of("c\t").contains(argument), "{arguments:?}");
    }
    assert!(!of("c\t").contains("x-overflow"), "{arguments:?}");
    assert!(of("e\t").contains(r#"{"x-queue-type","quorum"}"#), "{arguments:?}");
    client.send("SUBSCRIBE\nid:h\ndestination:/queue/h\nx-expires:soon\nreceipt:r\n\n\0").await;
    let answer = client.expect("ERROR").await;
    assert_eq!(headers(&answer), error("Processing error", "broker_refused"));
    assert_eq!(text(&answer), "x-expires must be a whole number in its range, not 'soon'");
    app.shut_down().await;
    vhost.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_d31_u1_a_client_of_the_plugin_that_gives_no_ids_is_shown_destinations_as_there() {
    let vhost = Vhost::create().await;
    let amqp = amqp::Settings { urls: vec![vhost.url()], ..amqp::Settings::default() };
    let app = start_with(amqp, |settings| {
        open_rules(settings);
        settings.session.close_on_error = false;
    })
    .await;
    let (mut client, mut sender) = (Client::connect(&app).await, Client::connect(&app).await);
    // What is subscribed to, sent to, and shown.
    let cases = [
        ("/topic/a.*", "/topic/a.b", "/topic/a.b"),
        ("/exchange/amq.topic/c", "/topic/c", "/topic/c"),
        ("/exchange/amq.direct/d%2Fe", "/exchange/amq.direct/d%2Fe", "/exchange/amq.direct/d%2Fe"),
        ("/exchange/amq.fanout", "/exchange/amq.fanout/any", "/exchange/amq.fanout/any"),
        ("/exchange/amq.fanout/f", "/exchange/amq.fanout/", "/exchange/amq.fanout"),
        ("plain", "/queue/plain", "/queue/plain"),
        ("/queue/g%2Fh", "/queue/g%2Fh", "/queue/g%2Fh"),
        ("/amq/queue/plain", "plain", "/queue/plain"),
    ];
    for ack in ["auto", "client"] {
        for (subscribed, sent, shown) in cases {
            client.confirmed(&format!("SUBSCRIBE\ndestination:{subscribed}\nack:{ack}"), "").await;
            sender.confirmed(&format!("SEND\ndestination:{sent}"), sent).await;
            let message = client.expect_body(sent).await;
            assert_eq!(header(&message, "destination"), shown, "{subscribed}");
            assert_eq!(message.header("subscription"), None);
            if let Some(id) = message.header("ack") {
                client.confirmed(&format!("ACK\nid:{id}"), "").await;
            }
            client.confirmed(&format!("UNSUBSCRIBE\ndestination:{subscribed}"), "").await;
        }
    }
    sender.confirmed("SEND\ndestination:/topic/a.b", "too late").await;
    client.expect_silence().await;
    app.shut_down().await;
    vhost.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_rc9_e32_what_fails_at_a_commit_is_told_with_its_receipt_and_the_rest_takes_effect() {
    let amqp = amqp::Settings { urls: vec![url()], ..amqp::Settings::default() };
    let (app, queue) = (start_with(amqp, open_rules).await, unique());
    let mut client = Client::connect(&app).await;
    client.send("BEGIN\ntransaction:t\n\n\0").await;
    for destination in [&*format!("/queue/{queue}"), "/exchange/missing/k", &*format!("/amq/queue/{queue}")] {
        client.send(&format!("SEND\ndestination:{destination}\ntransaction:t\n\n{destination}\0")).await;
    }
    client.send("COMMIT\ntransaction:t\nreceipt:r\n\n\0").await;
    let answer = client.expect("ERROR").await;
    assert_eq!(headers(&answer), error("not_found", "broker_exception"));
    client.expect_close(1002).await;
    let mut reader = Client::subscribe(&app, &format!("/queue/{queue}")).await;
    reader.expect_body(&format!("/queue/{queue}")).await;
    reader.expect_body(&format!("/amq/queue/{queue}")).await;
    outside::delete(&queue.as_str().into()).await;
    app.shut_down().await;
}
