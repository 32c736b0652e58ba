//! One publisher, many subscribers of its topic: at a fixed rate, and as fast as it goes with 1 and 16 messages under way.

use std::io;
use std::time::{Duration, Instant};

use super::audience::Audience;
use super::{TURN_MAX, warm_up};
use crate::options::Options;
use crate::report::Row;
use crate::servers::{Meter, Server};

const SUBSCRIBERS: usize = 1_000;
const TOPIC: &str = "/topic/bench.fan-out";

/// A publisher that keeps its rate against a server that does not would fill that server's buffers and measure those.
const BEHIND_MAX: usize = 32;

#[derive(Clone, Copy, Debug)]
enum Pace {
    PerSecond(u32),
    InFlight(usize),
}

pub(super) fn run(server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let subscribers = options.clients.unwrap_or(SUBSCRIBERS);
    let mut audience = Audience::open(server, options, TOPIC)?;
    audience.grow(subscribers, Duration::MAX)?;
    let cases = [
        (format!("1 to {subscribers}, {} messages/s", options.rate), Pace::PerSecond(options.rate)),
        (format!("1 to {subscribers}, 1 in flight"), Pace::InFlight(1)),
        (format!("1 to {subscribers}, 16 in flight"), Pace::InFlight(16)),
    ];
    let mut rows = Vec::new();
    for (case, pace) in cases {
        publish_for(&mut audience, pace, warm_up(options))?;
        audience.take_latency();
        let meter = Meter::start(server)?;
        publish_for(&mut audience, pace, options.duration())?;
        rows.push(Row::new(case, server.target).traffic(meter.stop()?, &audience.take_latency()));
    }
    Ok(rows)
}

/// Publishes for `duration`, then waits until all subscribers have everything.
fn publish_for(audience: &mut Audience<'_>, pace: Pace, duration: Duration) -> io::Result<()> {
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < duration {
        let wait = match pace {
            Pace::PerSecond(rate) => {
                let due = started + Duration::from_secs(1) * sent / rate;
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() && audience.in_flight() < BEHIND_MAX {
                    audience.publish(due)?;
                    sent += 1;
                    continue;
                }
                if left.is_zero() { TURN_MAX } else { whole_millis(left) }
            }
            Pace::InFlight(window) => {
                while audience.in_flight() < window {
                    audience.publish(Instant::now())?;
                }
                TURN_MAX
            }
        };
        audience.turn(wait)?;
    }
    audience.drain()
}

/// epoll counts in milliseconds and would round up; the rest of the last one is spent polling.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(wait.as_millis() as u64).min(TURN_MAX)
}
