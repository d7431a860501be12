//! The [`Backend`] over HTTP: asks questions within their time, and hands notices over.
//!
//! An event ends with its route's deadline, which runs from the start of the call. A CONNECT is asked again until it is decided or
//! its `hold` is over. Both go through the upstream's gate for each attempt and hold nothing of it while they wait for the next one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::contract::audience::Namespaces;
use crate::contract::call;
use crate::contract::reply::{self, BadReply, Parsed, ReplyContext, ReplyKind};
use crate::session::backend::{Backend, BackendError, Call, CallKind, ConnectInfo, Reject, Reply};
use crate::session::settings::Forward;
use crate::telemetry::log_limit::LogLimit;

use super::counters::{Code, Counters, RouteCounters};
use super::gate::{Class, Gate, Pass, Refused};
use super::health::Fault;
use super::outcome::{Outcome, Refusal};
use super::request::{Kind, Message};
use super::retry;
use super::upstream::{Delivery, Endpoint};

/// What writing calls and reading replies needs to know, besides the call: the same for all routes of a namespace.
pub struct Format {
    /// Name of this node.
    pub node: Box<str>,
    /// What of a connection's first request a `connect` tells.
    pub forward: Forward,
    /// The namespaces that actions may name.
    pub namespaces: Rc<dyn Namespaces>,
    /// Largest emit as a client gets it; 0 for any.
    pub max_emit: usize,
    /// Rooms of one socket; 0 for any number.
    pub max_rooms: usize,
}

/// A route to an upstream, shared by all shards.
#[derive(Debug)]
pub struct Route {
    name: Box<str>,
    /// Time for an answer.
    deadline: Duration,
    idempotent: bool,
    pub(super) counters: RouteCounters,
    told: LogLimit,
}

impl Route {
    /// A route as configured.
    pub fn new(name: &str, deadline: Duration, idempotent: bool, counters: &Counters) -> Self {
        Self {
            name: name.into(),
            deadline,
            idempotent,
            counters: counters.route(name),
            told: LogLimit::default(),
        }
    }

    fn tell_bad_reply(&self, cause: &str) {
        if let Some(suppressed) = self.told.allows(&cause, std::time::Instant::now()) {
            tracing::warn!(route = &*self.name, cause, suppressed, "bad reply");
        }
    }

    /// A 4xx is the backend's word, so the upstream is not failing, and yet nobody gets in: most likely `url` has a wrong path, or
    /// the backend another secret.
    fn tell_undecided(&self, status: u16) {
        let cause = ("undecided", status);
        let Some(suppressed) = self.told.allows(&cause, std::time::Instant::now()) else {
            return;
        };
        if matches!(status, 408 | 425 | 429) {
            tracing::warn!(route = &*self.name, status, suppressed, "CONNECT undecided");
        } else {
            let hint = "are the path in `url` and the secrets right? 2xx lets in; 401, 403 and a body with `reject` refuse";
            tracing::warn!(
                route = &*self.name,
                status,
                hint,
                suppressed,
                "CONNECT undecided"
            );
        }
    }

    pub(super) fn tell_refused_notice(&self, status: u16) {
        let cause = ("notice", status);
        if let Some(suppressed) = self.told.allows(&cause, std::time::Instant::now()) {
            tracing::warn!(route = &*self.name, status, suppressed, "notice refused");
        }
    }
}

/// A [`Backend`] for one route on one shard.
pub struct Webhook {
    endpoint: Rc<Endpoint>,
    route: Arc<Route>,
    format: Rc<Format>,
}

impl Webhook {
    /// Puts the parts together: the endpoint is shared by the upstream's routes on a shard, the format by the namespace's.
    pub fn new(endpoint: Rc<Endpoint>, route: Arc<Route>, format: Rc<Format>) -> Self {
        Self {
            endpoint,
            route,
            format,
        }
    }

    fn gate(&self) -> &Gate {
        self.endpoint.upstream().gate()
    }

    fn message(&self, kind: Kind, call: &Call) -> Message {
        let Format { node, forward, .. } = &*self.format;
        let body = call::body(call, node, forward);
        Message::new(kind, call::id(call), body).in_trace(call.id.into())
    }

    /// Asks about an event until there is an outcome that asking again would not change.
    async fn event(&self, call: &Call, name: &str) -> Result<Reply, BackendError> {
        let deadline = Instant::now() + self.route.deadline;
        let message = self.message(Kind::Event, call);
        let mut delivery = Delivery::new(&message, &self.route.counters, name, 0);
        let mut retries = 0;
        let mut error = BackendError::Unavailable { retry_after: None };
        loop {
            let Some(pass) = self.enter_until(deadline).await else {
                return Err(error);
            };
            let outcome = self.endpoint.send(&mut delivery, deadline).await;
            if let Outcome::Success { body, .. } = outcome {
                return self.understand(pass, call, &body);
            }
            self.record(pass, &outcome);
            error = retry::event_error(&outcome);
            let left = deadline.saturating_duration_since(Instant::now());
            let idempotent = self.route.idempotent;
            match retry::event(&outcome, idempotent, retries, left, rand::random()) {
                None => return Err(error),
                Some(wait) => sleep(wait).await,
            }
            retries += 1;
        }
    }

    /// An event's way to an attempt; `None` if the breaker is open or the time is over.
    async fn enter_until(&self, deadline: Instant) -> Option<Pass<'_>> {
        let code = match timeout_at(deadline, self.gate().enter(Class::Event)).await {
            Ok(Ok(pass)) if is_ahead(deadline) => return Some(pass),
            Ok(Err(Refused::Open)) => Code::Breaker,
            Ok(Ok(_) | Err(Refused::Full)) | Err(_) => Code::Shed,
        };
        self.route.counters.count(code);
        None
    }

    /// Asks about a CONNECT until it is decided or the client's patience is over.
    async fn connect(
        &self,
        call: &Call,
        info: &ConnectInfo,
        hold: Duration,
    ) -> Result<Reply, BackendError> {
        let end = Instant::now() + hold;
        let headers = info.headers.iter().map(|(name, value)| (&**name, &**value));
        let message = self
            .message(Kind::Connect, call)
            .pass(&self.format.forward.pass, headers);
        let mut delivery = Delivery::new(&message, &self.route.counters, "", call.attempts.get());
        let mut failures = 0;
        let mut error = BackendError::Unavailable { retry_after: None };
        loop {
            let mut at_least = None;
            match timeout_at(end, self.gate().enter(Class::Connect)).await {
                Err(_) => return Err(error),
                // Nobody is there any more to be let in.
                Ok(_) if call.abandoned.get() || !is_ahead(end) => return Err(error),
                Ok(Err(_)) => self.route.counters.count(Code::Shed),
                Ok(Ok(pass)) => {
                    let until = end.min(Instant::now() + self.route.deadline);
                    let outcome = self.endpoint.send(&mut delivery, until).await;
                    call.attempts.set(delivery.attempts());
                    match self.decide(pass, call, &outcome) {
                        Ok(reply) => return Ok(reply),
                        Err(undecided) => error = undecided,
                    }
                    at_least = outcome.retry_after();
                }
            }
            failures += 1;
            let pace = self.endpoint.upstream().pace().connect;
            let next = Instant::now() + pace.wait(failures, rand::random(), at_least);
            sleep_until(next.min(end)).await;
            if next >= end || call.abandoned.get() {
                return Err(error);
            }
        }
    }

    /// What an attempt says about a CONNECT. The error is for the case that it was the last one.
    fn decide(
        &self,
        pass: Pass<'_>,
        call: &Call,
        outcome: &Outcome,
    ) -> Result<Reply, BackendError> {
        if let Outcome::Success { body, .. } = outcome {
            return self.understand(pass, call, body);
        }
        self.record(pass, outcome);
        let reject = match outcome {
            Outcome::Status(refusal) if refusal.is_client_error() => self.rejection(refusal),
            _ => None,
        };
        match reject {
            None => Err(retry::connect_error(outcome)),
            reject => Ok(Reply {
                reject,
                ..Reply::default()
            }),
        }
    }

    /// A 4xx is a rejection if its body says so; 401 and 403 are in any case.
    fn rejection(&self, refusal: &Refusal) -> Option<Reject> {
        let Some(rejection) = reply::reject_body(refusal.code, &refusal.body) else {
            self.route.tell_undecided(refusal.code);
            return None;
        };
        self.route.counters.count_wording(rejection.wording);
        Some(rejection.reject)
    }

    /// Ends an attempt that brought nothing to understand.
    fn record(&self, pass: Pass<'_>, outcome: &Outcome) {
        if let Some(cause) = outcome.bad_reply() {
            self.route.tell_bad_reply(&cause);
        }
        pass.record(outcome.fault().map_or(Ok(()), Err));
    }

    /// Ends a successful attempt with what its body says, which may be a failure.
    fn understand(&self, pass: Pass<'_>, call: &Call, body: &Bytes) -> Result<Reply, BackendError> {
        let counters = &self.route.counters;
        match self.parse(call, body) {
            Ok(parsed) => {
                pass.record(Ok(()));
                counters.count(Code::Success);
                if let Some(wording) = parsed.wording {
                    counters.count_wording(wording);
                }
                Ok(parsed.reply)
            }
            Err(bad) => {
                pass.record(Err(Fault::BadReply));
                counters.count(Code::BadReply);
                self.route.tell_bad_reply(&bad.to_string());
                Err(BackendError::BadReply)
            }
        }
    }

    fn parse(&self, call: &Call, body: &Bytes) -> Result<Parsed, BadReply> {
        let kind = match call.kind {
            CallKind::Connect { .. } => ReplyKind::Connect,
            CallKind::Event { .. } | CallKind::Disconnect { .. } => ReplyKind::Event,
        };
        let context = ReplyContext {
            socket: call.socket.id,
            namespace: &call.socket.namespace,
            namespaces: &*self.format.namespaces,
            max_emit: self.format.max_emit,
            max_rooms: self.format.max_rooms,
            now: SystemTime::now(),
        };
        reply::parse(kind, body, &context)
    }

    fn notice(&self, call: &Call) {
        let message = self.message(Kind::Disconnect, call);
        let notices = self.endpoint.upstream().notices();
        notices.push(message, self.route.clone());
    }
}

/// Whether there is time for an attempt: a place may come free in the very moment in which the time is over.
fn is_ahead(deadline: Instant) -> bool {
    Instant::now() + Duration::from_millis(1) <= deadline
}

impl Backend for Webhook {
    /// A notice is handed over when the future is first polled; its reply is empty.
    fn call(&self, call: Rc<Call>) -> LocalBoxFuture<'_, Result<Reply, BackendError>> {
        Box::pin(async move {
            match &call.kind {
                CallKind::Connect { info, hold, .. } => self.connect(&call, info, *hold).await,
                CallKind::Event { name, .. } => self.event(&call, name).await,
                CallKind::Disconnect { .. } => {
                    self.notice(&call);
                    Ok(Reply::default())
                }
            }
        })
    }

    fn is_reachable(&self) -> bool {
        !self.endpoint.upstream().is_open()
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format")
            .field("forward", &self.forward)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("route", &self.route.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
