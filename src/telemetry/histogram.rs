//! [`Histogram`]: how large something was, how often. One thread writes it; the scrape adds those of all threads up.
//!
//! # Why
//! The library's own histogram has a lock, which would be taken for each broadcast and connection.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::counters::Count;

/// A distribution with a single writing thread, readable from everywhere.
pub struct Histogram {
    bounds: &'static [f64],
    /// Values up to each bound that are above the one before; the last count is for what is above all bounds.
    counts: Box<[Count]>,
    /// Sum of all values, as the bits of a float.
    sum: AtomicU64,
}

/// The sum of several histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Upper bounds and how many values are below each and above the one before; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}

impl Histogram {
    /// No values. The bounds ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Count::default()).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Adds a value; only the owning thread may call this.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].increment();
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + value;
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }

    /// Adds a duration, in seconds; only the owning thread may call this.
    pub fn took(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// Adds several up that have the same bounds, at least one.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Distribution {
        let mut sum = Distribution {
            buckets: Vec::new(),
            sum: 0.0,
            count: 0,
        };
        for one in all {
            if sum.buckets.is_empty() {
                let bounds = one.bounds.iter().copied().chain([f64::INFINITY]);
                sum.buckets = bounds.map(|bound| (bound, 0)).collect();
            }
            for (bucket, count) in sum.buckets.iter_mut().zip(&one.counts) {
                let count = count.get();
                bucket.1 += count;
                sum.count += count;
            }
            sum.sum += f64::from_bits(one.sum.load(Ordering::Relaxed));
        }
        sum
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_bound_and_all_are_added_up() {
        let bounds: &[f64] = &[1.0, 10.0];
        let (one, other) = (Histogram::new(bounds), Histogram::new(bounds));
        for value in [0.5, 1.0, 1.5, 1000.0] {
            one.observe(value);
        }
        other.took(Duration::from_secs(10));
        let sum = Histogram::sum([&one, &other]);
        assert_eq!(sum.buckets, [(1.0, 2), (10.0, 2), (f64::INFINITY, 1)]);
        assert_eq!((sum.sum, sum.count), (1013.0, 5));
    }
}
