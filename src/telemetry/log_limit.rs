//! Log lines that a client or a backend could cause by the thousand: each cause is told once a minute, with how often it was not.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A cause is told again after this time.
const PERIOD: Duration = Duration::from_mins(1);
/// Causes remembered at once; further ones are not told.
const CAUSES: usize = 32;

static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// Lines that were not written since the process began, by all limits.
pub fn suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

/// Remembers what was told lately.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Vec<Told>>);

#[derive(Debug)]
struct Told {
    /// A hash of the cause.
    cause: u64,
    at: Instant,
    suppressed: u64,
}

impl LogLimit {
    /// Whether the cause may be told now, and then how often it was not since it was told last; it counts as told.
    pub fn allows(&self, cause: &impl Hash, now: Instant) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        cause.hash(&mut hasher);
        let cause = hasher.finish();
        let allowed = self.tell(cause, now);
        if allowed.is_none() {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    fn tell(&self, cause: u64, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let is_over = |known: &Told| now.saturating_duration_since(known.at) >= PERIOD;
        if let Some(known) = told.iter_mut().find(|known| known.cause == cause) {
            if !is_over(known) {
                known.suppressed += 1;
                return None;
            }
            known.at = now;
            return Some(std::mem::take(&mut known.suppressed));
        }
        if told.len() == CAUSES {
            let oldest = told.iter().position(is_over)?;
            told.swap_remove(oldest);
        }
        told.push(Told {
            cause,
            at: now,
            suppressed: 0,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_a_minute_with_how_often_it_was_not() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.allows(&"/actions/0/to", now), Some(0));
        assert_eq!(limit.allows(&"/actions/0/to", now), None);
        assert_eq!(limit.allows(&"/actions/1/to", now), Some(0));
        assert_eq!(limit.allows(&"/actions/0/to", now + PERIOD / 2), None);
        assert_eq!(limit.allows(&"/actions/0/to", now + PERIOD), Some(2));
        assert_eq!(limit.allows(&"/actions/0/to", now + PERIOD * 2), Some(0));
    }

    #[test]
    fn many_causes_do_not_fill_memory_or_log() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let before = suppressed();
        let told = (0..1000).filter_map(|n| limit.allows(&n, now)).count();
        assert_eq!(told, CAUSES);
        assert!(suppressed() - before >= 1000 - CAUSES as u64);
        assert_eq!(limit.allows(&"later", now + PERIOD), Some(0));
    }
}
