//! Accounts of clients: login, passcode and virtual host of CONNECT, as RabbitMQ knows them. Each has connections of its
//! own, which all sessions of that account share and no other; the key holds the passcode, too.
//!
//! ```text
//!                                      reconnecting ──refused, or unused for a while──▶ nobody
//!                                      lost │  ▲ (`broker.outage = "hold"`)
//!                                           ▼  │
//! nobody ──CONNECT──▶ connecting ──────▶ connected ──unused for a while, or lost──▶ nobody
//!                          │                │  ▲
//!                          ▼                ▼  │ asked RabbitMQ once more, by whom comes after a longer while
//!                       refused          checking ──▶ refused: serves those that are there until the last has gone
//! ```
//!
//! Whoever asks meanwhile waits for the same attempt; while it reconnects they are let in at once. No refusal is
//! remembered.

mod place;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use self::place::Place;
use super::Link;
use super::context::Account;
use super::metrics::Metrics;
use super::relay::Relay;
use super::settings::Settings;
use crate::broker::availability::Availability;
use crate::broker::{LinkRequest, Outage};
use crate::delivery::Budget;
use crate::lifecycle::Lifecycle;
use crate::session::{Credentials, Fault};
use crate::sync::lock;

/// As AMQP carries the name of a virtual host.
const VHOST_BYTES_MAX: usize = 255;

#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    budget: Budget,
    /// Those that are connected, and those that wait for it, which are no more than the sessions that ask.
    known: Mutex<HashMap<Account, Arc<Known>>>,
    /// Of those that are connected.
    room: Arc<Semaphore>,
    attempts: Semaphore,
    /// While RabbitMQ is away, one probe looks for it, and not each account.
    pub(super) availability: Availability,
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
    pub(super) fn new(
        settings: Arc<Settings>,
        metrics: Metrics,
        lifecycle: Lifecycle,
        availability: Availability,
        budget: Budget,
    ) -> Self {
        let room = Arc::new(Semaphore::new(settings.accounts_max));
        let (attempts, changed) = (Semaphore::new(settings.connects_in_flight_max), Notify::new());
        Self { settings, metrics, lifecycle, budget, known: Mutex::default(), room, attempts, availability, changed }
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
        let is_connected = |it: &State| matches!(it, State::Connected { relay, .. } if relay.epochs.now().is_some());
        self.known().values().any(|it| is_connected(&it.state.borrow()))
    }

    fn holds(&self) -> bool {
        self.settings.outage == Outage::Hold
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
        lock(&self.known)
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::broker::amqp::context::unbounded;
    use crate::lifecycle::Readiness;
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
        let latch = Readiness::default().latch("broker");
        let availability = Availability::start(settings.outage, Duration::ZERO, &metrics.connected, &lifecycle, latch);
        availability.set(true);
        let accounts =
            Arc::new(Accounts::new(Arc::new(settings), metrics, lifecycle.clone(), availability, unbounded()));
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
