//! What a turn of the hub leaves to the session layer.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::hub::action::{Ending, State};
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::key::{ConnectionKey, SocketKey};
use crate::hub::reads::{Answer, SocketsQuery};
use crate::hub::switchboard::message::Order;

/// What came of the messages in a shard's inbox.
///
/// Carry the effects out at once, in order, and then drop it: that tells the performers that everything is applied.
#[derive(Debug, Default)]
#[must_use = "the effects must be carried out, and dropping it tells performers that they were"]
pub struct Turn {
    /// What must be done now.
    pub effects: Vec<Effect>,
    /// Whether transports wait to be woken in a later turn; [`Hub::ready`](super::Hub::ready) knows too.
    pub unfinished: bool,
    /// Kept for their drop, which tells those who wait for them.
    _applied: Vec<Arc<Order>>,
}

impl Turn {
    pub(crate) fn new(effects: Vec<Effect>, unfinished: bool, applied: Vec<Arc<Order>>) -> Self {
        Self {
            effects,
            unfinished,
            _applied: applied,
        }
    }
}

/// Something that only the session layer can do.
#[derive(Debug)]
pub enum Effect {
    /// A `disconnect` action has ended a socket. It is detached, and its DISCONNECT packet is queued where the ending says so.
    Ended {
        /// The connection it belonged to.
        connection: ConnectionKey,
        /// The socket, which no longer exists.
        socket: SocketKey,
        /// What it was.
        departed: Departed,
        /// How it was ended.
        ending: Ending,
    },
    /// A `disconnect` action closes a connection; its sockets were ended before. Let what is queued go out first.
    CloseConnection {
        /// The connection.
        connection: ConnectionKey,
        /// `Transport` or `Connection`.
        ending: Ending,
    },
    /// A connection does not read. Its queue is cleared and takes nothing more; its sockets still exist.
    Slow {
        /// The connection.
        connection: ConnectionKey,
    },
    /// A socket's hard end was set by an action. It may be in the past.
    Expiry {
        /// The socket.
        socket: SocketKey,
        /// When; `None` is never.
        at: Option<SystemTime>,
    },
    /// A read of sockets, which needs facts of the session. A dropped sender counts as no answer.
    Ask(SocketsQuery, oneshot::Sender<Answer>),
}

/// What a socket was when it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// Public id.
    pub id: SocketId,
    /// Namespace.
    pub namespace: Namespace,
    /// Public name of its connection.
    pub connection_id: ConnectionId,
    /// When its CONNECT was accepted.
    pub connected_at: SystemTime,
    /// The user.
    pub user: Option<UserId>,
    /// The backend's notes.
    pub state: Option<State>,
    /// Rooms at the moment of leaving, sorted; its own id is not among them.
    pub rooms: Vec<Room>,
}
