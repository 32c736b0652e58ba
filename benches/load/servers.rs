//! The servers under test: how each is started, and which processes account for its work.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::options::{Options, Target};
use crate::process::{self, Process};
use crate::rabbitmq::RabbitMq;

const START_PATIENCE: Duration = Duration::from_secs(20);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// More than the gateway allows by default, and than any scenario opens.
const CONNECTIONS_MAX: usize = 100_000;

/// What the gateway and Web STOMP work on, started when first needed and shared by both.
#[derive(Debug)]
pub(crate) enum Broker {
    Absent,
    External { amqp_url: String, pid: u32 },
    Own(RabbitMq),
}

impl Broker {
    pub(crate) fn new(options: &Options) -> Self {
        match (&options.amqp_url, options.broker_pid) {
            (Some(amqp_url), Some(pid)) => Self::External { amqp_url: amqp_url.clone(), pid },
            _ => Self::Absent,
        }
    }

    fn require(&mut self, options: &Options) -> io::Result<()> {
        if let Self::Absent = self {
            *self = Self::Own(RabbitMq::start(options.ports + 3)?);
        }
        Ok(())
    }

    /// Without what only somebody knows who administers the broker, where the bench does not.
    fn objects(&self, sockets: usize) -> io::Result<Objects> {
        let sockets = Some(sockets);
        Ok(match self {
            Self::Absent | Self::External { .. } => Objects { sockets, ..Objects::default() },
            Self::Own(node) => Objects {
                sockets,
                channels: Some(node.count("list_channels", "pid")?),
                queues: Some(node.count("list_queues", "name")?),
                bindings: Some(node.count("list_bindings", "source_name")?),
                erlang_kib: Some(node.erlang_kib()?),
            },
        })
    }
}

/// One server, ready for clients. Its own process ends with it; the broker stays for the next one.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    pub(crate) target: Target,
    pub(crate) address: SocketAddr,
    process: Option<Process>,
    broker: &'a Broker,
}

impl<'a> Server<'a> {
    /// Why `target` cannot run here, if there is a reason.
    pub(crate) fn missing(target: Target, options: &Options) -> Option<String> {
        match (target, &options.amqp_url) {
            (Target::Floor | Target::Gateway, _) | (Target::GatewayAmqp, Some(_)) => None,
            (Target::WebStomp, Some(_)) => Some("an --amqp-url was given".to_owned()),
            (Target::GatewayAmqp | Target::WebStomp, None) => RabbitMq::missing(),
        }
    }

    pub(crate) fn start(target: Target, options: &Options, broker: &'a mut Broker) -> io::Result<Self> {
        if matches!(target, Target::GatewayAmqp | Target::WebStomp) {
            broker.require(options)?;
        }
        let broker = &*broker;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.ports));
        let none = Self { target, address, process: None, broker };
        match (target, broker) {
            (Target::Floor, _) => Ok(Self { process: Some(start_floor(address)?), ..none }),
            (Target::Gateway, _) => Ok(Self { process: Some(start_gateway(address, options, None)?), ..none }),
            (Target::GatewayAmqp, Broker::External { amqp_url, .. }) => {
                Ok(Self { process: Some(start_gateway(address, options, Some(amqp_url))?), ..none })
            }
            (Target::GatewayAmqp, Broker::Own(node)) => {
                Ok(Self { process: Some(start_gateway(address, options, Some(&node.amqp_url()))?), ..none })
            }
            (Target::WebStomp, Broker::Own(node)) => Ok(Self { address: node.web_stomp(), ..none }),
            (Target::GatewayAmqp | Target::WebStomp, _) => Err(io::Error::other("there is no RabbitMQ for it")),
        }
    }

    /// The server's own process, if it is not the broker.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The broker's process, if the target makes use of it.
    pub(crate) fn broker_pid(&self) -> Option<u32> {
        match (self.target, self.broker) {
            (Target::Floor | Target::Gateway, _) | (_, Broker::Absent) => None,
            (Target::GatewayAmqp | Target::WebStomp, Broker::External { pid, .. }) => Some(*pid),
            (Target::GatewayAmqp | Target::WebStomp, Broker::Own(node)) => Some(node.pid()),
        }
    }

    /// What the broker holds, where there is one.
    pub(crate) fn broker_objects(&self) -> io::Result<Objects> {
        match self.broker_pid() {
            None => Ok(Objects::default()),
            Some(pid) => self.broker.objects(process::sockets(pid)?),
        }
    }

    pub(crate) fn resident_kib(&self) -> io::Result<Memory> {
        let of = |pid: Option<u32>| pid.map(process::resident_kib).transpose();
        Ok(Memory { server: of(self.pid())?, broker: of(self.broker_pid())? })
    }
}

/// Resident memory by process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    pub(crate) server: Option<f64>,
    pub(crate) broker: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Objects {
    pub(crate) sockets: Option<usize>,
    pub(crate) channels: Option<usize>,
    pub(crate) queues: Option<usize>,
    /// Those of the default exchange, which each queue has, left out.
    pub(crate) bindings: Option<usize>,
    /// Memory by the broker's own account, without what its allocators hold in reserve.
    pub(crate) erlang_kib: Option<f64>,
}

/// Adds up what the processes use between its start and its stop.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    server: &'a Server<'a>,
    started: Instant,
    before: Spent,
}

/// CPU seconds by process, and the time on the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// `None` where the broker itself is the server.
    pub(crate) server: Option<f64>,
    pub(crate) broker: Option<f64>,
    pub(crate) load: f64,
}

impl Spent {
    /// What the service costs: all processes but the bench.
    pub(crate) fn in_all(&self) -> f64 {
        self.server.unwrap_or(0.0) + self.broker.unwrap_or(0.0)
    }
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Server<'a>) -> io::Result<Self> {
        Ok(Self { server, started: Instant::now(), before: used_so_far(server)? })
    }

    pub(crate) fn stop(self) -> io::Result<Spent> {
        let (before, after) = (self.before, used_so_far(self.server)?);
        let grown = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
        Ok(Spent {
            seconds: self.started.elapsed().as_secs_f64(),
            server: grown(before.server, after.server),
            broker: grown(before.broker, after.broker),
            load: after.load - before.load,
        })
    }
}

fn used_so_far(server: &Server<'_>) -> io::Result<Spent> {
    Ok(Spent {
        seconds: 0.0,
        server: server.pid().map(process::cpu_seconds).transpose()?,
        broker: server.broker_pid().map(process::cpu_seconds).transpose()?,
        load: process::cpu_seconds(std::process::id())?,
    })
}

/// Holds what the gateway that was started last has said.
pub(crate) fn gateway_log() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-gateway.log")
}

fn start_floor(address: SocketAddr) -> io::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve-floor", &address.to_string()]);
    let mut floor = Process::spawn("the floor server", &mut command)?;
    floor.wait_until(START_PATIENCE, || TcpStream::connect(address).is_ok())?;
    Ok(floor)
}

fn start_gateway(address: SocketAddr, options: &Options, amqp_url: Option<&str>) -> io::Result<Process> {
    let admin = SocketAddr::from((address.ip(), options.ports + 1));
    let log = fs::File::create(gateway_log())?;
    let mut command = Command::new(&options.gateway);
    command
        .env("STOMPGATE__HTTP__LISTEN", address.to_string())
        .env("STOMPGATE__ADMIN__LISTEN", admin.to_string())
        .env("STOMPGATE__HTTP__CONNECTIONS_MAX", CONNECTIONS_MAX.to_string())
        .envs(options.gateway_env.iter().map(|(key, value)| (key, value)))
        .stdout(log.try_clone()?)
        .stderr(log);
    if let Some(url) = amqp_url {
        command.env("STOMPGATE__BROKER__KIND", "amqp").env("STOMPGATE__BROKER__AMQP__URL", url);
    }
    let mut gateway = Process::spawn("the gateway", &mut command)?;
    gateway.wait_until(START_PATIENCE, || says_ready(admin).unwrap_or(false))?;
    Ok(gateway)
}

fn says_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b"200"))
}
