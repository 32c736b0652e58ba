//! Whole sessions on an embedded broker that goes away and comes back, and an account of every message: sent, receipted,
//! received, acknowledged, left in its queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use stompgate::auth::{Authenticator, Rules};
use stompgate::broker::{self};
use stompgate::broker::{Outage, memory};
use stompgate::destination::Pattern;
use stompgate::driver::{self, Context};
use stompgate::lifecycle::Lifecycle;
use stompgate::registry::{Registry, Users};
use stompgate::stomp::{Command, Decoder, Frame, Limits, Version};
use stompgate::transport::memory::{Peer, pair};
use stompgate::transport::{Inbound, Transport};
use stompgate::{delivery, session, telemetry};

use super::{PATTERNS, QUEUES, TOPICS, seeds};

const STEPS: usize = 300;
const CLIENTS: usize = 5;
const ACK_MODES: [&str; 3] = ["auto", "client", "client-individual"];

/// The body of a message. A later SEND has a higher one.
type Number = u64;

/// Counts whatever happens, so that two things can be said to have come one after the other.
type Moment = u64;

struct World {
    rng: StdRng,
    broker: memory::Broker,
    context: Arc<Context>,
    connections: Registry,
    clients: Vec<Client>,
    /// Those that have said DISCONNECT.
    leaving: Vec<Client>,
    moment: Moment,
    is_away: bool,
    outages: usize,
    sent: BTreeMap<Number, Sent>,
    /// Numbers that came as not redelivered, of each queue and private queue.
    first: BTreeSet<(String, Number)>,
    /// Acknowledged, the broker being there all the time.
    done: BTreeSet<Number>,
    /// An ACK was sent, or it was given to somebody who need not send one.
    may_be_settled: BTreeSet<Number>,
    received: BTreeSet<Number>,
    trace: Vec<String>,
}

struct Sent {
    at: Moment,
    destination: String,
    receipted: Option<Moment>,
    /// The outage in which it was sent.
    outage: Option<usize>,
    sender: usize,
}

struct Client {
    number: usize,
    peer: Peer,
    decoder: Decoder,
    is_stalled: bool,
    pings: usize,
    subscriptions: BTreeMap<u32, Subscription>,
    last_id: u32,
    /// Numbers whose RECEIPTs are to come, in this order.
    owed: VecDeque<Number>,
    unsettled: Vec<Unsettled>,
    /// ACKs whose RECEIPTs are to come.
    acked: BTreeMap<u32, Vec<Unsettled>>,
    /// What comes may have been delivered before the last outage.
    is_behind: bool,
}

struct Subscription {
    destination: String,
    ack: &'static str,
    asked_in: Option<usize>,
    begun: Option<Moment>,
    /// UNSUBSCRIBE was sent; it is forgotten with the RECEIPT.
    is_ending: bool,
    received: BTreeSet<Number>,
    /// The last of each sender that was not redelivered.
    last: BTreeMap<usize, Number>,
}

#[derive(Clone)]
struct Unsettled {
    id: String,
    subscription: u32,
    number: Number,
    ack: &'static str,
    /// How many outages there had been when the broker gave it, if that is known.
    outages: Option<usize>,
}

#[test]
fn whatever_sessions_do_and_however_often_the_broker_goes_away_nothing_is_lost_doubled_or_out_of_order() {
    for seed in seeds("0..50") {
        let outcome = std::panic::catch_unwind(|| trace(seed));
        assert!(outcome.is_ok(), "STOMPGATE_SIM_SEEDS={seed}..{} repeats it", seed + 1);
    }
}

#[test]
fn a_seed_repeats() {
    for seed in 0..10 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}

/// All that the clients of that seed are told.
fn trace(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(World::new(seed).run())
}

impl World {
    fn new(seed: u64) -> Self {
        let metrics = telemetry::Registry::default();
        let delivery = delivery::Metrics::new(&metrics);
        let budget = delivery::Budget::new(usize::MAX, delivery.clone());
        let broker = memory::Broker::new(memory::Settings::default(), memory::Metrics::new(&metrics));
        let context = Context {
            authenticator: Authenticator::Open,
            broker: broker::Broker::Memory(broker.clone()),
            drain_period: Duration::ZERO,
            handlers: None,
            lifecycle: Lifecycle::default(),
            limits: Limits::default(),
            metrics: driver::Metrics::new(&metrics),
            outboxes: delivery::Outboxes::new(delivery::Settings::default(), budget, delivery),
            rules: Rules::default(),
            users: Users::new(0),
            session: Arc::new(session::Settings { publishes_in_flight_max: 8, ..session::Settings::default() }),
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            broker,
            context: Arc::new(context),
            connections: Registry::new(usize::MAX, 0),
            clients: Vec::new(),
            leaving: Vec::new(),
            moment: 0,
            is_away: false,
            outages: 0,
            sent: BTreeMap::new(),
            first: BTreeSet::new(),
            done: BTreeSet::new(),
            may_be_settled: BTreeSet::new(),
            received: BTreeSet::new(),
            trace: Vec::new(),
        }
    }

    async fn run(mut self) -> Vec<String> {
        let mut opened = 0;
        for _ in 0..STEPS {
            while self.clients.len() < CLIENTS {
                opened += 1;
                self.open(opened);
            }
            self.step().await;
            // What happens before anybody has run happens at once.
            if self.rng.random_bool(0.6) {
                self.settled().await;
            }
        }
        self.finish().await
    }

    async fn step(&mut self) {
        let at = self.rng.random_range(0..self.clients.len());
        match self.rng.random_range(0..100) {
            0..38 => self.send(at),
            38..42 => self.send_together(at),
            42..53 => self.subscribe(at),
            53..56 => self.unsubscribe(at),
            56..76 => self.settle(at),
            76..80 => {
                let is_stalled = !self.clients[at].is_stalled;
                self.clients[at].stall(is_stalled);
            }
            80..85 => self.pass_time().await,
            85..90 => self.idle().await,
            90..92 => self.disconnect(at),
            92..93 => self.vanish(at).await,
            93..96 if !self.is_away => self.go_away(Outage::Hold).await,
            93..99 if self.is_away => self.come_back(),
            99 if !self.is_away => self.lose_links().await,
            _ => {}
        }
    }

    fn open(&mut self, number: usize) {
        let (pipe, peer) = pair();
        let admission = self.connections.admit().unwrap();
        self.context.lifecycle.spawn(driver::run(Arc::clone(&self.context), Transport::Memory(pipe), admission));
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        let client = Client {
            number,
            peer,
            decoder,
            is_stalled: false,
            pings: 0,
            subscriptions: BTreeMap::new(),
            last_id: 0,
            owed: VecDeque::new(),
            unsettled: Vec::new(),
            acked: BTreeMap::new(),
            is_behind: false,
        };
        client.peer.send_text("CONNECT\naccept-version:1.2\n\n\0");
        self.clients.push(client);
    }

    /// A frame, sometimes in two pieces.
    fn say(&mut self, at: usize, frame: &str) {
        let peer = &self.clients[at].peer;
        let (first, second) = frame.split_at(self.rng.random_range(0..=frame.len()));
        for part in [first, second] {
            if !part.is_empty() {
                peer.send_text(part);
            }
        }
    }

    fn send(&mut self, at: usize) {
        let frame = self.message(at, "");
        self.say(at, &frame);
    }

    /// In a transaction.
    fn send_together(&mut self, at: usize) {
        let messages: String = (0..3).map(|_| self.message(at, "transaction:t\n")).collect();
        self.say(at, &format!("BEGIN\ntransaction:t\n\n\0{messages}COMMIT\ntransaction:t\n\n\0"));
    }

    fn message(&mut self, at: usize, headers: &str) -> String {
        let number = self.sent.len() as Number + 1;
        let destination = if self.rng.random_bool(0.6) {
            format!("/queue/{}", QUEUES.choose(&mut self.rng).unwrap())
        } else {
            format!("/topic/{}", TOPICS.choose(&mut self.rng).unwrap())
        };
        let receipt = if self.rng.random_bool(0.7) {
            self.clients[at].owed.push_back(number);
            format!("receipt:m{number}\n")
        } else {
            String::new()
        };
        let outage = self.is_away.then_some(self.outages);
        let frame = format!("SEND\ndestination:{destination}\n{receipt}{headers}\n{number}\0");
        let (at, sender) = (self.now(), self.clients[at].number);
        self.sent.insert(number, Sent { at, destination, receipted: None, outage, sender });
        frame
    }

    fn subscribe(&mut self, at: usize) {
        let destination = if self.rng.random_bool(0.5) {
            format!("/queue/{}", QUEUES.choose(&mut self.rng).unwrap())
        } else {
            format!("/topic/{}", PATTERNS.choose(&mut self.rng).unwrap())
        };
        let ack = *ACK_MODES.choose(&mut self.rng).unwrap();
        let prefetch = self.rng.random_range(1..5);
        let asked_in = self.is_away.then_some(self.outages);
        let client = &mut self.clients[at];
        client.last_id += 1;
        let id = client.last_id;
        let frame = format!(
            "SUBSCRIBE\nid:{id}\ndestination:{destination}\nack:{ack}\nprefetch-count:{prefetch}\nreceipt:s{id}\n\n\0"
        );
        let (received, last) = (BTreeSet::new(), BTreeMap::new());
        let subscription = Subscription { destination, ack, asked_in, begun: None, is_ending: false, received, last };
        client.subscriptions.insert(id, subscription);
        self.say(at, &frame);
    }

    fn unsubscribe(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let ids: Vec<u32> = client.subscriptions.iter().filter(|(_, it)| !it.is_ending).map(|(id, _)| *id).collect();
        let Some(id) = ids.choose(&mut self.rng) else { return };
        client.subscriptions.get_mut(id).unwrap().is_ending = true;
        self.say(at, &format!("UNSUBSCRIBE\nid:{id}\nreceipt:x{id}\n\n\0"));
    }

    /// ACK or NACK of something that the client has and has not settled.
    fn settle(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.unsettled.is_empty() {
            return;
        }
        let named = client.unsettled.remove(self.rng.random_range(0..client.unsettled.len()));
        let mut covered = vec![named.clone()];
        if named.ack == "client" {
            // Everything that came before it on the same subscription.
            let number = |id: &str| -> u64 { id.rsplit_once('-').unwrap().1.parse().unwrap() };
            let is_covered =
                |it: &Unsettled| it.subscription == named.subscription && number(&it.id) < number(&named.id);
            covered.extend(client.unsettled.extract_if(.., |it| is_covered(it)));
        }
        let (id, is_nack) = (&named.id, self.rng.random_bool(0.3));
        let frame = if is_nack {
            format!("NACK\nid:{id}\n\n\0")
        } else {
            client.last_id += 1;
            let receipt = client.last_id;
            self.may_be_settled.extend(covered.iter().map(|it| it.number));
            client.acked.insert(receipt, covered);
            format!("ACK\nid:{id}\nreceipt:a{receipt}\n\n\0")
        };
        self.say(at, &frame);
    }

    fn disconnect(&mut self, at: usize) {
        self.say(at, "DISCONNECT\nreceipt:d\n\n\0");
        let mut client = self.clients.remove(at);
        client.stall(false);
        self.leaving.push(client);
    }

    /// The connection breaks. What the gateway has written is still read.
    async fn vanish(&mut self, at: usize) {
        let mut client = self.clients.remove(at);
        client.stall(false);
        client.peer.send(Inbound::Gone);
        while client.peer.closed().is_none() && !self.is_away {
            tokio::task::yield_now().await;
        }
        self.read(&mut client);
        // While the broker is away the session may wait for what it has asked for.
        if client.peer.closed().is_none() {
            self.leaving.push(client);
        }
    }

    async fn pass_time(&mut self) {
        self.clients.iter_mut().for_each(|it| it.stall(false));
        let time = Duration::from_millis(self.rng.random_range(1..4_000));
        tokio::time::advance(time).await;
        for client in &mut self.clients {
            if client.peer.pings() > client.pings {
                client.pings = client.peer.pings();
                client.peer.send(Inbound::Alive { bytes: 6 });
            }
        }
    }

    async fn go_away(&mut self, outage: Outage) {
        if self.rng.random_bool(0.5) {
            self.idle().await;
        } else {
            self.clients.iter_mut().chain(&mut self.leaving).for_each(|it| it.is_behind = true);
        }
        self.outages += 1;
        self.is_away = outage == Outage::Hold;
        self.trace.push(format!("{outage:?}"));
        self.broker.suspend(outage);
    }

    fn come_back(&mut self) {
        self.is_away = false;
        self.trace.push("back".to_owned());
        self.broker.resume();
    }

    /// Every session ends with the link that it had, and nobody gets another one meanwhile.
    async fn lose_links(&mut self) {
        // A client that is not connected yet is told something else.
        self.idle().await;
        self.go_away(Outage::Reject).await;
        for mut client in std::mem::take(&mut self.clients) {
            client.stall(false);
            let error = self.last_words(&mut client).await.expect("an ERROR");
            assert_eq!(error.header("stompgate-error"), Some("broker_lost"), "{error:?}");
        }
        self.open(0);
        let mut client = self.clients.pop().unwrap();
        let error = self.last_words(&mut client).await.expect("an ERROR");
        assert_eq!(error.header("stompgate-error"), Some("broker_unavailable"), "{error:?}");
        self.broker.resume();
    }

    /// Reads until the connection is closed, which ends with an ERROR if that is returned.
    async fn last_words(&mut self, client: &mut Client) -> Option<Frame> {
        while client.peer.closed().is_none() {
            tokio::task::yield_now().await;
        }
        let mut error = None;
        for frame in client.frames() {
            assert!(error.is_none(), "nothing follows an ERROR");
            if frame.command == Command::Error {
                error = Some(frame);
            } else {
                self.frame(client, &frame);
            }
        }
        error
    }

    /// Everybody reads, and everything that can happen without the passing of time happens.
    async fn idle(&mut self) {
        self.clients.iter_mut().for_each(|it| it.stall(false));
        self.settled().await;
        self.clients.iter_mut().chain(&mut self.leaving).for_each(|it| it.is_behind = false);
    }

    /// Runs until nobody has anything to do. Whom a publish wakes first is chance, and must not matter to what follows:
    /// a seed has to repeat.
    async fn settled(&mut self) {
        let begin = self.trace.len();
        loop {
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
            if self.observe() == 0 {
                break;
            }
        }
        self.trace[begin..].sort_unstable();
        self.clients.iter_mut().for_each(|it| it.unsettled.sort_unstable_by_key(|it| (it.number, it.subscription)));
    }

    /// Reads what the clients can. Returns how many frames that were.
    fn observe(&mut self) -> usize {
        let mut clients = std::mem::take(&mut self.clients);
        let mut read = clients.iter_mut().map(|it| self.read(it)).sum();
        for client in &clients {
            assert_eq!(client.peer.closed(), None, "client {} did nothing to be closed", client.number);
        }
        self.clients = clients;
        let mut leaving = std::mem::take(&mut self.leaving);
        read += leaving.iter_mut().map(|it| self.read(it)).sum::<usize>();
        leaving.retain(|it| it.peer.closed().is_none());
        self.leaving = leaving;
        read
    }

    fn read(&mut self, client: &mut Client) -> usize {
        let frames = client.frames();
        frames.iter().for_each(|it| self.frame(client, it));
        frames.len()
    }

    fn frame(&mut self, client: &mut Client, frame: &Frame) {
        self.moment += 1;
        match frame.command {
            Command::Connected => {}
            Command::Message => self.delivered(client, frame),
            Command::Receipt => self.receipt(client, frame.header("receipt-id").unwrap()),
            _ => panic!("client {} is sent {frame:?}", client.number),
        }
    }

    fn receipt(&mut self, client: &mut Client, receipt: &str) {
        self.trace.push(format!("{} {receipt}", client.number));
        let (kind, id) = receipt.split_at(1);
        match kind {
            "m" => {
                let number = id.parse().unwrap();
                assert_eq!(client.owed.pop_front(), Some(number), "RECEIPTs of SENDs come in their order");
                let sent = self.sent.get_mut(&number).unwrap();
                sent.receipted = Some(self.moment);
                assert!(!self.is_away || sent.outage != Some(self.outages), "{number} was held, and is receipted");
            }
            "s" => {
                // It may be over already, with the RECEIPT of its end still to come.
                let subscription = client.subscriptions.get_mut(&id.parse().unwrap()).unwrap();
                subscription.begun = Some(self.moment);
                assert!(
                    !self.is_away || subscription.asked_in != Some(self.outages),
                    "{id} was held, and is receipted"
                );
            }
            "x" => drop(client.subscriptions.remove(&id.parse().unwrap()).expect("it was there")),
            "a" => {
                let acked = client.acked.remove(&id.parse().unwrap()).expect("it was acknowledged");
                let is_certain = |it: &Unsettled| !self.is_away && it.outages == Some(self.outages);
                self.done.extend(acked.into_iter().filter(is_certain).map(|it| it.number));
            }
            _ => assert!(client.owed.is_empty(), "DISCONNECT is answered last"),
        }
    }

    fn delivered(&mut self, client: &mut Client, frame: &Frame) {
        let number: Number = std::str::from_utf8(&frame.body).unwrap().parse().unwrap();
        let sent = &self.sent[&number];
        let id = frame.header("subscription").unwrap().parse().unwrap();
        let subscription = client.subscriptions.get_mut(&id).expect("nothing comes after the end of a subscription");
        let is_again = frame.header("redelivered") == Some("true");
        self.trace.push(format!("{} {id} {number} {is_again}", client.number));
        assert!(subscription.begun.is_some(), "the RECEIPT of a SUBSCRIBE comes before its messages");
        assert!(
            is_of(&subscription.destination, &sent.destination),
            "{number} is none of {}",
            subscription.destination
        );
        let is_topic = sent.destination.starts_with("/topic/");
        let has_token = !is_topic || subscription.ack != "auto";
        assert!(has_token || !is_again, "a topic gives a message once");
        if !is_again {
            let place = if is_topic { format!("{} {id}", client.number) } else { sent.destination.clone() };
            assert!(self.first.insert((place, number)), "{number} is given a second time, as if it were the first");
            let last = subscription.last.insert(sent.sender, number);
            assert!(last < Some(number), "{number} of {} comes after {last:?}", sent.sender);
        }
        subscription.received.insert(number);
        if is_topic {
            if subscription.ack != "auto" {
                client.unsettled.push(Unsettled::new(frame, id, number, subscription.ack, None));
            }
            return;
        }
        assert!(!self.done.contains(&number), "{number} is given although it was acknowledged");
        self.received.insert(number);
        if subscription.ack == "auto" {
            self.may_be_settled.insert(number);
        } else {
            let outages = (!client.is_behind && !self.is_away).then_some(self.outages);
            client.unsettled.push(Unsettled::new(frame, id, number, subscription.ack, outages));
        }
    }

    async fn finish(mut self) -> Vec<String> {
        if self.is_away {
            self.come_back();
        }
        self.idle().await;
        assert!(self.leaving.is_empty(), "who has said DISCONNECT is let go");
        for client in &self.clients {
            assert!(client.owed.is_empty() && client.acked.is_empty(), "every RECEIPT has come: {:?}", client.owed);
            for (id, subscription) in &client.subscriptions {
                assert!(subscription.begun.is_some() && !subscription.is_ending, "{id} is answered");
                self.check_topic(client, subscription);
            }
        }
        // Everybody leaves; what nobody has acknowledged is then in the queues.
        for mut client in std::mem::take(&mut self.clients) {
            client.peer.send(Inbound::Gone);
            self.last_words(&mut client).await;
        }
        self.received.retain(|it| self.may_be_settled.contains(it));
        self.open(0);
        for name in QUEUES {
            let subscription = Subscription {
                destination: format!("/queue/{name}"),
                ack: "auto",
                asked_in: None,
                begun: None,
                is_ending: false,
                received: BTreeSet::new(),
                last: BTreeMap::new(),
            };
            let client = &mut self.clients[0];
            client.last_id += 1;
            let id = client.last_id;
            client.subscriptions.insert(id, subscription);
            self.say(0, &format!("SUBSCRIBE\nid:{id}\ndestination:/queue/{name}\nreceipt:s{id}\n\n\0"));
        }
        self.idle().await;
        for (number, sent) in &self.sent {
            let is_owed = sent.destination.starts_with("/queue/") && sent.receipted.is_some();
            assert!(!is_owed || self.received.contains(number), "{number} was receipted and is lost");
        }
        self.trace
    }

    /// Whoever is still subscribed has what was sent since.
    fn check_topic(&self, client: &Client, subscription: &Subscription) {
        for (number, sent) in &self.sent {
            let is_owed = sent.receipted.is_some()
                && subscription.destination.starts_with("/topic/")
                && subscription.begun < Some(sent.at)
                && is_of(&subscription.destination, &sent.destination);
            // A queue of its own gives the next ones when the client has settled some.
            let is_bounded = subscription.ack != "auto";
            let has_it = subscription.received.contains(number);
            assert!(!is_owed || is_bounded || has_it, "{number} did not reach client {}", client.number);
        }
    }

    fn now(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }
}

impl Client {
    fn stall(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
        self.peer.stall(is_stalled);
    }

    /// What has come.
    fn frames(&mut self) -> Vec<Frame> {
        while let Some(Some(bytes)) = self.peer.receive().now_or_never() {
            self.decoder.feed(&bytes);
        }
        std::iter::from_fn(|| self.decoder.next_frame().unwrap()).collect()
    }
}

impl Unsettled {
    fn new(frame: &Frame, subscription: u32, number: Number, ack: &'static str, outages: Option<usize>) -> Self {
        Self { id: frame.header("ack").unwrap().to_owned(), subscription, number, ack, outages }
    }
}

fn is_of(subscribed: &str, destination: &str) -> bool {
    match (subscribed.strip_prefix("/topic/"), destination.strip_prefix("/topic/")) {
        (Some(pattern), Some(topic)) => Pattern::new(pattern).matches(topic),
        _ => subscribed == destination,
    }
}
