//! Keeps a generation of the gateway's own connections alive: connects, waits for its end, pauses, connects again, for ever.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::generation::Generation;
use super::metrics::Counted;
use super::relay::Relay;
use crate::broker::availability::Availability;
use crate::broker::backoff::Backoff;
use crate::session::Fault;

pub(super) async fn run(relay: Arc<Relay>, availability: Availability) {
    let context = &relay.context;
    let stopping = context.lifecycle.stopping().clone();
    let settings = &context.settings;
    let mut backoff = Backoff::new(settings.reconnect_delay_min, settings.reconnect_delay_max);
    // Said once, however often it is tried.
    let mut last_error = String::new();
    loop {
        let begun = Instant::now();
        let Some(outcome) = stopping.run_until_cancelled(Generation::connect(context)).await else { break };
        let is_refused = match outcome {
            Ok(generation) => {
                last_error = String::new();
                serve(&relay, &availability, &generation).await;
                // A broker that takes connections and drops them at once gets longer and longer pauses, too.
                if begun.elapsed() > settings.reconnect_delay_max {
                    backoff.reset();
                }
                false
            }
            Err(error) => {
                context.metrics.connect_failures.inc();
                let text = error.to_string();
                if text == last_error {
                    debug!(error = %text, "RabbitMQ still can't be used");
                } else {
                    warn!(urls = ?settings.urls, error = %text, "RabbitMQ can't be used; trying again and again");
                    last_error = text;
                }
                error.is_refusal()
            }
        };
        let pause = backoff.pause(is_refused, rand::random());
        assert!(stopping.is_cancelled() || !relay.ended().is_cancelled(), "a task that all sessions need has panicked");
        if stopping.is_cancelled() || stopping.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
    }
    relay.end(Fault::Unavailable);
}

/// Until the generation ends, or the process stops: both cancel the same token.
async fn serve(relay: &Relay, availability: &Availability, generation: &Arc<Generation>) {
    let context = &relay.context;
    info!(urls = ?context.settings.urls, "connected to RabbitMQ");
    context.metrics.connects.inc();
    let counted = Counted::new(&context.metrics.accounts);
    relay.begin(generation);
    availability.set(true);
    tokio::select! {
        () = generation.tasks.ended().cancelled() => {}
        () = relay.ended().cancelled() => {}
    }
    availability.set(false);
    relay.lost();
    drop(counted);
    generation.end().await;
}
