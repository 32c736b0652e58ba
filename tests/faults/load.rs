//! Sessions that send and receive all the time, each message of which is in a ledger.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Login};
use crate::gateway::Gateway;
use crate::ledger::{Account, Kind, Ledger, Outage};
use crate::wait::{eventually, tell};

/// Messages of one sender that have no RECEIPT. Fewer than `session.publishes_in_flight_max`, so that it is read from.
const UNRECEIPTED_MAX: usize = 100;

/// Between two messages of one sender.
const PACE: Duration = Duration::from_millis(10);

/// Messages of one sender that show that it is under load.
const ARRIVALS_MIN: usize = 50;

/// One place to send to, and how many sessions do, and listen there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    /// Of the SUBSCRIBE.
    pub(crate) ack: &'static str,
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
}

/// One of each kind of destination.
pub(crate) const ALL: &[Destination<'static>] = &[
    Destination { name: "/queue/individual", kind: Kind::Queue, ack: "client-individual", senders: 2, receivers: 1 },
    Destination { name: "/queue/cumulative", kind: Kind::Queue, ack: "client", senders: 1, receivers: 1 },
    Destination { name: "/queue/auto", kind: Kind::Queue, ack: "auto", senders: 1, receivers: 1 },
    Destination { name: "/topic/one", kind: Kind::Topic, ack: "auto", senders: 2, receivers: 3 },
    Destination { name: "/topic/two.x", kind: Kind::Topic, ack: "auto", senders: 1, receivers: 2 },
];

pub(crate) struct Load {
    books: Books,
    sessions: JoinSet<()>,
    count: usize,
    end_of_sending: CancellationToken,
}

/// A ledger for each sender, and the sessions that have ended although they should not.
#[derive(Clone, Default)]
struct Books {
    ledgers: Arc<Mutex<HashMap<Sender, Ledger>>>,
    dropped: Arc<Mutex<Vec<String>>>,
}

/// Which sender to which destination.
type Sender = (String, usize);

impl Load {
    /// All are subscribed, and send.
    pub(crate) async fn start(gateway: &Gateway, login: Login<'_>, destinations: &[Destination<'_>]) -> Self {
        let books = Books::default();
        let mut load = Self { books, sessions: JoinSet::new(), count: 0, end_of_sending: CancellationToken::new() };
        for destination in destinations {
            load.listen(gateway.clients, login, destination).await;
        }
        for destination in destinations {
            load.send(gateway.clients, login, destination).await;
        }
        load
    }

    async fn listen(&mut self, gateway: SocketAddr, login: Login<'_>, to: &Destination<'_>) {
        let Destination { name, ack, .. } = *to;
        let durable = if to.kind == Kind::Queue { "persistent:true\n" } else { "" };
        for receiver in 0..to.receivers {
            let mut client = Client::connect(gateway, login).await;
            client.confirmed(&format!("SUBSCRIBE\nid:s\nack:{ack}\n{durable}destination:{name}"), "").await;
            let (books, name) = (self.books.clone(), name.to_owned());
            self.count += 1;
            self.sessions.spawn(async move {
                let fault = receive(client, ack != "auto", receiver, &books, &name).await;
                books.drop_session(format!("receiver {receiver} of {name}: {fault}"));
            });
        }
    }

    async fn send(&mut self, gateway: SocketAddr, login: Login<'_>, to: &Destination<'_>) {
        for sender in 0..to.senders {
            let client = Client::connect(gateway, login).await;
            let (books, name, kind) = (self.books.clone(), to.name.to_owned(), to.kind);
            let ledger = Ledger::new(kind, to.receivers);
            self.books.ledgers.lock().unwrap().insert((name.clone(), sender), ledger);
            let end = self.end_of_sending.clone();
            self.count += 1;
            self.sessions.spawn(async move {
                let fault = send(client, &(name.clone(), sender), kind, &books, end).await;
                books.drop_session(format!("sender {sender} to {name}: {fault}"));
            });
        }
    }

    /// Waits until each receiver has got, from each sender, several messages that were sent since now.
    pub(crate) async fn flows(&self) {
        let since = Instant::now();
        eventually("messages of all senders arrive", async || {
            self.nobody_is_dropped();
            self.books.ledgers.lock().unwrap().values().all(|it| it.arrived_since(since) >= ARRIVALS_MIN)
        })
        .await;
    }

    pub(crate) fn nobody_is_dropped(&self) {
        let dropped = self.books.dropped.lock().unwrap().clone();
        let (count, all) = (dropped.len(), self.count);
        assert!(dropped.is_empty(), "{count} of {all} sessions dropped: {}", dropped.join("\n"));
    }

    /// Waits until RabbitMQ confirms nothing to any of the senders, and says how many it did.
    pub(crate) async fn is_stuck(&self) -> usize {
        let unreceipted = UNRECEIPTED_MAX * self.books.ledgers.lock().unwrap().len();
        eventually("all senders wait", async || {
            let Account { sent, receipted, .. } = self.account(&[]);
            sent - receipted == unreceipted
        })
        .await;
        self.account(&[]).receipted
    }

    pub(crate) fn account(&self, outages: &[Outage]) -> Account {
        Account::sum(self.books.ledgers.lock().unwrap().values().map(|it| it.account(outages)))
    }

    /// Ends the sending, waits until all has arrived that has to, and prints the account, which has to be sound.
    pub(crate) async fn finish(mut self, what: &str, outages: &[Outage]) {
        self.end_of_sending.cancel();
        self.settle(outages).await;
        self.nobody_is_dropped();
        let account = self.account(outages);
        tell(&format!("{what}: {account}; 0 of {} sessions dropped{}", self.count, self.resumption(outages)));
        self.sessions.shutdown().await;
        assert!(account.is_sound(), "{what}: {account}{}", self.losses(outages));
    }

    async fn settle(&self, outages: &[Outage]) {
        let settled = || self.books.ledgers.lock().unwrap().values().all(|it| it.is_settled(outages));
        let end = Instant::now() + SETTLE;
        let mut again = interval(Duration::from_millis(50));
        // The account says what is missing.
        while !settled() && Instant::now() < end {
            self.nobody_is_dropped();
            again.tick().await;
        }
    }

    /// Where to look when the account is not sound.
    fn losses(&self, outages: &[Outage]) -> String {
        let Some(&Outage { begun, .. }) = outages.first() else { return String::new() };
        let ledgers = self.books.ledgers.lock().unwrap();
        let of = |((name, sender), ledger): (&Sender, &Ledger)| {
            let losses = ledger.losses(begun).into_iter();
            losses.map(|it| format!("\nsender {sender} to {name}: {it}")).collect::<String>()
        };
        ledgers.iter().map(of).collect()
    }

    fn resumption(&self, outages: &[Outage]) -> String {
        let Some(&Outage { begun, over, .. }) = outages.last() else { return String::new() };
        let ledgers = self.books.ledgers.lock().unwrap();
        let of = |kind| {
            let firsts = ledgers.values().filter(|it| it.kind() == kind).filter_map(|it| it.first_since(over));
            firsts.min().map_or("never".to_owned(), |it| format!("{:.2} s", (it - over).as_secs_f64()))
        };
        let away = (over - begun).as_secs_f64();
        let (topics, queues) = (of(Kind::Topic), of(Kind::Queue));
        format!("; away for {away:.1} s, then topics flow after {topics}, queues after {queues}")
    }
}

/// After the last message was sent, how long until everything has arrived.
const SETTLE: Duration = Duration::from_secs(60);

impl Books {
    fn of<T>(&self, sender: &Sender, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(self.ledgers.lock().unwrap().get_mut(sender).expect("senders are known before they send"))
    }

    fn drop_session(&self, why: String) {
        self.dropped.lock().unwrap().push(why);
    }
}

/// Why it has ended.
async fn receive(mut client: Client, acks: bool, receiver: usize, books: &Books, name: &str) -> String {
    loop {
        let frame = match client.next().await {
            Ok(frame) => frame,
            Err(fault) => return fault,
        };
        let (sender, number) = std::str::from_utf8(&frame.body).unwrap().split_once(' ').unwrap();
        let (sender, number) = ((name.to_owned(), sender.parse().unwrap()), number.parse().unwrap());
        books.of(&sender, |ledger| ledger.receive(receiver, number, Instant::now()));
        if acks && let Err(fault) = client.send(&format!("ACK\nid:{}\n\n\0", frame.header("ack").unwrap())).await {
            return fault;
        }
    }
}

/// Why it has ended; it stays when there is nothing more to send.
async fn send(client: Client, sender: &Sender, kind: Kind, books: &Books, end: CancellationToken) -> String {
    let (mut reader, mut writer) = client.split();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let persistent = if kind == Kind::Queue { "persistent:true\n" } else { "" };
    let mut unreceipted = 0;
    loop {
        let may_send = unreceipted < UNRECEIPTED_MAX && !end.is_cancelled();
        let sent = tokio::select! {
            frame = reader.next() => frame.map(|frame| {
                let number = frame.header("receipt-id").unwrap().parse().unwrap();
                books.of(sender, |ledger| ledger.receipt(number, Instant::now()));
                unreceipted -= 1;
            }),
            _ = pace.tick(), if may_send => {
                unreceipted += 1;
                let number = books.of(sender, |ledger| ledger.send(Instant::now()));
                let (name, sender) = sender;
                let head = format!("SEND\ndestination:{name}\nreceipt:{number}\n{persistent}");
                writer.send(&format!("{head}\n{sender} {number}\0")).await
            }
        };
        if let Err(fault) = sent {
            return fault;
        }
    }
}
