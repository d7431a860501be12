//! [`Success`] and [`Refusal`]: what comes of a request, and how it is written down.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::trace::Trace;
use crate::contract::answer::{Accepted, effect_id};
use crate::contract::problem::{self, Code, Problem};
use crate::hub::switchboard::ApplyError;

/// Seconds after which an overloaded node is worth another try.
const OVERLOAD: u64 = 1;

/// A request that was done.
#[derive(Debug)]
pub(super) struct Success {
    status: StatusCode,
    body: Bytes,
}

/// A request that was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Problem,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
}

impl Success {
    /// 202: done here, and on its way to others.
    pub(super) fn accepted() -> Result<Self, Refusal> {
        let accepted = Accepted { id: effect_id() };
        Self::json(StatusCode::ACCEPTED, &accepted)
    }

    /// 200 with what was asked for.
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, Refusal> {
        Self::json(StatusCode::OK, body)
    }

    /// 200 with JSON as it is.
    pub(super) fn text(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
        }
    }

    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_vec(body).map_err(|_error| Refusal::internal())?;
        Ok(Self {
            status,
            body: body.into(),
        })
    }
}

impl Refusal {
    /// What is wrong.
    pub(super) fn code(&self) -> Code {
        self.problem.code
    }

    /// Too many wrong keys.
    pub(super) fn rate_limited(wait: Duration) -> Self {
        let problem = Problem::new(
            Code::RateLimited,
            "too many wrong keys came from this address",
        );
        Self {
            retry_after: Some(wait.as_secs() + 1),
            ..problem.into()
        }
    }

    /// The path has other methods.
    pub(super) fn method(allow: &'static str) -> Self {
        let detail = format!("this path has only {allow}");
        Self {
            allow: Some(allow),
            ..Problem::new(Code::MethodNotAllowed, detail).into()
        }
    }

    /// A fault of ours.
    pub(super) fn internal() -> Self {
        Problem::new(Code::Internal, "a fault of the gateway; its log says more").into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let retry_after = (problem.code.status() == 503).then_some(OVERLOAD);
        Self {
            problem,
            retry_after,
            allow: None,
        }
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        unapplied(error).into()
    }
}

/// Why nothing was handed over.
pub(super) fn unapplied(error: ApplyError) -> Problem {
    match error {
        ApplyError::Overloaded => Problem::new(
            Code::Overloaded,
            "the node has too much to do; nothing was done",
        ),
        ApplyError::TooManyAcks => Problem::new(
            Code::TooManyAcks,
            "the node awaits too many acknowledgements; nothing was sent",
        ),
    }
}

/// The answer to a request. With `close` the connection ends after it.
pub(super) fn response(
    result: Result<Success, Refusal>,
    trace: Trace,
    close: bool,
) -> Response<Full<Bytes>> {
    let mut response = match result {
        Ok(Success { status, body }) => of(status, "application/json", body),
        Err(refusal) => refused(refusal, &trace),
    };
    let headers = response.headers_mut();
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    trace.write(headers);
    response
}

fn refused(refusal: Refusal, trace: &Trace) -> Response<Full<Bytes>> {
    let problem = refusal.problem.with_request_id(trace.request_id());
    let status = StatusCode::from_u16(problem.code.status());
    let status = status.expect("the codes have valid statuses");
    let mut response = of(status, problem::MEDIA_TYPE, problem.to_json().into());
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = refusal.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn of(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
