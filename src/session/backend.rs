//! [`Backend`]: whoever answers what a client did. The only trait that the core asks of the world.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::hub::action::{Action, Change, State};
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::reason::{Initiator, Reason};

/// Answers a call. Implementations own their deadlines: a call always ends.
pub trait Backend {
    /// Asks; dropping the future gives the call up.
    fn call(&self, call: Rc<Call>) -> LocalBoxFuture<'_, Result<Reply, BackendError>>;

    /// Whether a call could be tried now. False only while an open breaker forbids it.
    fn is_reachable(&self) -> bool {
        true
    }
}

/// Something that a client did, told to a backend.
#[derive(Debug)]
pub struct Call {
    /// Identity of the call, the same in all attempts: the backend's idempotency key.
    pub id: ulid::Ulid,
    /// When it happened.
    pub at: SystemTime,
    /// Number within the socket, without gaps for a route that always answers.
    pub seq: u64,
    /// The socket as it is when the call starts.
    pub socket: SocketFacts,
    /// What happened.
    pub kind: CallKind,
    /// Whether the client has left meanwhile: then an undecided CONNECT is not asked again.
    pub abandoned: Cell<bool>,
    /// How often its backend was asked so far: an undecided CONNECT may be called again.
    pub attempts: Cell<u32>,
}

impl Call {
    /// A call with a fresh identity.
    pub fn new(at: SystemTime, seq: u64, socket: SocketFacts, kind: CallKind) -> Self {
        Self {
            id: ulid::Ulid::generate(),
            at,
            seq,
            socket,
            kind,
            abandoned: Cell::new(false),
            attempts: Cell::new(0),
        }
    }
}

/// What a backend is told about a socket with each call.
#[derive(Clone, Debug)]
pub struct SocketFacts {
    /// Public id.
    pub id: SocketId,
    /// Namespace.
    pub namespace: Namespace,
    /// Public name of the connection.
    pub connection: ConnectionId,
    /// The user, where a reply has set one.
    pub user: Option<UserId>,
    /// The backend's own notes.
    pub state: Option<State>,
}

/// The kinds of calls.
#[derive(Debug)]
pub enum CallKind {
    /// A client wants to join a namespace.
    Connect {
        /// JSON object of the CONNECT packet, `{}` where there was none.
        auth: Box<str>,
        /// What is known of the connection's first request.
        info: Rc<ConnectInfo>,
        /// Transport at the time of CONNECT.
        transport: &'static str,
        /// How long the answer may take before the CONNECT counts as undecided, retries included.
        hold: Duration,
    },
    /// A client sent an event.
    Event {
        /// Event name.
        name: Box<str>,
        /// The arguments as the client wrote them: JSON values with commas between, without the brackets.
        args: Box<str>,
        /// Binary attachments, in order.
        attachments: Vec<Bytes>,
        /// Whether the client asked for an acknowledgement.
        ack: bool,
    },
    /// A socket has ended. A notice: nobody waits for the answer.
    Disconnect {
        /// Why.
        reason: Reason,
        /// Who ended it.
        initiator: Initiator,
        /// How long the socket lived.
        duration: Duration,
        /// Rooms at the moment of leaving, the socket's own id excluded.
        rooms: Vec<Room>,
        /// Numbers whose outcome was a failure.
        undelivered: u64,
        /// When the socket's CONNECT came: its notice has a deterministic id made of this.
        asked_at: SystemTime,
    },
}

/// Facts about the request that opened a connection, copied out of it.
#[derive(Clone, Debug, Default)]
pub struct ConnectInfo {
    /// Address of the client, after trusted proxies were taken away.
    pub ip: Option<std::net::IpAddr>,
    /// Headers, names in lower case, several values joined; only those that some namespace forwards or passes.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Query parameters, the last of repeated ones; `sid`, `t`, `j` and `b64` never.
    pub query: Vec<(Box<str>, Box<str>)>,
    /// Engine.IO revision, 3 or 4.
    pub protocol: u8,
    /// Whether the connection is encrypted up to us.
    pub tls: bool,
}

/// A backend's answer, validated as a whole.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// A refusal; only from a `connect`, and then nothing else counts.
    pub reject: Option<Reject>,
    /// The socket's user.
    pub user: Change<UserId>,
    /// The socket's state.
    pub state: Change<State>,
    /// The socket's hard end.
    pub expires_at: Change<SystemTime>,
    /// Rooms to join; only from a `connect`.
    pub rooms: Vec<Room>,
    /// The acknowledgement and the actions, in the order in which they run. At most one is an acknowledgement.
    pub steps: Vec<Step>,
}

/// One effect of a reply.
#[derive(Clone, Debug)]
pub enum Step {
    /// Answers the client's request for an acknowledgement; nothing where it did not ask.
    Ack(Payload),
    /// An action.
    Action(Action),
}

/// Arguments to a client: JSON values with commas between, without the brackets, and the bytes that placeholders in them mean.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The JSON text; placeholders are numbered in order of first use.
    pub args: Box<str>,
    /// The attachments.
    pub attachments: Vec<Bytes>,
}

/// A refused CONNECT, as the client will see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Text of the error, at most 200 bytes.
    pub message: Box<str>,
    /// JSON value for the client, at most 4 KiB.
    pub data: Option<Box<str>>,
}

/// Why a call has no reply, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The backend decided against this call (a 4xx). Final.
    #[error("the backend refused the call")]
    Refused,
    /// The answer could not be understood. Final for an event, no decision for a CONNECT.
    #[error("the backend's answer is invalid")]
    BadReply,
    /// No answer within the deadline. No decision.
    #[error("the backend is unavailable")]
    Unavailable {
        /// What the backend last said about when to come back.
        retry_after: Option<Duration>,
    },
}
