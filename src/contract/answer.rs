//! What REST answers (contract 9). Every member is always there, `null` where there is nothing to tell, unless it says otherwise.

use std::time::SystemTime;

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use ulid::Ulid;

use super::clock;
use super::problem::Problem;
use super::query::Cursor;
use crate::hub::action::State;
use crate::hub::id::{ConnectionId, Namespace, NodeTag, Room, SocketId, UserId};
use crate::hub::reads::{Counted, HandshakeRecord, SocketRecord};

/// Headers that are never shown, forwarded or not: they are what a client proves itself by.
const CREDENTIALS: [&str; 2] = ["cookie", "authorization"];

/// A fresh identity for a request that changes something: `em_` and a ULID.
pub fn effect_id() -> String {
    format!("em_{}", Ulid::generate())
}

/// A fresh identity for a request: `req_` and a ULID.
pub fn request_id() -> String {
    format!("req_{}", Ulid::generate())
}

/// Nodes that were asked, and those that answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Nodes {
    /// Asked.
    pub expected: usize,
    /// Answered.
    pub answered: usize,
}

impl Nodes {
    /// A node without others.
    pub const ALONE: Self = Self {
        expected: 1,
        answered: 1,
    };
}

/// 202: done on this node, and on its way to others.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// See [`effect_id`].
    pub id: String,
}

/// 200 to a request with `report`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// See [`effect_id`].
    pub id: String,
    /// Sockets that were touched.
    pub sockets: usize,
    /// Where.
    pub nodes: Nodes,
}

/// 200 to `POST /v1/actions`.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// One for each action, in order; fewer where `stop_on_error` ended the list.
    pub results: Vec<Outcome>,
}

/// What became of one action: `{"status":202}`, or its status and problem.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done on this node, and on its way to others.
    Accepted,
    /// Refused.
    Refused(Problem),
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut object = out.serialize_struct("Outcome", 2)?;
        match self {
            Self::Accepted => object.serialize_field("status", &202)?,
            Self::Refused(problem) => {
                object.serialize_field("status", &problem.code.status())?;
                object.serialize_field("problem", problem)?;
            }
        }
        object.end()
    }
}

/// 200 to a read.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// The items, sorted by the bytes of their names.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
    /// Whose items these are.
    pub nodes: Nodes,
}

/// An item of `GET /v1/namespaces`: a namespace that has sockets.
#[derive(Clone, Debug, Serialize)]
pub struct NamespaceItem {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub name: Namespace,
    /// The pattern of the table that it belongs to.
    #[serde(rename = "match")]
    pub pattern: Box<str>,
    /// Sockets in it.
    pub sockets: usize,
}

/// An item of `GET /v1/rooms`.
#[derive(Clone, Debug, Serialize)]
pub struct RoomItem {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub name: Room,
    /// Sockets in it.
    pub sockets: usize,
}

impl From<Counted<Room>> for RoomItem {
    fn from(room: Counted<Room>) -> Self {
        Self {
            name: room.name,
            sockets: room.sockets,
        }
    }
}

/// An item of `GET /v1/sockets`.
#[derive(Clone, Debug, Serialize)]
pub struct SocketItem {
    #[serde(serialize_with = "text")]
    id: SocketId,
    #[serde(serialize_with = "text")]
    namespace: Namespace,
    #[serde(serialize_with = "text")]
    connection: ConnectionId,
    #[serde(serialize_with = "maybe_text")]
    user: Option<UserId>,
    node: Box<str>,
    transport: &'static str,
    #[serde(serialize_with = "clock::serialize")]
    connected_at: SystemTime,
    #[serde(serialize_with = "clock::serialize")]
    last_seen: SystemTime,
    #[serde(serialize_with = "clock::serialize_maybe")]
    expires_at: Option<SystemTime>,
    #[serde(serialize_with = "texts")]
    rooms: Vec<Room>,
    #[serde(serialize_with = "json")]
    state: Option<State>,
    queue: QueueItem,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake: Option<HandshakeItem>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct QueueItem {
    messages: usize,
    bytes: usize,
}

#[derive(Clone, Debug, Serialize)]
struct HandshakeItem {
    ip: Option<std::net::IpAddr>,
    #[serde(serialize_with = "pairs")]
    headers: Vec<(Box<str>, Box<str>)>,
    #[serde(serialize_with = "pairs")]
    query: Vec<(Box<str>, Box<str>)>,
}

impl SocketItem {
    /// A socket of the node with this name; `None` where its session has ended meanwhile.
    pub fn new(socket: SocketRecord, node: &str) -> Option<Self> {
        let session = socket.session?;
        Some(Self {
            id: socket.id,
            namespace: socket.namespace,
            connection: socket.connection,
            user: socket.user,
            node: node.into(),
            transport: session.transport,
            connected_at: socket.connected_at,
            last_seen: session.last_seen,
            expires_at: socket.expires_at,
            rooms: socket.rooms,
            state: socket.state,
            queue: QueueItem {
                messages: socket.queue_frames,
                bytes: socket.queue_bytes,
            },
            version: socket.version,
            handshake: session.handshake.map(HandshakeItem::from),
        })
    }
}

impl From<HandshakeRecord> for HandshakeItem {
    fn from(mut handshake: HandshakeRecord) -> Self {
        let is_harmless = |name: &str| !CREDENTIALS.contains(&name);
        handshake.headers.retain(|(name, _)| is_harmless(name));
        Self {
            ip: handshake.ip,
            headers: handshake.headers,
            query: handshake.query,
        }
    }
}

/// An item of `GET /v1/nodes`.
#[derive(Clone, Debug, Serialize)]
pub struct NodeItem {
    /// Its name (`server.node`).
    pub name: Box<str>,
    /// What the ids that it gives out begin with.
    #[serde(serialize_with = "text")]
    pub tag: NodeTag,
    /// Version of the gateway.
    pub version: &'static str,
    /// When it was started.
    #[serde(serialize_with = "clock::serialize")]
    pub started_at: SystemTime,
    /// Connections, those without a namespace included.
    pub connections: usize,
    /// Shards.
    pub shards: usize,
    /// Whether clients may come.
    pub state: NodeState,
}

/// Whether clients may come to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// They may.
    Ready,
    /// It is up, but takes no new ones now (memory, start).
    Unready,
    /// It is shutting down.
    Draining,
}

/// An item of `GET /v1/upstreams`.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamItem {
    /// Its name.
    pub name: Box<str>,
    /// Whether it is asked.
    pub state: UpstreamState,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls in the waiting room.
    pub waiting: usize,
    /// What the last failure was, in a few words without payload.
    pub last_error: Option<Box<str>>,
}

/// What the breaker of an upstream lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// Everything.
    Up,
    /// A few probes.
    Probing,
    /// Nothing.
    Down,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn maybe_text<S: Serializer>(user: &Option<UserId>, out: S) -> Result<S::Ok, S::Error> {
    user.as_ref().map(UserId::as_str).serialize(out)
}

fn texts<S: Serializer>(rooms: &[Room], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(rooms.iter().map(Room::as_str))
}

fn pairs<S: Serializer>(pairs: &[(Box<str>, Box<str>)], out: S) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn json<S: Serializer>(state: &Option<State>, out: S) -> Result<S::Ok, S::Error> {
    let parse = |state: &State| serde_json::from_str::<Box<RawValue>>(&state.0);
    let state = state.as_ref().map(parse).transpose();
    state.map_err(serde::ser::Error::custom)?.serialize(out)
}

#[cfg(test)]
mod tests;
