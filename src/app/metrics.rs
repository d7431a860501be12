//! The metrics of the node, put together: what its threads count, and what is looked up when somebody scrapes (operations d2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::Api;
use crate::app::Shared;
use crate::server::plain::Door;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::log_limit;
use crate::telemetry::node::Node;
use crate::telemetry::process;
use crate::telemetry::readings::{Readings, float};
use crate::telemetry::traffic::Traffic;

/// Upper bounds of the lateness of timers, in seconds.
const LAG: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What the threads count, one set of each for a shard.
#[derive(Debug)]
pub(super) struct Counts {
    /// Of the shards' hubs.
    pub(super) hubs: Vec<Arc<ShardCounters>>,
    /// Of the shards' clients.
    pub(super) traffic: Arc<[Arc<Traffic>]>,
    /// Of the control thread.
    pub(super) control: Arc<Traffic>,
    /// How late the shards' timers are.
    pub(super) lag: Histogram,
}

impl Counts {
    /// All zero.
    pub(super) fn new(shards: usize, namespaces: usize) -> Self {
        let traffic = || Arc::new(Traffic::new(namespaces));
        Self {
            hubs: (0..shards).map(|_| Arc::default()).collect(),
            traffic: (0..shards).map(|_| traffic()).collect(),
            control: traffic(),
            lag: Histogram::new(LAG),
        }
    }

    /// Registers everything that is the node's own.
    pub(super) fn register(&self, shared: &Shared, registry: &mut Registry) {
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            (
                "revision",
                option_env!("SOCKGATE_REVISION").unwrap_or("unknown"),
            ),
        ]);
        registry.register("sockgate_build", "The program that runs", build);
        let namespaces = shared.config.namespaces.iter();
        registry.register_collector(Box::new(Node {
            shards: std::iter::zip(self.hubs.iter().cloned(), self.traffic.iter().cloned())
                .collect(),
            control: Arc::clone(&self.control),
            node: Arc::clone(shared.switchboard.counters()),
            namespaces: namespaces.map(|n| n.pattern.as_str().into()).collect(),
        }));
        registry.register(
            "sockgate_runtime_lag_seconds",
            "How late the timers of the shards run",
            self.lag.clone(),
        );
        registry.register_collector(Box::new(of_clients(shared)));
        registry.register_collector(Box::new(of_node(shared)));
        registry.register_collector(Box::new(of_memory(shared)));
        registry.register_collector(Box::new(process::readings()));
    }
}

fn of_clients(shared: &Shared) -> Readings {
    let admission = || Arc::clone(&shared.admission);
    let (connections, most, opening, held) = (admission(), admission(), admission(), admission());
    Readings::default()
        .count(
            "sockgate_listener_connections",
            "Network connections on the client listener",
            move || connections.connections(),
        )
        .count(
            "sockgate_connections_max",
            "Network connections on the client listener at most, and sessions at most",
            move || most.max_connections(),
        )
        .count(
            "sockgate_connections_opening",
            "Sessions that sent no CONNECT yet; 0 where they are not limited",
            move || opening.opening.count(),
        )
        .count(
            "sockgate_connects_held",
            "CONNECTs that wait for a decision",
            move || held.held.taken(),
        )
}

fn of_node(shared: &Shared) -> Readings {
    let (rooms, inboxes) = (shared.switchboard.clone(), shared.switchboard.clone());
    let draining = shared.draining.clone();
    Readings::default()
        .count("sockgate_rooms", "Rooms with members", move || {
            rooms.rooms()
        })
        .count(
            "sockgate_inbox_places",
            "Places taken in the fullest shard's inbox, of 8,192",
            move || inboxes.fullest_inbox(),
        )
        .counter(
            "sockgate_log_lines_suppressed",
            "Lines that were not written, for the same had been told a short time before",
            || float(usize::try_from(log_limit::suppressed()).unwrap_or(usize::MAX)),
        )
        .gauge(
            "sockgate_draining",
            "1 from the signal that ends the process on",
            move || f64::from(u8::from(draining.load(Ordering::Relaxed))),
        )
        .counter(
            "sockgate_task_panics",
            "Tasks that ended by a panic; each is a bug",
            || float(usize::try_from(crate::tasks::panics()).unwrap_or(usize::MAX)),
        )
}

fn of_memory(shared: &Shared) -> Readings {
    let (level, used, limit) = (
        shared.memory.clone(),
        shared.memory.clone(),
        shared.memory.clone(),
    );
    let bytes = |bytes: u64| float(usize::try_from(bytes).unwrap_or(usize::MAX));
    Readings::default()
        .gauge(
            "sockgate_overload_level",
            "0 enough memory, 1 it is scarce, 2 new sessions are refused",
            move || f64::from(level.level() as u8),
        )
        .gauge(
            "sockgate_memory_used_bytes",
            "Memory in use by the control group, else by the process",
            move || bytes(used.last().used),
        )
        .gauge(
            "sockgate_memory_limit_bytes",
            "Memory of the control group, else of the machine",
            move || bytes(limit.last().limit),
        )
}

/// The gauges of the listeners for backends and operators.
pub(super) fn of_doors(api: &Api, at_api: &Arc<Door>, at_admin: &Arc<Door>) -> Readings {
    let (api, at_api, at_admin) = (api.clone(), Arc::clone(at_api), Arc::clone(at_admin));
    Readings::default()
        .count(
            "sockgate_api_connections",
            "Network connections on the API listener",
            move || at_api.connections(),
        )
        .count(
            "sockgate_admin_connections",
            "Network connections on the admin listener",
            move || at_admin.connections(),
        )
        .count(
            "sockgate_api_suspects",
            "Addresses that wrong keys came from lately",
            move || api.suspects(),
        )
}
