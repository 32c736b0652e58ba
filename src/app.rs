//! The composition root: the only place that names concrete back ends and puts the parts together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::{Broker, amqp, memory};
use crate::config::{self, Settings};
use crate::lifecycle::{Drained, Latch, Lifecycle, Readiness, Signal, Signals};
use crate::{admin, delivery, driver, http, lifecycle, registry, telemetry};

/// A gateway that runs; stopped when it is dropped.
#[derive(Debug)]
pub struct App {
    pub http_addr: SocketAddr,
    /// `None` when `admin.listen` is off.
    pub admin_addr: Option<SocketAddr>,
    pub lifecycle: Lifecycle,
    connections: registry::Registry,
    settings: lifecycle::Settings,
}

/// How a gateway came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    Drained(Drained),
    /// A second signal, before the drain was over.
    Killed(Signal),
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't listen on {address} ({setting}): {source}")]
    Listen { address: SocketAddr, setting: &'static str, source: io::Error },
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
}

/// Every metric of the process.
#[derive(Clone, Debug)]
struct Metrics {
    amqp: amqp::Metrics,
    delivery: delivery::Metrics,
    driver: driver::Metrics,
    http: http::Metrics,
    memory: memory::Metrics,
}

impl Metrics {
    fn new(operators: &admin::Sources, broker: &config::Broker) -> Self {
        let registry = &operators.registry;
        admin::register(operators);
        telemetry::register_process(registry);
        register_broker(registry, broker);
        Self {
            amqp: amqp::Metrics::new(registry),
            delivery: delivery::Metrics::new(registry),
            driver: driver::Metrics::new(registry),
            http: http::Metrics::new(registry),
            memory: memory::Metrics::new(registry),
        }
    }
}

/// Serves until a signal ends it.
pub async fn run(settings: Settings) -> Result<Ended, StartError> {
    // Before anything else, so that a signal during the start is not lost.
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let app = App::start(settings).await?;
    Ok(run_until(&app, async || signals.next().await).await)
}

async fn run_until(app: &App, mut next_signal: impl AsyncFnMut() -> Signal) -> Ended {
    let signal = next_signal().await;
    tracing::info!(%signal, connections = app.connections.live(), "draining; a second signal ends the process at once");
    // A shut-down that is dropped half-way has nothing to lose: the process ends.
    tokio::select! {
        drained = app.shut_down() => Ended::Drained(drained),
        signal = next_signal() => Ended::Killed(signal),
    }
}

impl App {
    /// Starts everything, on the current runtime; the admin listener on a thread of its own.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        greet(&settings.broker);
        let operators = admin::Sources::default();
        let (lifecycle, readiness) = (operators.lifecycle.clone(), operators.readiness.clone());
        // What was started ends when something else can't be.
        let guard = lifecycle.stopping().clone().drop_guard();
        let metrics = Metrics::new(&operators, &settings.broker);
        // The latches are there before anybody can ask for them: a process without any would be ready.
        let http_latch = readiness.latch("http");
        let budget = delivery::Budget::new(settings.limits.memory_bytes_max, metrics.delivery.clone());
        let broker = start_broker(settings.broker, &metrics, &lifecycle, &readiness);
        let admin_addr = start_admin(&settings.admin, operators)?;
        let context = driver::Context {
            authenticator: settings.authenticator,
            broker,
            drain_period: settings.lifecycle.drain_period,
            lifecycle: lifecycle.clone(),
            limits: settings.stomp,
            metrics: metrics.driver,
            outboxes: delivery::Outboxes::new(settings.delivery, budget, metrics.delivery),
            rules: settings.rules,
            users: registry::Users::new(settings.session.sessions_per_user_max),
            session: Arc::new(settings.session),
        };
        let connections = registry::Registry::new(settings.http.connections_max);
        let http_addr = start_http(settings.http, context, metrics.http, connections.clone(), &http_latch)?;
        guard.disarm();
        Ok(Self { http_addr, admin_addr, lifecycle, connections, settings: settings.lifecycle })
    }

    /// Drains and stops, and says in the log what became of the sessions.
    pub async fn shut_down(&self) -> Drained {
        let drained = self.lifecycle.shut_down(self.settings.drain_deadline).await;
        match drained {
            Drained::All => tracing::info!("every session has ended in time"),
            Drained::Left(tasks) => tracing::warn!(tasks, "cut off at the deadline (drain.deadline)"),
        }
        drained
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// The first line of the log.
fn greet(broker: &config::Broker) {
    let version = env!("CARGO_PKG_VERSION");
    match broker {
        config::Broker::Amqp(settings) => {
            tracing::info!("stompgate {version}, in front of RabbitMQ at {:?}", settings.urls)
        }
        config::Broker::Memory(_) => {
            tracing::info!("stompgate {version}, on its embedded broker: nothing is kept over a restart");
        }
    }
}

fn register_broker(registry: &telemetry::Registry, broker: &config::Broker) {
    let kinds = registry.gauges("broker_info", "1 for the kind of broker that is used, 0 for others.", &["kind"]);
    let (amqp, memory) = match broker {
        config::Broker::Amqp(_) => (1, 0),
        config::Broker::Memory(_) => (0, 1),
    };
    kinds.with_label_values(&["amqp"]).set(amqp);
    kinds.with_label_values(&["memory"]).set(memory);
}

fn start_admin(settings: &admin::Settings, sources: admin::Sources) -> Result<Option<SocketAddr>, StartError> {
    let Some(listen) = settings.listen else {
        return Ok(None);
    };
    let address = admin::start(listen, sources).map_err(cant_listen(listen, "admin.listen"))?;
    tracing::info!("operators: http://{address}/metrics, /ready and /live");
    Ok(Some(address))
}

fn start_broker(settings: config::Broker, metrics: &Metrics, lifecycle: &Lifecycle, readiness: &Readiness) -> Broker {
    match settings {
        config::Broker::Amqp(settings) => {
            let metrics = metrics.amqp.clone();
            Broker::Amqp(amqp::Broker::start(settings, lifecycle, readiness.latch("broker"), metrics))
        }
        config::Broker::Memory(settings) => Broker::Memory(memory::Broker::new(settings, metrics.memory.clone())),
    }
}

fn start_http(
    settings: http::Settings,
    context: driver::Context,
    metrics: http::Metrics,
    connections: registry::Registry,
    latch: &Latch,
) -> Result<SocketAddr, StartError> {
    let (listen, path, has_demo) = (settings.listen, settings.path.clone(), settings.demo);
    let lifecycle = context.lifecycle.clone();
    let listener = http::Listener::bind(settings).map_err(cant_listen(listen, "http.listen"))?;
    let address = listener.local_addr().map_err(cant_listen(listen, "http.listen"))?;
    let (context, sessions) = (Arc::new(context), lifecycle.clone());
    let on_client = move |transport, admission| sessions.spawn(driver::run(Arc::clone(&context), transport, admission));
    lifecycle.spawn(listener.serve(connections, metrics, lifecycle.clone(), on_client));
    latch.set(true);
    let shown = admin::reachable(address);
    tracing::info!("clients: ws://{shown}{path}, listening on {address}");
    if has_demo {
        tracing::info!("new here? Open http://{shown}/demo/ in two browser windows and talk");
    }
    Ok(address)
}

fn cant_listen(address: SocketAddr, setting: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Listen { address, setting, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prometheus::proto::MetricFamily;

    use super::*;

    /// A row of the table, as the registry knows it.
    fn row(family: &MetricFamily) -> String {
        let labels: Vec<_> = family.get_metric()[0].get_label().iter().map(|it| format!("`{}`", it.name())).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        format!("| `{}` | {kind} | {} | {} |", family.name(), labels.join(", "), family.help())
    }

    #[tokio::test]
    async fn the_documentation_lists_every_metric() {
        let operators = admin::Sources::default();
        // A family shows once it has a child, and each module makes those of its closed label sets.
        let _metrics = Metrics::new(&operators, &Settings::default().broker);
        let expected: Vec<_> = operators.registry.gather().iter().map(row).collect();
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md")).unwrap();
        let found: Vec<_> = text.lines().filter(|it| it.starts_with("| `")).collect();
        assert_eq!(found, expected, "docs/METRICS.md should have\n\n{}\n", expected.join("\n"));
    }

    /// A gateway whose sessions never end; what becomes of it when it gets those signals.
    async fn ended_by(signals: &[Signal]) -> Ended {
        let mut settings = Settings::default();
        settings.http.listen.set_port(0);
        settings.admin.listen = None;
        let app = App::start(settings).await.unwrap();
        app.lifecycle.spawn(std::future::pending());
        let mut signals = signals.iter();
        let next = async || match signals.next() {
            Some(signal) => *signal,
            None => std::future::pending().await,
        };
        run_until(&app, next).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_drains_and_a_second_one_ends_it_at_once() {
        assert_eq!(ended_by(&[Signal::Terminate]).await, Ended::Drained(Drained::Left(1)));
        assert_eq!(ended_by(&[Signal::Terminate, Signal::Interrupt]).await, Ended::Killed(Signal::Interrupt));
        assert_eq!((Signal::Interrupt.exit_code(), Signal::Terminate.exit_code()), (130, 143));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_its_setting() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut settings = Settings::default();
        settings.http.listen = address;
        settings.admin.listen = None;
        let error = App::start(settings).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("can't listen on {address} (http.listen): ")), "{error}");
        let mut settings = Settings::default();
        settings.admin.listen = Some(address);
        let error = App::start(settings).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("can't listen on {address} (admin.listen): ")), "{error}");
    }
}
