//! Keeps a generation of the gateway's own connections alive: connects, waits for its end, pauses, connects again, for ever.

use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::context::Context;
use super::generation::Generation;
use super::metrics::Counted;
use crate::lifecycle::Latch;

/// The generation of now, if there is one.
#[derive(Debug, Default)]
pub(super) struct Current(Mutex<Option<Arc<Generation>>>);

impl Current {
    pub(super) fn generation(&self) -> Option<Arc<Generation>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, generation: Option<Arc<Generation>>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = generation;
    }
}

pub(super) async fn run(context: Arc<Context>, current: Arc<Current>, latch: Latch) {
    let stopping = context.lifecycle.stopping().clone();
    let settings = &context.settings;
    let mut backoff = Backoff::new(settings.reconnect_delay_min, settings.reconnect_delay_max);
    loop {
        let begun = Instant::now();
        let Some(outcome) = stopping.run_until_cancelled(Generation::connect(&context)).await else { return };
        match outcome {
            Ok(generation) => {
                serve(&context, &current, &latch, generation).await;
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
            return;
        }
    }
}

/// Until the generation ends, or the process stops: both cancel the same token.
async fn serve(context: &Context, current: &Current, latch: &Latch, generation: Arc<Generation>) {
    info!(urls = ?context.settings.urls, "connected to RabbitMQ");
    context.metrics.connects.inc();
    context.metrics.connected.set(1);
    let _counted = Counted::new(&context.metrics.accounts);
    generation.warm_up();
    current.set(Some(generation.clone()));
    latch.set(true);
    generation.tasks.ended().cancelled().await;
    latch.set(false);
    current.set(None);
    context.metrics.connected.set(0);
    if !context.lifecycle.stopping().is_cancelled() {
        context.metrics.losses.inc();
    }
    generation.end().await;
}
