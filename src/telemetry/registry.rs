//! The metric registry: every name gets the prefix `stompgate_`, every module registers its own metrics.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector, proto,
};

/// Metrics of this process. Cloning it clones a handle.
///
/// Names are unique: registering one twice is a fault of the program, found at start.
#[derive(Clone, Debug)]
pub struct Registry(prometheus::Registry);

impl Default for Registry {
    fn default() -> Self {
        let registry = prometheus::Registry::new_custom(Some("stompgate".to_owned()), None);
        Self(registry.expect("the prefix is a valid metric name"))
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
        self.0.gather()
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("metric names and labels are constants of this program");
        self.0.register(Box::new(metric.clone())).expect("metric names are unique");
        metric
    }
}
