//! Latencies in buckets of about 3 % width, so that memory does not grow with the number of messages.

use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 32;

#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = latency.as_micros() as u64;
        let bucket = bucket_of(micros);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Milliseconds that `share` (0 to 1) of the messages did not exceed; exact to one bucket.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if rank <= seen && *count != 0 {
                return upper_bound(bucket).min(self.max) as f64 / 1e3;
            }
        }
        0.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.max as f64 / 1e3
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEPS.ilog2();
    // The leading bit of `micros >> shift` is always set; it counts as one more octave.
    (u64::from(shift) * STEPS + (micros >> shift)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket - shift * STEPS + 1) << shift) - 1
}
