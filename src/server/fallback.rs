//! What is not under the Engine.IO path goes on to one other server (contract 10, `fallback`): its pages and the gateway's sockets
//! then have one origin, with the same cookies, and nobody needs a second proxy for that.
//!
//! Promises: HTTP/1.1, streamed both ways, so that memory does not depend on what is passed on; no upgrades; headers that concern
//! one connection only are removed; the Engine.IO cookie, a secret, is cut; what the client says about proxies before it counts
//! only where the peer is a trusted one. A server that cannot be reached or talks nonsense is answered with 502, one that is silent
//! with 504, both as plain text. The log has one line when it begins to fail, and one when it works again.
//!
//! Limits: 512 requests of a node are under way at once, others wait; for 60 s anybody may keep the other side waiting, for a
//! place, for the head of an answer, for the next piece of an answer. Uploads and downloads may be as long as they like, but a
//! client from which less than 15 KiB come in a minute has given its upload up: few clients could hold all places otherwise.
//!
//! A name that resolves to a link-local or metadata address is refused, as for backends (contract 8).
//!
//! Not here: caches, several servers, retries (only a kept connection that had ended before the request was written is replaced).
//!
//! # Why
//! `Host` stays as the client sent it: frameworks compare it with `Origin`, and build addresses with it.

mod body;
mod counters;
mod headers;
mod resolver;

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioTimer;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use body::Passed;
use body::{Progress, Watched};
use counters::Counters;
use resolver::Resolver;

use crate::server::settings::{FALLBACK_IDLE, FALLBACK_PLACES};
use crate::server::site::Body;
use crate::telemetry::readings::Readings;
use crate::transport::settings::Settings;

/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes per second that a client sends at least, if the server would take more.
const PACE: u64 = 256;
/// Time for a connection to the server.
const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections are kept for less than common servers keep them (contract 8).
const KEEP_ALIVE: Duration = Duration::from_millis(1500);

/// The server, as all shards share it.
#[derive(Debug)]
pub struct Origin {
    authority: Authority,
    capacity: usize,
    patience: Duration,
    places: Arc<Semaphore>,
    /// Requests in a row that the server did not answer.
    failures: AtomicU64,
    counters: Counters,
}

impl Origin {
    /// From `http://host:port`.
    pub fn new(url: &str) -> Result<Self, InvalidUri> {
        Self::with(url, FALLBACK_PLACES, PATIENCE)
    }

    fn with(url: &str, capacity: usize, patience: Duration) -> Result<Self, InvalidUri> {
        Ok(Self {
            authority: url.trim_start_matches("http://").parse()?,
            capacity,
            patience,
            places: Arc::new(Semaphore::new(capacity)),
            failures: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }

    /// Registers what is counted; the registry must not add a prefix.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.counters.register(registry);
        let (inflight, queue) = (Arc::clone(self), Arc::clone(self));
        let gauges = Readings::default()
            .count(
                "sockgate_fallback_inflight",
                "Requests that the fallback server is answering",
                move || inflight.capacity - inflight.places.available_permits(),
            )
            .count(
                "sockgate_fallback_queue",
                "Requests that wait for a place to be passed on",
                move || queue.counters.waiting(),
            );
        registry.register_collector(Box::new(gauges));
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.places.available_permits() == self.capacity
    }

    fn note(&self, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            let failures = self.failures.swap(0, Ordering::Relaxed);
            if failures > 0 {
                tracing::info!(failures, "the fallback server answers again");
            }
            return;
        };
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            let server = self.authority.as_str();
            let cause = failure.cause();
            tracing::warn!(server, cause, "the fallback server does not answer");
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("502: the server behind this gateway cannot be reached")]
    Unreachable(#[source] legacy::Error),
    #[error("502: the server behind this gateway did not answer as it should")]
    Broken(#[source] legacy::Error),
    #[error("502: the server behind this gateway wants to leave HTTP")]
    Upgrade,
    #[error("504: the server behind this gateway did not answer in time")]
    Silent,
    #[error("504: the server behind this gateway has too much to do")]
    Busy,
    #[error("408: the request did not arrive in time")]
    Unfinished,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Upgrade => StatusCode::BAD_GATEWAY,
            Self::Silent | Self::Busy => StatusCode::GATEWAY_TIMEOUT,
            Self::Unfinished => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The word in the metrics.
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "connect",
            Self::Broken(_) => "network",
            Self::Upgrade => "upgrade",
            Self::Silent => "timeout",
            Self::Busy => "shed",
            Self::Unfinished => "unfinished",
        }
    }

    /// For the log: the innermost cause, which is the one that helps.
    fn cause(&self) -> String {
        let mut cause: &dyn std::error::Error = self;
        while let Some(source) = cause.source() {
            cause = source;
        }
        cause.to_string()
    }
}

impl From<legacy::Error> for Failure {
    fn from(error: legacy::Error) -> Self {
        let timed_out = std::iter::successors(error.source(), |error| (*error).source())
            .filter_map(|error| error.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::TimedOut);
        match error {
            _ if timed_out => Self::Silent,
            error if error.is_connect() => Self::Unreachable(error),
            error => Self::Broken(error),
        }
    }
}

/// A shard's way to the server.
#[derive(Debug)]
pub struct Fallback {
    origin: Arc<Origin>,
    client: Client<HttpConnector<Resolver>, Watched>,
}

impl Fallback {
    /// A way with connections of its own.
    pub fn new(origin: Arc<Origin>) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(Spawn)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_ALIVE)
            .pool_max_idle_per_host(FALLBACK_IDLE)
            .build(connector);
        Self { origin, client }
    }

    /// Passes a request on and brings the answer, or says that there is none.
    pub async fn pass(
        &self,
        settings: &Settings,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<Body> {
        let watch = self.origin.counters.begin();
        match self.exchange(settings, request, peer).await {
            Ok(answer) => {
                watch.answered(answer.status());
                answer
            }
            Err(failure) => {
                watch.failed(failure.code());
                text(failure.status(), &failure.to_string())
            }
        }
    }

    async fn exchange(
        &self,
        settings: &Settings,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Response<Body>, Failure> {
        let (mut head, body) = request.into_parts();
        let Some(uri) = self.target(&head) else {
            let message = "405: this gateway passes on requests for pages only";
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, message));
        };
        let places = Arc::clone(&self.origin.places);
        let waiting = self.origin.counters.wait();
        let place = timeout(self.origin.patience, places.acquire_owned());
        let Ok(Ok(place)) = place.await else {
            return Err(Failure::Busy);
        };
        drop(waiting);
        headers::onward(&mut head.headers, settings, peer);
        if body.size_hint().exact().is_none() {
            // For a GET it has to be said.
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let (body, progress) = Watched::new(body);
        let mut onward = Request::new(body);
        *onward.method_mut() = head.method;
        *onward.uri_mut() = uri;
        *onward.headers_mut() = head.headers;
        let answer = self.answer(onward, &progress).await;
        let is_clients = matches!(answer, Err(Failure::Unfinished));
        if !is_clients {
            self.origin.note(answer.as_ref().err());
        }
        let (mut head, body) = answer?.into_parts();
        headers::without_hops(&mut head.headers);
        // Its own framing is this connection's affair.
        head.version = Version::HTTP_11;
        let body = Passed::new(body, self.origin.patience, place);
        Ok(Response::from_parts(head, Either::Right(body)))
    }

    /// The same path and query at the server; `None` for what is no request for a page.
    fn target(&self, head: &Parts) -> Option<Uri> {
        let path = head.uri.path_and_query()?;
        if head.method == Method::CONNECT || !path.as_str().starts_with('/') {
            return None;
        }
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.origin.authority.clone())
            .path_and_query(PathAndQuery::clone(path))
            .build()
            .ok()
    }

    /// The head of the answer. As long as the request is still moving, the server has time; who keeps it from moving is at fault.
    async fn answer(
        &self,
        request: Request<Watched>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answer = std::pin::pin!(self.client.request(request));
        let least =
            PACE * u64::try_from(self.origin.patience.as_millis()).unwrap_or(u64::MAX) / 1000;
        let mut before = progress.bytes();
        loop {
            match timeout(self.origin.patience, answer.as_mut()).await {
                Ok(Err(_)) if progress.is_broken() => return Err(Failure::Unfinished),
                Ok(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Failure::Upgrade);
                }
                Ok(answer) => return Ok(answer?),
                Err(_) => {}
            }
            let moved = progress.bytes() - before;
            before += moved;
            if progress.is_wanted() && !progress.is_complete() {
                if moved < least {
                    return Err(Failure::Unfinished);
                }
            } else if moved == 0 {
                return Err(Failure::Silent);
            }
        }
    }
}

/// What goes wrong in one line.
fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Either::Left(format!("{line}\n").into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Connections to the server are tasks like others.
#[derive(Clone, Copy, Debug)]
struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        crate::tasks::spawn("fallback", async move {
            drop(future.await);
        });
    }
}

#[cfg(test)]
mod tests;
