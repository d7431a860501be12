//! Whether an upstream is doing well, as people want to read it: one line when it begins to fail and one when it is well again.
//!
//! # Why
//! A backend that fails one call in a hundred would, with a line at each change, fill the log with pairs of lines. So an upstream is
//! well again only when a success comes after a whole window without a failure, or when its breaker has closed: at most one pair
//! of lines per window, however many calls there are.

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

/// The course of an upstream's failures.
#[derive(Debug)]
pub struct Health {
    quiet: Duration,
    failing: Option<Failing>,
    last: Option<(Fault, SystemTime)>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    latest: Instant,
    failures: u64,
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
    /// Well; `quiet` is the time without failure after which a success counts as recovery.
    pub fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            failing: None,
            last: None,
        }
    }

    /// A failed attempt; true if it is the first of a row.
    pub fn failure(&mut self, fault: Fault, now: Instant, wall: SystemTime) -> bool {
        self.last = Some((fault, wall));
        if let Some(failing) = &mut self.failing {
            failing.latest = now;
            failing.failures += 1;
            return false;
        }
        self.failing = Some(Failing {
            since: now,
            latest: now,
            failures: 1,
        });
        true
    }

    /// A successful attempt, which may have closed the breaker; tells if the upstream is well again by it.
    pub fn success(&mut self, now: Instant, closed: bool) -> Option<Recovery> {
        let failing = self.failing.as_ref()?;
        if !closed && now.saturating_duration_since(failing.latest) < self.quiet {
            return None;
        }
        let recovery = Recovery {
            failures: failing.failures,
            lasted: failing.latest.saturating_duration_since(failing.since),
        };
        self.failing = None;
        Some(recovery)
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
    fn a_success_among_failures_is_no_recovery() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert_eq!(health.success(now, false), None);
        assert!(fail(&mut health, now));
        assert_eq!(health.success(now + QUIET / 2, false), None);
        assert!(!fail(&mut health, now + QUIET / 2));
        assert_eq!(health.success(now + QUIET, false), None);
        let expected = Recovery {
            failures: 2,
            lasted: QUIET / 2,
        };
        assert_eq!(health.success(now + QUIET * 2, false), Some(expected));
        assert_eq!(health.success(now + QUIET * 2, false), None, "told once");
        assert!(fail(&mut health, now + QUIET * 2), "a new row");
    }

    #[test]
    fn a_closed_breaker_is_recovery_at_once() {
        let (mut health, now) = (Health::new(QUIET), Instant::now());
        assert!(fail(&mut health, now));
        assert!(health.success(now, true).is_some());
        assert!(health.last().is_some(), "the last error stays readable");
    }
}
