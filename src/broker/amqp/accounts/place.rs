//! The task of one account: connects it, keeps it, and gives it up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::{Accounts, Known, State};
use crate::broker::amqp::connection::{Role, close, connect};
use crate::broker::amqp::context::{Account, Context};
use crate::broker::amqp::faults::is_outage;
use crate::broker::amqp::generation::Generation;
use crate::broker::amqp::metrics::Counted;
use crate::broker::amqp::relay::Relay;
use crate::broker::amqp::settings::Settings;
use crate::broker::backoff::Backoff;
use crate::session::Fault;

/// An account's place among the known ones, held by the task that keeps it.
pub(super) struct Place {
    pub(super) accounts: Arc<Accounts>,
    pub(super) account: Account,
    pub(super) known: Arc<Known>,
}

/// What an account has that was connected once.
struct Kept {
    relay: Arc<Relay>,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Why a generation is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// A task has panicked that all of its sessions need.
    Failed,
    Lost,
    Unused,
}

impl Place {
    pub(super) async fn keep(self) {
        let stopping = self.accounts.lifecycle.stopping();
        let Settings { reconnect_delay_min, reconnect_delay_max, .. } = *self.accounts.settings;
        let mut backoff = Backoff::new(reconnect_delay_min, reconnect_delay_max);
        let Some(outcome) = stopping.run_until_cancelled(self.begin(&mut backoff)).await else { return };
        let (kept, mut generation) = match outcome {
            Ok(begun) => begun,
            Err(fault) => return self.fail(fault),
        };
        debug!(account = ?self.account, "connected to RabbitMQ for clients");
        let relay = &kept.relay;
        loop {
            let begun = Instant::now();
            relay.begin(&generation);
            self.admit(relay);
            self.accounts.changed.notify_one();
            let end = self.serve(relay, &generation).await;
            if end == End::Lost {
                relay.lost();
            }
            let goes_on = end == End::Lost && self.accounts.holds() && !stopping.is_cancelled();
            if !goes_on {
                self.give_up(relay, Fault::Unavailable);
            }
            self.accounts.changed.notify_one();
            generation.end().await;
            if !goes_on {
                return;
            }
            if begun.elapsed() > reconnect_delay_max {
                backoff.reset();
            }
            generation = match stopping.run_until_cancelled(self.find_again(relay, &mut backoff)).await {
                Some(Ok(generation)) => generation,
                Some(Err(fault)) => return self.give_up(relay, fault),
                None => return self.give_up(relay, Fault::Unavailable),
            };
        }
    }

    /// Until RabbitMQ has answered, or nobody waits for that any more.
    async fn begin(&self, backoff: &mut Backoff) -> Result<(Kept, Arc<Generation>), Fault> {
        let Accounts { settings, metrics, lifecycle, budget, room, .. } = &*self.accounts;
        if room.available_permits() == 0 {
            return Err(no_room(settings.accounts_max));
        }
        let (account, lifecycle) = (self.account.clone(), lifecycle.clone());
        let context = Arc::new(Context::new(settings.clone(), account, metrics.clone(), lifecycle, budget.clone()));
        let generation = self.connect(&context, backoff, true).await?;
        // Not before: whom RabbitMQ refuses takes no room from others.
        let Ok(room) = room.clone().try_acquire_owned() else {
            generation.end().await;
            return Err(no_room(settings.accounts_max));
        };
        let kept = Kept { relay: Relay::start(&context), _room: room, _counted: Counted::new(&metrics.accounts) };
        Ok((kept, generation))
    }

    /// Until RabbitMQ lets the account in or does not know it any more, or nobody has used it for a while.
    async fn find_again(&self, relay: &Arc<Relay>, backoff: &mut Backoff) -> Result<Arc<Generation>, Fault> {
        tokio::select! {
            connected = self.connect(&relay.context, backoff, false) => connected,
            () = self.attend(relay) => Err(Fault::Unavailable),
            () = relay.ended().cancelled() => Err(Fault::Unavailable),
        }
    }

    /// With `broker.outage = "hold"` again and again, until there is an answer: for the first time that of RabbitMQ
    /// alone.
    async fn connect(
        &self,
        context: &Arc<Context>,
        backoff: &mut Backoff,
        is_first: bool,
    ) -> Result<Arc<Generation>, Fault> {
        let Accounts { metrics, changed, .. } = &*self.accounts;
        // All accounts are lost at the same moment.
        let mut pause = if is_first { Duration::ZERO } else { backoff.pause(false, rand::random()) };
        loop {
            let attempt = tokio::select! {
                attempt = self.turn(pause) => attempt,
                // Those who asked have gone while others connected.
                () = self.abandoned(), if is_first => return Err(Fault::Unavailable),
            };
            let error = match Generation::connect(context).await {
                Ok(generation) => {
                    metrics.connects.inc();
                    return Ok(generation);
                }
                Err(error) => error,
            };
            drop(attempt);
            metrics.connect_failures.inc();
            let fault = error.fault(context);
            let is_answer = if is_first { !is_outage(&fault) } else { is_refusal(&fault) };
            if is_answer || !self.accounts.holds() {
                return Err(fault);
            }
            // Whether RabbitMQ is there at all, the probe finds out.
            changed.notify_one();
            pause = backoff.pause(error.is_refusal(), rand::random());
        }
    }

    /// The right to an attempt.
    async fn turn(&self, pause: Duration) -> SemaphorePermit<'_> {
        sleep(pause).await;
        if self.accounts.holds() {
            self.accounts.availability.reached().await;
        }
        self.accounts.attempts.acquire().await.expect("it is never closed")
    }

    /// Until it is lost, or nobody has used it for a while, or the process stops.
    async fn serve(&self, relay: &Arc<Relay>, generation: &Generation) -> End {
        let ended = generation.tasks.ended();
        let mut is_known = true;
        loop {
            tokio::select! {
                () = ended.cancelled() => return End::Lost,
                () = relay.ended().cancelled() => return End::Failed,
                () = self.known.due.notified(), if is_known => {
                    match ended.run_until_cancelled(self.check(relay)).await {
                        Some(Ok(())) => self.admit(relay),
                        Some(Err(fault)) => {
                            is_known = false;
                            self.fail(fault);
                        }
                        None => {
                            // Whoever asked waits for what comes of that.
                            self.known.due.notify_one();
                            return End::Lost;
                        }
                    }
                }
                () = sleep_until(self.next_look(relay)) => if self.is_idle(relay) {
                    return End::Unused;
                }
            }
        }
    }

    /// While RabbitMQ is away it can't be asked: who was let in before, is. Returns when nobody has used it for a while.
    async fn attend(&self, relay: &Arc<Relay>) {
        loop {
            tokio::select! {
                () = self.known.due.notified() => self.admit(relay),
                () = sleep_until(self.next_look(relay)) => if self.is_idle(relay) {
                    return;
                }
            }
        }
    }

    /// Whether RabbitMQ would still let the account in.
    async fn check(&self, relay: &Relay) -> Result<(), Fault> {
        let _attempt = self.accounts.attempts.acquire().await.expect("it is never closed");
        match connect(&relay.context, Role::Private).await {
            Ok(connection) => close(&connection).await,
            Err(error) => match error.fault(&relay.context) {
                // RabbitMQ looks at login and passcode first.
                Fault::ConnectionLimit(_) => {}
                fault if self.accounts.holds() && !is_refusal(&fault) => {}
                fault => return Err(fault),
            },
        }
        Ok(())
    }

    fn admit(&self, relay: &Arc<Relay>) {
        self.known.state.send_replace(State::Connected { relay: relay.clone(), checked: Instant::now() });
    }

    fn give_up(&self, relay: &Relay, fault: Fault) {
        self.fail(fault.clone());
        relay.end(fault);
    }

    /// Who waits is told; who comes from now on makes another attempt.
    fn fail(&self, fault: Fault) {
        self.leave();
        self.known.state.send_replace(State::Failed(fault));
    }

    /// Returns when nobody asks for the account, and nobody finds it any more.
    async fn abandoned(&self) {
        loop {
            self.known.state.closed().await;
            if self.leave_if(|| true) {
                return;
            }
        }
    }

    fn next_look(&self, relay: &Relay) -> Instant {
        let (now, idle_time) = (Instant::now(), self.accounts.settings.account_idle_time);
        let idle_at = relay.unused_since().map(|it| it + idle_time).filter(|it| *it > now);
        idle_at.unwrap_or(now + idle_time)
    }

    /// If so, nobody finds it any more.
    fn is_idle(&self, relay: &Relay) -> bool {
        let idle_time = self.accounts.settings.account_idle_time;
        self.leave_if(|| relay.unused_since().is_some_and(|it| it.elapsed() >= idle_time))
    }

    /// If nobody asks for the account just now. Looked at first: whoever asked before has a link by then, or has gone.
    fn leave_if(&self, is_unused: impl Fn() -> bool) -> bool {
        let mut known = self.accounts.known();
        let leaves = self.known.state.receiver_count() == 0 && is_unused();
        if leaves {
            self.leave_among(&mut known);
        }
        leaves
    }

    fn leave(&self) {
        self.leave_among(&mut self.accounts.known());
    }

    /// Somebody else may have the place already.
    fn leave_among(&self, known: &mut HashMap<Account, Arc<Known>>) {
        if known.get(&self.account).is_some_and(|it| Arc::ptr_eq(it, &self.known)) {
            known.remove(&self.account);
        }
    }
}

/// However its task ends, nobody waits for it any longer.
impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether RabbitMQ knows the account no more.
const fn is_refusal(fault: &Fault) -> bool {
    matches!(fault, Fault::AccessRefused { .. } | Fault::VhostRefused { .. })
}

fn no_room(max: usize) -> Fault {
    Fault::ConnectionLimit(format!("this gateway uses at most {max} accounts of RabbitMQ (broker.amqp.accounts_max)"))
}
