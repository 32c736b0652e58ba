//! Clients that send to themselves, one message under way each: through a topic, or through a queue with acks and receipts.

use std::io;
use std::time::{Duration, Instant};

use super::{DRAIN_PATIENCE, TURN_MAX, warm_up};
use crate::client::{Outgoing, Subscription};
use crate::histogram::Histogram;
use crate::options::{Options, name};
use crate::report::Row;
use crate::servers::{Meter, Server};
use crate::swarm::Swarm;
use crate::wire::Frame;

const CLIENTS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A round is a SEND and its MESSAGE.
    Topic,
    /// A round is a SEND with a receipt, its RECEIPT, its MESSAGE and an ACK.
    Queue,
}

pub(super) fn run(kind: Kind, server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let clients = options.clients.unwrap_or(CLIENTS);
    let mut swarm = Swarm::new(server.address)?;
    // Servers on one broker share its queues, and what one left behind must not reach the next.
    let destinations = format!("{}.{}", kind.destinations(), name(server.target));
    let destination = |client| format!("{destinations}.{client}");
    swarm.open(clients, |client| Some(Subscription { destination: destination(client), ack: kind.ack() }))?;
    let idle = Round { sent: Instant::now(), answers_missing: 0 };
    let mut trips = Trips {
        kind,
        destinations,
        body: options.body("round trip "),
        rounds: vec![idle; clients],
        latency: Histogram::default(),
    };
    trips.run_for(&mut swarm, warm_up(options))?;
    trips.latency = Histogram::default();
    let meter = Meter::start(server)?;
    trips.run_for(&mut swarm, options.duration())?;
    let case = format!("{clients} clients, 1 in flight each");
    Ok(vec![Row::new(case, server.target).traffic(meter.stop()?, &trips.latency)])
}

impl Kind {
    fn destinations(self) -> &'static str {
        match self {
            Self::Topic => "/topic/bench.echo",
            Self::Queue => "/queue/bench",
        }
    }

    fn ack(self) -> &'static str {
        match self {
            Self::Topic => "auto",
            Self::Queue => "client-individual",
        }
    }

    fn receipt(self) -> &'static str {
        match self {
            Self::Topic => "",
            Self::Queue => "receipt:sent\n",
        }
    }

    fn answers(self) -> u32 {
        match self {
            Self::Topic => 1,
            Self::Queue => 2,
        }
    }
}

#[derive(Clone, Copy)]
struct Round {
    sent: Instant,
    answers_missing: u32,
}

struct Trips {
    kind: Kind,
    /// What those of all clients begin with.
    destinations: String,
    body: String,
    /// By client.
    rounds: Vec<Round>,
    latency: Histogram,
}

impl Trips {
    /// Every client sends again as soon as it has all answers, for `duration`; then all wait for their last ones.
    fn run_for(&mut self, swarm: &mut Swarm, duration: Duration) -> io::Result<()> {
        let started = Instant::now();
        for client in 0..swarm.len() {
            let send = self.begin(client);
            swarm.send(client, send.as_bytes())?;
        }
        while self.rounds.iter().any(|round| round.answers_missing > 0) {
            swarm.turn(TURN_MAX, |client, frame, out| {
                if self.answer(client, frame, out)? && started.elapsed() < duration {
                    out.frame(self.begin(client).as_bytes());
                }
                Ok(())
            })?;
            if duration + DRAIN_PATIENCE < started.elapsed() {
                return Err(io::Error::other(format!("answers are missing after {DRAIN_PATIENCE:?}")));
            }
        }
        Ok(())
    }

    fn begin(&mut self, client: usize) -> String {
        self.rounds[client] = Round { sent: Instant::now(), answers_missing: self.kind.answers() };
        let (destinations, receipt, body) = (&self.destinations, self.kind.receipt(), &self.body);
        format!("SEND\ndestination:{destinations}.{client}\n{receipt}content-type:text/plain\n\n{body}\0")
    }

    /// Whether this was the last answer of the client's round. Latency is that of the MESSAGE.
    fn answer(&mut self, client: usize, frame: &Frame<'_>, out: &mut Outgoing) -> io::Result<bool> {
        let round = &mut self.rounds[client];
        let unexpected = || io::Error::other(format!("not expected: {frame}"));
        round.answers_missing = round.answers_missing.checked_sub(1).ok_or_else(unexpected)?;
        match (frame.command, self.kind) {
            (b"MESSAGE", kind) => {
                self.latency.record(round.sent.elapsed());
                if kind == Kind::Queue {
                    out.frame(&[b"ACK\nid:", frame.required("ack")?, b"\n\n\0"].concat());
                }
            }
            (b"RECEIPT", Kind::Queue) => (),
            _ => return Err(unexpected()),
        }
        Ok(round.answers_missing == 0)
    }
}
