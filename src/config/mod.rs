//! From a TOML file and the environment to the checked settings of every module, or to everything that is wrong.
//!
//! `docs/CONFIG.md` lists the keys. The only module that reads the environment; no other module but `app` sees the whole.

mod fault;
mod kind;
mod print;
mod reader;
mod reload;
mod sections;
mod sources;

use std::collections::BTreeMap;
use std::fmt;

use config::Value;

use crate::auth::{Authenticator, Rules};
use crate::broker::{amqp, memory, stomp as stomp_broker};
use crate::{admin, delivery, http, lifecycle, session, stomp, telemetry};
pub use fault::{Fault, Faults};
pub use reader::Key;
pub use reload::{InForce, Reloaded};
pub use sources::Sources;

use reader::Reader;

/// What an operator decided, and the defaults of all that was left open.
#[derive(Clone, Debug)]
pub struct Settings {
    pub admin: admin::Settings,
    pub authenticator: Authenticator,
    pub broker: Broker,
    pub delivery: delivery::Settings,
    pub http: http::Settings,
    pub lifecycle: lifecycle::Settings,
    pub limits: Limits,
    pub log: telemetry::LogSettings,
    pub rules: Rules,
    pub session: session::Settings,
    pub stomp: stomp::Limits,
}

/// What the whole process may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of messages that wait for clients, and of SENDs that wait for the broker.
    pub memory_bytes_max: usize,
}

/// The back end to use.
#[derive(Clone, Debug)]
pub enum Broker {
    Amqp(amqp::Settings),
    Memory(memory::Settings),
    Stomp(stomp_broker::Settings),
}

/// A configuration without a fault.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Every key that exists, in the order of `docs/CONFIG.md`.
    pub keys: Vec<Key>,
    values: Values,
}

/// What was given, secrets included, so it is not printed.
#[derive(Clone)]
struct Values(BTreeMap<String, Value>);

/// Reads, checks and completes a configuration.
pub fn load(sources: Sources) -> Result<Loaded, Faults> {
    let (values, faults) = sources.read();
    complete(values, faults)
}

fn complete(values: BTreeMap<String, Value>, faults: Vec<Fault>) -> Result<Loaded, Faults> {
    let mut reader = Reader::new(values.clone(), faults);
    let settings = sections::read(&mut reader);
    reader.reject_unknown();
    if reader.faults.is_empty() {
        Ok(Loaded { settings, keys: reader.keys, values: Values(values) })
    } else {
        Err(Faults(reader.faults))
    }
}

impl Loaded {
    /// The effective configuration as a file that could be read again, secrets masked.
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.keys)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Default for Settings {
    fn default() -> Self {
        load(Sources::default()).expect("the defaults are a configuration without a fault").settings
    }
}

#[cfg(test)]
mod tests;
