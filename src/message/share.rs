//! Memory that a gauge counts for as long as somebody holds it.

use prometheus::IntGauge;

/// So many bytes, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    gauge: IntGauge,
    bytes: i64,
}

impl Share {
    pub fn take(gauge: &IntGauge, bytes: usize) -> Self {
        let bytes = i64::try_from(bytes).expect("fewer bytes than memory has");
        gauge.add(bytes);
        Self { gauge: gauge.clone(), bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}
