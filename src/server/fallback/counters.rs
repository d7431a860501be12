//! What is counted about requests that are passed on; shared by the shards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the durations, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// The word for a request whose client has left before the answer.
const LEFT: &str = "left";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    code: &'static str,
}

/// The counters.
#[derive(Debug)]
pub(super) struct Counters {
    requests: Family<Labels, Counter>,
    duration: Histogram,
    waiting: AtomicUsize,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Histogram::new(BUCKETS),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Counters {
    /// Registers what moves as things happen; the registry must not add a prefix.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "sockgate_fallback_requests",
            "Requests passed on to the fallback server, by the class of its status or the reason why there is none",
            self.requests.clone(),
        );
        registry.register(
            "sockgate_fallback_duration_seconds",
            "From a request to the head of the fallback server's answer",
            self.duration.clone(),
        );
    }

    /// A request has come.
    pub(super) fn begin(&self) -> Watch<'_> {
        Watch {
            counters: self,
            began: Instant::now(),
            code: LEFT,
        }
    }

    /// A request waits for a place, until what this returns is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A request under way; counted when it is answered or given up.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    counters: &'a Counters,
    began: Instant,
    code: &'static str,
}

impl Watch<'_> {
    /// Ends it with the class of a status.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.code = match status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
    }

    /// Ends it with why there is no answer, of a closed list.
    pub(super) fn failed(mut self, code: &'static str) {
        self.code = code;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let code = self.code;
        self.counters.requests.get_or_create(&Labels { code }).inc();
        let seconds = self.began.elapsed().as_secs_f64();
        self.counters.duration.observe(seconds);
    }
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
