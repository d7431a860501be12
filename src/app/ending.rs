//! The end of the process (contract 10, SIGTERM).
//!
//! ```text
//! SIGTERM  not ready ── delay ──► no new sessions; all are retired, over `spread` ──► idle ──► notices ──► hang up ──► 0
//! SIGINT   the same without delay, within a second
//! at `hard_stop` what is left is cut; a second signal stops at once
//! ```
//! A session is retired by answering what is under way, and then by closing its transport: clients come back by themselves, to
//! another node. It ends early when no session is left. Until the last connection the API answers: what a backend was told is
//! applied was applied. What is lost in the end is counted and logged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::app::webhooks::Webhooks;
use crate::server::settings::Drain;
use crate::server::shards::{Order, Running};
use crate::server::site::Plan;
use crate::server::stop::Stop;
use crate::session::admission::Admission;
use crate::telemetry::traffic::Traffic;

/// How long the end waits for notices.
const NOTICES: Duration = Duration::from_secs(5);
/// How long the end waits after `hard_stop`, so that those who were cut are told, and their backends too.
const LAST: Duration = Duration::from_secs(1);
/// How long the end waits for connections to close.
const HANG_UP: Duration = Duration::from_secs(2);
/// How often the end looks whether everything is done.
const LOOK: Duration = Duration::from_millis(20);
/// The longest `spread` after SIGINT.
const HURRY: Duration = Duration::from_secs(1);

/// The signals that end the process.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// What the sender of a signal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Drain,
    Hurry,
}

impl Signals {
    /// From now on they are waited for and no longer end the process by themselves.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Drain,
            _ = self.interrupt.recv() => Wish::Hurry,
        }
    }
}

/// Everything that has to end.
#[derive(Debug)]
pub(super) struct Ending {
    /// The shard threads.
    pub(super) shards: Vec<Running>,
    /// What they count.
    pub(super) traffic: Arc<[Arc<Traffic>]>,
    /// The way to tell them.
    pub(super) orders: watch::Sender<Order>,
    /// What is served besides Engine.IO.
    pub(super) plan: Plan,
    /// Connections of clients.
    pub(super) admission: Arc<Admission>,
    /// Not ready any more.
    pub(super) draining: Arc<AtomicBool>,
    /// New handshakes are refused.
    pub(super) closed: Arc<AtomicBool>,
    /// The word for the listeners.
    pub(super) stop: Stop,
    /// Notices that are on their way.
    pub(super) webhooks: Webhooks,
    /// How long everything may take.
    pub(super) settings: Drain,
}

impl Ending {
    /// Waits for a signal, and then for the end.
    pub(super) async fn come(self, mut signals: Signals) {
        let Drain { delay, spread, .. } = self.settings;
        let (delay, spread) = match signals.next().await {
            Wish::Drain => (delay, spread),
            Wish::Hurry => (Duration::ZERO, spread.min(HURRY)),
        };
        self.draining.store(true, Ordering::Release);
        tracing::info!(sessions = self.sessions(), "draining");
        tokio::select! {
            () = self.drain(delay, spread) => {}
            _ = signals.next() => {
                tracing::warn!(sessions = self.sessions(), calls = self.calls(), "told twice: what is left is cut");
                self.deliver_notices(Instant::now()).await;
            }
        }
        self.stop.order();
        self.orders.send_replace(Order::Stop);
        for shard in self.shards {
            shard.join();
        }
        tracing::info!("stopped");
    }

    async fn drain(&self, delay: Duration, spread: Duration) {
        let hard_stop = Instant::now() + self.settings.hard_stop;
        let retired = timeout_at(hard_stop, self.retire(delay, spread)).await;
        let last = Instant::now() + LAST;
        let deadline = if retired.is_ok() {
            last.max(hard_stop.min(Instant::now() + NOTICES))
        } else {
            tracing::warn!(
                sessions = self.sessions(),
                calls = self.calls(),
                "hard stop: what is left is cut"
            );
            self.orders.send_replace(Order::Cut);
            // Either way the notices are next.
            drop(timeout_at(last, self.idle()).await);
            last
        };
        self.deliver_notices(deadline).await;
        self.hang_up().await;
    }

    /// Until no session is left. Load balancers have the delay to learn that this node is not ready.
    async fn retire(&self, delay: Duration, spread: Duration) {
        // Who comes meanwhile is let in, and retired with the others.
        if timeout(delay, self.idle()).await.is_err() {
            tracing::info!(sessions = self.sessions(), "retiring the sessions");
        }
        self.closed.store(true, Ordering::Release);
        self.orders.send_replace(Order::Drain(spread));
        self.idle().await;
    }

    /// Until nothing is under way.
    async fn idle(&self) {
        let is_idle = || self.traffic.iter().all(|shard| shard.is_idle()) && self.plan.is_idle();
        while !is_idle() {
            sleep(LOOK).await;
        }
    }

    async fn deliver_notices(&self, deadline: Instant) {
        for upstream in self.webhooks.upstreams() {
            let left = upstream.notices().drain(deadline).await;
            if left > 0 {
                let upstream = upstream.name();
                tracing::warn!(upstream, left, "notices are lost with the process");
            }
        }
    }

    /// Nobody is accepted any more, idle connections are closed, and the last answers get their time to arrive.
    async fn hang_up(&self) {
        self.stop.order();
        let gone = async {
            while self.admission.connections() > 0 {
                sleep(LOOK).await;
            }
            self.stop.ended().await;
        };
        if timeout(HANG_UP, gone).await.is_err() {
            let connections = self.admission.connections();
            tracing::debug!(connections, "connections are still open at the end");
        }
    }

    fn sessions(&self) -> u64 {
        let sessions = self
            .traffic
            .iter()
            .map(|shard| shard.sessions.polling.get() + shard.sessions.websocket.get());
        sessions.sum()
    }

    /// Sockets whose backends have not answered yet.
    fn calls(&self) -> u64 {
        self.traffic.iter().map(|shard| shard.lanes.get()).sum()
    }
}
