//! What operators see: the metric registry and the log set-up. Knows nothing of what is counted or logged.

mod lines;
mod log;
mod process;
mod registry;
mod seldom;

pub use log::{Filter, FilterError, Format, Log, LogSettings, start_log};
pub use process::register_process;
pub use registry::Registry;
pub use seldom::Seldom;
