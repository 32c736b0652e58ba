//! Links on the broker under test, and what a session does with them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stompgate::broker::{Broker, Link, LinkRequest, Pending};
use stompgate::delivery::{self, Budget, Item, Outbox, Outboxes};
use stompgate::destination::Destination;
use stompgate::ident::{Principal, SessionId, SubscriptionId, SubscriptionKey};
use stompgate::message::{AckToken, Delivery};
use stompgate::session::{AckMode, Credentials, Fault, Publish, Subscribe, Unsubscribe, Verdict};
use stompgate::stomp::Headers;
use stompgate::telemetry::Registry;
use tokio::time::timeout;

/// Longer than any healthy broker takes, so that only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whose time passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Paused,
    Real,
}

/// The broker under test, with names that no other case and no other run uses.
#[derive(Debug)]
pub(crate) struct Fixture {
    broker: Broker,
    clock: Clock,
    run: String,
}

/// A link, and the session that it belongs to.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    link: Option<Link>,
    outbox: Arc<Outbox>,
    modes: HashMap<SubscriptionKey, AckMode>,
    last_key: u32,
}

impl Fixture {
    pub(crate) fn new(broker: Broker, clock: Clock) -> Self {
        Self { broker, clock, run: SessionId::from_random(rand::random()).to_string() }
    }

    pub(crate) async fn open(&self) -> Session {
        self.open_with(delivery::Settings::default()).await
    }

    pub(crate) async fn open_with(&self, settings: delivery::Settings) -> Session {
        let opened = self.try_open(settings, Credentials::default(), None).await;
        opened.expect("the broker under test runs")
    }

    /// A session of that user.
    pub(crate) async fn open_as(&self, user: &str) -> Session {
        let (settings, user) = (delivery::Settings::default(), Some(Principal::new(user)));
        self.try_open(settings, Credentials::default(), user).await.expect("the broker under test runs")
    }

    pub(crate) async fn try_open(
        &self,
        settings: delivery::Settings,
        credentials: Credentials,
        user: Option<Principal>,
    ) -> Result<Session, Fault> {
        let metrics = delivery::Metrics::new(&Registry::default());
        let outbox = Arc::new(Outboxes::new(settings, Budget::new(usize::MAX, metrics.clone()), metrics).open());
        let id = SessionId::from_random(rand::random());
        let request = LinkRequest { session: id, credentials, user, outbox: Arc::clone(&outbox) };
        let link = Some(self.broker.open(request).await?);
        Ok(Session { id, link, outbox, modes: HashMap::new(), last_key: 0 })
    }

    /// A topic of this case alone. `words` may hold wildcards.
    pub(crate) fn topic(&self, words: &str) -> Destination {
        Destination::Topic(format!("test.{}.{words}", self.run).into())
    }

    /// A user of this case alone.
    pub(crate) fn user(&self, name: &str) -> String {
        format!("test.{}.{name}", self.run)
    }

    pub(crate) fn queue(&self, name: &str) -> Destination {
        Destination::Queue(format!("test.{}.{name}", self.run).into())
    }

    /// Lets so much of the broker's time pass.
    pub(crate) async fn elapse(&self, time: Duration) {
        match self.clock {
            Clock::Paused => tokio::time::advance(time).await,
            // Nothing but time can make a real broker's message expire.
            Clock::Real => {
                timeout(time, std::future::pending::<()>()).await.expect_err("only the time ends this");
            }
        }
    }
}

impl Session {
    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("it is not closed")
    }

    /// Subscribes as clients do that say nothing of acknowledgements.
    pub(crate) async fn subscribe(&mut self, destination: &Destination) -> SubscriptionKey {
        self.subscribe_with(destination, AckMode::Auto, 64).await
    }

    pub(crate) async fn subscribe_with(
        &mut self,
        destination: &Destination,
        ack: AckMode,
        prefetch: u16,
    ) -> SubscriptionKey {
        let (key, pending) = self.start_subscribe(destination, ack, prefetch);
        done(pending).await;
        key
    }

    pub(crate) fn start_subscribe(
        &mut self,
        destination: &Destination,
        ack: AckMode,
        prefetch: u16,
    ) -> (SubscriptionKey, Pending) {
        let key = self.new_key(ack);
        let id = SubscriptionId::new(&format!("sub-{}", key.0));
        let destination = destination.clone();
        let pending = self.link().subscribe(Subscribe {
            key,
            id,
            destination,
            ack,
            prefetch,
            is_durable: false,
            headers: Headers::new(),
        });
        (key, pending)
    }

    /// With what a broker needs to be told that keeps no more than it has to (U4).
    pub(crate) async fn subscribe_durably(&mut self, destination: &Destination, id: &str) -> SubscriptionKey {
        let headers = [("durable", "true"), ("auto-delete", "false")];
        let (key, pending) = self.start_subscribe_as(id, destination, AckMode::Client, &headers);
        done(pending).await;
        key
    }

    pub(crate) fn start_subscribe_as(
        &mut self,
        id: &str,
        destination: &Destination,
        ack: AckMode,
        headers: &[(&str, &str)],
    ) -> (SubscriptionKey, Pending) {
        let key = self.new_key(ack);
        let (id, destination) = (SubscriptionId::new(id), destination.clone());
        let is_durable = headers.contains(&("durable", "true"));
        let headers = Headers::from_iter(headers.iter().copied());
        let subscribe = Subscribe { key, id, destination, ack, prefetch: 64, is_durable, headers };
        (key, self.link().subscribe(subscribe))
    }

    pub(crate) async fn unsubscribe(&mut self, key: SubscriptionKey) {
        done(self.link().unsubscribe(Unsubscribe { key, is_final: false })).await;
    }

    pub(crate) async fn unsubscribe_finally(&mut self, key: SubscriptionKey) {
        done(self.link().unsubscribe(Unsubscribe { key, is_final: true })).await;
    }

    pub(crate) async fn publish(&mut self, destination: &Destination, body: &str) {
        done(self.start_publish(destination, body)).await;
    }

    pub(crate) async fn publish_all(&mut self, destination: &Destination, bodies: &[&str]) {
        let pending: Vec<_> = bodies.iter().map(|body| self.start_publish(destination, body)).collect();
        for it in pending {
            done(it).await;
        }
    }

    pub(crate) async fn publish_with(&mut self, destination: &Destination, headers: &[(&str, &str)], body: &[u8]) {
        done(self.start_publish_with(destination, headers, body)).await;
    }

    pub(crate) fn start_publish_with(
        &mut self,
        destination: &Destination,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Pending {
        let headers = Headers::from_iter(headers.iter().copied());
        let body = Bytes::copy_from_slice(body);
        self.link().publish(Publish {
            destination: destination.clone(),
            headers,
            body,
            reply_to: None,
            is_receipted: true,
        })
    }

    /// Publishes a message whose replies come under that key.
    pub(crate) async fn ask(&mut self, destination: &Destination, key: SubscriptionKey, question: &str) {
        let (headers, body) = (Headers::new(), Bytes::copy_from_slice(question.as_bytes()));
        done(self.link().publish(Publish {
            destination: destination.clone(),
            headers,
            body,
            reply_to: Some(key),
            is_receipted: true,
        }))
        .await;
    }

    pub(crate) fn start_publish(&mut self, destination: &Destination, body: &str) -> Pending {
        self.start_publish_with(destination, &[], body.as_bytes())
    }

    /// The next delivery, settled if its subscription is `auto`, as a session does when it has written it.
    pub(crate) async fn receive(&mut self) -> Delivery {
        match self.next_item().await {
            Item::Delivery(delivery) => {
                if let (AckMode::Auto, Some(token)) = (self.modes[&delivery.subscription], delivery.token) {
                    self.settle(&[token], Verdict::Accepted);
                }
                delivery
            }
            other => panic!("expected a delivery, not {other:?}"),
        }
    }

    pub(crate) async fn next_item(&mut self) -> Item {
        let ready = poll_fn(|cx| self.outbox.poll_ready(cx));
        timeout(DEADLINE, ready).await.expect("something is pushed before the deadline");
        self.outbox.pop().expect("it was ready, and nobody else pops")
    }

    /// What waits now.
    #[cfg_attr(not(feature = "test-rabbitmq"), expect(dead_code, reason = "the embedded broker has nothing under way"))]
    pub(crate) fn popped(&mut self) -> Option<Item> {
        self.outbox.pop()
    }

    /// Receives as many deliveries as there are bodies, and compares them in order.
    pub(crate) async fn expect(&mut self, bodies: &[&str]) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for _ in bodies {
            deliveries.push(self.receive().await);
        }
        let received: Vec<_> = deliveries.iter().map(body).collect();
        assert_eq!(received, bodies);
        deliveries
    }

    /// Nothing waits now. Only meaningful after something that proves that the broker has got so far.
    pub(crate) fn expect_nothing(&mut self) {
        let item = self.outbox.pop();
        assert!(item.is_none(), "expected nothing, not {item:?}");
    }

    pub(crate) fn settle(&mut self, tokens: &[AckToken], verdict: Verdict) {
        self.link().settle(tokens, verdict);
    }

    pub(crate) fn close(mut self) {
        self.link.take().expect("it is closed once").close();
        self.outbox.close();
    }

    pub(crate) fn new_key(&mut self, ack: AckMode) -> SubscriptionKey {
        self.last_key += 1;
        let key = SubscriptionKey(self.last_key);
        self.modes.insert(key, ack);
        key
    }
}

/// Outboxes that take so many messages.
pub(crate) fn outbox_of(messages_max: usize) -> delivery::Settings {
    delivery::Settings { messages_max, ..delivery::Settings::default() }
}

pub(crate) async fn done(pending: Pending) {
    let outcome = timeout(DEADLINE, pending).await.expect("the broker answers before the deadline");
    outcome.expect("the broker does it");
}

pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.body().to_vec()).expect("these cases publish text")
}

pub(crate) fn token(delivery: &Delivery) -> AckToken {
    delivery.token.expect("this delivery has to be settled")
}
