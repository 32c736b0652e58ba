//! What is done to a server, and what is measured of it.

mod audience;
mod fan_out;
mod idle;
mod neighbours;
mod round_trip;
mod subscribers;

use std::io;
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::limits;
use crate::options::{Options, Scenario};
use crate::report::Row;
use crate::servers::{Memory, Server};

/// How long messages may still arrive after the last one was sent.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// Files of a process that are not clients.
const OTHER_FILES: usize = 200;

const SETTLE_PATIENCE: Duration = Duration::from_secs(10);
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// The longest wait for one event, so that the end of a case is noticed on a silent server too.
const TURN_MAX: Duration = Duration::from_millis(50);

pub(crate) fn run(scenario: Scenario, server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    match scenario {
        Scenario::Idle => idle::run(server, options),
        Scenario::FanOut => fan_out::run(server, options),
        Scenario::Echo => round_trip::run(round_trip::Kind::Topic, server, options),
        Scenario::Queue => round_trip::run(round_trip::Kind::Queue, server, options),
        Scenario::Neighbours => neighbours::run(server, options),
        Scenario::Subscribers => subscribers::run(server, options),
    }
}

/// Time before a case that is not measured: connections, caches and the broker's flow control settle in it.
fn warm_up(options: &Options) -> Duration {
    options.duration() / 4
}

/// As many clients as are wanted, or as there can be.
fn affordable(scenario: &str, wanted: usize) -> io::Result<usize> {
    let clients = wanted.min(limits::open_files()?.saturating_sub(OTHER_FILES));
    if clients < wanted {
        println!("{scenario}: {clients} clients instead of {wanted}: each takes an open file in two processes");
    }
    Ok(clients)
}

/// Memory once it has stopped changing: within 1 % over three steps, or after all patience.
fn settled(server: &Server<'_>) -> io::Result<Memory> {
    let deadline = Instant::now() + SETTLE_PATIENCE;
    let close = |a: Option<f64>, b: Option<f64>| a.zip(b).is_none_or(|(a, b)| (a - b).abs() <= 0.01 * a);
    let mut last = server.resident_kib()?;
    let mut same = 0;
    while same < 3 && Instant::now() < deadline {
        interrupt::check()?;
        std::thread::sleep(SETTLE_STEP);
        let now = server.resident_kib()?;
        same = if close(last.server, now.server) && close(last.broker, now.broker) { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
