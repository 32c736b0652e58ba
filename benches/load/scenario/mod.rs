//! What is done to a server, and what is measured of it.

mod fan_out;
mod idle;
mod round_trip;

use std::io;
use std::time::Duration;

use crate::options::{Options, Scenario};
use crate::report::Row;
use crate::servers::Server;

/// How long messages may still arrive after the last one was sent.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// The longest wait for one event, so that the end of a case is noticed on a silent server too.
const TURN_MAX: Duration = Duration::from_millis(50);

pub(crate) fn run(scenario: Scenario, server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    match scenario {
        Scenario::Idle => idle::run(server, options),
        Scenario::FanOut => fan_out::run(server, options),
        Scenario::Echo => round_trip::run(round_trip::Kind::Topic, server, options),
        Scenario::Queue => round_trip::run(round_trip::Kind::Queue, server, options),
    }
}

/// Time before a case that is not measured: connections, caches and the broker's flow control settle in it.
fn warm_up(options: &Options) -> Duration {
    options.duration() / 4
}
