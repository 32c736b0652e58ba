//! The metric registry: every name gets the prefix `stompgate_`, every module registers its own metrics.
//!
//! The metrics of the process alone keep the names `process_*` that they have in every Prometheus client, so that
//! dashboards find them.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, PullingGauge, TextEncoder, proto,
};

/// Metrics of this process. Cloning it clones a handle.
///
/// Names are unique: registering one twice is a fault of the program, found at start.
#[derive(Clone, Debug)]
pub struct Registry {
    own: prometheus::Registry,
    process: prometheus::Registry,
}

impl Default for Registry {
    fn default() -> Self {
        let own = prometheus::Registry::new_custom(Some("stompgate".to_owned()), None);
        Self { own: own.expect("the prefix is a valid metric name"), process: prometheus::Registry::new() }
    }
}

impl Registry {
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    /// The values of `labels` must come from closed sets.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// The values of `labels` must come from closed sets.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub fn gather(&self) -> Vec<proto::MetricFamily> {
        let mut families = self.process.gather();
        families.extend(self.own.gather());
        families
    }

    /// Everything as text, in the format of [`Registry::CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let text = TextEncoder::new().encode_to_string(&self.gather());
        text.expect("a String takes every write, and no family is without a name")
    }

    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// A gauge that is asked when somebody looks.
    pub fn pulled_gauge(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.register(PullingGauge::new(name, help, Box::new(value)));
    }

    /// A counter that is asked when somebody looks.
    pub fn pulled_counter(&self, name: &str, help: &str, value: impl Fn() -> u64 + Send + Sync + 'static) {
        let counter = IntCounter::new(name, help);
        self.register(counter.map(|counter| PulledCounter { counter, value: Arc::new(value) }));
    }

    pub(super) fn register_process(&self) {
        // The crate reads /proc.
        #[cfg(target_os = "linux")]
        {
            let process = prometheus::process_collector::ProcessCollector::for_self();
            self.process.register(Box::new(process)).expect("the process is registered once");
        }
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("metric names and labels are constants of this program");
        self.own.register(Box::new(metric.clone())).expect("metric names are unique");
        metric
    }
}

#[derive(Clone)]
struct PulledCounter {
    /// Says what it is called, and stays at 0.
    counter: IntCounter,
    value: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Collector for PulledCounter {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let desc = self.desc()[0];
        let counter = IntCounter::new(desc.fq_name.clone(), desc.help.clone()).expect("it was one before");
        counter.inc_by((self.value)());
        counter.collect()
    }
}
