//! A backend as this node sees it: [`Upstream`] is what all threads share, [`Endpoint`] one thread's connections to it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::client::{ClientError, Clients};
use super::counters::{Code, Counters, RouteCounters};
use super::exchange::{Reading, exchange};
use super::gate::{Gate, Status};
use super::notices::Notices;
use super::outcome::Outcome;
use super::request::{Kind, Message, Template};
use super::retry::Backoff;
use super::settings::Settings;

/// One backend, shared by all shards.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    template: Template,
    gate: Gate,
    notices: Notices,
    pace: Pace,
}

/// How long failed attempts are apart.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Of a held CONNECT.
    pub connect: Backoff,
    /// Of a notice.
    pub notice: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Backoff::CONNECT,
            notice: Backoff::NOTICE,
        }
    }
}

impl Upstream {
    /// Checks the settings. A fault is the configuration's.
    pub fn new(settings: Settings, counters: &Counters) -> Result<Arc<Self>, ClientError> {
        Self::with_pace(settings, counters, Pace::default())
    }

    pub(super) fn with_pace(
        settings: Settings,
        counters: &Counters,
        pace: Pace,
    ) -> Result<Arc<Self>, ClientError> {
        Ok(Arc::new(Self {
            template: Template::new(&settings)?,
            gate: Gate::new(&settings),
            notices: Notices::new(&settings, counters.losses(&settings.name)),
            settings,
            pace,
        }))
    }

    /// Its name in routes, metrics and logs.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether the breaker forbids attempts at present.
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.gate.status()
    }

    /// Notices on their way to it.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }
}

/// One thread's way to an upstream: the connections live on the runtime of the thread that uses it.
#[derive(Debug)]
pub struct Endpoint {
    upstream: Arc<Upstream>,
    clients: Clients,
}

/// A message on its way, and how often it was tried.
#[derive(Debug)]
pub struct Delivery<'a> {
    message: &'a Message,
    counters: &'a RouteCounters,
    /// For the log; empty where there is none.
    event: &'a str,
    attempts: u32,
    /// A dead connection is forgiven once.
    forgiven: bool,
}

impl<'a> Delivery<'a> {
    /// A message that was tried so many times before.
    pub fn new(
        message: &'a Message,
        counters: &'a RouteCounters,
        event: &'a str,
        attempts: u32,
    ) -> Self {
        Self {
            message,
            counters,
            event,
            attempts,
            forgiven: false,
        }
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Endpoint {
    /// Builds the clients; this parses certificates, so it belongs to the start.
    pub fn new(upstream: Arc<Upstream>) -> Result<Self, ClientError> {
        let clients = Clients::new(&upstream.settings)?;
        Ok(Self { upstream, clients })
    }

    /// The upstream it leads to.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Makes one attempt, and another at once if it died with a kept connection. Ends at the deadline, or when the upstream's time
    /// for an attempt is over.
    pub(super) async fn send(&self, delivery: &mut Delivery<'_>, deadline: Instant) -> Outcome {
        let outcome = self.attempt(&self.clients.pooled, delivery, deadline).await;
        let died = matches!(outcome, Outcome::Broken { stale: true, .. });
        if !died || delivery.forgiven || Instant::now() >= deadline {
            return outcome;
        }
        delivery.forgiven = true;
        self.attempt(&self.clients.fresh, delivery, deadline).await
    }

    async fn attempt(
        &self,
        client: &reqwest::Client,
        delivery: &mut Delivery<'_>,
        deadline: Instant,
    ) -> Outcome {
        let Delivery {
            message, counters, ..
        } = *delivery;
        delivery.attempts += 1;
        if delivery.attempts > 1 {
            counters.retries.inc();
        }
        let settings = &self.upstream.settings;
        let start = Instant::now();
        let end = deadline.min(start + settings.timeout);
        let left = end.saturating_duration_since(start);
        let request =
            self.upstream
                .template
                .request(message, delivery.attempts, left, SystemTime::now());
        // Boxed, so that a call which is held or waits for its turn is small.
        let exchange = Box::pin(exchange(client, request, self.reading(message.kind), end));
        let outcome = exchange.await;
        let took = start.elapsed();
        counters.took(took);
        let code = Code::from(&outcome);
        // What a 2xx means is known when its body was understood.
        if code != Code::Success || message.kind == Kind::Disconnect {
            counters.count(code);
        }
        tracing::debug!(
            r#type = message.kind.as_str(),
            event = delivery.event,
            status = %outcome,
            ms = took.as_millis(),
            attempt = delivery.attempts,
            "webhook"
        );
        outcome
    }

    fn reading(&self, kind: Kind) -> Reading {
        Reading {
            reply: (kind != Kind::Disconnect).then_some(self.upstream.settings.max_reply),
            refusal: kind == Kind::Connect,
        }
    }
}
