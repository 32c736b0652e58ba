//! RabbitMQ is killed under many clients of many topics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::node::{Node, Signal};
use crate::wait::{eventually, tell};

const TOPICS: usize = 1_000;

/// Of `make test`; STOMPGATE_TEST_CLIENTS says otherwise.
const CLIENTS: usize = 1_000;

/// Handshakes under way at once.
const CONNECTING_MAX: usize = 64;

/// What each client has got: the rounds, each of which sends one message to each topic.
#[derive(Default)]
struct Audience {
    rounds: Vec<AtomicUsize>,
    doubled: AtomicUsize,
    dropped: AtomicUsize,
}

impl Audience {
    /// How many have that round.
    fn count(&self, round: usize) -> usize {
        self.rounds.iter().filter(|it| it.load(Ordering::Relaxed) >= round).count()
    }

    /// Ends with the session. Every round is received, and in order.
    async fn listen(&self, mut client: Client, number: usize) {
        let rounds = &self.rounds[number];
        while let Ok(message) = client.next().await {
            let round: usize = std::str::from_utf8(&message.body).unwrap().parse().unwrap();
            let last = rounds.load(Ordering::Relaxed);
            if round <= last {
                self.doubled.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(round, last + 1, "client {number} has lost something");
                rounds.store(round, Ordering::Relaxed);
            }
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all clients have the round.
    async fn have(&self, round: usize) {
        eventually(&format!("all have round {round}"), async || {
            assert_eq!(self.dropped.load(Ordering::Relaxed), 0, "sessions dropped");
            self.count(round) == self.rounds.len()
        })
        .await;
    }
}

/// The client of that number, subscribed to its topic.
async fn connect(gateway: SocketAddr, number: usize) -> (Client, usize) {
    let mut client = Client::connect(gateway, GUEST).await;
    client.confirmed(&format!("SUBSCRIBE\nid:s\ndestination:/topic/scale.{}", number % TOPICS), "").await;
    (client, number)
}

/// Sends one message to each topic, and waits for the RECEIPTs.
async fn send_round(publisher: &mut Client, round: usize) {
    // Fewer than a session may have unconfirmed, so that it is read from while RabbitMQ is away.
    for topics in (0..TOPICS).collect::<Vec<_>>().chunks(100) {
        for topic in topics {
            let head = format!("SEND\ndestination:/topic/scale.{topic}\nreceipt:{topic}");
            publisher.send(&format!("{head}\n\n{round}\0")).await.unwrap();
        }
        for _ in topics {
            publisher.expect("RECEIPT").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_killed_under_many_clients_of_a_thousand_topics() {
    let clients = clients();
    let node = Node::start().await;
    // As it is by default: a thousand heart-beats a second are load enough.
    let gateway = Gateway::start(&node.url(), &[("stomp.heartbeat_send", "10s")]).await;
    let audience = Audience { rounds: (0..clients).map(|_| AtomicUsize::new(0)).collect(), ..Audience::default() };
    let (audience, mut sessions) = (Arc::new(audience), JoinSet::new());
    let address = gateway.clients;
    let mut connected = stream::iter(0..clients).map(|it| connect(address, it)).buffered(CONNECTING_MAX);
    while let Some((client, number)) = connected.next().await {
        let audience = Arc::clone(&audience);
        sessions.spawn(async move { audience.listen(client, number).await });
    }
    let mut publisher = Client::connect(gateway.clients, GUEST).await;
    send_round(&mut publisher, 1).await;
    audience.have(1).await;

    node.end(Signal::Kill).await;
    // Sent while RabbitMQ is away, so that it is the first one to arrive.
    let (receipted, mut receipts) = watch::channel(false);
    sessions.spawn(async move {
        send_round(&mut publisher, 2).await;
        send_round(&mut publisher, 3).await;
        receipted.send_replace(true);
        // Its session lives on.
        while publisher.next().await.is_ok() {}
    });
    let over = node.restart().await;
    eventually("one has round 2", async || audience.count(2) > 0).await;
    let first = over.elapsed();
    audience.have(2).await;
    let all = over.elapsed();
    receipts.wait_for(|it| *it).await.unwrap();
    audience.have(3).await;
    let doubled = audience.doubled.load(Ordering::Relaxed);
    tell(&format!(
        "kill -9 under {clients} clients of {TOPICS} topics: lost 0, doubled {doubled}, 0 sockets dropped; \
         the first has a message after {first:.2?}, all have after {all:.2?}"
    ));
    sessions.shutdown().await;
    gateway.stop().await;
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment how many clients there are")]
fn clients() -> usize {
    std::env::var("STOMPGATE_TEST_CLIENTS")
        .map_or(CLIENTS, |it| it.parse().expect("STOMPGATE_TEST_CLIENTS is a number"))
}
