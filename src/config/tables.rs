//! Lists of tables, `[[app.routes]]`: each table is read key after key, as the whole configuration is.

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};

use super::fault::Fault;
use super::kind::{Kind, given};

/// One table of a list, and what was found wrong with it.
pub(super) struct Table {
    /// Of the list, and the place in it: `app.routes[0]`.
    path: String,
    origin: String,
    values: BTreeMap<String, Value>,
    names: BTreeSet<&'static str>,
    shown: Vec<String>,
    faults: Vec<Fault>,
}

/// A table of which every key is known.
pub(super) struct Finished {
    /// As TOML.
    pub(super) shown: String,
    pub(super) faults: Vec<Fault>,
}

/// The tables of a value; `None` if it is something else.
pub(super) fn tables(path: &str, origin: &str, value: &Value) -> Option<Vec<Table>> {
    let ValueKind::Array(items) = &value.kind else { return None };
    let table = |(number, item): (usize, &Value)| {
        let ValueKind::Table(values) = &item.kind else { return None };
        let values = values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let (path, origin) = (format!("{path}[{number}]"), origin.to_owned());
        Some(Table { path, origin, values, names: BTreeSet::new(), shown: Vec::new(), faults: Vec::new() })
    };
    items.iter().enumerate().map(table).collect()
}

impl Table {
    pub(super) fn key<T: 'static>(&mut self, name: &'static str, kind: &Kind<T>, default: T) -> T {
        let value = self.optional(name, kind).unwrap_or(default);
        self.shown.push(format!("{name} = {}", kind.show(&value)));
        value
    }

    /// Without it the table means nothing.
    pub(super) fn required<T: 'static>(&mut self, name: &'static str, kind: &Kind<T>) -> Option<T> {
        if !self.values.contains_key(name) {
            self.names.insert(name);
            self.fault(name, format!("is missing: it must be {}", kind.allowed));
            return None;
        }
        let value = self.optional(name, kind)?;
        self.shown.push(format!("{name} = {}", kind.show(&value)));
        Some(value)
    }

    pub(super) fn fault(&mut self, name: &str, problem: String) {
        let (origin, key) = (self.origin.clone(), format!("{}.{name}", self.path));
        self.faults.push(Fault { origin, key, problem });
    }

    /// Everything else that was given is unknown.
    pub(super) fn finish(mut self) -> Finished {
        let unknown: Vec<_> = self.values.keys().filter(|it| !self.names.contains(&***it)).cloned().collect();
        let known = self.names.iter().copied().collect::<Vec<_>>().join(", ");
        for name in unknown {
            self.fault(&name, format!("is unknown; there are {known}"));
        }
        Finished { shown: format!("{{ {} }}", self.shown.join(", ")), faults: self.faults }
    }

    fn optional<T: 'static>(&mut self, name: &'static str, kind: &Kind<T>) -> Option<T> {
        self.names.insert(name);
        let value = self.values.get(name)?;
        let parsed = kind.parse(value);
        if parsed.is_none() {
            let problem = format!("is {}: it must be {}", given(value), kind.allowed);
            self.fault(name, problem);
        }
        parsed
    }
}
