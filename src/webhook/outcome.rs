//! What came of one attempt, told apart by what may be done next.

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::health::Fault;

/// Longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The end of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// A 2xx.
    Success {
        /// The status.
        code: u16,
        /// The body; empty where nobody asked for it.
        body: Bytes,
    },
    /// A 2xx with a body above `max_reply`.
    TooLarge,
    /// A 2xx whose body is of a type that a later version reads (contract 14); here is the type.
    NotYet(&'static str),
    /// Another status.
    Status(Refusal),
    /// No complete answer in time.
    Timeout,
    /// The backend has not seen the request: no connection, or it was not written.
    NotSent(Box<str>),
    /// The connection ended before the answer was complete, or what came was no HTTP.
    Broken {
        /// A connection that had been used before ended without an answer: most likely the backend closed it just then.
        stale: bool,
        /// The system's words.
        reason: Box<str>,
    },
}

/// A status that is no 2xx.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub code: u16,
    /// When the backend wants to be asked again; read from 408, 425, 429 and 503.
    pub retry_after: Option<Duration>,
    /// The body, where somebody asked for it and it is small.
    pub body: Bytes,
}

impl Outcome {
    /// An attempt whose answer's head never came. `opened`: it opened a connection of its own.
    pub fn unanswered(error: &reqwest::Error, opened: bool) -> Self {
        let reason = root_cause(error);
        if error.is_connect() || error.is_builder() {
            return Self::NotSent(reason);
        }
        let http = find::<hyper::Error>(error);
        if http.is_some_and(hyper::Error::is_canceled) {
            return Self::NotSent(reason);
        }
        let answered = http.is_some_and(hyper::Error::is_parse);
        Self::Broken {
            stale: !opened && !answered,
            reason,
        }
    }

    /// An answer that broke off after its head.
    pub fn cut(error: &reqwest::Error) -> Self {
        Self::Broken {
            stale: false,
            reason: root_cause(error),
        }
    }

    /// What counts against the upstream; a 4xx does not, the backend is alive and has decided.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Success { .. } => None,
            Self::TooLarge | Self::NotYet(_) => Some(Fault::BadReply),
            Self::Status(refusal) if refusal.is_client_error() => None,
            Self::Status(refusal) => Some(Fault::Status(refusal.code)),
            Self::Timeout => Some(Fault::Timeout),
            Self::NotSent(reason) => Some(Fault::Connect(reason.clone())),
            Self::Broken { reason, .. } => Some(Fault::Network(reason.clone())),
        }
    }

    /// What is wrong with a reply that was not even read, in the words of its log line.
    pub fn bad_reply(&self) -> Option<String> {
        match self {
            Self::TooLarge => Some("the body is larger than `max_reply`".to_owned()),
            Self::NotYet(media_type) => Some(format!(
                "the body is {media_type}, which is not yet available; JSON is"
            )),
            _ => None,
        }
    }

    /// When the backend wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// The status or its stand-in, for the log.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success { code, .. } => code.fmt(f),
            Self::TooLarge => f.write_str("too large"),
            Self::NotYet(media_type) => f.write_str(media_type),
            Self::Status(refusal) => refusal.code.fmt(f),
            Self::Timeout => f.write_str("timeout"),
            Self::NotSent(_) => f.write_str("not sent"),
            Self::Broken { .. } => f.write_str("broken"),
        }
    }
}

impl Refusal {
    /// Whether it is a 4xx.
    pub fn is_client_error(&self) -> bool {
        (400..500).contains(&self.code)
    }
}

/// Reads `Retry-After`: seconds, or a date. `None` where it is neither.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        // A date that has passed asks for nothing.
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The innermost error: the client's own words around it say nothing, and hold the address.
fn root_cause(error: &reqwest::Error) -> Box<str> {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    match cause {
        Some(cause) => cause.to_string().into(),
        None => "request failed".into(),
    }
}

fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let parse = |value| parse_retry_after(value, now);
        assert_eq!(parse("0"), Some(Duration::ZERO));
        assert_eq!(parse(" 120 "), Some(Duration::from_mins(2)));
        assert_eq!(
            parse("Sun, 06 Nov 1994 08:50:07 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            parse("Sun, 06 Nov 1994 08:49:00 GMT"),
            Some(Duration::ZERO),
            "the past asks for nothing"
        );
        assert_eq!(parse("99999999999"), Some(MAX_RETRY_AFTER));
        for nonsense in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    fn success() -> Outcome {
        Outcome::Success {
            code: 204,
            body: Bytes::new(),
        }
    }

    #[test]
    fn a_4xx_is_no_fault_of_the_upstream() {
        let status = |code| {
            Outcome::Status(Refusal {
                code,
                retry_after: None,
                body: Bytes::new(),
            })
        };
        for code in [400, 401, 404, 429, 499] {
            assert_eq!(status(code).fault(), None);
        }
        for code in [101, 301, 304, 500, 503, 599] {
            assert_eq!(status(code).fault(), Some(Fault::Status(code)));
        }
        assert_eq!(success().fault(), None);
        assert_eq!(Outcome::TooLarge.fault(), Some(Fault::BadReply));
    }
}
