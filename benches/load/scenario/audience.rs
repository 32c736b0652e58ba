//! One publisher, and the subscribers of its topic, who all get what it sends.

use std::io;
use std::time::{Duration, Instant};

use super::{DRAIN_PATIENCE, TURN_MAX};
use crate::client::Subscription;
use crate::histogram::Histogram;
use crate::options::Options;
use crate::servers::Server;
use crate::swarm::Swarm;
use crate::wire::Frame;

const PUBLISHER: usize = 0;

/// Digits at the beginning of each body: the number of the message.
const MARK_DIGITS: usize = 12;

pub(super) struct Audience<'a> {
    options: &'a Options,
    topic: &'static str,
    swarm: Swarm,
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

impl<'a> Audience<'a> {
    /// The publisher alone.
    pub(super) fn open(server: &Server<'_>, options: &'a Options, topic: &'static str) -> io::Result<Self> {
        let mut swarm = Swarm::new(server.address)?;
        swarm.open(1, |_| None)?;
        Ok(Self { options, topic, swarm, messages: Vec::new(), flight: Flight::default() })
    }

    /// Adds subscribers until there are `count`, or until `limit` is over: whether there are so many.
    pub(super) fn grow(&mut self, count: usize, limit: Duration) -> io::Result<bool> {
        self.swarm.open_within(limit, 1 + count, |_| Some(Subscription::auto(self.topic)))
    }

    pub(super) fn subscribers(&self) -> usize {
        self.swarm.len() - 1
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flight.open
    }

    /// Latencies since the last time that they were taken.
    pub(super) fn take_latency(&mut self) -> Histogram {
        std::mem::take(&mut self.flight.latency)
    }

    pub(super) fn publish(&mut self, due: Instant) -> io::Result<()> {
        let body = self.options.body(&format!("{:0MARK_DIGITS$}", self.messages.len()));
        let send = format!("SEND\ndestination:{}\ncontent-type:text/plain\n\n{body}\0", self.topic);
        self.messages.push(Message { due, missing: self.subscribers() });
        self.flight.open += 1;
        self.swarm.send(PUBLISHER, send.as_bytes())
    }

    pub(super) fn turn(&mut self, wait: Duration) -> io::Result<()> {
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

    /// Waits until all subscribers have everything.
    pub(super) fn drain(&mut self) -> io::Result<()> {
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
}

fn number(frame: &Frame<'_>) -> io::Result<usize> {
    let digits = frame.body.get(..MARK_DIGITS).and_then(|it| std::str::from_utf8(it).ok());
    let number = digits.filter(|_| frame.command == b"MESSAGE").and_then(|it| it.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("not a numbered MESSAGE: {frame}")))
}
