//! What an operator sets about conversations, namespaces and routes (TOML tables `socket`, `limits`, `namespace`).

use std::time::Duration;

use crate::hub::action::UserRoom;
use crate::hub::pattern::Pattern;

/// Limits of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A connection with no namespace and no CONNECT waiting is closed after this time.
    pub connect_timeout: Duration,
    /// CONNECTs waiting for a decision, per node; beyond: transport close.
    pub held: usize,
    /// Attachments per packet.
    pub attachments: usize,
    /// Time for all attachments of a packet to arrive.
    pub attachment_timeout: Duration,
    /// Nesting of a client's JSON.
    pub json_depth: usize,
    /// Bytes of one packet, text and attachments together (`engine.max_payload`).
    pub max_payload: usize,
    /// Namespaces per connection, those that still settle included.
    pub namespaces_per_connection: usize,
    /// Events per second and socket; 0: unlimited. Over it: dropped; at ten times: closed as `rate limited`.
    pub events_per_socket: u32,
    /// Events in one lane.
    pub lane_events: usize,
    /// Bytes in one lane.
    pub lane_bytes: usize,
    /// A full lane that finishes no call for so long closes the connection (`backend stalled`).
    pub stall_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            held: 10_000,
            attachments: 10,
            attachment_timeout: Duration::from_secs(10),
            json_depth: 64,
            max_payload: 1_000_000,
            namespaces_per_connection: 16,
            events_per_socket: 0,
            lane_events: 64,
            lane_bytes: 256 << 10,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// One `[[namespace]]`. The first whose pattern matches wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// Names that this table is for.
    pub pattern: Pattern,
    /// Who decides about CONNECT.
    pub auth: Auth,
    /// Template of a user's room.
    pub user_room: UserRoom,
    /// What of the first request a `connect` call carries.
    pub forward: Forward,
    /// What a client gets when no decision came within `hold`.
    pub on_unavailable: OnUnavailable,
    /// How long a CONNECT waits for a decision.
    pub hold: Duration,
    /// First match wins.
    pub routes: Vec<RouteSettings>,
}

/// Who decides about CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// The route for `connect`.
    #[default]
    Webhook,
    /// Everybody is let in. A `connect` route may still be there: no.
    None,
}

/// What of the request that opened the connection is told to a backend. `["*"]` is [`Allow::All`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Forward {
    /// Headers inside the body; lower case.
    pub headers: Allow,
    /// Query parameters inside the body.
    pub query: Allow,
    /// Headers that are also sent as real headers with `connect`; lower case.
    pub pass: Vec<Box<str>>,
}

/// A list of names, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Every name.
    All,
    /// These only.
    Only(Vec<Box<str>>),
}

impl Default for Allow {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Allow {
    /// Whether the name is let through.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| &**n == name),
        }
    }
}

/// Outcome of a CONNECT without decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnUnavailable {
    /// Transport close: the client comes back by itself.
    #[default]
    Close,
    /// `CONNECT_ERROR` `unavailable`: the application must reconnect.
    Reject,
}

/// One `[[namespace.route]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// Name for metrics and logs.
    pub name: Box<str>,
    /// What it is for.
    pub on: Trigger,
    /// What happens.
    pub target: TargetSettings,
}

/// What a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The life of a socket.
    Life(Vec<Life>),
    /// Events by name.
    Event(Vec<Pattern>),
}

/// Steps in the life of a socket that a route can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// A client wants to join.
    Connect,
    /// A socket has ended.
    Disconnect,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSettings {
    /// Asks a backend.
    Upstream(UpstreamRoute),
    /// Sends the event on to other clients.
    Relay(Relay),
    /// Answers with the event's own arguments.
    Echo,
    /// Acknowledges with `[]`.
    Ok,
    /// Does nothing; counted.
    Drop,
}

/// The name of the upstream that is inside the program. Only a configuration that is part of the program has it.
pub const BUILT_IN: &str = "builtin";

/// A route to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRoute {
    /// Name of the `[[upstream]]`.
    pub upstream: Box<str>,
    /// Time for an answer from the moment a call is first in its lane, waiting and retries included.
    pub deadline: Duration,
    /// Whether a call may be repeated after the backend may have seen it.
    pub idempotent: bool,
    /// Calls of one lane that may overlap.
    pub max_in_flight: usize,
    /// Whether a success without `ack` is acknowledged with `[]`.
    pub auto_ack: bool,
}

/// A `relay` edge rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The recipients.
    pub to: RelayTo,
    /// Only rooms that begin so.
    pub prefix: Box<str>,
    /// Whether the sender is left out.
    pub except_self: bool,
    /// Whether sockets that cannot take it now lose it.
    pub volatile: bool,
    /// Whether `{"socket":…,"user":…}` is appended.
    pub stamp: bool,
    /// Events per second and socket; `None`: unlimited. Burst: one second.
    pub rate: Option<u32>,
    /// Bytes of text and attachments.
    pub max_bytes: usize,
}

/// Recipients of a relayed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayTo {
    /// The whole namespace.
    All,
    /// The sender's rooms.
    Rooms,
    /// The room named by the first argument, if the sender is in it.
    Arg,
}
