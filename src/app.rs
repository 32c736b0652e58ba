//! The composition root: the only place that names concrete back ends and puts the parts together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::IntCounterVec;

use crate::broker::{Broker, amqp, memory, stomp};
use crate::config::{self, Fault, InForce, Reloaded, Settings};
use crate::handlers::Handlers;
use crate::lifecycle::{Asked, Current, Drained, Lifecycle, Readiness, Signal, Signals};
use crate::{admin, delivery, driver, handlers, http, lifecycle, registry, telemetry};

/// A gateway that runs; stopped when it is dropped.
#[derive(Debug)]
pub struct App {
    pub http_addr: SocketAddr,
    /// `None` when `admin.listen` is off.
    pub admin_addr: Option<SocketAddr>,
    pub lifecycle: Lifecycle,
    connections: registry::Registry,
    context: Current<driver::Context>,
    http: Current<http::Settings>,
    reloads: IntCounterVec,
    settings: lifecycle::Settings,
}

/// How a gateway came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    Drained(Drained),
    /// Drained because a task has panicked that nothing could take the place of.
    Failed,
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
    handlers: handlers::Metrics,
    http: http::Metrics,
    memory: memory::Metrics,
    reloads: IntCounterVec,
    stomp: stomp::Metrics,
}

/// Values of the label `outcome`.
const RELOADED: &str = "ok";
const REFUSED: &str = "refused";

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
            handlers: handlers::Metrics::new(registry),
            http: http::Metrics::new(registry),
            memory: memory::Metrics::new(registry),
            reloads: register_reloads(registry),
            stomp: stomp::Metrics::new(registry),
        }
    }
}

/// Serves until a signal ends it.
pub async fn run(mut in_force: InForce, log: &telemetry::Log) -> Result<Ended, StartError> {
    // Before anything else, so that a signal during the start is not lost.
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let app = App::start(in_force.settings().clone()).await?;
    Ok(run_until(&app, async || signals.next().await, || reload(&app, &mut in_force, log)).await)
}

async fn run_until(app: &App, mut next: impl AsyncFnMut() -> Asked, mut reload: impl FnMut()) -> Ended {
    let signal = loop {
        tokio::select! {
            asked = next() => match asked {
                Asked::End(signal) => break Some(signal),
                Asked::Reload => reload(),
            },
            () = app.lifecycle.failed().cancelled() => break None,
        }
    };
    app.lifecycle.announce();
    let connections = app.connections.live();
    match signal {
        Some(signal) => tracing::info!(%signal, connections, "draining; a second signal ends the process at once"),
        None => tracing::error!(connections, "draining, as a task has panicked without which nothing works"),
    }
    let killed = async {
        loop {
            if let Asked::End(signal) = next().await {
                return signal;
            }
        }
    };
    // A shut-down that is dropped half-way has nothing to lose: the process ends.
    tokio::select! {
        drained = app.shut_down() => if signal.is_some() { Ended::Drained(drained) } else { Ended::Failed },
        signal = killed => Ended::Killed(signal),
    }
}

/// Reads files, on the thread that does nothing but wait for signals.
fn reload(app: &App, in_force: &mut InForce, log: &telemetry::Log) {
    let reloaded = in_force.reload();
    app.reloads.with_label_values(&[if reloaded.is_ok() { RELOADED } else { REFUSED }]).inc();
    match reloaded {
        Ok(Reloaded { settings, changed, needs_restart }) => {
            log.set_filter(&settings.log.filter);
            app.reload(settings);
            tracing::info!(changed = changed.join(", "), "the configuration was read again");
            if !needs_restart.is_empty() {
                tracing::warn!(keys = needs_restart.join(", "), "changed, but not before the next start");
            }
        }
        Err(faults) => {
            for Fault { origin, key, problem } in &faults.0 {
                tracing::error!(origin, key, problem, "a fault of the configuration");
            }
            tracing::error!(faults = faults.0.len(), "nothing is reloaded, as the configuration has faults");
        }
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
        let rpc = start_rpc(&settings, &metrics, &lifecycle, &budget);
        let outboxes = delivery::Outboxes::new(settings.delivery, budget.clone(), metrics.delivery.clone());
        let broker = start_broker(settings.broker, &metrics, &lifecycle, &readiness, budget, &outboxes);
        let handlers = start_handlers(settings.handlers, rpc, metrics.handlers, &lifecycle);
        let admin_addr = start_admin(&settings.admin, operators)?;
        let context = driver::Context {
            authenticator: settings.authenticator,
            broker,
            drain_period: settings.lifecycle.drain_period,
            handlers,
            lifecycle: lifecycle.clone(),
            limits: settings.stomp,
            metrics: metrics.driver,
            outboxes,
            rules: settings.rules,
            users: registry::Users::new(settings.session.sessions_per_user_max),
            session: Arc::new(settings.session),
        };
        let connections = registry::Registry::new(settings.http.connections_max, settings.http.connections_per_ip_max);
        let context = Current::new(context);
        let (http_addr, http) =
            start_http(settings.http, &lifecycle, context.clone(), metrics.http, connections.clone())?;
        http_latch.set(true);
        guard.disarm();
        let (reloads, settings) = (metrics.reloads, settings.lifecycle);
        Ok(Self { http_addr, admin_addr, lifecycle, connections, context, http, reloads, settings })
    }

    /// For sessions that begin from now on. Of what can't be reloaded these settings have to be what they were.
    pub fn reload(&self, settings: Settings) {
        self.http.set(settings.http);
        let context = (*self.context.get()).clone();
        self.context.set(driver::Context {
            authenticator: settings.authenticator,
            limits: settings.stomp,
            outboxes: context.outboxes.with(settings.delivery),
            rules: settings.rules,
            users: context.users.with(settings.session.sessions_per_user_max),
            session: Arc::new(settings.session),
            ..context
        });
    }

    /// Drains and stops, and says in the log what became of the sessions.
    pub async fn shut_down(&self) -> Drained {
        let drained = self.lifecycle.shut_down(self.settings).await;
        match drained {
            Drained::All => tracing::info!("every session has ended in time"),
            Drained::Left(left) => tracing::warn!(left, "cut off at the deadline (drain.deadline)"),
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
        config::Broker::Stomp(settings) => {
            tracing::info!("stompgate {version}, in front of a STOMP broker at {}", stomp::listed(&settings.addresses));
        }
    }
}

fn register_broker(registry: &telemetry::Registry, broker: &config::Broker) {
    let kinds = registry.gauges("broker_info", "1 for the kind of broker that is used, 0 for others.", &["kind"]);
    let used = match broker {
        config::Broker::Amqp(_) => "amqp",
        config::Broker::Memory(_) => "memory",
        config::Broker::Stomp(_) => "stomp",
    };
    for kind in ["amqp", "memory", "stomp"] {
        kinds.with_label_values(&[kind]).set((kind == used).into());
    }
}

fn register_reloads(registry: &telemetry::Registry) -> IntCounterVec {
    let reloads = registry.counters("config_reloads_total", "Times the configuration was read again.", &["outcome"]);
    for outcome in [RELOADED, REFUSED] {
        reloads.with_label_values(&[outcome]);
    }
    reloads
}

fn start_admin(settings: &admin::Settings, sources: admin::Sources) -> Result<Option<SocketAddr>, StartError> {
    let Some(listen) = settings.listen else {
        return Ok(None);
    };
    let address = admin::start(listen, sources).map_err(cant_listen(listen, "admin.listen"))?;
    tracing::info!("operators: http://{address}/metrics, /ready and /live");
    Ok(Some(address))
}

fn start_broker(
    settings: config::Broker,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
    readiness: &Readiness,
    budget: delivery::Budget,
    outboxes: &delivery::Outboxes,
) -> Broker {
    match settings {
        config::Broker::Amqp(settings) => {
            let metrics = metrics.amqp.clone();
            Broker::Amqp(amqp::Broker::start(settings, lifecycle, readiness.latch("broker"), metrics, budget))
        }
        config::Broker::Memory(settings) => Broker::Memory(memory::Broker::new(settings, metrics.memory.clone())),
        config::Broker::Stomp(settings) => {
            let (latch, metrics) = (readiness.latch("broker"), metrics.stomp.clone());
            Broker::Stomp(stomp::Broker::start(settings, lifecycle, latch, metrics, &budget, outboxes))
        }
    }
}

/// None if no handler is called over RabbitMQ.
fn start_rpc(
    settings: &Settings,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
    budget: &delivery::Budget,
) -> Option<Arc<dyn handlers::Rpc>> {
    let config::Broker::Amqp(broker) = &settings.broker else { return None };
    let bytes_max = settings.handlers.response_bytes_max;
    settings.handlers.targets().any(handlers::Target::is_amqp).then(|| {
        let (metrics, budget) = (metrics.amqp.clone(), budget.clone());
        Arc::new(amqp::Rpc::start(broker.clone(), bytes_max, lifecycle, metrics, budget)) as Arc<dyn handlers::Rpc>
    })
}

/// None if nothing is asked of them.
fn start_handlers(
    settings: handlers::Settings,
    rpc: Option<Arc<dyn handlers::Rpc>>,
    metrics: handlers::Metrics,
    lifecycle: &Lifecycle,
) -> Option<Handlers> {
    let is_used = !settings.routes.is_empty() || !settings.hooks.is_empty();
    is_used.then(|| Handlers::start(settings, rpc, metrics, lifecycle))
}

fn start_http(
    settings: http::Settings,
    lifecycle: &Lifecycle,
    context: Current<driver::Context>,
    metrics: http::Metrics,
    connections: registry::Registry,
) -> Result<(SocketAddr, Current<http::Settings>), StartError> {
    let (listen, has_demo) = (settings.listen, settings.demo);
    let paths: Vec<_> = settings.endpoints.iter().map(|it| it.path.clone()).collect();
    let s = if settings.tls.is_some() { "s" } else { "" };
    let listener = http::Listener::bind(settings).map_err(cant_listen(listen, "http.listen"))?;
    let address = listener.local_addr().map_err(cant_listen(listen, "http.listen"))?;
    let reloadable = listener.reloadable();
    let sessions = lifecycle.clone();
    let on_client = move |_: &_, transport, admission| sessions.spawn(driver::run(context.get(), transport, admission));
    let serving = listener.serve(connections, metrics, lifecycle.clone(), on_client);
    lifecycle.spawn(lifecycle.vital(serving));
    let shown = admin::reachable(address);
    for path in paths {
        tracing::info!("clients: ws{s}://{shown}{path}, listening on {address}");
    }
    if has_demo {
        tracing::info!("new here? Open http{s}://{shown}/demo/ in two browser windows and talk");
    }
    Ok((address, reloadable))
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
            Some(signal) => Asked::End(*signal),
            None => std::future::pending().await,
        };
        run_until(&app, next, || ()).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_drains_and_a_second_one_ends_it_at_once() {
        assert_eq!(ended_by(&[Signal::Terminate]).await, Ended::Drained(Drained::Left(1)));
        assert_eq!(ended_by(&[Signal::Terminate, Signal::Interrupt]).await, Ended::Killed(Signal::Interrupt));
        assert_eq!((Signal::Interrupt.exit_code(), Signal::Terminate.exit_code()), (130, 143));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vital_task_that_panics_ends_the_gateway_in_order() {
        let mut settings = Settings::default();
        settings.http.listen.set_port(0);
        settings.admin.listen = None;
        let app = App::start(settings).await.unwrap();
        app.lifecycle.spawn(app.lifecycle.vital(async { panic!("on purpose") }));
        assert_eq!(run_until(&app, std::future::pending, || ()).await, Ended::Failed);
        assert!(app.lifecycle.is_announced());
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
