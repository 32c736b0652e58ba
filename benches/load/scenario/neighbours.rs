//! Clients of many topics, alone and beside neighbours who behave badly: whether they notice.

use std::io;
use std::time::{Duration, Instant};

use super::{DRAIN_PATIENCE, TURN_MAX};
use crate::client::Subscription;
use crate::histogram::Histogram;
use crate::nuisance::Nuisance;
use crate::options::Options;
use crate::report::Row;
use crate::servers::Server;
use crate::swarm::Swarm;

const CLIENTS: usize = 1_000;
const TOPICS: usize = 50;

/// Messages per second to all topics together.
const RATE: u32 = 400;

const PUBLISHER: usize = 0;

/// Pairs of windows. The medians of so many make a verdict that one hiccup of the machine does not change.
const ROUNDS: usize = 60;

/// Messages before a window that are not measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// What neighbours may add to the 99th percentile, and what a histogram of 3 % and a scheduler can tell apart.
const RATIO_MAX: f64 = 1.10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Alone,
    Beside,
}

pub(super) fn run(server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let mut crowd = Crowd::open(server, options.clients.unwrap_or(CLIENTS), options)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut pair = [Window::Alone, Window::Beside];
        // What drifts, drifts for both.
        pair.rotate_left(round % 2);
        for window in pair {
            let nuisance = (window == Window::Beside).then(|| Nuisance::start(server.address));
            crowd.publish_for(WARM_UP)?;
            crowd.latency = Histogram::default();
            crowd.publish_for(options.duration() / 4)?;
            let values = if window == Window::Alone { &mut alone } else { &mut beside };
            values.push([crowd.latency.quantile_ms(0.5), crowd.latency.quantile_ms(0.99)]);
            if let Some(nuisance) = nuisance {
                println!("neighbours: {}", nuisance.stop()?);
            }
        }
    }
    verdict(server, &alone, &beside)
}

fn verdict(server: &Server<'_>, alone: &[[f64; 2]], beside: &[[f64; 2]]) -> io::Result<Vec<Row>> {
    let medians = |them: &[[f64; 2]]| [0, 1].map(|at| median(them.iter().map(|it| it[at]).collect()));
    let ([p50_alone, p99_alone], [p50, p99]) = (medians(alone), medians(beside));
    let ratio = p99 / p99_alone;
    if ratio > RATIO_MAX {
        let text = format!("p99 is {p99:.2} ms beside them and {p99_alone:.2} ms alone, {ratio:.2} times as long");
        return Err(io::Error::other(format!("{text}; at most {RATIO_MAX:.2} are allowed ({alone:?}, {beside:?})")));
    }
    let row = |case, p50: f64, p99: f64, ratio: f64| {
        Row::new(case, server.target).figure("p99 ms", p99).figure("p50 ms", p50).figure("p99 x alone", ratio)
    };
    Ok(vec![
        row("alone", p50_alone, p99_alone, 1.0),
        row("beside a stuck, a flooding and a hostile one", p50, p99, ratio),
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One publisher, and the others, of whom each has one of the topics.
struct Crowd<'a> {
    options: &'a Options,
    swarm: Swarm,
    /// When each message was due.
    messages: Vec<Instant>,
    missing: usize,
    latency: Histogram,
}

impl<'a> Crowd<'a> {
    fn open(server: &Server<'_>, clients: usize, options: &'a Options) -> io::Result<Self> {
        let mut swarm = Swarm::new(server.address)?;
        let topic = |client: usize| Subscription::auto(topic(client));
        swarm.open(1 + clients, |client| (client != PUBLISHER).then(|| topic(client)))?;
        Ok(Self { options, swarm, messages: Vec::new(), missing: 0, latency: Histogram::default() })
    }

    /// At a fixed rate; then waits until everything has arrived.
    fn publish_for(&mut self, duration: Duration) -> io::Result<()> {
        let (started, mut sent) = (Instant::now(), 0);
        while started.elapsed() < duration {
            let due = started + Duration::from_secs(1) * sent / RATE;
            match due.saturating_duration_since(Instant::now()) {
                Duration::ZERO => {
                    self.publish(due)?;
                    sent += 1;
                }
                left => self.turn(left.min(TURN_MAX))?,
            }
        }
        let deadline = Instant::now() + DRAIN_PATIENCE;
        while 0 < self.missing {
            self.turn(TURN_MAX)?;
            if deadline < Instant::now() {
                let fault = format!("{} messages did not arrive within {DRAIN_PATIENCE:?}", self.missing);
                return Err(io::Error::other(fault));
            }
        }
        Ok(())
    }

    fn publish(&mut self, due: Instant) -> io::Result<()> {
        let number = self.messages.len();
        let body = self.options.body(&format!("{number} "));
        let send = format!("SEND\ndestination:{}\ncontent-type:text/plain\n\n{body}\0", topic(number));
        self.messages.push(due);
        let clients = 1..self.swarm.len();
        self.missing += clients.filter(|it| it % TOPICS == number % TOPICS).count();
        self.swarm.send(PUBLISHER, send.as_bytes())
    }

    fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let Self { swarm, messages, missing, latency, .. } = self;
        // epoll counts in milliseconds and would round up.
        let wait = Duration::from_millis(wait.as_millis() as u64);
        swarm.turn(wait, |_, frame, _| {
            let text = std::str::from_utf8(frame.body).ok().and_then(|it| it.split(' ').next()?.parse::<usize>().ok());
            let due = text.and_then(|it| messages.get(it));
            let due = due.ok_or_else(|| io::Error::other(format!("not expected: {frame}")))?;
            latency.record(due.elapsed());
            *missing -= 1;
            Ok(())
        })
    }
}

fn topic(number: usize) -> String {
    format!("/topic/bench.neighbours.{}", number % TOPICS)
}
