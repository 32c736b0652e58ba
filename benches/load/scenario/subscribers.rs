//! 1, 1,000 and 10,000 subscribers of one topic: what they cost the broker, and what each message costs it.

use std::io;
use std::time::{Duration, Instant};

use super::audience::Audience;
use super::{TURN_MAX, affordable, settled};
use crate::options::{Options, Target, name};
use crate::report::Row;
use crate::servers::{Memory, Meter, Objects, Server, Spent};

const SUBSCRIBERS: usize = 10_000;
const TOPIC: &str = "/topic/bench.subscribers";

/// Long enough to tell what the broker uses when nothing happens, in steps of 10 ms: a few of them in a second.
const CALM: Duration = Duration::from_secs(10);

pub(super) fn run(server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let most = affordable("subscribers", options.clients.unwrap_or(SUBSCRIBERS))?;
    let mut counts = vec![1, most / 10, most];
    counts.retain(|it| *it > 0);
    counts.dedup();
    let mut audience = Audience::open(server, options, TOPIC)?;
    let mut cases: Vec<Case> = Vec::new();
    for count in counts {
        let limit = Duration::from_secs(options.connect_seconds);
        if !audience.grow(count, limit)? {
            let target = name(server.target);
            println!("subscribers: {target} is not measured with {count}: they need more than {limit:?} to connect");
            break;
        }
        cases.push(Case::measure(server, options, &mut audience)?);
    }
    Ok(cases.iter().map(|case| case.row(server.target, &cases[0])).collect())
}

/// What so many subscribers cost.
struct Case {
    subscribers: f64,
    memory: Memory,
    objects: Objects,
    idle: Spent,
    spent: Spent,
    messages: f64,
}

impl Case {
    fn measure(server: &Server<'_>, options: &Options, audience: &mut Audience<'_>) -> io::Result<Self> {
        // Also opens what the server opens when it is needed.
        publish(audience, options.messages / 10, Duration::ZERO)?;
        let (memory, objects) = (settled(server)?, server.broker_objects()?);
        let idle = calm(server, audience)?;
        let meter = Meter::start(server)?;
        let messages = publish(audience, options.messages, options.duration())? as f64;
        Ok(Self { subscribers: audience.subscribers() as f64, memory, objects, idle, spent: meter.stop()?, messages })
    }

    fn row(&self, target: Target, first: &Self) -> Row {
        let Self { subscribers, objects, idle, spent, .. } = self;
        let broker = self.micros_per_message(|it| it.broker);
        let count = |count: Option<usize>| count.map(|it| it as f64);
        Row::new(format!("1 to {subscribers}"), target)
            .figure("broker us/message", broker)
            .figure("broker us/delivery", broker.map(|it| it / subscribers))
            .figure("server us/message", self.micros_per_message(|it| it.server))
            .figure("messages/s", self.messages / spent.seconds)
            .figure("idle broker %CPU", idle.broker.map(|it| it * 100.0 / idle.seconds))
            .figure("broker KiB/client", self.per_client(first, |it| it.memory.broker))
            .figure("Erlang KiB/client", self.per_client(first, |it| it.objects.erlang_kib))
            .figure("sockets", count(objects.sockets))
            .figure("channels", count(objects.channels))
            .figure("queues", count(objects.queues))
            .figure("bindings", count(objects.bindings))
    }

    /// CPU time beyond what would have been used anyway: with few messages a second that is most of it.
    fn micros_per_message(&self, of: fn(&Spent) -> Option<f64>) -> Option<f64> {
        let idle = of(&self.idle)? * self.spent.seconds / self.idle.seconds;
        Some((of(&self.spent)? - idle) * 1e6 / self.messages)
    }

    /// What each client after the first case's has added.
    fn per_client(&self, first: &Self, of: fn(&Self) -> Option<f64>) -> Option<f64> {
        let added = self.subscribers - first.subscribers;
        Some((of(self)? - of(first)?) / added).filter(|_| 0.0 < added)
    }
}

/// What is used while all are subscribed and nothing is sent.
fn calm(server: &Server<'_>, audience: &mut Audience<'_>) -> io::Result<Spent> {
    let (meter, started) = (Meter::start(server)?, Instant::now());
    while started.elapsed() < CALM {
        audience.turn(TURN_MAX)?;
    }
    meter.stop()
}

/// One message at a time, the next when all have the last one, so that no server is overloaded: at least so many, and
/// for at least so long. Says how many.
fn publish(audience: &mut Audience<'_>, least: usize, duration: Duration) -> io::Result<usize> {
    let (started, mut sent) = (Instant::now(), 0);
    while sent < least || started.elapsed() < duration {
        audience.publish(Instant::now())?;
        audience.drain()?;
        sent += 1;
    }
    Ok(sent)
}
