//! Clients come and go, some of them read nothing, and RabbitMQ is restarted, over and over: nothing piles up.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};

use crate::client::{Client, GUEST};
use crate::gateway::Gateway;
use crate::load::{ALL, Load};
use crate::node::{Node, Signal};
use crate::wait::{eventually, tell, within};

/// Of `make test`; SOAK says otherwise.
const SOAK: Duration = Duration::from_secs(60);

/// The first round fills caches and pools; after it, two are needed to compare.
const ROUNDS_MIN: usize = 3;

/// Generations of clients in each round, and clients in each of them.
const GENERATIONS: usize = 4;
const CLIENTS: usize = 100;

const SLOW_CLIENTS: usize = 3;

/// What the memory of a process may differ by from one time to another, beside a tenth of it.
const SLACK_BYTES: f64 = 8.0 * 1024.0 * 1024.0;

/// What there is when no client is.
#[derive(Clone, Copy, Debug)]
struct Sample {
    memory_bytes: f64,
    files: f64,
    threads: f64,
    broker: [usize; 4],
}

impl Sample {
    async fn take(gateway: &Gateway, node: &Node) -> Self {
        let [memory_bytes, files, threads] = [
            gateway.metric("process_resident_memory_bytes").await,
            gateway.metric("process_open_fds").await,
            gateway.metric("process_threads").await,
        ];
        let mut broker = [0; 4];
        let columns = ["connections", "channels", "queues", "bindings"];
        for (count, what) in broker.iter_mut().zip(columns) {
            let column = if what == "queues" { "name" } else { "pid" };
            let column = if what == "bindings" { "source_name" } else { column };
            let lines = node.ctl(&[&format!("list_{what}"), "--no-table-headers", column]).await;
            *count = lines.iter().filter(|it| !it.trim().is_empty()).count();
        }
        Self { memory_bytes, files, threads, broker }
    }

    fn is_no_more_than(&self, first: &Self) -> bool {
        let counts = |it: &Self| (it.files, it.threads);
        let ((files, threads), (files_first, threads_first)) = (counts(self), counts(first));
        let objects = self.broker.iter().zip(first.broker).all(|(now, then)| *now <= then);
        files <= files_first && threads <= threads_first && objects
    }
}

/// Subscribes to a topic of its own, a shared one and a queue, sends to all, hears itself, and goes, politely or not.
async fn visit(gateway: SocketAddr, number: usize) {
    let mut client = Client::connect(gateway, GUEST).await;
    let destinations =
        [format!("/topic/soak.own.{number}"), "/topic/soak.all".into(), format!("/queue/soak.{}", number % 10)];
    for (id, destination) in destinations.iter().enumerate() {
        let headers =
            if destination.starts_with("/queue") { "persistent:true\nack:client-individual" } else { "ack:auto" };
        let head = format!("SUBSCRIBE\nid:{id}\nreceipt:{id}\n{headers}\ndestination:{destination}");
        client.send(&format!("{head}\n\n\0")).await.unwrap();
    }
    for destination in &destinations {
        client.send(&format!("SEND\npersistent:true\ndestination:{destination}\n\n{number}\0")).await.unwrap();
    }
    let mut heard = false;
    while !heard {
        let message = within("it hears itself", client.next()).await.unwrap();
        heard = message.header("subscription") == Some("0");
        if let Some(id) = message.header("ack") {
            client.send(&format!("ACK\nid:{id}\n\n\0")).await.unwrap();
        }
    }
    if number.is_multiple_of(2) {
        client.send("DISCONNECT\nreceipt:bye\n\n\0").await.unwrap();
        while client.next().await.is_ok_and(|it| it.command.as_str() != "RECEIPT") {}
    }
}

/// Reads nothing of what it is sent, and is thrown out.
async fn are_slow(gateway: &Gateway) {
    let closed = async || {
        let closed = "stompgate_sessions_closed_total{reason=";
        let of = async |reason| gateway.metric(&format!("{closed}\"{reason}\"")).await;
        of("slow_consumer").await + of("write_stalled").await
    };
    let before = closed().await;
    let mut slow = Vec::new();
    for _ in 0..SLOW_CLIENTS {
        let mut client = Client::connect(gateway.clients, GUEST).await;
        client.confirmed("SUBSCRIBE\nid:s\ndestination:/topic/soak.flood", "").await;
        slow.push(client);
    }
    let mut sender = Client::connect(gateway.clients, GUEST).await;
    let body = "x".repeat(32 * 1024);
    let flood = async {
        loop {
            sender.confirmed("SEND\ndestination:/topic/soak.flood", &body).await;
        }
    };
    let gone = eventually("slow clients are thrown out", async || closed().await >= before + SLOW_CLIENTS as f64);
    tokio::select! {
        () = gone => (),
        () = flood => (),
    }
}

async fn round(gateway: &Gateway, node: &Node, number: usize) {
    let load = Load::start(gateway, GUEST, ALL).await;
    load.flows().await;
    for _ in 0..GENERATIONS {
        join_all((0..CLIENTS).map(|it| visit(gateway.clients, it))).await;
    }
    are_slow(gateway).await;
    let signal = if number.is_multiple_of(2) { Signal::Kill } else { Signal::Term };
    let outage = node.bounce(signal).await;
    load.flows().await;
    load.finish(&format!("soak, round {number}"), &[outage]).await;
    // What a client left without an ACK is for the next ones, who are gone.
    // Queues of connections that end just now are no more when it is their turn.
    node.ctl(&["eval", "[catch rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()]."]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_piles_up() {
    let node = Node::start().await;
    let settings = [("broker.amqp.unbind_linger", "1s"), ("delivery.send_time_limit", "2s")];
    let gateway = Gateway::start(&node.url(), &settings).await;
    let end = Instant::now() + duration();
    let mut samples = Vec::new();
    while samples.len() < ROUNDS_MIN || Instant::now() < end {
        round(&gateway, &node, samples.len()).await;
        gateway.is_idle().await;
        eventually("no topic is bound any more", async || {
            gateway.metric("stompgate_broker_amqp_feed_bindings").await == 0.0
        })
        .await;
        let sample = Sample::take(&gateway, &node).await;
        tell(&format!("soak, round {}: {sample:?}", samples.len()));
        samples.push(sample);
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    // What RabbitMQ has not closed yet, it closes soon.
    let mut settled = last;
    let settles = eventually("as much as after the first round", async || {
        settled = Sample::take(&gateway, &node).await;
        settled.is_no_more_than(&first)
    });
    let is_settled = timeout(Duration::from_secs(60), settles).await.is_ok();
    assert!(is_settled, "there was {first:?}, and is {settled:?}");
    let memory = |samples: &[Sample]| median(samples.iter().map(|it| it.memory_bytes).collect());
    let third = samples.len().div_ceil(3);
    let (early, late) = (memory(&samples[..third]), memory(&samples[samples.len() - third..]));
    assert!(late <= early * 1.1 + SLACK_BYTES, "memory has grown from {early} to {late} bytes: {samples:#?}");
    gateway.stop().await;
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment how long they may take")]
fn duration() -> Duration {
    std::env::var("SOAK").map_or(SOAK, |it| humantime::parse_duration(&it).expect("SOAK is a time such as 2h"))
}
