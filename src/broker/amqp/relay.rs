//! What the sessions of one account hold on to, whatever becomes of its connections: those come and go as generations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::context::{Account, Context};
use super::epochs::Epochs;
use super::feeds::Feeds;
use super::generation::Generation;
use super::one_of;
use super::publishing::{self, Publisher};
use super::tasks::Tasks;
use crate::broker::Outage;
use crate::delivery::{Item, Outbox};
use crate::ident::SessionId;
use crate::session::Fault;
use crate::sync::lock;

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) context: Arc<Context>,
    pub(super) epochs: Epochs,
    pub(super) feeds: Feeds,
    publishers: Vec<Publisher>,
    pub(super) tasks: Tasks,
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Links {
    outboxes: HashMap<SessionId, Arc<Outbox>>,
    /// Why there are no more.
    over: Option<Fault>,
    /// Since when there is none.
    unused_since: Instant,
    /// Whether there was a generation.
    has_begun: bool,
    /// Since when there is no generation any more.
    lost_at: Option<Instant>,
}

impl Relay {
    /// Nothing is connected yet.
    pub(super) fn start(context: &Arc<Context>) -> Arc<Self> {
        let (epochs, tasks) = (Epochs::new(), Tasks::new(context.lifecycle.clone()));
        let publishers = publishing::start(context, &tasks, &epochs);
        let feeds = Feeds::start(context, &tasks, &epochs);
        let outboxes = HashMap::new();
        let links = Links { outboxes, over: None, unused_since: Instant::now(), has_begun: false, lost_at: None };
        Arc::new(Self { context: context.clone(), epochs, feeds, publishers, tasks, links: Mutex::new(links) })
    }

    /// Whether a session that has begun in this generation may go on.
    pub(super) fn check(&self, begun_in: u64) -> Result<(), Fault> {
        let is_lost = self.context.settings.outage == Outage::Reject && self.generation() != begun_in;
        if is_lost { Err(Fault::Unavailable) } else { Ok(()) }
    }

    /// The number of the one of now; zero if there is none.
    fn generation(&self) -> u64 {
        self.epochs.now().map_or(0, |it| it.number)
    }

    /// From now on the outbox is told when its link is lost. Returns the generation in which that began.
    pub(super) fn register(&self, session: SessionId, outbox: Arc<Outbox>) -> Result<u64, Fault> {
        let begun_in = self.generation();
        let mut links = self.links();
        // Who has never let the gateway in may never do so: nothing is held for that.
        if begun_in == 0 && (self.context.settings.outage == Outage::Reject || !links.has_begun) {
            return Err(Fault::Unavailable);
        }
        if let Some(fault) = &links.over {
            return Err(fault.clone());
        }
        links.outboxes.insert(session, outbox);
        drop(links);
        // It may have ended since, before there was somebody to tell.
        self.check(begun_in).inspect_err(|_| self.unregister(session))?;
        Ok(begun_in)
    }

    pub(super) fn unregister(&self, session: SessionId) {
        let mut links = self.links();
        links.unused_since = Instant::now();
        links.outboxes.remove(&session);
    }

    /// Since when it has had no link; `None` while it has one, or something to publish.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let is_idle = self.publishers.iter().all(Publisher::is_idle);
        let links = self.links();
        (is_idle && links.outboxes.is_empty()).then_some(links.unused_since)
    }

    /// A session's publisher; always the same one, so that its publishes keep their order.
    pub(super) fn publisher(&self, session: SessionId) -> &Publisher {
        &self.publishers[one_of(self.publishers.len(), session)]
    }

    /// From now on the generation is used.
    pub(super) fn begin(&self, generation: &Arc<Generation>) {
        let lost_at = {
            let mut links = self.links();
            links.has_begun = true;
            links.lost_at.take()
        };
        self.epochs.set(Some(generation.clone()));
        if let Some(lost_at) = lost_at {
            let (epochs, context, number) = (self.epochs.clone(), self.context.clone(), generation.number);
            generation.tasks.spawn(async move { resume(&epochs, &context, number, lost_at).await });
        }
    }

    /// The generation of now has ended. What is left of it has to be ended then.
    pub(super) fn lost(&self) {
        let Context { account, lifecycle, metrics, settings, .. } = &*self.context;
        self.epochs.set(None);
        self.links().lost_at = Some(Instant::now());
        if !lifecycle.stopping().is_cancelled() {
            metrics.losses.inc();
            match account {
                Account::Client { .. } => debug!(?account, "RabbitMQ is lost for clients"),
                Account::Gateway => warn!("RabbitMQ is lost; {}", settings.outage.consequence()),
            }
        }
        if settings.outage == Outage::Reject {
            self.tell_lost();
        }
    }

    /// Cancelled by its end, and before that only when a task has panicked that all of its sessions need.
    pub(super) const fn ended(&self) -> &CancellationToken {
        self.tasks.ended()
    }

    /// There will be no other generation: all links are lost.
    pub(super) fn end(&self, fault: Fault) {
        self.links().over = Some(fault);
        self.epochs.set(None);
        self.tasks.ended().cancel();
        self.tell_lost();
    }

    /// Why links are lost.
    pub(super) fn fault(&self) -> Fault {
        self.links().over.clone().unwrap_or(Fault::Unavailable)
    }

    fn tell_lost(&self) {
        let outboxes = std::mem::take(&mut self.links().outboxes);
        for outbox in outboxes.into_values() {
            outbox.push_event(Item::LinkLost);
        }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        lock(&self.links)
    }
}

/// Waits until all that was subscribed is so again.
async fn resume(epochs: &Epochs, context: &Context, number: u64, lost_at: Instant) {
    let (begun, outage) = (Instant::now(), lost_at.elapsed());
    context.metrics.outage_seconds.observe(outage.as_secs_f64());
    epochs.gate.opened(number).await;
    let resume = begun.elapsed();
    context.metrics.resume_seconds.observe(resume.as_secs_f64());
    match &context.account {
        account @ Account::Client { .. } => debug!(?account, ?outage, ?resume, "RabbitMQ is back for clients"),
        Account::Gateway => info!(?outage, ?resume, "RabbitMQ is back, and all is subscribed again"),
    }
}
