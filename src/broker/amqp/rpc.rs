//! Calls of handlers over RabbitMQ: a mandatory publish to an exchange, and the answer by direct reply-to.
//!
//! On connections of their own, in the gateway's account. When these are lost, calls fail at once, as their answers are
//! lost too, and whoever wants to tries again.

mod exchange;
mod messages;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::connection::Role;
use super::context::{Account, Context};
use super::line::Line;
use super::metrics::Metrics;
use super::publishing::Exchanges;
use super::settings::Settings;
use super::shared_line::SharedLine;
use super::tasks::Tasks;
use crate::broker::backoff::Backoff;
use crate::delivery::Budget;
use crate::handlers::{self, Outgoing, Response, Unanswered};
use crate::lifecycle::Lifecycle;
use crate::session::Fault;
use exchange::Exchange;

/// A handle of the task that has the connection.
#[derive(Clone, Debug)]
pub struct Rpc {
    calls: mpsc::Sender<Call>,
}

/// One that waits for its answer.
#[derive(Debug)]
struct Call {
    exchange: Box<str>,
    outgoing: Outgoing,
    done: Done,
}

type Done = oneshot::Sender<Outcome>;
type Outcome = Result<Response, Unanswered>;

/// Calls that wait for the task.
const WAITING_MAX: usize = 1_024;

impl Rpc {
    /// Begins to connect, and goes on until the process stops. A larger answer than that is none.
    pub fn start(
        settings: Settings,
        response_bytes_max: usize,
        lifecycle: &Lifecycle,
        metrics: Metrics,
        budget: Budget,
    ) -> Self {
        let context = Context::new(Arc::new(settings), Account::Gateway, metrics, lifecycle.clone(), budget);
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        lifecycle.spawn_background(lifecycle.vital(run(Arc::new(context), response_bytes_max, waiting)));
        Self { calls }
    }
}

impl handlers::Rpc for Rpc {
    fn call(&self, exchange: &str, outgoing: Outgoing) -> BoxFuture<'static, Outcome> {
        let (done, answer) = oneshot::channel();
        let sent = self.calls.try_send(Call { exchange: exchange.into(), outgoing, done });
        async move {
            sent.map_err(|_| away(format!("{WAITING_MAX} calls wait to be published")))?;
            answer.await.unwrap_or_else(|_| Err(away("the connection to RabbitMQ is lost".to_owned())))
        }
        .boxed()
    }
}

async fn run(context: Arc<Context>, response_bytes_max: usize, mut calls: mpsc::Receiver<Call>) {
    let stopping = context.lifecycle.stopping().clone();
    let mut backoff = Backoff::new(context.settings.reconnect_delay_min, context.settings.reconnect_delay_max);
    // Said once, however often it is tried.
    let mut is_away_told = false;
    while !stopping.is_cancelled() && !calls.is_closed() {
        let tasks = Tasks::new(context.lifecycle.clone());
        let line = Line::new(&context, &tasks, Role::Calls);
        let checks = Line::new(&context, &tasks, Role::Checks);
        let begun = Instant::now();
        match refusing(&mut calls, connect(&line, response_bytes_max, &tasks)).await {
            Ok(exchange) => {
                info!("connected to RabbitMQ for calls of handlers");
                is_away_told = false;
                let checks = SharedLine::new(&checks, context.settings.reconnect_delay_min);
                let exchanges = Exchanges::start(&context, &tasks, &checks);
                exchange.serve(&exchanges, &mut calls).await;
                checks.now().close().await;
                if begun.elapsed() > context.settings.reconnect_delay_max {
                    backoff.reset();
                }
            }
            Err(fault) => debug!(%fault, "no connection to RabbitMQ for calls of handlers"),
        }
        tasks.ended().cancel();
        line.close().await;
        if !stopping.is_cancelled() {
            let pause = backoff.pause(false, rand::random());
            if !is_away_told {
                warn!("handlers can't be called over RabbitMQ; trying to connect again and again");
                is_away_told = true;
            }
            stopping.run_until_cancelled(refusing(&mut calls, sleep(pause))).await;
        }
    }
}

async fn connect(line: &Line, response_bytes_max: usize, tasks: &Tasks) -> Result<Exchange, Fault> {
    let opened = tasks.ended().run_until_cancelled(async {
        let channel = line.channel().await?;
        Exchange::open(line.context(), channel, response_bytes_max, tasks.ended().clone()).await
    });
    opened.await.unwrap_or(Err(Fault::Unavailable))
}

/// Nobody who calls waits for a connection.
async fn refusing<T>(calls: &mut mpsc::Receiver<Call>, until: impl Future<Output = T>) -> T {
    let mut until = std::pin::pin!(until);
    loop {
        // Both are cancel-safe: a call stays in its channel, and the other is pinned.
        tokio::select! {
            outcome = &mut until => return outcome,
            Some(call) = calls.recv() => {
                // Nobody listens to a call that was given up.
                drop(call.done.send(Err(away("there is no connection to RabbitMQ".to_owned()))));
            }
        }
    }
}

fn away(text: String) -> Unanswered {
    Unanswered::Unreachable(text)
}
