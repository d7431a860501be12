//! Log lines that a client could cause by the thousand: each cause is told once a minute.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A cause is told again after this time.
const PERIOD: Duration = Duration::from_mins(1);
/// Causes remembered at once; further ones are not told.
const CAUSES: usize = 32;

/// Remembers what was told lately.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Vec<(u64, Instant)>>);

impl LogLimit {
    /// Whether the cause may be told now; it counts as told then.
    pub fn allows(&self, cause: &impl Hash, now: Instant) -> bool {
        let mut hasher = DefaultHasher::new();
        cause.hash(&mut hasher);
        let cause = hasher.finish();
        let mut told = self.0.lock();
        told.retain(|(_, at)| now.saturating_duration_since(*at) < PERIOD);
        let allowed = told.len() < CAUSES && told.iter().all(|(known, _)| *known != cause);
        if allowed {
            told.push((cause, now));
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_a_minute() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        assert!(limit.allows(&"/actions/0/to", now));
        assert!(!limit.allows(&"/actions/0/to", now));
        assert!(limit.allows(&"/actions/1/to", now));
        assert!(!limit.allows(&"/actions/0/to", now + PERIOD / 2));
        assert!(limit.allows(&"/actions/0/to", now + PERIOD));
    }

    #[test]
    fn many_causes_do_not_fill_memory_or_log() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let told = (0..1000).filter(|n| limit.allows(n, now)).count();
        assert_eq!(told, CAUSES);
        assert!(limit.allows(&"later", now + PERIOD));
    }
}
