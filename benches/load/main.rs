//! A load generator: the same clients against the gateway, RabbitMQ's Web STOMP and a server that only copies bytes.
//!
//! `cargo bench --bench load -- --help` lists what it measures; `docs/PERFORMANCE.md` explains how.
#![expect(clippy::disallowed_methods, reason = "the bench measures on the real clock, from outside of the gateway")]

mod client;
mod floor;
mod histogram;
mod interrupt;
mod limits;
mod nuisance;
mod options;
mod process;
mod rabbitmq;
mod report;
mod scenario;
mod servers;
mod socket;
mod swarm;
mod wire;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use options::{Options, Scenario, name};
use report::{Table, write_json};
use servers::{Broker, Server};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.serve_floor {
        Some(address) => floor::serve(address).map(|()| ExitCode::SUCCESS),
        None => bench(&options),
    };
    outcome.unwrap_or_else(|fault| {
        eprintln!("{fault}");
        ExitCode::FAILURE
    })
}

fn bench(options: &Options) -> io::Result<ExitCode> {
    limits::raise()?;
    interrupt::watch()?;
    println!("open files per process: {}, so at most about as many clients", limits::open_files()?);
    println!("load average before the run: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    println!("the gateway logs to {}", servers::gateway_log().display());
    let mut faults = Vec::new();
    let targets: Vec<_> = options
        .targets
        .iter()
        .copied()
        .filter(|target| match Server::missing(*target, options) {
            None => true,
            Some(reason) => {
                println!("{} is left out: {reason}", name(*target));
                false
            }
        })
        .collect();
    let mut broker = Broker::new(options);
    let mut tables = Vec::new();
    for scenario in options.scenarios() {
        let mut table = Table { scenario, rows: Vec::new() };
        if scenario == Scenario::Subscribers {
            // What earlier clients have left free in a broker's memory would hide what these take.
            broker = Broker::new(options);
        }
        for target in targets.iter().filter(|it| scenario.concerns(**it)) {
            eprintln!("{} of {} ...", name(scenario), name(*target));
            let options = options.of(scenario);
            let measured = Server::start(*target, &options, &mut broker)
                .and_then(|server| scenario::run(scenario, &server, &options));
            match measured {
                Ok(rows) => table.rows.extend(rows),
                Err(fault) if interrupt::happened() => return Err(fault),
                Err(fault) => faults.push(format!("{} of {}: {fault}", name(scenario), name(*target))),
            }
        }
        table.print();
        tables.push(table);
    }
    faults.iter().for_each(|fault| eprintln!("FAILED: {fault}"));
    if let Some(path) = &options.json {
        write_json(path, &tables, &faults)?;
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
