//! A token bucket in eight bytes, counted in ticks of the shard.

/// So many per second, with a burst of one second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Thousandths of a token.
    level: u32,
    at: u32,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32, now: u32) -> Self {
        Self {
            level: per_second.saturating_mul(1000),
            at: now,
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, per_second: u32, now: u32, ticks_per_second: u32) -> bool {
        let elapsed = u64::from(now.saturating_sub(self.at));
        let full = u64::from(per_second) * 1000;
        let gained = elapsed * full / u64::from(ticks_per_second.max(1));
        let level = (u64::from(self.level) + gained).min(full);
        self.at = now;
        let enough = level >= 1000;
        self.level = u32::try_from(if enough { level - 1000 } else { level }).unwrap_or(u32::MAX);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;

    #[test]
    fn the_burst_is_one_second_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(5, 0);
        let taken =
            |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(5, now, 100)).count();
        assert_eq!(taken(&mut bucket, 0), 5);
        assert_eq!(taken(&mut bucket, 20), 1);
        assert_eq!(taken(&mut bucket, 1000), 5);
    }
}
