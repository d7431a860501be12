//! The admin listener: `/livez`, `/readyz`, `/metrics` (contract 10, *Probes*). GET and HEAD, no key.
//!
//! - `/livez`: 200 while each shard's loop ticked within 2 s.
//! - `/readyz`: 200 when all listeners are bound, no drain has begun, and memory is below 88 %. Upstreams never change it;
//!   `?verbose` tells about them too, as JSON.
//! - `/metrics`: `OpenMetrics` text.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::server::plain::Service;
use crate::telemetry::memory::Watch;
use crate::telemetry::traffic::Traffic;

/// A shard whose loop has not ticked for so long is stuck.
const STUCK_MS: u64 = 2_000;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tells about the upstreams, in the words of the verbose answer.
pub type Upstreams = dyn Fn() -> Vec<Value> + Send + Sync;

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// When the process began: the shards' ticks are counted from it.
    pub started: Instant,
    /// The shards' counters.
    pub shards: Arc<[Arc<Traffic>]>,
    /// Whether a drain has begun.
    pub draining: Arc<AtomicBool>,
    /// Memory.
    pub memory: Arc<Watch>,
    /// The upstreams.
    pub upstreams: Arc<Upstreams>,
    /// The metrics.
    pub registry: Arc<Registry>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

impl Service for Probes {
    async fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
        let uri = request.uri();
        self.respond(request.method(), uri.path(), uri.query())
    }
}

fn is_verbose(query: Option<&str>) -> bool {
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    query.into_iter().any(|(key, _)| key == "verbose")
}

impl Probes {
    fn respond(&self, method: &Method, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/livez" => self.live(),
            "/readyz" if is_verbose(query) => self.tell(),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; there are /livez, /readyz and /metrics\n",
            ),
        }
    }

    /// Milliseconds since each shard has ticked.
    fn ticks(&self) -> impl Iterator<Item = u64> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ticked = self.shards.iter().map(|shard| shard.ticked_ms.get());
        ticked.map(move |ticked| now.saturating_sub(ticked))
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn live(&self) -> Response<Full<Bytes>> {
        if self.ticks().any(|age| age > STUCK_MS) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "a shard does not tick\n");
        }
        text(StatusCode::OK, "ok\n")
    }

    /// Whoever can ask is served by a node whose listeners are all bound: they are before anything is served.
    fn ready(&self) -> Response<Full<Bytes>> {
        if self.is_draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if self.memory.is_full() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "memory is full\n");
        }
        text(StatusCode::OK, "ok\n")
    }

    /// The same, with everything that led to it.
    fn tell(&self) -> Response<Full<Bytes>> {
        let (is_draining, is_full) = (self.is_draining(), self.memory.is_full());
        let is_ready = !is_draining && !is_full;
        let memory = self.memory.last();
        let shards = self
            .ticks()
            .map(|age| json!({"ticked_ms_ago": age, "ok": age <= STUCK_MS}));
        let body = json!({
            "ready": is_ready,
            "checks": {
                "listeners": {"ok": true},
                "drain": {"ok": !is_draining},
                "memory": {"ok": !is_full, "used_bytes": memory.used, "limit_bytes": memory.limit},
            },
            "shards": shards.collect::<Vec<_>>(),
            "upstreams": (self.upstreams)(),
        });
        let status = if is_ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        response(status, JSON, format!("{body}\n"))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = String::new();
        if encode(&mut body, &self.registry).is_err() {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written\n",
            );
        }
        response(StatusCode::OK, OPEN_METRICS, body)
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, TEXT, body)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::telemetry::memory::Use;
    use http_body_util::BodyExt as _;
    use std::time::Duration;

    /// A gateway that has run for ten seconds, with one shard that ticked then.
    fn probes(ticked_ms: u64, used: u64) -> Probes {
        let shard = Traffic::default();
        shard.ticked_ms.set(ticked_ms);
        Probes {
            started: Instant::now().checked_sub(Duration::from_secs(10)).unwrap(),
            shards: [Arc::new(shard)].into(),
            draining: Arc::default(),
            memory: Arc::new(Watch::at(Use { used, limit: 100 })),
            upstreams: Arc::new(|| vec![json!({"name": "app", "ok": false})]),
            registry: Arc::default(),
        }
    }

    async fn get(probes: &Probes, path: &str, query: Option<&str>) -> (u16, String) {
        let response = probes.respond(&Method::GET, path, query);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_shard_that_does_not_tick_is_no_life() {
        assert_eq!(get(&probes(9_900, 0), "/livez", None).await.0, 200);
        let stuck = probes(7_000, 0);
        assert_eq!(get(&stuck, "/livez", None).await.0, 503);
        // Restarting is for the liveness probe to decide; traffic goes on to the other shards.
        assert_eq!(get(&stuck, "/readyz", None).await.0, 200);
    }

    #[tokio::test]
    async fn a_node_whose_memory_is_full_is_alive_and_not_ready() {
        let full = probes(10_000, 88);
        assert_eq!(get(&full, "/livez", None).await.0, 200);
        assert_eq!(get(&full, "/readyz", None).await.0, 503);
        assert_eq!(get(&probes(10_000, 87), "/readyz", None).await.0, 200);
    }

    #[tokio::test]
    async fn the_verbose_answer_tells_what_led_to_it() {
        let full = probes(10_000, 90);
        full.draining.store(true, Ordering::Relaxed);
        for query in ["verbose", "verbose=1", "x=y&verbose"] {
            let (status, body) = get(&full, "/readyz", Some(query)).await;
            assert_eq!(status, 503);
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["ready"], false);
            assert_eq!(body["checks"]["listeners"]["ok"], true);
            assert_eq!(body["checks"]["drain"]["ok"], false);
            assert_eq!(body["checks"]["memory"]["used_bytes"], 90);
            assert_eq!(body["shards"][0]["ok"], true);
            assert_eq!(body["upstreams"][0]["name"], "app");
        }
        let (status, body) = get(&probes(10_000, 0), "/readyz", Some("verbose")).await;
        assert_eq!(status, 200);
        assert!(body.contains(r#""ready":true"#), "{body}");
    }
}
