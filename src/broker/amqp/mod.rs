//! RabbitMQ over AMQP 0-9-1.
//!
//! ```text
//!  supervisor ── connects ──▶ generation: its connections; when one that consumes is lost, all of it ends
//!                               │
//!               relay: what goes on in the next one, or ends with the first (`broker.outage`)
//!                               │
//!   Link::publish ────▶ publishing: lanes ─▶ writer ─▶ confirm channel ─▶ window ─▶ Pending
//!   Link::subscribe ──▶ feeds (topics, shared): lane ─▶ bind;  consumer ─▶ Table ─▶ Outbox
//!                  └──▶ private (queues, acks): worker ─▶ channel of the session ─▶ Outbox
//! ```
//!
//! A link belongs to the relay of an account: the gateway's own, or one of those that `accounts` makes of what clients say
//! in CONNECT.
//!
//! The AMQP library is used here alone, by rules that its behaviour asks for: one task publishes on a channel; what a
//! client can write becomes a short string only after its length was checked; header values are long strings; no
//! confirm is dropped; an acknowledgement never names tag 0; each wait has a deadline; it never reconnects by itself.

mod accounts;
mod addressed;
mod bench;
mod connection;
mod context;
mod declarer;
mod desk;
mod epochs;
mod faults;
mod feeds;
mod gate;
mod generation;
mod ids;
mod incoming;
mod line;
mod link;
mod metrics;
mod per_generation;
mod private;
mod probe;
mod properties;
mod publishing;
mod queue;
mod relay;
mod rpc;
mod settings;
mod shared_line;
mod supervisor;
mod tasks;
mod url;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

use super::LinkRequest;
use super::availability::Availability;
use crate::delivery::Budget;
use crate::lifecycle::{Latch, Lifecycle};
use crate::session::Fault;
use accounts::Accounts;
use context::{Account, Context};
use relay::Relay;

pub use link::Link;
pub use metrics::Metrics;
pub use rpc::Rpc;
pub use settings::{Identity, Name, NameError, Settings};
pub use url::{Url, UrlError};

/// Which one of several serves this value: always the same one.
fn one_of(several: usize, value: impl Hash) -> usize {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value) as usize % several
}

/// A handle of the RabbitMQ back end.
#[derive(Clone, Debug)]
pub struct Broker(Identified);

/// Whose account a session uses.
#[derive(Clone, Debug)]
enum Identified {
    Clients(Arc<Accounts>),
    Gateway(Arc<Relay>),
}

impl Broker {
    /// With the gateway's own account: begins to connect, and goes on until the process stops. The latch is set while
    /// RabbitMQ can be used.
    pub fn start(settings: Settings, lifecycle: &Lifecycle, latch: Latch, metrics: Metrics, budget: Budget) -> Self {
        let settings = Arc::new(settings);
        let availability =
            Availability::start(settings.outage, settings.ready_grace, &metrics.connected, lifecycle, latch);
        Self(match settings.identity {
            Identity::Client => {
                let accounts = Arc::new(Accounts::new(settings, metrics, lifecycle.clone(), availability, budget));
                lifecycle.spawn_background(lifecycle.vital(probe::run(accounts.clone())));
                Identified::Clients(accounts)
            }
            Identity::Gateway => {
                let context = Arc::new(Context::new(settings, Account::Gateway, metrics, lifecycle.clone(), budget));
                let relay = Relay::start(&context);
                lifecycle.spawn_background(lifecycle.vital(supervisor::run(relay.clone(), availability)));
                Identified::Gateway(relay)
            }
        })
    }

    pub async fn open(&self, request: LinkRequest) -> Result<Link, Fault> {
        match &self.0 {
            Identified::Clients(accounts) => accounts.open(request).await,
            Identified::Gateway(relay) => Link::open(relay.clone(), request),
        }
    }
}
