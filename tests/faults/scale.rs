//! RabbitMQ is killed under many clients of many topics.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::node::{Node, Signal};
use crate::wait::{eventually, tell, within};

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
    /// Why sessions have ended, which none should.
    dropped: Mutex<Vec<String>>,
}

impl Audience {
    /// How many have that round.
    fn count(&self, round: usize) -> usize {
        self.rounds.iter().filter(|it| it.load(Ordering::Relaxed) >= round).count()
    }

    /// Ends with the session. Every round is received, and in order.
    async fn listen(&self, mut client: Client, number: usize) {
        let rounds = &self.rounds[number];
        let fault = loop {
            let message = match client.next().await {
                Ok(message) => message,
                Err(fault) => break fault,
            };
            let round: usize = std::str::from_utf8(&message.body).unwrap().parse().unwrap();
            let last = rounds.load(Ordering::Relaxed);
            if round <= last {
                self.doubled.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(round, last + 1, "client {number} has lost something");
                rounds.store(round, Ordering::Relaxed);
            }
        };
        self.drop_session(format!("client {number}: {fault}"));
    }

    fn drop_session(&self, why: String) {
        self.dropped.lock().unwrap().push(why);
    }

    fn nobody_is_dropped(&self) {
        let dropped = self.dropped.lock().unwrap().clone();
        assert!(dropped.is_empty(), "{} sessions dropped, such as {}", dropped.len(), dropped[0]);
    }

    /// Waits until so many clients have the round.
    async fn have(&self, round: usize, clients: usize) {
        eventually(&format!("{clients} clients have round {round}"), async || {
            self.nobody_is_dropped();
            self.count(round) >= clients
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
async fn send_round(publisher: &mut Client, round: usize) -> Result<(), String> {
    // Fewer than a session may have unconfirmed, so that it is read from while RabbitMQ is away.
    for topics in (0..TOPICS).collect::<Vec<_>>().chunks(100) {
        for topic in topics {
            let head = format!("SEND\ndestination:/topic/scale.{topic}\nreceipt:{topic}");
            publisher.send(&format!("{head}\n\n{round}\0")).await?;
        }
        for _ in topics {
            publisher.next().await?;
        }
    }
    Ok(())
}

/// Sends two rounds, says so, and stays. Why it has ended.
async fn publish(mut publisher: Client, receipted: watch::Sender<bool>) -> String {
    for round in [2, 3] {
        if let Err(fault) = send_round(&mut publisher, round).await {
            return fault;
        }
    }
    receipted.send_replace(true);
    publisher.next().await.unwrap_err()
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
    send_round(&mut publisher, 1).await.unwrap();
    audience.have(1, clients).await;

    node.end(Signal::Kill).await;
    // Sent while RabbitMQ is away, so that it is the first one to arrive.
    let (receipted, mut receipts) = watch::channel(false);
    let books = Arc::clone(&audience);
    sessions.spawn(async move { books.drop_session(publish(publisher, receipted).await) });
    let over = node.restart().await;
    audience.have(2, 1).await;
    let first = over.elapsed();
    audience.have(2, clients).await;
    let all = over.elapsed();
    within("all is receipted", receipts.wait_for(|it| *it)).await.unwrap();
    audience.have(3, clients).await;
    audience.nobody_is_dropped();
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
