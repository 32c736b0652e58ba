//! The log of the process: one line an event on stdout, for people or as JSON.
//!
//! It goes to stdout, since it is what `stompgate serve` puts out; stderr is for what keeps it from starting.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How the log reads, and what is in it.
#[derive(Clone, Debug)]
pub struct LogSettings {
    pub format: Format,
    pub filter: Filter,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people when stdout is a terminal, else JSON.
    Auto,
    Human,
    Json,
}

/// Directives such as `info,hyper=warn`, checked.
#[derive(Clone, Debug)]
pub struct Filter(Box<str>);

/// A directive makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(#[from] ParseError);

impl Default for LogSettings {
    fn default() -> Self {
        // lapin calls refusals errors that the gateway passes on, and quotes bodies.
        let filter = Filter("info,lapin=off".into());
        Self { format: Format::Auto, filter }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        EnvFilter::builder().parse(text)?;
        Ok(Self(text.into()))
    }
}

impl Filter {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Sets up the log of the process, including what crates write through `log`. Called once.
pub fn start_log(settings: &LogSettings) {
    let is_terminal = io::stdout().is_terminal();
    let filter = EnvFilter::builder().parse(settings.filter.as_str()).expect("a Filter was parsed before");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stdout);
    match (settings.format, is_terminal) {
        // Colours are left to the crate, which honours NO_COLOR.
        (Format::Auto | Format::Human, true) => log.init(),
        (Format::Human, false) => log.with_ansi(false).init(),
        (Format::Auto, false) | (Format::Json, _) => log.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_before_it_is_used() {
        assert!(LogSettings::default().filter.as_str().parse::<Filter>().is_ok());
        assert!("stompgate::driver=debug,warn".parse::<Filter>().is_ok());
        assert!("stompgate=loud".parse::<Filter>().is_err());
    }
}
