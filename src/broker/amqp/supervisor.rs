//! Keeps a generation of the gateway's own connections alive: connects, waits for its end, pauses, connects again, for ever.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::generation::Generation;
use super::metrics::Counted;
use super::relay::Relay;
use crate::lifecycle::Latch;
use crate::session::Fault;

pub(super) async fn run(relay: Arc<Relay>, latch: Latch) {
    let context = &relay.context;
    let stopping = context.lifecycle.stopping().clone();
    let settings = &context.settings;
    let mut backoff = Backoff::new(settings.reconnect_delay_min, settings.reconnect_delay_max);
    loop {
        let begun = Instant::now();
        let Some(outcome) = stopping.run_until_cancelled(Generation::connect(context)).await else { break };
        match outcome {
            Ok(generation) => {
                serve(&relay, &latch, &generation).await;
                // A broker that takes connections and drops them at once gets longer and longer pauses, too.
                if begun.elapsed() > settings.reconnect_delay_max {
                    backoff.reset();
                }
            }
            Err(error) => {
                context.metrics.connect_failures.inc();
                warn!(urls = ?settings.urls, %error, "RabbitMQ can't be used; connecting again after a pause");
            }
        }
        let pause = backoff.pause(rand::random());
        if stopping.is_cancelled() || stopping.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    relay.end(Fault::Unavailable);
}

/// Until the generation ends, or the process stops: both cancel the same token.
async fn serve(relay: &Relay, latch: &Latch, generation: &Arc<Generation>) {
    let context = &relay.context;
    info!(urls = ?context.settings.urls, "connected to RabbitMQ");
    context.metrics.connects.inc();
    context.metrics.connected.set(1);
    let counted = Counted::new(&context.metrics.accounts);
    generation.warm_up();
    latch.set(true);
    relay.serve(generation).await;
    latch.set(false);
    drop(counted);
    context.metrics.connected.set(0);
    if !context.lifecycle.stopping().is_cancelled() {
        context.metrics.losses.inc();
    }
    generation.end().await;
}
