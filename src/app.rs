//! The composition root: the only file that knows every component.
//!
//! [`run`] builds everything from a [`Config`], tells where it listens, serves until it is told to stop, and drains.

mod announce;
mod ending;
mod metrics;
mod rest;
pub mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::app::ending::{Ending, Signals};
use crate::app::metrics::Counts;
use crate::app::webhooks::Webhooks;
use crate::builtin::Builtin;
use crate::config::Config;
use crate::hub::Hub;
use crate::hub::id::{NodeTag, ShardId};
use crate::hub::switchboard::Switchboard;
use crate::protocol::websocket;
use crate::server::accept::{self, Acceptor, Connection};
use crate::server::client_files::ClientFiles;
use crate::server::connection::Head;
use crate::server::deadline::Deadlines;
use crate::server::fallback::Origin;
use crate::server::plain::{self, Door};
use crate::server::probes::Probes;
use crate::server::shards::{self, Doors, Duties, Order};
use crate::server::site::{Elsewhere, Page, Plan};
use crate::server::stop::Stop;
use crate::session::admission::{Admission, Bounds};
use crate::session::settings::{Allow, NamespaceSettings};
use crate::session::shard::{Parts, Shard};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::memory::Watch;
use crate::telemetry::traffic::Traffic;
use crate::transport::{Context, Mail, origin, pump};
use crate::webhook::breaker::Phase;
use crate::webhook::client::ClientError;
use crate::webhook::upstream::Upstream;

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
    crate::tasks::block_on(async {
        let listeners = Listeners::bind(config)?;
        let pages = pages(&listeners.addresses()?);
        let signals = Signals::new()?;
        let gateway = Gateway::start(config, listeners, plan(config, pages))?;
        ready(&gateway.addresses);
        gateway.ending.come(signals).await;
        Ok(())
    })?
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
    /// Not ready any more.
    draining: Arc<AtomicBool>,
    /// New handshakes are refused.
    closed: Arc<AtomicBool>,
    refused: Arc<origin::Refused>,
    webhooks: Webhooks,
    builtin: Option<Arc<Builtin>>,
    memory: Arc<Watch>,
    mail: Vec<mpsc::UnboundedSender<Mail>>,
}

struct Gateway {
    addresses: Addresses,
    ending: Ending,
}

impl Gateway {
    fn start(config: &Arc<Config>, listeners: Listeners, plan: Plan) -> Result<Self, StartError> {
        let addresses = listeners.addresses()?;
        let mut registry = Registry::default();
        let webhooks = Webhooks::new(config, &mut registry)?;
        webhooks.deliver_notices()?;
        let wires = Wires::new(config.server.shards);
        let shared = Shared::new(config, webhooks, wires.mail);
        announce::announce(config, &shared.memory);
        let counts = Counts::new(config.server.shards, config.namespaces.len());
        counts.register(&shared, &mut registry);
        if let Elsewhere::Fallback(origin) = &plan.elsewhere {
            origin.register(&mut registry);
        }
        let stop = Stop::new();
        let duties = Duties {
            head: head(config),
            proxy_protocol: config.server.proxy_protocol,
            plan: plan.clone(),
            stop: stop.clone(),
            lag: counts.lag.clone(),
        };
        let shards = wires.doors.into_iter().enumerate().map(|(index, doors)| {
            let (hub, traffic) = (counts.hubs[index].clone(), counts.traffic[index].clone());
            let shared = shared.clone();
            let build = move || shared.context(index, hub, traffic);
            shards::start(index, doors, duties.clone(), build)
        });
        let shards = shards.collect::<io::Result<_>>()?;
        let acceptor = Acceptor::new(
            Arc::clone(&shared.admission),
            wires.connections,
            Arc::clone(&counts.control),
            &config.server,
        );
        serve(listeners, acceptor, &shared, &counts, registry, &stop);
        let ending = Ending {
            shards,
            traffic: counts.traffic,
            orders: wires.orders,
            plan,
            admission: shared.admission,
            draining: shared.draining,
            closed: shared.closed,
            stop,
            webhooks: shared.webhooks,
            settings: config.server.drain.clone(),
        };
        Ok(Self { addresses, ending })
    }
}

/// The ways to the shards, and their ends there.
struct Wires {
    mail: Vec<mpsc::UnboundedSender<Mail>>,
    connections: Vec<mpsc::UnboundedSender<Connection>>,
    orders: watch::Sender<Order>,
    doors: Vec<Doors>,
}

impl Wires {
    fn new(shards: usize) -> Self {
        let (orders, watching) = watch::channel(Order::Run);
        let mut wires = Self {
            mail: Vec::new(),
            connections: Vec::new(),
            orders,
            doors: Vec::new(),
        };
        for _ in 0..shards {
            let (to_mail, mail) = mpsc::unbounded_channel();
            let (to_connections, connections) = mpsc::unbounded_channel();
            wires.mail.push(to_mail);
            wires.connections.push(to_connections);
            wires.doors.push(Doors {
                connections,
                mail,
                orders: watching.clone(),
            });
        }
        wires
    }
}

/// Starts what runs on the control thread.
fn serve(
    listeners: Listeners,
    acceptor: Acceptor,
    shared: &Shared,
    counts: &Counts,
    mut registry: Registry,
    stop: &Stop,
) {
    let (head, acceptor) = (head(&shared.config), Arc::new(acceptor));
    let memory = Arc::clone(&shared.memory);
    crate::tasks::spawn("memory", async move { memory.run().await });
    for listener in listeners.clients {
        crate::tasks::spawn(
            "accept",
            accept::run(listener, Arc::clone(&acceptor), stop.clone()),
        );
    }
    let api = rest::api(shared, &shared.draining, &mut registry);
    let at_api = Door::api(Arc::clone(&counts.control));
    let at_admin = Door::admin(Arc::clone(&counts.control));
    let doors = metrics::of_doors(&api, &at_api, &at_admin);
    registry.register_collector(Box::new(doors));
    for listener in listeners.api {
        let door = Arc::clone(&at_api);
        crate::tasks::spawn(
            "api",
            plain::serve(listener, door, head, api.clone(), stop.clone()),
        );
    }
    let upstreams = shared.webhooks.clone();
    let probes = Probes {
        started: shared.started,
        shards: Arc::clone(&counts.traffic),
        draining: Arc::clone(&shared.draining),
        memory: Arc::clone(&shared.memory),
        upstreams: Arc::new(move || upstreams.upstreams().iter().map(|u| told(u)).collect()),
        registry: Arc::new(registry),
    };
    for listener in listeners.admin {
        let door = Arc::clone(&at_admin);
        crate::tasks::spawn(
            "admin",
            plain::serve(listener, door, head, probes.clone(), stop.clone()),
        );
    }
}

/// An upstream in `/readyz?verbose`.
fn told(upstream: &Upstream) -> serde_json::Value {
    let status = upstream.status();
    serde_json::json!({
        "name": upstream.name(),
        "ok": status.phase == Phase::Closed,
        "in_flight": status.in_flight,
        "waiting": status.waiting,
        "notices": upstream.notices().pending(),
        "last_error": status.last_error.map(|(fault, _)| fault.to_string()),
    })
}

fn head(config: &Config) -> Head {
    let server = &config.server;
    Head {
        headers: server.headers,
        bytes: server.header_bytes,
        deadlines: Deadlines {
            head: server.header_timeout,
            idle: server.keep_alive,
            stall: config.hub.write_stall,
        },
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

fn admission(config: &Config) -> Bounds {
    let server = &config.server;
    Bounds {
        held: config.session.held,
        connections: server.max_connections,
        per_address: server.connections_per_address,
        opening: server.opening.of(server.max_connections),
        shards: server.shards,
    }
}

impl Shared {
    fn new(
        config: &Arc<Config>,
        webhooks: Webhooks,
        mail: Vec<mpsc::UnboundedSender<Mail>>,
    ) -> Self {
        let node = NodeTag::random();
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
            admission: Arc::new(Admission::new(&admission(config))),
            draining: Arc::default(),
            closed: Arc::default(),
            refused: Arc::default(),
            webhooks,
            memory: Arc::default(),
            mail,
        }
    }

    /// Builds a shard, on its own thread.
    fn context(
        &self,
        index: usize,
        counters: Arc<ShardCounters>,
        traffic: Arc<Traffic>,
    ) -> Result<Rc<Context>, StartError> {
        let config = &self.config;
        let id =
            ShardId::new(index).expect("the number of shards is checked with the configuration");
        let hub = Hub::new(
            id,
            Arc::clone(&self.switchboard),
            config.hub.clone(),
            Arc::clone(&counters),
        );
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
            memory: Arc::clone(&self.memory),
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
