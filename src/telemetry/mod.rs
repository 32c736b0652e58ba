//! What operators see: the metric registry and the log set-up. Knows nothing of what is counted or logged.

mod registry;

pub use registry::Registry;
