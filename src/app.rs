//! The composition root: the only file that knows every component.
//!
//! [`run`] builds everything from a [`Config`], tells where it listens, serves until it is told to stop, and drains.

mod rest;
pub mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::app::webhooks::Webhooks;
use crate::builtin::Builtin;
use crate::config::Config;
use crate::hub::Hub;
use crate::hub::id::{NodeTag, ShardId};
use crate::hub::switchboard::Switchboard;
use crate::protocol::websocket;
use crate::server::accept::{self, Acceptor};
use crate::server::client_files::ClientFiles;
use crate::server::connection::Head;
use crate::server::fallback::Origin;
use crate::server::plain;
use crate::server::probes::Probes;
use crate::server::shards::{self, Doors, Order, Running};
use crate::server::site::{Elsewhere, Page, Plan};
use crate::session::admission::Admission;
use crate::session::settings::{Allow, NamespaceSettings};
use crate::session::shard::{Parts, Shard};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::traffic::Traffic;
use crate::transport::{Context, Mail, origin, pump};
use crate::webhook::client::ClientError;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client of a backend cannot be built.
    #[error("an upstream cannot be used")]
    Upstream(#[from] ClientError),
    /// A thread, a runtime or a signal handler cannot be had.
    #[error("the system refuses")]
    System(#[from] io::Error),
}

/// Where the gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Clients.
    pub clients: Vec<SocketAddr>,
    /// Backends.
    pub api: Vec<SocketAddr>,
    /// Operators.
    pub admin: Vec<SocketAddr>,
}

/// How long the end of a drain waits for notices.
const NOTICES: Duration = Duration::from_secs(5);

/// How often the end of a drain looks whether everything is done.
const LOOK: Duration = Duration::from_millis(20);

/// Serves until SIGTERM or SIGINT. `ready` is called once, when everything listens.
pub fn run(config: &Arc<Config>, ready: impl FnOnce(&Addresses)) -> Result<(), StartError> {
    run_with(config, |_| Vec::new(), ready)
}

/// [`run`] with pages of its own, which may tell where the gateway listens. A `fallback` would take their place.
pub fn run_with(
    config: &Arc<Config>,
    pages: impl FnOnce(&Addresses) -> Vec<Page>,
    ready: impl FnOnce(&Addresses),
) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listeners = Listeners::bind(config)?;
        let pages = pages(&listeners.addresses()?);
        let gateway = Gateway::start(config, listeners, &plan(config, pages))?;
        ready(&gateway.addresses);
        gateway.serve(config).await
    })
}

struct Listeners {
    clients: Vec<TcpListener>,
    api: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let all = |addresses: &[SocketAddr]| {
            addresses
                .iter()
                .map(|a| bind(*a))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            clients: all(&config.server.listen)?,
            api: all(&config.api.listen)?,
            admin: all(&config.server.admin)?,
        })
    }

    fn addresses(&self) -> io::Result<Addresses> {
        let all = |listeners: &[TcpListener]| {
            listeners
                .iter()
                .map(TcpListener::local_addr)
                .collect::<io::Result<_>>()
        };
        Ok(Addresses {
            clients: all(&self.clients)?,
            api: all(&self.api)?,
            admin: all(&self.admin)?,
        })
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    accept::bind(address).map_err(|source| StartError::Bind { address, source })
}

/// What all threads share.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    node: NodeTag,
    started: Instant,
    switchboard: Arc<Switchboard>,
    admission: Arc<Admission>,
    /// New handshakes are refused.
    closed: Arc<AtomicBool>,
    refused: Arc<origin::Refused>,
    webhooks: Webhooks,
    builtin: Option<Arc<Builtin>>,
    mail: Vec<mpsc::UnboundedSender<Mail>>,
}

struct Gateway {
    addresses: Addresses,
    shards: Vec<Running>,
    orders: watch::Sender<Order>,
    /// Not ready any more.
    draining: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    stop: CancellationToken,
    webhooks: Webhooks,
}

impl Gateway {
    fn start(config: &Arc<Config>, listeners: Listeners, plan: &Plan) -> Result<Self, StartError> {
        let addresses = listeners.addresses()?;
        let count = config.server.shards;
        let (mail, mail_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let (connections, connections_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let (orders, watching) = watch::channel(Order::Run);
        let mut registry = Registry::default();
        let webhooks = Webhooks::new(config, &mut registry)?;
        webhooks.deliver_notices()?;
        let shared = Shared::new(config, webhooks, mail);
        let mut traffic = Vec::new();
        let mut running = Vec::new();
        for (index, (mail, connections)) in mail_in.into_iter().zip(connections_in).enumerate() {
            let own = Arc::new(Traffic::default());
            traffic.push(Arc::clone(&own));
            let doors = Doors {
                connections,
                mail,
                orders: watching.clone(),
            };
            let shared = shared.clone();
            let build = move || shared.context(index, own);
            running.push(shards::start(
                index,
                doors,
                head(config),
                plan.clone(),
                build,
            )?);
        }
        let draining = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let control = Arc::new(Traffic::default());
        let acceptor = Arc::new(Acceptor::new(
            Arc::clone(&shared.admission),
            connections,
            control,
            config.server.accept_rate,
        ));
        for listener in listeners.clients {
            crate::tasks::spawn("accept", accept::run(listener, Arc::clone(&acceptor)));
        }
        let probes = Probes {
            started: shared.started,
            shards: Arc::new(traffic),
            draining: Arc::clone(&draining),
        };
        for listener in listeners.admin {
            crate::tasks::spawn(
                "admin",
                plain::serve(listener, head(config), probes.clone(), stop.clone()),
            );
        }
        let api = rest::api(&shared, &draining, &mut registry);
        for listener in listeners.api {
            crate::tasks::spawn(
                "api",
                plain::serve(listener, head(config), api.clone(), stop.clone()),
            );
        }
        Ok(Self {
            addresses,
            shards: running,
            orders,
            draining,
            closed: shared.closed,
            webhooks: shared.webhooks,
            stop,
        })
    }

    /// Until a signal, and then to the end of the drain.
    async fn serve(self, config: &Config) -> Result<(), StartError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let drain = &config.server.drain;
        let (delay, spread) = tokio::select! {
            _ = terminate.recv() => (drain.delay, drain.spread),
            _ = interrupt.recv() => (Duration::ZERO, drain.spread.min(Duration::from_secs(1))),
        };
        self.draining.store(true, Ordering::Release);
        tracing::info!("draining");
        let ended = tokio::select! {
            ended = tokio::time::timeout(drain.hard_stop, self.drain(delay, spread)) => ended.is_ok(),
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        if !ended {
            tracing::warn!("stopped before everything was drained");
        }
        self.orders.send_replace(Order::Stop);
        self.stop.cancel();
        for shard in self.shards {
            shard.join();
        }
        tracing::info!("stopped");
        Ok(())
    }

    async fn drain(&self, delay: Duration, spread: Duration) {
        if !self.is_idle() {
            tokio::time::sleep(delay).await;
        }
        self.closed.store(true, Ordering::Release);
        self.orders.send_replace(Order::Drain(spread));
        while !self.is_idle() {
            tokio::time::sleep(LOOK).await;
        }
        let deadline = tokio::time::Instant::now() + NOTICES;
        for upstream in self.webhooks.upstreams() {
            let left = upstream.notices().drain(deadline).await;
            if left > 0 {
                tracing::warn!(
                    upstream = upstream.name(),
                    left,
                    "notices are lost with the process"
                );
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.shards.iter().all(|s| s.idle.load(Ordering::Acquire))
    }
}

fn head(config: &Config) -> Head {
    let server = &config.server;
    Head {
        headers: server.headers,
        bytes: server.header_bytes,
        timeout: server.header_timeout,
    }
}

/// What the client listener serves besides Engine.IO.
fn plan(config: &Config, pages: Vec<Page>) -> Plan {
    let client_files = config.server.serve_client.then(|| {
        let files = ClientFiles::of_this_build();
        files.announce();
        Arc::new(files)
    });
    let elsewhere = match &config.server.fallback {
        Some(url) => {
            let origin = Origin::new(url).expect("the configuration holds addresses only");
            Elsewhere::Fallback(Arc::new(origin))
        }
        None if pages.is_empty() => Elsewhere::Nothing,
        None => Elsewhere::Pages(pages.into()),
    };
    Plan {
        client_files,
        elsewhere,
    }
}

impl Shared {
    fn new(
        config: &Arc<Config>,
        webhooks: Webhooks,
        mail: Vec<mpsc::UnboundedSender<Mail>>,
    ) -> Self {
        let node = NodeTag::random();
        let connections = config.server.max_connections;
        let per_address = config.server.connections_per_address;
        let switchboard = Switchboard::new(node, config.server.shards, &config.hub);
        let builtin = webhooks
            .want_built_in()
            .then(|| Arc::new(webhooks.built_in(&switchboard)));
        Self {
            config: Arc::clone(config),
            node,
            started: Instant::now(),
            switchboard,
            builtin,
            admission: Arc::new(Admission::new(
                config.session.held,
                connections,
                per_address,
                config.server.shards,
            )),
            closed: Arc::new(AtomicBool::new(false)),
            refused: Arc::default(),
            webhooks,
            mail,
        }
    }

    /// Builds a shard, on its own thread.
    fn context(&self, index: usize, traffic: Arc<Traffic>) -> Result<Rc<Context>, StartError> {
        let config = &self.config;
        let id =
            ShardId::new(index).expect("the number of shards is checked with the configuration");
        let counters = Arc::new(ShardCounters::default());
        let hub = Hub::new(
            id,
            Arc::clone(&self.switchboard),
            config.hub.clone(),
            Arc::clone(&counters),
        );
        let opening = config.server.opening.of(self.admission.max_connections());
        let parts = Parts {
            hub,
            id,
            node: self.node,
            settings: config.session.clone(),
            heartbeat: (
                config.transport.ping_interval,
                config.transport.ping_timeout,
            ),
            routes: self.webhooks.routes(self.builtin.as_ref())?,
            admission: Arc::clone(&self.admission),
            counters,
            traffic,
            opening: opening.div_ceil(config.server.shards),
            half_outbox: (config.hub.outbox / 2, config.hub.outbox_frames / 2),
            began: self.started,
        };
        Ok(Rc::new(Context {
            shard: Rc::new(Shard::new(parts)),
            settings: config.transport.clone(),
            wanted_headers: wanted(
                &config.namespaces,
                |n| &n.forward.headers,
                |n| &n.forward.pass,
            ),
            wanted_query: wanted(&config.namespaces, |n| &n.forward.query, |_| &[]),
            mail: self.mail.clone(),
            draining: Arc::clone(&self.closed),
            refused: Arc::clone(&self.refused),
            read_buffer: pump::ReadBuffer::default(),
            frames: websocket::Limits {
                message: config.transport.max_payload,
                fragments: config.transport.fragments,
                control_rate: config.transport.control_frames,
            },
        }))
    }
}

/// What at least one namespace wants to see of a request.
fn wanted(
    namespaces: &[NamespaceSettings],
    allowed: impl Fn(&NamespaceSettings) -> &Allow,
    more: impl Fn(&NamespaceSettings) -> &[Box<str>],
) -> Allow {
    let mut names: Vec<Box<str>> = Vec::new();
    for namespace in namespaces {
        match allowed(namespace) {
            Allow::All => return Allow::All,
            Allow::Only(some) => names.extend(some.iter().cloned()),
        }
        names.extend(more(namespace).iter().cloned());
    }
    names.sort();
    names.dedup();
    Allow::Only(names)
}
