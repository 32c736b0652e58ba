//! Where a configuration is read from: a TOML file, and above it the environment.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use config::{Config, ConfigError, Environment, File, FileFormat, Source, Value, ValueKind};

use super::fault::Fault;

/// The file and the variables to read.
#[derive(Clone, Debug)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: Variables,
}

#[derive(Clone, Debug)]
enum Variables {
    Given(HashMap<String, String>),
    OfProcess,
}

/// Names the default file. One underscore: it is no key.
const FILE_VARIABLE: &str = "STOMPGATE_CONFIG";

/// Two underscores, so that what Kubernetes sets for a service of our name (`STOMPGATE_PORT=..`) is no key.
const PREFIX: &str = "STOMPGATE";
const SEPARATOR: &str = "__";

/// How the crate names it; no file has this name, since files are given with their path.
const ENVIRONMENT: &str = "the environment";

impl Sources {
    /// The environment of this process, and the file that is named here or else by `STOMPGATE_CONFIG`, if any.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        // An empty variable is what Compose makes of one that is not set.
        let named = || std::env::var_os(FILE_VARIABLE).filter(|it| !it.is_empty()).map(PathBuf::from);
        Self { file: file.or_else(named), variables: Variables::OfProcess }
    }

    /// A file and variables that have nothing to do with this process.
    pub fn given<const N: usize>(file: Option<PathBuf>, variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { file, variables: Variables::Given(variables.into()) }
    }

    /// Every value by its dotted path. A source that can't be read is a fault, and the other one is read all the same.
    pub(super) fn read(self) -> (BTreeMap<String, Value>, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut layers = Config::builder();
        let file_name = self.file.as_ref().map(|it| it.display().to_string()).unwrap_or_default();
        if let Some(path) = self.file {
            let file = File::from(path).format(FileFormat::Toml).required(true);
            match Config::builder().add_source(file).build() {
                Ok(layer) => layers = layers.add_source(layer),
                Err(error) => faults.push(unreadable(&file_name, &error)),
            }
        }
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .ignore_empty(true)
            // Parsing here would make 123 of a password 0123.
            .try_parsing(false)
            .source(match self.variables {
                Variables::Given(variables) => Some(variables),
                Variables::OfProcess => None,
            });
        let mut values = BTreeMap::new();
        match layers.add_source(environment).build().and_then(|it| it.collect()) {
            Ok(table) => table.into_iter().for_each(|(key, value)| flatten(key, value, &file_name, &mut values)),
            Err(error) => faults.push(unreadable(ENVIRONMENT, &error)),
        }
        (values, faults)
    }
}

impl Default for Sources {
    /// No source at all.
    fn default() -> Self {
        Self::given(None, [])
    }
}

/// What to correct: the file, or the variable.
pub(super) fn origin(path: &str, value: &Value) -> String {
    match value.origin() {
        Some(ENVIRONMENT) | None => variable(path),
        Some(file) => file.to_owned(),
    }
}

pub(super) fn is_from_environment(value: &Value) -> bool {
    value.origin() == Some(ENVIRONMENT)
}

pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{SEPARATOR}{}", path.replace('.', SEPARATOR).to_uppercase())
}

/// An empty table stays, so that an unknown section is found though it holds nothing.
fn flatten(path: String, value: Value, file_name: &str, into: &mut BTreeMap<String, Value>) {
    let is_from_environment = is_from_environment(&value);
    match value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            table.into_iter().for_each(|(key, value)| flatten(format!("{path}.{key}"), value, file_name, into));
        }
        kind => {
            // The crate names a file by its way from the working directory; the operator gave it a name already.
            let origin = if is_from_environment { ENVIRONMENT } else { file_name };
            into.insert(path, Value::new(Some(&origin.to_owned()), kind));
        }
    }
}

fn unreadable(origin: &str, error: &ConfigError) -> Fault {
    let problem = match error {
        ConfigError::FileParse { cause, .. } => format!("is not TOML: {}", without_quotation(&cause.to_string())),
        other => format!("can't be read: {other}"),
    };
    Fault { origin: origin.to_owned(), key: String::new(), problem }
}

/// The crate quotes the line at fault, which may hold a secret; its number is told as well.
fn without_quotation(error: &str) -> String {
    let is_quoted = |it: &&str| it.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    error.lines().filter(|it| !is_quoted(it)).collect::<Vec<_>>().join(": ")
}
