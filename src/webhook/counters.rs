//! What is counted about webhooks (Prometheus names; labels only from the configuration and closed lists).
//!
//! Counters and histograms move as things happen; gauges are read from the upstreams when somebody scrapes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::contract::reply::Wording;

use super::breaker::Phase;
use super::outcome::Outcome;
use super::upstream::Upstream;

/// The label of what has none of its own.
const OTHER: &str = "other";
/// Routes with a label of their own; further ones share `other`.
const MAX_ROUTES: usize = 64;

/// Routes and codes with a counter of their own; further codes of a route are counted for `other`.
///
/// # Why
/// All codes of all routes would be more series than a node may have (operations d2: 1,500), and no route has them all but after
/// months with every kind of trouble.
const MAX_REQUESTS: usize = 350;

/// Upper bounds of the durations, in seconds: few, since each route has them all.
const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

/// How an attempt, or a call without one, ended: the label `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of `as_str` say it")]
pub enum Code {
    Success,
    Redirect,
    ClientError,
    ServerError,
    Timeout,
    /// No connection, or one that did not take the request.
    Connect,
    /// The connection broke before the answer was complete.
    Network,
    BadReply,
    /// No attempt: no place came free in time.
    Shed,
    /// No attempt: the breaker was open.
    Breaker,
}

impl Code {
    const COUNT: usize = 10;

    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Network => "network",
            Self::BadReply => "bad_reply",
            Self::Shed => "shed",
            Self::Breaker => "breaker",
        }
    }
}

impl From<&Outcome> for Code {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success { .. } => Self::Success,
            Outcome::TooLarge | Outcome::NotYet(_) => Self::BadReply,
            Outcome::Status(refusal) => match refusal.code {
                300..400 => Self::Redirect,
                400..500 => Self::ClientError,
                _ => Self::ServerError,
            },
            Outcome::Timeout => Self::Timeout,
            Outcome::NotSent(_) => Self::Connect,
            Outcome::Broken { .. } => Self::Network,
        }
    }
}

/// Why a notice was given up: the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of `as_str` say it")]
pub enum Loss {
    Full,
    Expired,
    Refused,
    Shutdown,
}

impl Loss {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LossLabels {
    upstream: Box<str>,
    reason: &'static str,
}

/// All counters of webhooks, registered once per process.
#[derive(Debug)]
pub struct Counters {
    requests: Family<RequestLabels, Counter>,
    /// Series of `requests` that were wanted so far.
    request_series: Arc<AtomicUsize>,
    durations: Family<RouteLabel, Histogram>,
    retries: Family<RouteLabel, Counter>,
    reworded: Family<ReasonLabels, Counter>,
    lost: Family<LossLabels, Counter>,
    routes: Mutex<BTreeSet<Arc<str>>>,
}

impl Counters {
    /// Registers all of them; the names begin with `sockgate_webhook_`, the registry must not add a prefix.
    pub fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            requests: Family::default(),
            request_series: Arc::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            retries: Family::default(),
            reworded: Family::default(),
            lost: Family::default(),
            routes: Mutex::default(),
        };
        registry.register(
            "sockgate_webhook_requests",
            "Webhook attempts by outcome, and calls that were not attempted",
            counters.requests.clone(),
        );
        registry.register(
            "sockgate_webhook_duration_seconds",
            "Time from sending a webhook to the end of its answer",
            counters.durations.clone(),
        );
        registry.register(
            "sockgate_webhook_retries",
            "Webhook attempts after the first of a call",
            counters.retries.clone(),
        );
        registry.register(
            "sockgate_webhook_rejects_reworded",
            "CONNECTs rejected in our words: a 401 or 403 brought none, or the backend's were too long",
            counters.reworded.clone(),
        );
        registry.register(
            "sockgate_webhook_notices_dropped",
            "Notices that were given up",
            counters.lost.clone(),
        );
        counters
    }

    /// The counters of a route, which may be shared by threads.
    pub fn route(&self, name: &str) -> RouteCounters {
        let route = {
            let mut routes = self.routes.lock();
            let full = routes.len() >= MAX_ROUTES && !routes.contains(name);
            let route: Arc<str> = if full { OTHER } else { name }.into();
            routes.insert(route.clone());
            route
        };
        let label = RouteLabel {
            route: route.clone(),
        };
        RouteCounters {
            route,
            requests: self.requests.clone(),
            request_series: Arc::clone(&self.request_series),
            by_code: std::array::from_fn(|_| OnceLock::new()),
            duration: self.durations.get_or_create_owned(&label),
            retries: self.retries.get_or_create_owned(&label),
            reworded: self.reworded.clone(),
        }
    }

    /// The counters of an upstream's notices.
    pub fn losses(&self, upstream: &str) -> Losses {
        Losses {
            upstream: upstream.into(),
            lost: self.lost.clone(),
        }
    }
}

/// What is counted about one route.
#[derive(Debug)]
pub struct RouteCounters {
    route: Arc<str>,
    requests: Family<RequestLabels, Counter>,
    request_series: Arc<AtomicUsize>,
    /// Found once, so that counting needs no look-up; a code that never occurs makes no series.
    by_code: [OnceLock<Counter>; Code::COUNT],
    duration: Histogram,
    /// Attempts after the first of a call.
    pub retries: Counter,
    reworded: Family<ReasonLabels, Counter>,
}

impl RouteCounters {
    /// Counts the end of an attempt, or of a call without one.
    pub fn count(&self, code: Code) {
        let find = || {
            let mut labels = RequestLabels {
                route: self.route.clone(),
                code: code.as_str(),
            };
            let is_new = self.requests.get(&labels).is_none();
            if is_new && self.request_series.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS {
                labels.route = OTHER.into();
            }
            self.requests.get_or_create_owned(&labels)
        };
        self.by_code[code as usize].get_or_init(find).inc();
    }

    /// Counts a rejection whose words are not the backend's.
    pub fn count_wording(&self, wording: Wording) {
        let reason = match wording {
            Wording::Backend => return,
            Wording::Missing => "missing",
            Wording::TooLong => "too_long",
        };
        self.reworded.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Takes the duration of an attempt.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }
}

/// What is counted about the notices of one upstream.
#[derive(Debug)]
pub struct Losses {
    upstream: Box<str>,
    lost: Family<LossLabels, Counter>,
}

impl Losses {
    /// Counts notices that were given up.
    pub fn count(&self, loss: Loss, notices: usize) {
        if notices > 0 {
            let labels = LossLabels {
                upstream: self.upstream.clone(),
                reason: loss.as_str(),
            };
            self.lost
                .get_or_create(&labels)
                .inc_by(u64::try_from(notices).unwrap_or(u64::MAX));
        }
    }
}

/// Gauges of the upstreams, read when somebody scrapes.
#[derive(Debug)]
pub struct Gauges(Vec<Arc<Upstream>>);

impl Gauges {
    /// Registers the gauges of all upstreams.
    pub fn register(upstreams: &[Arc<Upstream>], registry: &mut Registry) {
        registry.register_collector(Box::new(Self(upstreams.to_vec())));
    }

    fn encode_one(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Upstream) -> usize,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for upstream in &self.0 {
            let value = i64::try_from(value(upstream)).unwrap_or(i64::MAX);
            family
                .encode_family(&[("upstream", upstream.name())])?
                .encode_gauge(&value)?;
        }
        Ok(())
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_one(
            &mut encoder,
            "sockgate_webhook_inflight",
            "Webhook attempts under way",
            |upstream| upstream.status().in_flight,
        )?;
        self.encode_one(
            &mut encoder,
            "sockgate_webhook_queue",
            "Calls that wait for their turn",
            |upstream| upstream.status().waiting,
        )?;
        self.encode_one(
            &mut encoder,
            "sockgate_webhook_circuit_open",
            "1 while the breaker lets nothing or only probes through",
            |upstream| usize::from(upstream.status().phase != Phase::Closed),
        )?;
        self.encode_one(
            &mut encoder,
            "sockgate_webhook_notices_pending",
            "Notices that are not delivered yet",
            |upstream| upstream.notices().pending(),
        )?;
        self.encode_one(
            &mut encoder,
            "sockgate_webhook_notices_bytes",
            "Bytes of the notices that are not delivered yet",
            |upstream| upstream.notices().bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_to_however_many_routes_the_series_are_bounded() {
        let mut registry = Registry::default();
        let counters = Counters::new(&mut registry);
        let codes = [
            Code::Success,
            Code::Redirect,
            Code::ClientError,
            Code::ServerError,
            Code::Timeout,
            Code::Connect,
            Code::Network,
            Code::BadReply,
            Code::Shed,
            Code::Breaker,
        ];
        for number in 0..100 {
            let route = counters.route(&format!("route {number}"));
            for code in codes {
                route.count(code);
            }
            route.took(Duration::ZERO);
            route.count_wording(Wording::Missing);
            route.count_wording(Wording::TooLong);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes it");
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        let series = lines().count();
        assert!(series < 1_050, "{series} series");
        let requests = |route: &str| {
            let start = format!("sockgate_webhook_requests_total{{{route}");
            lines()
                .filter(|line| line.starts_with(&start))
                .map(|line| line.rsplit_once(' ').expect("a value").1)
                .map(|value| value.parse::<u64>().expect("a count"))
                .sum::<u64>()
        };
        assert_eq!(requests(""), 1_000, "nothing is lost");
        assert_eq!(requests(r#"route="route 7""#), 10);
        assert!(requests(r#"route="other""#) > 400);
    }
}
