//! Shard threads: each has a runtime and an event loop of its own, and everything of its sessions lives there.
//!
//! # Why
//! The loop is a spawned task, not the future of `block_on`: the root future would be polled before all others, whatever woke
//! it. When it ends by a panic the process ends loudly, since a node without one of its shards would lie to its clients.

use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use rand::RngExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::server::accept::Connection;
use crate::server::connection::{Head, Serving, serve};
use crate::server::site::{Plan, Site};
use crate::server::stop::Stop;
use crate::session::shard::Shard;
use crate::transport::{self, Context, Mail};

/// What every shard is told about the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve.
    Run,
    /// Retire all sessions, spread over this time.
    Drain(Duration),
    /// Close all sessions now.
    Cut,
    /// Close all sessions now and end.
    Stop,
}

/// What reaches a shard from other threads, besides the hub's inbox.
#[derive(Debug)]
pub struct Doors {
    /// New connections.
    pub connections: mpsc::UnboundedReceiver<Connection>,
    /// Requests for its sessions that came to other shards.
    pub mail: mpsc::UnboundedReceiver<Mail>,
    /// The end of the process.
    pub orders: watch::Receiver<Order>,
}

/// What a shard is told about its work.
#[derive(Clone, Debug)]
pub struct Duties {
    /// Limits of HTTP.
    pub head: Head,
    /// Whether a PROXY header is mandatory.
    pub proxy_protocol: bool,
    /// What is served besides Engine.IO.
    pub plan: Plan,
    /// When HTTP connections are to end.
    pub stop: Stop,
    /// Takes how late the loop's timers are, in seconds.
    pub lag: Histogram,
}

/// A running shard thread.
#[derive(Debug)]
pub struct Running(thread::JoinHandle<()>);

impl Running {
    /// Waits until the thread has ended; false where it panicked.
    pub fn join(self) -> bool {
        self.0.join().is_ok()
    }
}

/// Starts a shard thread; `build` makes its context there, and its way to what the plan says is made there too.
pub fn start<F, E>(index: usize, doors: Doors, duties: Duties, build: F) -> io::Result<Running>
where
    F: FnOnce() -> Result<Rc<Context>, E> + Send + 'static,
    E: std::error::Error,
{
    let thread = thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            let main = crate::tasks::block_on(async move {
                let context = match build() {
                    Ok(context) => context,
                    Err(error) => {
                        // The same was built on the control thread just before: this is no fault of the configuration.
                        tracing::error!(%error, shard = index, "a shard cannot be built");
                        std::process::abort();
                    }
                };
                tokio::task::spawn_local(run(context, doors, duties)).await
            });
            let Ok(main) = main else {
                tracing::error!("a shard's runtime cannot be built");
                std::process::abort();
            };
            if main.is_err() {
                tracing::error!(shard = index, "a shard's loop has panicked");
                std::process::abort();
            }
        })?;
    Ok(Running(thread))
}

async fn run(context: Rc<Context>, doors: Doors, duties: Duties) {
    let Doors {
        mut connections,
        mut mail,
        mut orders,
    } = doors;
    let shard = Rc::clone(&context.shard);
    crate::tasks::spawn_local("ticks", tick(Rc::clone(&shard), duties.lag.clone()));
    let letters = Rc::clone(&context);
    crate::tasks::spawn_local("mail", async move {
        while let Some(letter) = mail.recv().await {
            letters.shard.traffic.mail.set(mail.len() as u64);
            transport::deliver(&letters, letter);
        }
    });
    let serving = Rc::new(Serving {
        context,
        site: Site::new(duties.plan),
        head: duties.head,
        proxy_protocol: duties.proxy_protocol,
        stop: duties.stop.for_thread(),
    });
    crate::tasks::spawn_local("connections", async move {
        while let Some(connection) = connections.recv().await {
            let waiting = &serving.context.shard.traffic.arrivals;
            waiting.set(connections.len() as u64);
            crate::tasks::spawn_local("connection", serve(Rc::clone(&serving), connection));
        }
    });
    loop {
        shard.catch_up();
        tokio::select! {
            () = shard.hub.ready() => {}
            changed = orders.changed() => {
                let order = *orders.borrow_and_update();
                match order {
                    Order::Run => {}
                    Order::Drain(spread) => crate::tasks::spawn_local("drain", drain(Rc::clone(&shard), spread)),
                    Order::Cut => shard.shut_down(),
                    Order::Stop => break,
                }
                if changed.is_err() {
                    break;
                }
            }
        }
    }
    shard.shut_down();
    // One more turn for what the transports write as they end.
    tokio::task::yield_now().await;
}

async fn tick(shard: Rc<Shard>, lag: Histogram) {
    let mut interval = tokio::time::interval(shard.tick_length());
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let due = interval.tick().await;
        lag.observe(due.elapsed().as_secs_f64());
        shard.step();
    }
}

/// Retires the sessions one after the other, each at a random moment of its part of the time: evenly, but neither all shards nor
/// all nodes in step.
async fn drain(shard: Rc<Shard>, spread: Duration) {
    let sessions = shard.sessions();
    let part = spread / u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
    let start = tokio::time::Instant::now();
    for (index, session) in (0u32..).zip(sessions) {
        let moment = part * index + part.mul_f64(rand::rng().random());
        tokio::time::sleep_until(start + moment).await;
        crate::tasks::spawn_local("farewell", async move { session.retire().await });
    }
    // Handshakes that were under way when the drain began.
    tokio::time::sleep_until(start + spread).await;
    for session in shard.sessions() {
        crate::tasks::spawn_local("farewell", async move { session.retire().await });
    }
}
