//! One publisher, many subscribers of its topic: at a fixed rate, and as fast as it goes with 1 and 16 messages under way.

use std::io;
use std::time::{Duration, Instant};

use super::{DRAIN_PATIENCE, TURN_MAX, warm_up};
use crate::client::Subscription;
use crate::histogram::Histogram;
use crate::options::Options;
use crate::report::Row;
use crate::servers::{Meter, Server};
use crate::swarm::Swarm;
use crate::wire::Frame;

const SUBSCRIBERS: usize = 1_000;
const TOPIC: &str = "/topic/bench.fan-out";

/// A publisher that keeps its rate against a server that does not would fill that server's buffers and measure those.
const BEHIND_MAX: usize = 32;

/// Digits at the beginning of each body: the number of the message.
const MARK_DIGITS: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Pace {
    PerSecond(u32),
    InFlight(usize),
}

pub(super) fn run(server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let subscribers = options.clients.unwrap_or(SUBSCRIBERS);
    let mut swarm = Swarm::new(server.address)?;
    swarm.open(subscribers, |_| Some(Subscription::auto(TOPIC)))?;
    swarm.open(subscribers + 1, |_| None)?;
    let cases = [
        (format!("1 to {subscribers}, {} messages/s", options.rate), Pace::PerSecond(options.rate)),
        (format!("1 to {subscribers}, 1 in flight"), Pace::InFlight(1)),
        (format!("1 to {subscribers}, 16 in flight"), Pace::InFlight(16)),
    ];
    let mut fan_out =
        FanOut { swarm, options, publisher: subscribers, messages: Vec::new(), flight: Flight::default() };
    let mut rows = Vec::new();
    for (case, pace) in cases {
        fan_out.publish_for(pace, warm_up(options))?;
        fan_out.flight.latency = Histogram::default();
        let meter = Meter::start(server)?;
        fan_out.publish_for(pace, options.duration())?;
        rows.push(Row::new(case, server.target).traffic(meter.stop()?, &fan_out.flight.latency));
    }
    Ok(rows)
}

struct FanOut<'a> {
    swarm: Swarm,
    options: &'a Options,
    publisher: usize,
    messages: Vec<Message>,
    flight: Flight,
}

struct Message {
    /// When it had to be sent: a late publisher adds to the latency that its subscribers see.
    due: Instant,
    missing: usize,
}

#[derive(Default)]
struct Flight {
    /// Messages that some subscriber has not got yet.
    open: usize,
    latency: Histogram,
}

impl FanOut<'_> {
    /// Publishes for `duration`, then waits until all subscribers have everything.
    fn publish_for(&mut self, pace: Pace, duration: Duration) -> io::Result<()> {
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < duration {
            let wait = match pace {
                Pace::PerSecond(rate) => {
                    let due = started + Duration::from_secs(1) * sent / rate;
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() && self.flight.open < BEHIND_MAX {
                        self.publish(due)?;
                        sent += 1;
                        continue;
                    }
                    if left.is_zero() { TURN_MAX } else { whole_millis(left) }
                }
                Pace::InFlight(window) => {
                    while self.flight.open < window {
                        self.publish(Instant::now())?;
                    }
                    TURN_MAX
                }
            };
            self.turn(wait)?;
        }
        let deadline = Instant::now() + DRAIN_PATIENCE;
        while 0 < self.flight.open {
            self.turn(TURN_MAX)?;
            if deadline < Instant::now() {
                let missing: usize = self.messages.iter().map(|it| it.missing).sum();
                return Err(io::Error::other(format!("{missing} messages did not arrive within {DRAIN_PATIENCE:?}")));
            }
        }
        Ok(())
    }

    fn publish(&mut self, due: Instant) -> io::Result<()> {
        let body = self.options.body(&format!("{:0MARK_DIGITS$}", self.messages.len()));
        let send = format!("SEND\ndestination:{TOPIC}\ncontent-type:text/plain\n\n{body}\0");
        self.messages.push(Message { due, missing: self.publisher });
        self.flight.open += 1;
        self.swarm.send(self.publisher, send.as_bytes())
    }

    fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let Self { swarm, messages, flight, .. } = self;
        swarm.turn(wait, |_, frame, _| {
            let message = messages.get_mut(number(frame)?).filter(|it| it.missing > 0);
            let message = message.ok_or_else(|| io::Error::other(format!("not expected: {frame}")))?;
            flight.latency.record(message.due.elapsed());
            message.missing -= 1;
            if message.missing == 0 {
                flight.open -= 1;
            }
            Ok(())
        })
    }
}

fn number(frame: &Frame<'_>) -> io::Result<usize> {
    let digits = frame.body.get(..MARK_DIGITS).and_then(|it| std::str::from_utf8(it).ok());
    let number = digits.filter(|_| frame.command == b"MESSAGE").and_then(|it| it.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("not a numbered MESSAGE: {frame}")))
}

/// epoll counts in milliseconds and would round up; the rest of the last one is spent polling.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(wait.as_millis() as u64).min(TURN_MAX)
}
