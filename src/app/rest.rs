//! The REST API, put together with what it tells of the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use prometheus_client::registry::Registry;

use super::Shared;
use crate::api::{Api, Counters, NamespaceTable, Parts};
use crate::contract::answer::{NodeItem, NodeState, UpstreamItem, UpstreamState};
use crate::server::plain::Service;
use crate::webhook::breaker::Phase;
use crate::webhook::upstream::Upstream;

impl Service for Api {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        Self::answer(self, request, peer).await
    }
}

/// The API of this node, which has just been started.
pub(super) fn api(shared: &Shared, draining: &Arc<AtomicBool>, registry: &mut Registry) -> Api {
    let config = &shared.config;
    let tables = config.namespaces.iter().map(|namespace| NamespaceTable {
        pattern: namespace.pattern.clone(),
        user_room: namespace.user_room.clone(),
    });
    let webhooks = shared.webhooks.clone();
    Api::new(Parts {
        settings: config.api.clone(),
        body_timeout: config.transport.body_timeout,
        max_emit: config.hub.emit,
        namespaces: tables.collect(),
        switchboard: Arc::clone(&shared.switchboard),
        node_name: config.server.node.clone(),
        node: Box::new(node(shared, draining)),
        upstreams: Box::new(move || webhooks.upstreams().iter().map(|u| upstream(u)).collect()),
        counters: Counters::new(registry),
    })
}

fn node(shared: &Shared, draining: &Arc<AtomicBool>) -> impl Fn() -> NodeItem + use<> {
    let started_at = SystemTime::now();
    let admission = Arc::clone(&shared.admission);
    let (draining, memory) = (Arc::clone(draining), Arc::clone(&shared.memory));
    let (tag, shards) = (shared.node, shared.config.server.shards);
    let name = shared.config.server.node.clone();
    move || NodeItem {
        name: name.clone(),
        tag,
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        connections: admission.connections(),
        shards,
        state: if draining.load(Ordering::Relaxed) {
            NodeState::Draining
        } else if memory.is_full() {
            NodeState::Unready
        } else {
            NodeState::Ready
        },
    }
}

fn upstream(upstream: &Upstream) -> UpstreamItem {
    let status = upstream.status();
    UpstreamItem {
        name: upstream.name().into(),
        state: match status.phase {
            Phase::Closed => UpstreamState::Up,
            Phase::HalfOpen => UpstreamState::Probing,
            Phase::Open => UpstreamState::Down,
        },
        in_flight: status.in_flight,
        waiting: status.waiting,
        last_error: status.last_error.map(|(fault, _)| fault.to_string().into()),
    }
}
