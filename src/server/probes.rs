//! The admin listener: `/livez`, `/readyz`, `/metrics` (contract 10, *Probes*).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::server::plain::Service;
use crate::telemetry::traffic::Traffic;

/// A shard whose loop has not ticked for so long is stuck.
const STUCK_MS: u64 = 2_000;

/// What the probes look at.
#[derive(Clone, Debug)]
pub struct Probes {
    /// When the process began: the shards' ticks are counted from it.
    pub started: Instant,
    /// The shards' counters.
    pub shards: Arc<Vec<Arc<Traffic>>>,
    /// Whether a drain has begun.
    pub draining: Arc<AtomicBool>,
}

impl Service for Probes {
    async fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => self.live(),
            "/readyz" => self.ready(),
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; there are /livez, /readyz and /metrics\n",
            ),
        }
    }
}

impl Probes {
    fn live(&self) -> Response<Full<Bytes>> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let stuck = self
            .shards
            .iter()
            .any(|shard| now.saturating_sub(shard.ticked_ms.get()) > STUCK_MS);
        if stuck {
            return text(StatusCode::SERVICE_UNAVAILABLE, "a shard does not tick\n");
        }
        text(StatusCode::OK, "ok\n")
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        text(StatusCode::OK, "ok\n")
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
