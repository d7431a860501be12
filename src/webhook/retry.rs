//! What follows from an outcome: the table of contract 8, pure. Chance comes in as a number from 0 up to 1.
//!
//! A question is repeated only when that is safe: the backend has not seen it, has asked for it to come again, or the route says that
//! seeing it twice does no harm. A CONNECT and a notice are repeated until they are decided or their time is over.

use std::time::Duration;

use crate::session::backend::BackendError;

use super::outcome::{Outcome, Refusal};

/// Repetitions of an event, besides the one on a fresh connection.
const EVENT_RETRIES: u32 = 2;
/// Shortest wait before an event is repeated, and what chance adds to it at most.
const EVENT_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(450));

/// Waits that double, with full jitter: anything from nothing to the bound is as likely.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Bound of the first wait.
    pub first: Duration,
    /// Bound that no wait passes.
    pub most: Duration,
}

impl Backoff {
    /// Between the attempts of a held CONNECT.
    pub const CONNECT: Self = Self {
        first: Duration::from_millis(500),
        most: Duration::from_secs(5),
    };
    /// Between the attempts of a notice.
    pub const NOTICE: Self = Self {
        first: Duration::from_secs(1),
        most: Duration::from_mins(1),
    };

    /// The wait after so many failures, at least one; never below what the backend has asked for.
    pub fn wait(self, failures: u32, chance: f64, at_least: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.most);
        bound.mul_f64(chance).max(at_least.unwrap_or_default())
    }
}

/// The wait before an event is asked again, or `None`: its outcome is final. `retries` is how often it was repeated so far.
pub fn event(
    outcome: &Outcome,
    idempotent: bool,
    retries: u32,
    left: Duration,
    chance: f64,
) -> Option<Duration> {
    let safe = match outcome {
        Outcome::NotSent(_)
        | Outcome::Status(Refusal {
            code: 429 | 503,
            retry_after: Some(_),
            ..
        }) => true,
        Outcome::Status(Refusal {
            code: 500 | 502 | 503 | 504,
            ..
        })
        | Outcome::Timeout
        | Outcome::Broken { .. } => idempotent,
        Outcome::Success { .. } | Outcome::TooLarge | Outcome::NotYet(_) | Outcome::Status(_) => {
            false
        }
    };
    let (shortest, spread) = EVENT_WAIT;
    let wait = (shortest + spread.mul_f64(chance)).max(outcome.retry_after().unwrap_or_default());
    (safe && retries < EVENT_RETRIES && wait < left).then_some(wait)
}

/// How an event that failed for good is told to who asked.
pub fn event_error(outcome: &Outcome) -> BackendError {
    match outcome {
        Outcome::TooLarge | Outcome::NotYet(_) => BackendError::BadReply,
        Outcome::Status(refusal)
            if refusal.is_client_error() && !matches!(refusal.code, 408 | 425 | 429) =>
        {
            BackendError::Refused
        }
        _ => BackendError::Unavailable {
            retry_after: outcome.retry_after(),
        },
    }
}

/// How a CONNECT that is not decided yet is told to who asked, if its time is over now.
pub fn connect_error(outcome: &Outcome) -> BackendError {
    match outcome {
        Outcome::TooLarge | Outcome::NotYet(_) => BackendError::BadReply,
        _ => BackendError::Unavailable {
            retry_after: outcome.retry_after(),
        },
    }
}

/// What becomes of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The backend has it.
    Delivered,
    /// The backend does not want it.
    Dropped(u16),
    /// Later, at the earliest after what the backend has asked for.
    Again(Option<Duration>),
}

/// What becomes of a notice after an attempt. Replies are not read, so an invalid one does not matter.
pub fn notice(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Success { .. } | Outcome::TooLarge | Outcome::NotYet(_) => Fate::Delivered,
        Outcome::Status(refusal)
            if refusal.is_client_error()
                && !matches!(refusal.code, 401 | 403 | 408 | 425 | 429) =>
        {
            Fate::Dropped(refusal.code)
        }
        _ => Fate::Again(outcome.retry_after()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LEFT: Duration = Duration::from_secs(5);

    fn status(code: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Status(Refusal {
            code,
            retry_after: retry_after.map(Duration::from_secs),
            body: Bytes::new(),
        })
    }

    fn success() -> Outcome {
        Outcome::Success {
            code: 200,
            body: Bytes::new(),
        }
    }

    fn not_sent() -> Outcome {
        Outcome::NotSent("refused".into())
    }

    fn broken(stale: bool) -> Outcome {
        Outcome::Broken {
            stale,
            reason: "reset".into(),
        }
    }

    fn is_repeated(outcome: &Outcome, idempotent: bool) -> bool {
        event(outcome, idempotent, 0, LEFT, 0.5).is_some()
    }

    #[test]
    fn what_the_backend_has_not_seen_is_always_repeated() {
        assert!(is_repeated(&not_sent(), false));
        assert!(is_repeated(&not_sent(), true));
    }

    #[test]
    fn what_the_backend_may_have_seen_is_repeated_on_idempotent_routes_only() {
        let mut outcomes = vec![Outcome::Timeout, broken(false), broken(true)];
        outcomes.extend([500, 502, 503, 504].map(|code| status(code, None)));
        for outcome in &outcomes {
            assert!(!is_repeated(outcome, false), "{outcome:?}");
            assert!(is_repeated(outcome, true), "{outcome:?}");
        }
    }

    #[test]
    fn what_is_decided_or_hopeless_is_never_repeated() {
        let mut outcomes = vec![success(), Outcome::TooLarge];
        outcomes.extend(
            [
                101, 301, 304, 400, 401, 403, 404, 408, 409, 422, 425, 429, 501, 505,
            ]
            .map(|code| status(code, None)),
        );
        for outcome in &outcomes {
            assert!(!is_repeated(outcome, true), "{outcome:?}");
        }
    }

    #[test]
    fn a_backend_that_names_a_time_is_asked_again_at_that_time_or_not_at_all() {
        for code in [429, 503] {
            for idempotent in [false, true] {
                let wait = |seconds| event(&status(code, Some(seconds)), idempotent, 0, LEFT, 0.5);
                assert_eq!(wait(2), Some(Duration::from_secs(2)));
                assert_eq!(
                    wait(0),
                    Some(Duration::from_millis(275)),
                    "never without jitter"
                );
                assert_eq!(wait(5), None, "nothing would be left");
                assert_eq!(wait(60), None);
            }
        }
        assert!(
            event(&status(500, Some(1)), false, 0, LEFT, 0.5).is_none(),
            "only 429 and 503 ask to be repeated"
        );
    }

    #[test]
    fn an_event_is_repeated_twice_within_its_deadline() {
        let wait = |retries, left, chance| event(&not_sent(), false, retries, left, chance);
        assert_eq!(wait(0, LEFT, 0.0), Some(Duration::from_millis(50)));
        assert_eq!(wait(1, LEFT, 1.0), Some(Duration::from_millis(500)));
        assert_eq!(wait(2, LEFT, 0.0), None);
        assert_eq!(wait(0, Duration::from_millis(50), 0.0), None);
        assert_eq!(
            wait(0, Duration::from_millis(51), 0.0),
            Some(Duration::from_millis(50))
        );
    }

    #[test]
    fn backoff_doubles_up_to_its_bound_and_honours_the_backend() {
        let wait = |failures, chance, at_least| Backoff::CONNECT.wait(failures, chance, at_least);
        let millis = |failures| wait(failures, 1.0, None).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, u32::MAX].map(millis),
            [500, 1000, 2000, 4000, 5000, 5000, 5000]
        );
        assert_eq!(wait(3, 0.0, None), Duration::ZERO);
        assert_eq!(wait(3, 0.5, None), Duration::from_secs(1));
        let asked = Duration::from_secs(7);
        assert_eq!(wait(1, 1.0, Some(asked)), asked);
        assert_eq!(
            Backoff::NOTICE.wait(9, 1.0, Some(asked)),
            Duration::from_mins(1)
        );
    }

    #[test]
    fn a_failed_event_is_told_by_what_the_caller_can_do() {
        let unavailable = |retry_after: Option<u64>| BackendError::Unavailable {
            retry_after: retry_after.map(Duration::from_secs),
        };
        for code in [400, 401, 403, 404, 409, 422] {
            assert_eq!(event_error(&status(code, None)), BackendError::Refused);
        }
        for code in [301, 408, 425, 429, 500, 503] {
            assert_eq!(event_error(&status(code, None)), unavailable(None));
        }
        assert_eq!(event_error(&status(429, Some(9))), unavailable(Some(9)));
        assert_eq!(event_error(&Outcome::TooLarge), BackendError::BadReply);
        for outcome in [Outcome::Timeout, not_sent(), broken(false)] {
            assert_eq!(event_error(&outcome), unavailable(None));
        }
    }

    #[test]
    fn an_undecided_connect_is_never_called_refused() {
        assert_eq!(connect_error(&Outcome::TooLarge), BackendError::BadReply);
        for outcome in [status(404, None), status(503, None), Outcome::Timeout] {
            assert_eq!(
                connect_error(&outcome),
                BackendError::Unavailable { retry_after: None }
            );
        }
    }

    #[test]
    fn notices_follow_their_own_table() {
        assert_eq!(notice(&success()), Fate::Delivered);
        assert_eq!(notice(&Outcome::TooLarge), Fate::Delivered);
        for code in [400, 404, 409, 410, 422] {
            assert_eq!(notice(&status(code, None)), Fate::Dropped(code));
        }
        for code in [301, 401, 403, 408, 425, 429, 500, 503] {
            assert_eq!(notice(&status(code, None)), Fate::Again(None));
        }
        assert_eq!(
            notice(&status(503, Some(3))),
            Fate::Again(Some(Duration::from_secs(3)))
        );
        for outcome in [Outcome::Timeout, not_sent(), broken(true)] {
            assert_eq!(notice(&outcome), Fate::Again(None));
        }
    }
}
