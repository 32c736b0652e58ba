//! The configuration in force, and how to read it again while the process runs.

use std::collections::BTreeMap;

use config::Value;

use super::fault::Faults;
use super::reader::{FILE_SUFFIX, Key};
use super::{Loaded, Settings, Sources, complete};
use crate::http::{Tls, TlsFiles};
use crate::pem;

/// Keys that take effect without a restart, for sessions that begin afterwards: whole sections, or single ones.
const RELOADABLE: &[&str] = &["auth.", "delivery.", "http.allowed_origins", "log.filter", "session.", "stomp."];

/// What is in force, and where it was read.
#[derive(Debug)]
pub struct InForce {
    sources: Sources,
    loaded: Loaded,
}

/// What came of reading the configuration again.
#[derive(Debug)]
pub struct Reloaded {
    /// What changed and may change now; all else is as it was.
    pub settings: Settings,
    pub changed: Vec<&'static str>,
    /// What changed, too, and stays as it was until the process is started again.
    pub needs_restart: Vec<&'static str>,
}

/// That for clients which is in force, and what is wrong with its files, which were just read again.
pub(super) struct Certificate {
    tls: Tls,
    read: Result<(), Vec<pem::Fault>>,
}

pub(super) fn is_reloadable(path: &str) -> bool {
    RELOADABLE.iter().any(|it| if it.ends_with('.') { path.starts_with(it) } else { path == *it })
}

impl InForce {
    pub const fn new(sources: Sources, loaded: Loaded) -> Self {
        Self { sources, loaded }
    }

    pub const fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Reads the same sources again. With a fault nothing changes but the certificate for clients: it says and counts
    /// by itself what is wrong with its files, and does not wait for the rest to be right.
    pub fn reload(&mut self) -> Result<Reloaded, Faults> {
        let tls = self.loaded.settings.http.tls.clone();
        let certificate = tls.map(|tls| Certificate { read: tls.reload(), tls });
        let (values, faults) = self.sources.clone().read();
        let new = complete(values, faults, certificate.as_ref())?;
        let differing = self.loaded.keys.iter().zip(&new.keys).filter(|(old, new)| old != new);
        let (changed, needs_restart): (Vec<_>, Vec<_>) =
            differing.map(|(old, _)| old.path).partition(|path| is_reloadable(path));
        // Keys are checked against each other as they will be in force together.
        let mixed = mix(&self.loaded.values.0, new.values.0, &new.keys);
        self.loaded = complete(mixed, Vec::new(), certificate.as_ref())?;
        Ok(Reloaded { settings: self.loaded.settings.clone(), changed, needs_restart })
    }
}

impl Certificate {
    /// What comes of these files, if they are its own.
    pub(super) fn of(&self, files: &TlsFiles) -> Option<Result<Option<Tls>, Vec<pem::Fault>>> {
        (self.tls.files() == files).then(|| self.read.clone().map(|()| Some(self.tls.clone())))
    }
}

/// The new values of what can be reloaded, the old ones of everything else.
fn mix(old: &BTreeMap<String, Value>, mut new: BTreeMap<String, Value>, keys: &[Key]) -> BTreeMap<String, Value> {
    for path in keys.iter().map(|it| it.path).filter(|it| !is_reloadable(it)) {
        for path in [path.to_owned(), format!("{path}{FILE_SUFFIX}")] {
            match old.get(&path) {
                Some(value) => new.insert(path, value.clone()),
                None => new.remove(&path),
            };
        }
    }
    new
}
