//! The log of the process: one line an event on stdout, for people or as JSON.
//!
//! It goes to stdout, since it is what `stompgate serve` puts out; stderr is for what keeps it from starting. Panics go
//! there too: a stderr that nobody reads would hold up the thread that panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;
use std::thread;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::lines::Lines;

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

    fn parsed(&self) -> EnvFilter {
        EnvFilter::builder().parse(&self.0).expect("a Filter was parsed before")
    }
}

/// The log that was started; what waits to be written is written when it is dropped.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: Lines,
}

/// Sets up the log of the process, including what crates write through `log`. Called once.
pub fn start_log(settings: &LogSettings) -> io::Result<Log> {
    let stdout = io::stdout();
    // Not the locked, buffered one of the library, which keeps what it could not write.
    let lines = Lines::start(File::from(stdout.as_fd().try_clone_to_owned()?))?;
    let (filter, handle) = reload::Layer::new(settings.filter.parsed());
    let writer = lines.clone();
    let log = fmt::layer().with_writer(move || writer.clone());
    let log = match (settings.format, stdout.is_terminal()) {
        // Colours are left to the crate, which honours NO_COLOR.
        (Format::Auto | Format::Human, true) => log.boxed(),
        (Format::Human, false) => log.with_ansi(false).boxed(),
        (Format::Auto, false) | (Format::Json, _) => log.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(log).init();
    panic::set_hook(Box::new(log_panic));
    Ok(Log { filter: handle, lines })
}

impl Log {
    pub fn set_filter(&self, filter: &Filter) {
        self.filter.reload(filter.parsed()).expect("the log lives as long as the process");
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.flush_all();
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(&backtrace));
    tracing::error!(thread = thread.name(), backtrace, "{}", panic.to_string().replace('\n', " "));
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
