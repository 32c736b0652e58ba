//! Users over several gateways, and reached by any AMQP publisher. Rows of Spring 6 and SP-71.

use std::collections::BTreeMap;

use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use stompgate::app::App;
use stompgate::auth::{Authenticator, User};
use stompgate::broker::Outage;
use stompgate::broker::amqp::{Identity, Settings};
use stompgate::destination::{Destination, Whom};
use stompgate::ident::Principal;
use stompgate::session::{AckMode, Fault};
use stompgate::{delivery, stomp};

use super::Gateway;
use super::loss::{behind, broker_address};
use super::proxy::Proxy;
use super::support::{Site, eventually, foreign_channel, rabbitmqctl, url};
use super::whole::{start_with, unique};
use crate::broker_contract::fixture::{Session, done};
use crate::client::Client;

const USERS: &str = "stompgate.user";
const SESSIONS: &str = "stompgate.session";
const HEADER: &str = "stompgate-destination";

/// Gateways that know these users, each with the name as passcode.
async fn start_two(users: &[String]) -> [App; 2] {
    let start = || {
        let users = users.iter().map(|it| User { login: (**it).into(), passcode: (**it).into() }).collect();
        start_with(Settings { urls: vec![url()], ..Settings::default() }, |settings| {
            settings.authenticator = Authenticator::Users(users);
        })
    };
    let (one, two) = tokio::join!(start(), start());
    [one, two]
}

async fn subscribed(app: &App, user: &str) -> (Client, String) {
    let (mut client, session) = Client::connect_as(app, user).await;
    client.confirmed("SUBSCRIBE\nid:s\ndestination:/user/queue/a", "").await;
    (client, session)
}

fn header<'a>(message: &'a stomp::Frame, name: &str) -> &'a str {
    message.header(name).unwrap_or_else(|| panic!("no {name} in {message:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_to_each_user_reach_each_of_their_sessions_at_either_gateway_once() {
    const FROM_EACH: usize = 500;
    let names = ["ann", "bob", "c/d"].map(|it| format!("{it}-{}", unique()));
    let gateways = start_two(&names).await;
    let mut sessions = Vec::new();
    for app in gateways.iter().chain(&gateways) {
        for user in &names {
            sessions.push((user.clone(), subscribed(app, user).await.0));
        }
    }
    let mut senders = Vec::new();
    for app in &gateways {
        senders.push(Client::connect_as(app, &names[0]).await.0);
    }
    let destination = |user: &str| format!("/user/{}/queue/a", user.replace('/', "%2F"));
    let sending = join_all(senders.iter_mut().enumerate().map(async |(sender, client)| {
        for number in 0..=FROM_EACH {
            for user in &names {
                let head = format!("SEND\ndestination:{}\nsender:{sender}\nto:{user}", destination(user));
                client.send(&format!("{head}\n\n{number}\0")).await;
            }
        }
        client.confirmed("SEND\ndestination:/topic/nobody", "").await;
    }));
    let reading = join_all(sessions.iter_mut().map(async |(user, client)| {
        let mut next: BTreeMap<String, usize> = BTreeMap::new();
        // The last one of each sender shows that nothing came twice before it.
        while next.values().filter(|it| **it > FROM_EACH).count() < 2 {
            let message = client.expect("MESSAGE").await;
            assert_eq!(header(&message, "to"), user);
            assert_eq!(header(&message, "destination"), "/user/queue/a");
            let expected = next.entry(header(&message, "sender").to_owned()).or_default();
            assert_eq!(String::from_utf8_lossy(&message.body), expected.to_string());
            *expected += 1;
        }
    }));
    tokio::join!(sending, reading);
    for (_, client) in &mut sessions {
        // Nothing is before it.
        client.confirmed("UNSUBSCRIBE\nid:s", "").await;
    }
}

/// An application that has nothing of the gateway's.
struct Publisher(Channel);

impl Publisher {
    async fn new() -> Self {
        let channel = foreign_channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self(channel)
    }

    /// Whether somebody is there; if not, RabbitMQ gives it back.
    async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties) -> bool {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirm = self.0.basic_publish(exchange.into(), key.into(), options, b"news", properties).await.unwrap();
        match confirm.await.unwrap() {
            Confirmation::Ack(returned) => returned.is_none(),
            other => panic!("not confirmed: {other:?}"),
        }
    }

    async fn reaches(&self, user: &str) -> bool {
        self.publish(USERS, user, to("/queue/nobody-hears")).await
    }
}

fn to(rest: &str) -> BasicProperties {
    with(&[(HEADER, AMQPValue::LongString(rest.into()))])
}

fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_headers(table).with_content_type("text/plain".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_publisher_reaches_a_user_by_name_and_learns_that_nobody_is_there() {
    let user = format!("ann/#.*-{}", unique());
    let gateways = start_two(std::slice::from_ref(&user)).await;
    let publisher = Publisher::new().await;
    let (mut one, id) = subscribed(&gateways[0], &user).await;
    let (mut two, _) = subscribed(&gateways[1], &user).await;
    assert!(publisher.publish(USERS, &user, to("/queue/a")).await);
    for client in [&mut one, &mut two] {
        let message = client.expect("MESSAGE").await;
        assert_eq!(
            (header(&message, "destination"), header(&message, "content-type")),
            ("/user/queue/a", "text/plain")
        );
        assert_eq!((message.header(HEADER), &*message.body), (None, &b"news"[..]));
    }
    assert!(publisher.publish(SESSIONS, &id, to("/queue/a")).await);
    one.expect("MESSAGE").await;
    // Each is still subscribed to one destination alone.
    assert!(publisher.reaches(&user).await);
    one.confirmed("UNSUBSCRIBE\nid:s", "").await;
    eventually("the session is unbound", async || !publisher.publish(SESSIONS, &id, to("/queue/a")).await).await;
    assert!(publisher.reaches(&user).await);
    two.confirmed("DISCONNECT", "").await;
    eventually("the user is unbound", async || !publisher.reaches(&user).await).await;
    // Their sessions get nothing of what was sent meanwhile.
    let (mut again, _) = subscribed(&gateways[0], &user).await;
    again.confirmed("UNSUBSCRIBE\nid:s", "").await;
}

fn of(user: &str) -> Option<Principal> {
    Some(Principal::new(user))
}

async fn subscribe(session: &mut Session) {
    session.subscribe(&Destination::User { whom: Whom::Subscriber, rest: "/queue/a".into() }).await;
}

fn to_user(user: &str) -> Destination {
    Destination::User { whom: Whom::Name(user.into()), rest: "/queue/a".into() }
}

#[tokio::test]
async fn a_publisher_that_names_several_users_reaches_each_session_once() {
    let gateway = Gateway::connected(Settings::default()).await;
    let fixture = gateway.fixture();
    let names: Vec<_> = (0..4).map(|it| fixture.user(&it.to_string())).collect();
    let mut sessions = Vec::new();
    for name in &names {
        let mut session = fixture.open_as(name).await;
        subscribe(&mut session).await;
        sessions.push(session);
    }
    let copies = names[1..3].iter().map(|it| AMQPValue::LongString(it.as_str().into())).collect::<Vec<_>>();
    let both =
        with(&[(HEADER, AMQPValue::LongString("/queue/a".into())), ("CC", AMQPValue::FieldArray(copies.into()))]);
    let publisher = Publisher::new().await;
    publisher.publish(USERS, &names[0], both).await;
    for (session, name) in sessions.iter_mut().zip(&names) {
        publisher.publish(USERS, name, to("/queue/end")).await;
        publisher.publish(USERS, name, to("/queue/a")).await;
        session.expect(if *name == names[3] { &["news"] } else { &["news", "news"] }).await;
        session.expect_nothing();
    }
    assert_eq!(gateway.metric("user_unreached_messages_total", "not_subscribed"), 4.0);
    gateway.stop().await;
}

#[tokio::test]
async fn what_reaches_nobody_is_counted_by_its_reason() {
    let gateway = Gateway::connected(Settings::default()).await;
    let (fixture, counter) = (gateway.fixture(), "user_unreached_messages_total");
    let (ann, mut session) = (fixture.user("ann"), fixture.open_as(&fixture.user("ann")).await);
    subscribe(&mut session).await;
    session.publish(&to_user(&fixture.user("bob")), "unheard").await;
    assert_eq!(gateway.metric(counter, "absent"), 1.0);
    let publisher = Publisher::new().await;
    publisher.publish(USERS, &ann, with(&[])).await;
    publisher.publish(USERS, &ann, with(&[(HEADER, AMQPValue::LongInt(1))])).await;
    publisher.publish(USERS, &ann, to("/queue/b")).await;
    publisher.publish(USERS, &ann, to("/queue/a")).await;
    session.expect(&["news"]).await;
    assert_eq!((gateway.metric(counter, "no_destination"), gateway.metric(counter, "not_subscribed")), (2.0, 1.0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_user_costs_two_queues_for_all_and_a_binding_for_each_name() {
    let gateway = Gateway::connected(Settings { feed_shards: 2, ..Settings::default() }).await;
    let fixture = gateway.fixture();
    let mut sessions = Vec::new();
    for number in 0..20 {
        let mut session = fixture.open_as(&fixture.user(&(number % 2).to_string())).await;
        subscribe(&mut session).await;
        subscribe(&mut session).await;
        sessions.push(session);
    }
    // Two users, and each session.
    assert_eq!(gateway.metric("feed_bindings", ""), 22.0);
    assert!(gateway.metric("feed_queues", "") <= 4.0);
    assert_eq!(gateway.metric("private_channels", ""), 0.0);
    sessions.drain(..).for_each(Session::close);
    eventually("nothing is bound", async || gateway.metric("feed_bindings", "") == 0.0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn users_come_back_after_a_loss_and_so_does_their_exchange() {
    let proxy = Proxy::start(broker_address()).await;
    let name = |it: &str| format!("{it}-{}", unique()).parse().unwrap();
    let (user_exchange, session_exchange) = (name("users"), name("sessions"));
    let settings = Settings { outage: Outage::Hold, user_exchange, session_exchange, ..Settings::default() };
    let exchange = settings.user_exchange.as_str().to_owned();
    let gateway = behind(&proxy, settings).await;
    let fixture = gateway.fixture();
    let (ann, mut session) = (fixture.user("ann"), fixture.open_as(&fixture.user("ann")).await);
    subscribe(&mut session).await;
    proxy.cut();
    eventually("it is lost", async || gateway.metric("connected", "") == 0.0).await;
    foreign_channel().await.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    let pending = session.start_publish(&to_user(&ann), "held");
    done(pending).await;
    session.expect(&["held"]).await;
    assert_eq!(gateway.metric("feed_bindings", ""), 2.0);
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_listens_in_at_the_exchanges_of_users() {
    let gateway = Gateway::connected(Settings::default()).await;
    let mut session = gateway.fixture().open_as("ann").await;
    for name in [USERS, SESSIONS] {
        let exchange = Destination::Exchange { name: name.into(), key: "bob".into() };
        for ack in [AckMode::Auto, AckMode::Client] {
            let (_, pending) = session.start_subscribe(&exchange, ack, 64);
            assert!(matches!(pending.await, Err(Fault::Unsupported(_))));
        }
        assert!(matches!(session.start_publish(&exchange, "forged").await, Err(Fault::Unsupported(_))));
    }
    gateway.stop().await;
}

/// The text of the refusal.
async fn refused(session: &mut Session) -> String {
    let own = Destination::User { whom: Whom::Subscriber, rest: "/queue/a".into() };
    let (_, pending) = session.start_subscribe(&own, AckMode::Auto, 64);
    match pending.await {
        Err(Fault::Amqp { text, .. }) => text,
        other => panic!("expected a refusal of RabbitMQ, not {other:?}"),
    }
}

#[tokio::test]
async fn a_client_s_own_permissions_decide_and_the_error_says_which_are_needed() {
    let gateway = Gateway::connected(Settings { identity: Identity::Client, ..Settings::default() }).await;
    let site = Site::new().await;
    let named = |it: &str| format!("{it}-{}", site.name);
    let [full, reader, nobody] = ["full", "reader", "nobody"].map(named);
    let queues = ".*feed.*";
    site.add_user(&full, [".*"; 3]).await;
    site.add_user(&reader, [".*feed.*", ".*", ".*"]).await;
    site.add_user(&nobody, [".*feed.*", queues, queues]).await;
    let open = async |login: &String| {
        let (fixture, credentials) = (gateway.fixture(), site.credentials_of(login));
        fixture.try_open(delivery::Settings::default(), credentials, of(login)).await.unwrap()
    };
    // The exchange is not there, and neither of them may declare it.
    let (mut reading, mut barred) = (open(&reader).await, open(&nobody).await);
    for text in [refused(&mut reading).await, refused(&mut barred).await] {
        assert!(text.contains("permissions configure, write and read on the exchanges 'stompgate.user'"), "{text}");
    }
    let mut owner = open(&full).await;
    subscribe(&mut owner).await;
    subscribe(&mut reading).await;
    owner.publish(&to_user(&reader), "hello").await;
    reading.expect(&["hello"]).await;
    reading.publish(&to_user(&full), "and back").await;
    owner.expect(&["and back"]).await;
    let text = refused(&mut barred).await;
    assert!(text.contains("access to exchange 'stompgate.") && text.contains(&nobody), "{text}");
    assert!(text.contains("permissions configure, write and read"), "{text}");
    match barred.start_publish(&to_user(&full), "no").await {
        Err(Fault::Amqp { text, .. }) => assert!(text.contains("permissions configure, write and read"), "{text}"),
        other => panic!("expected a refusal of RabbitMQ, not {other:?}"),
    }
    drop((reading, barred, owner));
    gateway.stop().await;
    site.remove(&[&full, &reader, &nobody]).await;
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_not_used() {
    let exchange = format!("topics-{}", unique());
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let channel = foreign_channel().await;
    channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
        .unwrap();
    let gateway =
        Gateway::connected(Settings { user_exchange: exchange.parse().unwrap(), ..Settings::default() }).await;
    let mut session = gateway.fixture().open_as("ann").await;
    let text = refused(&mut session).await;
    assert!(text.contains("need it to be durable and direct"), "{text}");
    assert!(session.start_publish(&to_user("ann"), "no").await.is_err());
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn the_exchanges_of_users_outlive_the_broker() {
    let gateway = Gateway::connected(Settings::default()).await;
    subscribe(&mut gateway.fixture().open_as("ann").await).await;
    let lines = rabbitmqctl(&["list_exchanges", "--no-table-headers", "name", "type", "durable"]).await;
    for name in [USERS, SESSIONS] {
        assert!(lines.contains(&format!("{name}\tdirect\ttrue")), "{lines:?}");
    }
    gateway.stop().await;
}
