//! Clients that connect, subscribe and stay: what connecting costs, and what memory each of them holds.

use std::io;
use std::time::Duration;

use super::{affordable, settled};
use crate::client::Subscription;
use crate::options::{Options, Target};
use crate::report::Row;
use crate::servers::{Memory, Meter, Objects, Server};
use crate::swarm::Swarm;

const CLIENTS: usize = 19_000;

/// Web STOMP needs 210 KiB and some milliseconds of CPU time per client: its cost per client shows with fewer.
const CLIENTS_WEB_STOMP: usize = 2_000;

/// What the broker gains by all clients after these is reported: they bring no new topic.
const FIRST: usize = 1_000;
const TOPICS: usize = 100;

pub(super) fn run(server: &Server<'_>, options: &Options) -> io::Result<Vec<Row>> {
    let wanted = options.clients.unwrap_or(match server.target {
        Target::Floor | Target::Gateway | Target::GatewayAmqp => CLIENTS,
        Target::WebStomp => CLIENTS_WEB_STOMP,
    });
    let clients = affordable("idle", wanted)?;
    let first = FIRST.min(clients / 2);
    let subscription = |client| Some(Subscription::auto(format!("/topic/bench.idle.{}", client % TOPICS)));

    let mut swarm = Swarm::new(server.address)?;
    let empty = settled(server)?;
    let meter = Meter::start(server)?;
    swarm.open(first, subscription)?;
    let few_spent = meter.stop()?;
    let (few, few_objects) = (settled(server)?, server.broker_objects()?);
    let meter = Meter::start(server)?;
    swarm.open(clients, subscription)?;
    let rest_spent = meter.stop()?;
    let (all, all_objects) = (settled(server)?, server.broker_objects()?);

    // Whoever was thrown out meanwhile is noticed here.
    swarm.turn(Duration::ZERO, |_, frame, _| Err(io::Error::other(format!("an idle client got {frame}"))))?;

    let per_client = |memory: fn(&Memory) -> Option<f64>| Some((memory(&all)? - memory(&empty)?) / clients as f64);
    let (of_server, of_broker) = (per_client(|it| it.server), per_client(|it| it.broker));
    let added =
        |objects: fn(&Objects) -> Option<usize>| Some(objects(&all_objects)? as f64 - objects(&few_objects)? as f64);
    let row = Row::new("1 subscription each", server.target)
        .figure("KiB/client", of_server.unwrap_or(0.0) + of_broker.unwrap_or(0.0))
        .figure("server KiB", of_server)
        .figure("broker KiB", of_broker)
        .figure("clients", clients as f64)
        .figure("connects/CPU s", clients as f64 / (few_spent.in_all() + rest_spent.in_all()))
        .figure("connects/s", clients as f64 / (few_spent.seconds + rest_spent.seconds))
        .figure("+broker KiB", all.broker.zip(few.broker).map(|(all, few)| all - few))
        .figure("+sockets", added(|it| it.sockets))
        .figure("+queues", added(|it| it.queues));
    Ok(vec![row])
}
