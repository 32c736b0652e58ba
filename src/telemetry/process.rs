//! What is known of the process itself: version, time since the start, its log, memory, CPU, open files.

use super::{Registry, lines};

/// Registers `build_info`, `uptime_seconds`, `log_lines_lost_total` and the `process_*` metrics.
pub fn register_process(registry: &Registry) {
    let build = registry.gauges("build_info", "Always 1; the version is the label.", &["version"]);
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let start = tokio::time::Instant::now();
    registry
        .pulled_gauge("uptime_seconds", "Time since the gateway was started.", move || start.elapsed().as_secs_f64());
    registry.pulled_counter("log_lines_lost_total", "Lines of the log that could not be written.", lines::lost);
    registry.register_process();
}
