//! Whether an upstream is doing well, as people want to read it: one line when it begins to fail and one when it is well again.
//!
//! # Why
//! A backend that fails one call in a hundred would, with a line at each change, fill the log with pairs of lines. So an upstream is
//! well again only after some successes in a row (or one after a long time without failure, where calls are rare), and a new row
//! of failures is told no sooner than a window after the one before: at most one pair of lines per window, whatever happens.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// Why an attempt counts against its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A status other than 2xx and 4xx.
    Status(u16),
    /// No complete answer in time.
    Timeout,
    /// No connection, or none that took the request; the text is the system's.
    Connect(Box<str>),
    /// The connection broke, or what came was no HTTP; the text is the system's.
    Network(Box<str>),
    /// An answer that cannot be understood.
    BadReply,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connect(text) => write!(f, "connect: {text}"),
            Self::Network(text) => write!(f, "network: {text}"),
            Self::BadReply => f.write_str("bad reply"),
        }
    }
}

/// Successes in a row that end a row of failures.
const WELL: u32 = 5;

/// The course of an upstream's failures.
#[derive(Debug)]
pub struct Health {
    quiet: Duration,
    failing: Option<Failing>,
    /// When failures were told last.
    told_at: Option<Instant>,
    last: Option<(Fault, SystemTime)>,
}

/// A row of failures.
#[derive(Debug)]
struct Failing {
    since: Instant,
    latest: Instant,
    failures: u64,
    /// Since the latest failure.
    successes: u32,
    told: bool,
}

/// An upstream is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Failed attempts since the first one.
    pub failures: u64,
    /// Time from the first failure to the last one.
    pub lasted: Duration,
}

impl Health {
    /// Well. `quiet` is the shortest time between two rows that are told, and the time after which one success is enough.
    pub fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            failing: None,
            told_at: None,
            last: None,
        }
    }

    /// A failed attempt; true if people should be told that the upstream is failing.
    pub fn failure(&mut self, fault: Fault, now: Instant, wall: SystemTime) -> bool {
        self.last = Some((fault, wall));
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            latest: now,
            failures: 0,
            successes: 0,
            told: false,
        });
        failing.latest = now;
        failing.failures += 1;
        failing.successes = 0;
        let lately = |at: Instant| now.saturating_duration_since(at) < self.quiet;
        if failing.told || self.told_at.is_some_and(lately) {
            return false;
        }
        failing.told = true;
        self.told_at = Some(now);
        true
    }

    /// A successful attempt, which may have closed the breaker; tells if people should be told that the upstream is well again.
    pub fn success(&mut self, now: Instant, closed: bool) -> Option<Recovery> {
        let failing = self.failing.as_mut()?;
        failing.successes += 1;
        let quiet = now.saturating_duration_since(failing.latest) >= self.quiet;
        if !closed && !quiet && failing.successes < WELL {
            return None;
        }
        let failing = self.failing.take()?;
        failing.told.then(|| Recovery {
            failures: failing.failures,
            lasted: failing.latest.saturating_duration_since(failing.since),
        })
    }

    /// The last failure and when it was.
    pub fn last(&self) -> Option<&(Fault, SystemTime)> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(10);

    fn fail(health: &mut Health, now: Instant) -> bool {
        health.failure(Fault::Timeout, now, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn only_the_first_failure_of_a_row_is_told() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert!(fail(&mut health, now));
        for n in 1..100 {
            assert!(!fail(&mut health, now + Duration::from_secs(n)));
        }
        assert_eq!(
            health.last(),
            Some(&(Fault::Timeout, SystemTime::UNIX_EPOCH))
        );
    }

    #[test]
    fn some_successes_in_a_row_are_recovery_and_fewer_are_not() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert_eq!(health.success(now, false), None);
        assert!(fail(&mut health, now));
        for _ in 1..WELL {
            assert_eq!(health.success(now, false), None);
        }
        assert!(!fail(&mut health, now + QUIET / 2));
        for _ in 1..WELL {
            assert_eq!(health.success(now + QUIET / 2, false), None);
        }
        let expected = Recovery {
            failures: 2,
            lasted: QUIET / 2,
        };
        assert_eq!(health.success(now + QUIET / 2, false), Some(expected));
        assert_eq!(health.success(now + QUIET / 2, false), None, "told once");
    }

    #[test]
    fn one_success_after_a_long_time_is_recovery() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert!(fail(&mut health, now));
        assert!(health.success(now + QUIET, false).is_some());
    }

    #[test]
    fn rows_of_failures_are_not_told_more_often_than_once_a_window() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        let (mut failing, mut well) = (0, 0);
        // One call in ten fails, for almost a window.
        for step in 0..1000 {
            let now = now + QUIET * step / 1000;
            failing += u32::from(fail(&mut health, now));
            well += (0..9).filter_map(|_| health.success(now, false)).count();
        }
        assert_eq!((failing, well), (1, 1), "one pair");
    }

    #[test]
    fn a_row_that_goes_on_is_told_when_the_window_is_over() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert!(fail(&mut health, now));
        assert!(health.success(now, true).is_some());
        assert!(!fail(&mut health, now + QUIET / 2), "too soon");
        assert!(fail(&mut health, now + QUIET), "still failing");
        assert!(!fail(&mut health, now + QUIET * 2), "told once");
        assert_eq!(
            health
                .success(now + QUIET * 2, true)
                .map(|well| well.failures),
            Some(3)
        );
        assert!(!fail(&mut health, now + QUIET * 3 / 2));
        assert_eq!(
            health.success(now + QUIET * 2, true),
            None,
            "never told, never taken back"
        );
    }

    #[test]
    fn a_closed_breaker_is_recovery_at_once() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert!(fail(&mut health, now));
        assert!(health.success(now, true).is_some());
        assert!(health.last().is_some(), "the last error stays readable");
    }
}
