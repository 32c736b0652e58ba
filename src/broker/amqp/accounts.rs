//! Accounts of clients: login, passcode and virtual host of CONNECT, as RabbitMQ knows them. Each has connections of its
//! own, which all sessions of that account share and no other; the key holds the passcode, too.
//!
//! ```text
//! nobody ──CONNECT──▶ connecting ──▶ connected ──unused for a while, or lost──▶ nobody
//!                          │            │  ▲
//!                          ▼            ▼  │ asked RabbitMQ once more, by whom comes after a longer while
//!                       refused        checking ──▶ refused: serves those that are there until the last has gone
//! ```
//!
//! Whoever asks meanwhile waits for the same attempt. No refusal is remembered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::Link;
use super::connection::{Role, close, connect};
use super::context::{Account, Context};
use super::generation::Generation;
use super::metrics::{Counted, Metrics};
use super::relay::Relay;
use super::settings::Settings;
use crate::broker::LinkRequest;
use crate::lifecycle::Lifecycle;
use crate::session::{Credentials, Fault};

/// As AMQP carries the name of a virtual host.
const VHOST_BYTES_MAX: usize = 255;

#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    /// Those that are connected, and those that wait for it, which are no more than the sessions that ask.
    known: Mutex<HashMap<Account, Arc<Known>>>,
    /// Of those that are connected.
    room: Arc<Semaphore>,
    attempts: Semaphore,
    /// An account was connected, or lost.
    pub(super) changed: Notify,
}

#[derive(Debug)]
struct Known {
    /// Those who wait to be let in hold a receiver.
    state: watch::Sender<State>,
    /// The account is due for a check.
    due: Notify,
}

#[derive(Clone, Debug)]
enum State {
    /// Until RabbitMQ has answered.
    Asking,
    Connected {
        relay: Arc<Relay>,
        checked: Instant,
    },
    Failed(Fault),
}

impl Accounts {
    pub(super) fn new(settings: Arc<Settings>, metrics: Metrics, lifecycle: Lifecycle) -> Self {
        let room = Arc::new(Semaphore::new(settings.accounts_max));
        let attempts = Semaphore::new(settings.connects_in_flight_max);
        Self { settings, metrics, lifecycle, known: Mutex::default(), room, attempts, changed: Notify::new() }
    }

    /// Lets a session in as whom it says it is.
    pub(super) async fn open(self: &Arc<Self>, request: LinkRequest) -> Result<Link, Fault> {
        let account = self.account(&request.credentials)?;
        let mut state = self.ask(account);
        let time = self.settings.connect_timeout * u32::try_from(self.settings.urls.len()).unwrap_or(u32::MAX);
        let asked = timeout(time, state.wait_for(|it| !matches!(it, State::Asking))).await;
        // No answer: nobody could be asked in time, or the process stops.
        let answer = asked.map_err(|_| Fault::Unavailable)?.map_err(|_| Fault::Unavailable)?.clone();
        match answer {
            State::Asking => unreachable!("it was waited for another one"),
            // Holding the receiver, so that the account is not given up just now.
            State::Connected { relay, .. } => Link::open(relay, request),
            State::Failed(fault) => Err(fault),
        }
    }

    /// Whether any account is connected: then RabbitMQ can be used.
    pub(super) fn is_connected(&self) -> bool {
        self.known().values().any(|it| matches!(*it.state.borrow(), State::Connected { .. }))
    }

    /// C2, C4, C20.
    fn account(&self, credentials: &Credentials) -> Result<Account, Fault> {
        let login = credentials.login.as_deref().ok_or(Fault::LoginMissing)?;
        let passcode = credentials.passcode.as_deref().unwrap_or_default();
        // It would end the login on its way to RabbitMQ.
        if login.contains('\0') || passcode.contains('\0') {
            return Err(Fault::AccessRefused { login: login.to_owned() });
        }
        let max = self.settings.credentials_bytes_max;
        if login.len() + passcode.len() > max {
            let text = format!("login and passcode hold at most {max} bytes (broker.amqp.credentials_bytes_max)");
            return Err(Fault::Refused(text));
        }
        let vhost = credentials.host.as_deref().unwrap_or_else(|| self.settings.urls[0].vhost());
        if vhost.len() > VHOST_BYTES_MAX {
            return Err(Fault::VhostRefused { vhost: vhost.to_owned() });
        }
        Ok(Account::Client { login: login.into(), passcode: passcode.into(), vhost: vhost.into() })
    }

    /// The state of an account, which is connected or checked now if it has to be.
    fn ask(self: &Arc<Self>, account: Account) -> watch::Receiver<State> {
        let (state, place) = match self.known().entry(account) {
            Entry::Occupied(entry) => (entry.get().ask(self.settings.account_check_interval), None),
            Entry::Vacant(entry) => {
                let (state, receiver) = watch::channel(State::Asking);
                let known = Arc::new(Known { state, due: Notify::new() });
                let place = Place { accounts: self.clone(), account: entry.key().clone(), known: known.clone() };
                entry.insert(known);
                (receiver, Some(place))
            }
        };
        // Not while the lock is held, which it takes when it ends: at once, if the runtime is going down.
        if let Some(place) = place {
            self.lifecycle.spawn_background(place.keep());
        }
        state
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Account, Arc<Known>>> {
        self.known.lock().expect("no panic while held")
    }
}

impl Known {
    /// Has it checked first, if the last time is longer ago than that.
    fn ask(&self, check_interval: Duration) -> watch::Receiver<State> {
        let state = self.state.subscribe();
        let is_due = |it: &State| matches!(it, State::Connected { checked, .. } if checked.elapsed() > check_interval);
        if self.state.send_if_modified(|it| is_due(it).then(|| *it = State::Asking).is_some()) {
            self.due.notify_one();
        }
        state
    }
}

/// An account's place among the known ones, held by the task that keeps it.
struct Place {
    accounts: Arc<Accounts>,
    account: Account,
    known: Arc<Known>,
}

/// What an account that is connected consists of.
struct Connected {
    relay: Arc<Relay>,
    generation: Arc<Generation>,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Place {
    async fn keep(self) {
        let stopping = self.accounts.lifecycle.stopping();
        let Some(outcome) = stopping.run_until_cancelled(self.connect()).await else { return };
        let connected = match outcome {
            Ok(connected) => connected,
            Err(fault) => return self.fail(fault),
        };
        debug!(account = ?self.account, "connected to RabbitMQ for clients");
        connected.relay.epochs.set(Some(connected.generation.clone()));
        self.admit(&connected);
        self.accounts.changed.notify_one();
        self.serve(&connected).await;
        self.fail(Fault::Unavailable);
        let generation = &connected.generation;
        if generation.tasks.ended().is_cancelled() && !stopping.is_cancelled() {
            self.accounts.metrics.losses.inc();
        }
        connected.relay.epochs.set(None);
        connected.relay.end(Fault::Unavailable);
        generation.end().await;
        drop(connected);
        self.accounts.changed.notify_one();
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        let Accounts { settings, metrics, lifecycle, room, attempts, .. } = &*self.accounts;
        let attempt = tokio::select! {
            attempt = attempts.acquire() => attempt,
            // Those who asked have gone while others connected.
            () = self.abandoned() => return Err(Fault::Unavailable),
        };
        let _attempt = attempt.expect("it is never closed");
        if room.available_permits() == 0 {
            return Err(no_room(settings.accounts_max));
        }
        let (account, lifecycle) = (self.account.clone(), lifecycle.clone());
        let context = Arc::new(Context::new(settings.clone(), account, metrics.clone(), lifecycle));
        match Generation::connect(&context).await {
            Ok(generation) => {
                metrics.connects.inc();
                // Not before: whom RabbitMQ refuses takes no room from others.
                let Ok(room) = room.clone().try_acquire_owned() else {
                    generation.end().await;
                    return Err(no_room(settings.accounts_max));
                };
                Ok(Connected {
                    relay: Relay::start(&context),
                    generation,
                    _room: room,
                    _counted: Counted::new(&metrics.accounts),
                })
            }
            Err(error) => {
                metrics.connect_failures.inc();
                Err(error.fault(&context))
            }
        }
    }

    /// Until it is lost, or nobody has used it for a while, or the process stops.
    async fn serve(&self, connected: &Connected) {
        let ended = connected.generation.tasks.ended();
        let mut is_known = true;
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.known.due.notified(), if is_known => {
                    match ended.run_until_cancelled(self.check(connected)).await {
                        Some(Ok(())) => self.admit(connected),
                        Some(Err(fault)) => {
                            is_known = false;
                            self.fail(fault);
                        }
                        None => return,
                    }
                }
                () = sleep_until(self.next_look(&connected.relay)) => if self.is_idle(&connected.relay) {
                    return;
                }
            }
        }
    }

    /// Whether RabbitMQ would still let the account in.
    async fn check(&self, connected: &Connected) -> Result<(), Fault> {
        let _attempt = self.accounts.attempts.acquire().await.expect("it is never closed");
        match connect(&connected.relay.context, Role::Private).await {
            Ok(connection) => close(&connection).await,
            Err(error) => match error.fault(&connected.relay.context) {
                // RabbitMQ looks at login and passcode first.
                Fault::ConnectionLimit(_) => {}
                fault => return Err(fault),
            },
        }
        Ok(())
    }

    fn admit(&self, connected: &Connected) {
        let relay = connected.relay.clone();
        self.known.state.send_replace(State::Connected { relay, checked: Instant::now() });
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

fn no_room(max: usize) -> Fault {
    Fault::ConnectionLimit(format!("this gateway uses at most {max} accounts of RabbitMQ (broker.amqp.accounts_max)"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::telemetry::Registry;

    fn credentials(login: &str) -> Credentials {
        Credentials { login: Some(login.into()), passcode: None, host: None }
    }

    /// Nobody is answered there, so that the first attempt keeps all others waiting.
    #[tokio::test]
    async fn who_waited_for_an_attempt_and_has_gone_leaves_nothing_behind() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let urls = vec![format!("amqp://{}", silent.local_addr().unwrap()).parse().unwrap()];
        let settings = Settings { urls, connects_in_flight_max: 1, ..Settings::default() };
        let (metrics, lifecycle) = (Metrics::new(&Registry::default()), Lifecycle::default());
        let accounts = Arc::new(Accounts::new(Arc::new(settings), metrics, lifecycle.clone()));
        let ask = |login: &str| accounts.ask(accounts.account(&credentials(login)).unwrap());
        let first = ask("first");
        let _stream = silent.accept().await.unwrap();
        let others: Vec<_> = (0..10).map(|it| ask(&it.to_string())).collect();
        tokio::task::yield_now().await;
        assert_eq!(accounts.known().len(), 11);
        drop(others);
        let gone = async {
            while accounts.known().len() > 1 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(1), gone).await.expect("they do not wait for the first one");
        drop(first);
        lifecycle.stop();
        lifecycle.ended().await;
    }
}
