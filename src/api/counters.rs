//! What is counted about requests: how many, by operation and status, and how long they took.

use std::time::Instant;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::contract::problem::Code;

/// Upper bounds of the durations, in seconds. An emit takes a fraction of a millisecond, acknowledgements up to half a minute.
const BUCKETS: [f64; 8] = [0.000_5, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// The status of a request whose caller has left before the answer, as reverse proxies write it.
const LEFT: u16 = 499;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    op: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    op: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProblemLabels {
    code: &'static str,
}

/// The counters, registered once per process.
#[derive(Clone, Debug)]
pub struct Counters {
    problems: Family<ProblemLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
}

impl Counters {
    /// Registers all of them; the names begin with `sockgate_api_`, the registry must not add a prefix.
    pub fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            problems: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        registry.register(
            "sockgate_api_requests",
            "REST requests by operation and status; 499 where the caller left first",
            counters.requests.clone(),
        );
        registry.register(
            "sockgate_api_problems",
            "REST requests, and actions of their lists, that were refused, by the code of the problem",
            counters.problems.clone(),
        );
        registry.register(
            "sockgate_api_duration_seconds",
            "Time from the head of a REST request to its answer",
            counters.durations.clone(),
        );
        counters
    }

    /// Counts a refusal of a request, or of an action in a list.
    pub(super) fn refused(&self, code: Code) {
        let code = code.as_str();
        self.problems.get_or_create(&ProblemLabels { code }).inc();
    }

    /// Begins with a request; `op` is of a closed list.
    pub(super) fn begin(&self, op: &'static str) -> Watch<'_> {
        Watch {
            counters: self,
            op,
            began: Instant::now(),
            code: LEFT,
        }
    }
}

/// A request under way; counted when it ends, also by being given up.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    counters: &'a Counters,
    op: &'static str,
    began: Instant,
    code: u16,
}

impl Watch<'_> {
    /// Milliseconds so far.
    pub(super) fn ms(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// Ends it with an answer.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.code = status.as_u16();
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let Self { op, code, .. } = *self;
        let Counters {
            requests,
            durations,
            ..
        } = self.counters;
        requests.get_or_create(&RequestLabels { op, code }).inc();
        let seconds = self.began.elapsed().as_secs_f64();
        durations
            .get_or_create(&DurationLabels { op })
            .observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_with_its_status() {
        let mut registry = Registry::default();
        let counters = Counters::new(&mut registry);
        counters.begin("emit").answered(StatusCode::ACCEPTED);
        counters.begin("emit").answered(StatusCode::ACCEPTED);
        drop(counters.begin("emit"));
        counters.refused(Code::TooLarge);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes it");
        for line in [
            r#"sockgate_api_requests_total{op="emit",code="202"} 2"#,
            r#"sockgate_api_requests_total{op="emit",code="499"} 1"#,
            r#"sockgate_api_duration_seconds_count{op="emit"} 3"#,
            r#"sockgate_api_problems_total{code="too_large"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
