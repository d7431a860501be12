//! The REST API for backends (contract 9).
//!
//! ```text
//! request ─► trace ─► auth ─► router ─┬─► body ─► contract::rest ──► emit, actions ─► Switchboard::perform…
//!                                     └─► query ► contract::query ─► reads ─────────► Switchboard::ask
//! answer  ◄─ reply ◄─ contract::{answer, acks, problem} ◄────────────────┘
//! ```
//! Promises that a request does nothing or is answered: whatever is refused was refused before anything was handed over, and a
//! 2xx means *applied on this node*. Keys are looked at before anything else, so that nobody without one learns what there is.
//! What a request may cost is bounded: its body in bytes and time, its wait for a place in the shards' queues, its answer. A
//! caller that closes its connection ends the waiting for acknowledgements.
//!
//! Neither keys nor payloads are logged: at `debug` one line per request tells operation, status, key's name and duration.
//!
//! It knows nothing of JSON (contract), of shards (hub) and of connections (server).
//!
//! # Why
//! The API answers until the end of a drain: a backend that is told `draining` could do nothing better than to try again, while
//! clients that are still there can still be reached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::answer::{NodeItem, UpstreamItem};
use crate::contract::rest::RestContext;
use crate::hub::action::UserRoom;
use crate::hub::pattern::Pattern;
use crate::hub::switchboard::Switchboard;

mod acks;
mod actions;
mod auth;
mod body;
mod counters;
mod emit;
mod reads;
mod reply;
mod router;
pub mod settings;
mod throttle;
mod trace;

pub use counters::Counters;

use auth::{Auth, Caller};

/// How long an action waits for its places in the shards' queues before it is refused as `overloaded`.
const PATIENCE: Duration = Duration::from_secs(2);

/// The API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

/// What the API stands on.
pub struct Parts {
    /// Keys and the limit on bodies.
    pub settings: settings::Settings,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Largest packet as a client gets it (`limits.emit`); 0 for any.
    pub max_emit: usize,
    /// The namespaces that there are; the first that matches counts.
    pub namespaces: Vec<NamespaceTable>,
    /// Where actions go.
    pub switchboard: Arc<Switchboard>,
    /// Name of this node in reads.
    pub node_name: Box<str>,
    /// How this node is.
    pub node: Box<dyn Fn() -> NodeItem + Send + Sync>,
    /// How the backends are.
    pub upstreams: Box<dyn Fn() -> Vec<UpstreamItem> + Send + Sync>,
    /// What is counted.
    pub counters: Counters,
}

/// A `[[namespace]]` as far as REST cares.
#[derive(Clone, Debug)]
pub struct NamespaceTable {
    /// The namespaces that it is for.
    pub pattern: Pattern,
    /// Template of a user's room.
    pub user_room: UserRoom,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    auth: Auth,
}

impl Api {
    /// An API with these keys. Without keys it is open to everybody who reaches its listener.
    pub fn new(parts: Parts) -> Self {
        let auth = Auth::new(parts.settings.keys.clone());
        Self(Arc::new(Inner { parts, auth }))
    }

    /// Addresses that wrong keys came from lately.
    pub fn suspects(&self) -> usize {
        self.0.auth.suspects()
    }
}

impl Inner {
    /// What bodies may refer to.
    fn context<'a>(&self, caller: &'a Caller<'_>) -> RestContext<'a> {
        RestContext {
            namespaces: caller,
            max_emit: self.parts.max_emit,
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
