//! Percentiles of durations.

use std::time::Duration;

/// Durations, kept as nanoseconds up to 4.2 seconds.
#[derive(Debug)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// None yet, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// One more.
    pub fn push(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Takes over those of another.
    pub fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The smallest that is not below so many percent of all, in milliseconds.
    ///
    /// # Panics
    /// Where there are none.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        let (_, value, _) = self.0.select_nth_unstable(rank - 1);
        f64::from(*value) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::with_capacity(100);
        for ms in (1..=100).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        for percent in [1, 50, 99, 100] {
            assert!((latencies.percentile(percent) - percent as f64).abs() < 1e-9);
        }
        latencies.clear();
        latencies.push(Duration::from_secs(10));
        assert!((latencies.percentile(50) - f64::from(u32::MAX) / 1e6).abs() < 1e-9);
    }
}
