//! Reads key after key: a value that is given and allowed, or else the default and a fault.
//!
//! The keys that are asked for are the keys that exist, so nothing else lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, fs};

use config::{Value, ValueKind};

use super::fault::Fault;
use super::kind::{Kind, Secrecy, given};
use super::sources::{is_from_environment, origin};
use super::tables::{Table, tables};

/// One key that exists. Two of the same path are equal when they mean the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Section and name, with dots between them.
    pub path: &'static str,
    /// Its type, unit and range in words.
    pub allowed: String,
    /// As TOML, like the next one. Secrets are masked in both.
    pub default: String,
    pub effective: String,
    /// Of a secret, as it was given: two may look the same when they are masked.
    secret: Secret,
}

/// Never printed.
#[derive(Clone, Default, PartialEq)]
struct Secret(Option<ValueKind>);

/// The values that are given, and what was learnt about them so far.
pub(super) struct Reader {
    /// A secret is here itself once its file was read.
    pub(super) values: BTreeMap<String, Value>,
    /// Of the keys that were given.
    origins: BTreeMap<&'static str, String>,
    used: BTreeSet<String>,
    pub(super) keys: Vec<Key>,
    pub(super) faults: Vec<Fault>,
}

/// A secret that is kept in a file of its own has this after its name.
pub(super) const FILE_SUFFIX: &str = "_file";

impl Reader {
    pub(super) fn new(values: BTreeMap<String, Value>, faults: Vec<Fault>) -> Self {
        Self { values, origins: BTreeMap::new(), used: BTreeSet::new(), keys: Vec::new(), faults }
    }

    pub(super) fn key<T: 'static>(&mut self, path: &'static str, kind: Kind<T>, default: T) -> T {
        let default_shown = kind.show(&default);
        let given = match kind.secrecy {
            Secrecy::Open => self.take(path),
            Secrecy::Secret => self.take_secret(path),
        };
        if let Some(value) = &given {
            self.origins.insert(path, origin(path, value));
        }
        let secret = Secret(given.as_ref().filter(|_| kind.secrecy == Secrecy::Secret).map(|it| it.kind.clone()));
        let effective = given.and_then(|it| self.parse(path, &kind, &it)).unwrap_or(default);
        let shown = kind.show(&effective);
        self.keys.push(Key { path, effective: shown, default: default_shown, allowed: kind.allowed, secret });
        effective
    }

    /// A list of tables, each read by `read`; what is wrong with one is told by its place in the list.
    pub(super) fn tables<T>(
        &mut self,
        path: &'static str,
        allowed: &str,
        mut read: impl FnMut(&mut Table, &[T]) -> Option<T>,
    ) -> Vec<T> {
        let (mut all, mut shown) = (Vec::new(), Vec::new());
        if let Some(value) = self.take(path) {
            let origin = origin(path, &value);
            let Some(tables) = tables(path, &origin, &value) else {
                let problem = format!("is {}: it must be {allowed}", given(&value));
                self.faults.push(Fault { origin, key: path.to_owned(), problem });
                return all;
            };
            for mut table in tables {
                all.extend(read(&mut table, &all));
                let finished = table.finish();
                shown.push(finished.shown);
                self.faults.extend(finished.faults);
            }
            self.origins.insert(path, origin);
        }
        let (default, effective) = ("[]".to_owned(), format!("[{}]", shown.join(", ")));
        self.keys.push(Key { path, allowed: allowed.to_owned(), default, effective, secret: Secret::default() });
        all
    }

    /// Between keys. Not judged when one of them has a fault of its own: its default was not what the operator meant.
    pub(super) fn rule(&mut self, paths: &[&str], holds: bool, must: &str) {
        let is_at_fault = |path: &&str| self.faults.iter().any(|it| it.key == *path);
        if holds || paths.iter().any(is_at_fault) {
            return;
        }
        let given = paths.iter().find_map(|path| self.origins.get_key_value(path));
        let (key, origin) = given.expect("the defaults keep the rules, so one of the keys was given");
        self.faults.push(Fault { origin: origin.clone(), key: (*key).to_owned(), problem: must.to_owned() });
    }

    /// Everything that was given and that no key asked for.
    pub(super) fn reject_unknown(&mut self) {
        let unknown = self.values.iter().filter(|(path, value)| !self.is_known(path, value));
        let faults: Vec<_> = unknown.map(|(path, value)| self.unknown(path, value)).collect();
        self.faults.extend(faults);
    }

    fn take(&mut self, path: &str) -> Option<Value> {
        self.used.insert(path.to_owned());
        self.values.get(path).cloned()
    }

    /// The environment goes before the file, whichever of both forms it uses.
    fn take_secret(&mut self, path: &str) -> Option<Value> {
        let file_path = format!("{path}{FILE_SUFFIX}");
        match (self.take(path), self.take(&file_path)) {
            (Some(value), Some(file)) if is_from_environment(&value) == is_from_environment(&file) => {
                let problem = format!("and {file_path} are both given; one of them has to go");
                self.faults.push(Fault { origin: origin(path, &value), key: path.to_owned(), problem });
                None
            }
            (Some(value), Some(file)) if is_from_environment(&file) => {
                self.open(path, &file_path, &file).or(Some(value))
            }
            (None, Some(file)) => self.open(path, &file_path, &file),
            (value, _) => value,
        }
    }

    /// From then on it is as if the secret had been given without a file.
    fn open(&mut self, path: &str, file_path: &str, file: &Value) -> Option<Value> {
        let name = file.to_string();
        match fs::read_to_string(&name) {
            Ok(text) => {
                let secret = Value::new(Some(&name), text.trim());
                self.values.remove(file_path);
                self.values.insert(path.to_owned(), secret.clone());
                Some(secret)
            }
            Err(error) => {
                let problem = format!("names {name:?}, which can't be read: {error}");
                self.faults.push(Fault { origin: origin(file_path, file), key: file_path.to_owned(), problem });
                None
            }
        }
    }

    fn parse<T: 'static>(&mut self, path: &str, kind: &Kind<T>, value: &Value) -> Option<T> {
        let parsed = kind.parse(value);
        if parsed.is_none() {
            let shown = match kind.secrecy {
                Secrecy::Open => given(value),
                Secrecy::Secret => "not allowed".to_owned(),
            };
            let problem = format!("is {shown}: it must be {}", kind.allowed);
            self.faults.push(Fault { origin: origin(path, value), key: path.to_owned(), problem });
        }
        parsed
    }

    /// An empty section is known by the keys that it could hold.
    fn is_known(&self, path: &str, value: &Value) -> bool {
        let is_empty_table = matches!(&value.kind, ValueKind::Table(it) if it.is_empty());
        self.used.contains(path) || (is_empty_table && self.keys_below(path).next().is_some())
    }

    fn unknown(&self, path: &str, value: &Value) -> Fault {
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        let names: BTreeSet<_> = self.keys_below(section).collect();
        let problem = if self.keys_below(path).next().is_some() {
            "is a section, not a key".to_owned()
        } else if names.is_empty() {
            let sections: BTreeSet<_> = self.keys_below("").collect();
            format!("is in no known section; there are {}", join(&sections))
        } else {
            format!("is unknown; there are {}", join(&names))
        };
        Fault { origin: origin(path, value), key: path.to_owned(), problem }
    }

    /// Names of the keys and sections right below a section; of the whole configuration, if that is empty.
    fn keys_below<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        let below = move |path: &'a str| match section {
            "" => Some(path),
            _ => path.strip_prefix(section)?.strip_prefix('.'),
        };
        self.keys.iter().filter_map(move |it| below(it.path)).filter_map(|it| it.split('.').next())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
