//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Loads each server in turn with the same clients, and compares what it costs them.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo bench --bench load --")]
pub(crate) struct Options {
    /// What to measure [default: all]
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<Scenario>,

    /// Servers to measure; those that cannot run here are named and left out
    #[arg(long, value_enum, value_delimiter = ',', default_value = "floor,gateway,gateway-amqp,web-stomp")]
    pub(crate) targets: Vec<Target>,

    /// Clients of the scenario [default: fan-out and neighbours 1000, echo and queue 100, idle 19000 (web-stomp 2000), subscribers 10000,
    /// which begins with 1 and a tenth of them]
    #[arg(long)]
    pub(crate) clients: Option<usize>,

    /// Seconds that each case is measured for, after a warm-up of a quarter of that
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Messages per second of the paced case of fan-out
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,

    /// Messages that each case of subscribers sends at least
    #[arg(long, default_value_t = 200)]
    pub(crate) messages: usize,

    /// Seconds that the clients of a case of subscribers may take to connect; a server that is slower is left out
    #[arg(long, default_value_t = 120)]
    pub(crate) connect_seconds: u64,

    /// Bytes of each body
    #[arg(long, default_value_t = 200)]
    body: usize,

    /// Writes all figures to this file too
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// First of ten ports on 127.0.0.1 that the servers use
    #[arg(long, default_value_t = 25730)]
    pub(crate) ports: u16,

    /// Another build of the gateway than that of this tree
    #[arg(long, default_value = env!("CARGO_BIN_EXE_stompgate"))]
    pub(crate) gateway: PathBuf,

    /// A setting of the gateway, as KEY=VALUE of its environment; may be repeated
    #[arg(long, value_parser = key_and_value)]
    pub(crate) gateway_env: Vec<(String, String)>,

    /// A running RabbitMQ instead of one that the bench starts; then web-stomp cannot be measured
    #[arg(long, requires = "broker_pid")]
    pub(crate) amqp_url: Option<String>,

    /// The process of that RabbitMQ, whose CPU time and memory count
    #[arg(long, requires = "amqp_url")]
    pub(crate) broker_pid: Option<u32>,

    /// Be the floor server, on this address
    #[arg(long, hide = true)]
    pub(crate) serve_floor: Option<SocketAddr>,

    /// `cargo bench` passes this to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Beside neighbours who send all they can. A little more than the publisher who sends for all others.
const MESSAGES_PER_SECOND_MAX: u32 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// N clients that do nothing: memory of each, and what connecting costs
    Idle,
    /// 1 publisher, N subscribers of its topic
    FanOut,
    /// K clients that send to themselves through a topic, one message under way each
    Echo,
    /// The same through a queue, with client-individual acks and receipts
    Queue,
    /// 1, N/10 and N subscribers of one topic: what they cost the broker behind the server
    Subscribers,
    /// 1,000 clients of 50 topics, alone and beside a stuck, a flooding and a hostile one; fails if these are noticed
    Neighbours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A server that only copies bytes
    Floor,
    /// The gateway on its embedded broker
    Gateway,
    /// The gateway in front of RabbitMQ
    GatewayAmqp,
    /// RabbitMQ's own Web STOMP plugin
    WebStomp,
}

impl Scenario {
    /// Whether there is something to measure.
    pub(crate) fn concerns(self, target: Target) -> bool {
        match self {
            Self::Idle | Self::FanOut | Self::Echo | Self::Queue => true,
            Self::Neighbours => target == Target::Gateway,
            Self::Subscribers => matches!(target, Target::GatewayAmqp | Target::WebStomp),
        }
    }
}

impl Options {
    /// With what an operator sets against what the scenario does.
    pub(crate) fn of(&self, scenario: Scenario) -> Self {
        let mut options = self.clone();
        if scenario == Scenario::Neighbours {
            let key = "STOMPGATE__SESSION__MESSAGES_PER_SECOND_MAX".to_owned();
            options.gateway_env.insert(0, (key, MESSAGES_PER_SECOND_MAX.to_string()));
        }
        options
    }

    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.scenarios.is_empty() { Scenario::value_variants().to_vec() } else { self.scenarios.clone() }
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The body of a message, beginning with `mark`.
    pub(crate) fn body(&self, mark: &str) -> String {
        format!("{mark:x<width$}", width = self.body)
    }
}

/// The name on the command line.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).expect("no variant is skipped")
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "not KEY=VALUE".to_owned())
}
