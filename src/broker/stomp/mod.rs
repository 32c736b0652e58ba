//! Any broker that speaks STOMP 1.1 or 1.2, over TCP or TLS: one upstream connection for each session, as Spring's relay
//! has it.
//!
//! ```text
//!   Link ── asks ──▶ Dialogue (a value: what is asked, subscribed, delivered) ◀── frames ── Worker (a task)
//!                                                                                             │ one at a time
//!   System: a link of the gateway's own, which tells whether the broker is there        Connection ──▶ broker
//! ```
//!
//! Heart-beats, subscription ids, receipts and acknowledgements end here on both sides: nothing that a client sends
//! reaches the broker as it is, but headers and bodies of messages.

mod asked;
mod connection;
mod deliveries;
mod dialogue;
mod frames;
mod link;
mod metrics;
mod settings;
mod subscriptions;
mod system;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;

use super::availability::Availability;
use super::room::{Bound, Room};
use super::{LinkRequest, Outage};
use crate::delivery::{Budget, Outbox, Outboxes};
use crate::lifecycle::{Latch, Lifecycle};
use crate::session::{Credentials, Fault};
use connection::Connection;
use dialogue::Dialogue;
use frames::Login;
use worker::{Line, Role, Worker};

pub use link::Link;
pub use metrics::Metrics;
pub use settings::{Account, Address, AddressError, Identity, Settings};
pub use system::System;

/// Addresses as the log shows them.
pub fn listed(addresses: &[Address]) -> String {
    addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
}

/// A handle of the STOMP back end.
#[derive(Clone, Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    system: System,
}

/// What all links have in common.
#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    metrics: Metrics,
    lifecycle: Lifecycle,
    availability: Availability,
    room: Arc<Room>,
    /// Whose turn it is to connect.
    connects: Semaphore,
    /// Of [`Settings::connections_max`].
    places: Arc<Semaphore>,
    /// Which of [`Settings::addresses`] is tried first.
    first_address: AtomicUsize,
}

impl Broker {
    /// Begins to connect the system connection, and goes on until the process stops. The latch is set while it is there.
    pub fn start(
        settings: Settings,
        lifecycle: &Lifecycle,
        latch: Latch,
        metrics: Metrics,
        budget: &Budget,
        outboxes: &Outboxes,
    ) -> Self {
        let (outage, grace) = (settings.outage, settings.ready_grace);
        let availability = Availability::start(outage, grace, &metrics.connected, lifecycle, latch);
        let bound = Bound {
            bytes_max: settings.publish_queue_bytes_max,
            what: "The queue of messages for the broker",
            setting: "broker.stomp.publish_queue_bytes_max",
        };
        let shared = Arc::new(Shared {
            room: Room::new(bound, metrics.waiting.clone(), budget),
            connects: Semaphore::new(settings.connects_in_flight_max),
            places: Arc::new(Semaphore::new(settings.connections_max)),
            first_address: AtomicUsize::new(0),
            settings: Arc::new(settings),
            metrics,
            lifecycle: lifecycle.clone(),
            availability,
        });
        let outbox = Arc::new(outboxes.open());
        let line = shared.line(outbox.clone());
        let system = System::new(Link::new(line.clone()), outbox);
        let login = Login::from(&shared.settings.system_account);
        let worker = Worker { shared: shared.clone(), line, login, role: Role::System, place: None };
        lifecycle.spawn_background(lifecycle.vital(worker.run(None)));
        let (distribute, stopping) = (system.clone().distribute(), lifecycle.stopping().clone());
        lifecycle.spawn_background(lifecycle.vital(async move {
            stopping.run_until_cancelled(distribute).await;
        }));
        Self { shared, system }
    }

    pub const fn system(&self) -> &System {
        &self.system
    }

    pub async fn open(&self, request: LinkRequest) -> Result<Link, Fault> {
        let Self { shared, .. } = self;
        let LinkRequest { session: _, credentials, user: _, outbox } = request;
        let place = shared.places.clone().try_acquire_owned().map_err(|_| shared.full())?;
        let login = shared.login(credentials);
        let connection = shared.connect(&login).await?;
        let line = shared.line(outbox.clone());
        if let Some(connection) = &connection {
            line.dialogue().connected(connection.version);
        }
        let worker =
            Worker { shared: shared.clone(), line: line.clone(), login, role: Role::Session, place: Some(place) };
        let link = Link::new(line);
        // A panic loses this link alone.
        let alarm = LostAlarm(outbox);
        shared.lifecycle.spawn_background(async move {
            worker.run(connection).await;
            drop(alarm);
        });
        Ok(link)
    }
}

/// Tells a session, when it is dropped, that its link is lost. That it was told before, or has gone, does no harm.
struct LostAlarm(Arc<Outbox>);

impl Drop for LostAlarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.push_event(crate::delivery::Item::LinkLost);
        }
    }
}

impl Shared {
    fn line(&self, outbox: Arc<Outbox>) -> Line {
        let hidden = match self.settings.identity {
            Identity::Client => "",
            Identity::Gateway => &self.settings.account.login,
        };
        let (settings, metrics, room) = (self.settings.clone(), self.metrics.clone(), self.room.clone());
        let dialogue = Dialogue::new(settings, metrics, room, outbox, hidden);
        Line::new(dialogue, self.lifecycle.stopping().child_token())
    }

    fn login(&self, credentials: Credentials) -> Login {
        match self.settings.identity {
            Identity::Client => Login { login: credentials.login, passcode: credentials.passcode },
            Identity::Gateway => Login::from(&self.settings.account),
        }
    }

    /// The first connection of a session; `None` if it may begin without one, and be connected later.
    async fn connect(&self, login: &Login) -> Result<Option<Connection>, Fault> {
        let Settings { outage, identity, .. } = *self.settings;
        // Who a client is can't be found out while the broker is away.
        let may_wait = outage == Outage::Hold && identity == Identity::Gateway;
        if !self.availability.is_there() {
            // The address or the login may be wrong for good.
            let is_known = self.availability.was_there();
            return if may_wait && is_known { Ok(None) } else { Err(Fault::Unavailable) };
        }
        match Connection::open(self, login).await {
            Ok(connection) => Ok(Some(connection)),
            Err(error) if error.is_refusal() && identity == Identity::Gateway => {
                tracing::warn!(%error, "the STOMP broker refuses the gateway's login for sessions");
                Err(Fault::Unavailable)
            }
            Err(error) if !error.is_refusal() && may_wait => Ok(None),
            Err(error) => Err(error.fault()),
        }
    }

    fn full(&self) -> Fault {
        self.metrics.connections_refused.inc();
        let max = self.settings.connections_max;
        Fault::ConnectionLimit(format!("the gateway holds at most {max} to the broker (broker.stomp.connections_max)"))
    }
}
