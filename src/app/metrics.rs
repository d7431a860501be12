//! The metrics of the node, put together: what its threads count, and what is looked up when somebody scrapes (operations d2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::app::Shared;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::node::Node;
use crate::telemetry::process;
use crate::telemetry::readings::Readings;
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
            namespaces: namespaces.map(|n| n.pattern.as_str().into()).collect(),
        }));
        registry.register(
            "sockgate_runtime_lag_seconds",
            "How late the timers of the shards run",
            self.lag.clone(),
        );
        registry.register_collector(Box::new(of_node(shared)));
        registry.register_collector(Box::new(of_memory(shared)));
        registry.register_collector(Box::new(process::readings()));
    }
}

fn of_node(shared: &Shared) -> Readings {
    let (admission, switchboard) = (&shared.admission, &shared.switchboard);
    let (connections, most, held) = (admission.clone(), admission.clone(), admission.clone());
    let (rooms, draining) = (switchboard.clone(), shared.draining.clone());
    Readings::default()
        .gauge(
            "sockgate_listener_connections",
            "Network connections on the client listener",
            move || float(connections.connections()),
        )
        .gauge(
            "sockgate_connections_max",
            "Network connections on the client listener at most, and sessions at most",
            move || float(most.max_connections()),
        )
        .gauge(
            "sockgate_connects_held",
            "CONNECTs that wait for a decision",
            move || float(held.held.taken()),
        )
        .gauge("sockgate_rooms", "Rooms with members", move || {
            float(rooms.rooms())
        })
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

/// Metrics are floats; far beyond what a node can have they are not exact.
#[expect(clippy::cast_precision_loss, reason = "as the comment says")]
fn float(n: usize) -> f64 {
    n as f64
}
