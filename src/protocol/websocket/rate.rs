//! How often a client may send control frames.

use std::time::{Duration, Instant};

/// A burst is what the rate allows in this time.
const BURST: Duration = Duration::from_secs(5);

/// A token bucket.
///
/// # Why
/// Kept as the moment at which it will be full again: one field, nothing to refill, and a bucket that was never used costs no
/// reading of the clock.
#[derive(Debug, Default)]
pub(super) struct ControlRate {
    full_at: Option<Instant>,
}

impl ControlRate {
    /// Takes a token; `false`: there is none. A rate of 0 always has one.
    pub(super) fn take(&mut self, per_second: u32, now: Instant) -> bool {
        if per_second == 0 {
            return true;
        }
        let token = Duration::from_secs(1) / per_second;
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + token;
        if full_at > now + BURST {
            return false;
        }
        self.full_at = Some(full_at);
        true
    }
}
