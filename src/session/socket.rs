//! [`Socket`]: a session's presence in one namespace, from its CONNECT until its last call is answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use crate::hub::action::State;
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::key::SocketKey;
use crate::hub::reason::{Initiator, Reason};
use crate::session::backend::{Call, SocketFacts};
use crate::session::lane::Lane;
use crate::session::rate::Bucket;
use crate::session::routes::Table;

/// What the session knows about a socket; its rooms, user and state are the hub's while it is joined.
#[derive(Debug)]
pub struct Socket {
    /// Public id.
    pub id: SocketId,
    /// Namespace.
    pub namespace: Namespace,
    /// Public name of the connection.
    pub connection: ConnectionId,
    /// What is the same for the whole namespace.
    pub table: Rc<Table>,
    /// The hub's key while the socket is joined.
    pub key: Cell<Option<SocketKey>>,
    /// What is still to be done.
    pub lane: RefCell<Lane>,
    /// The next number (contract 2, `seq`).
    seq: Cell<u64>,
    /// Numbers whose outcome was a failure.
    pub undelivered: Cell<u64>,
    /// Whether its CONNECT was accepted, even if the client had left by then.
    pub accepted: Cell<Option<SystemTime>>,
    /// How it ended, once it has.
    pub ended: RefCell<Option<Ended>>,
    /// Whether the lane's last item is already in it.
    pub ending: Cell<bool>,
    /// When the CONNECT came.
    pub asked_at: SystemTime,
    /// The question whether it may join, while that is undecided.
    pub connecting: RefCell<Option<Rc<Call>>>,
    /// Tick of the earliest timer that waits for its expiry; 0: none does.
    pub expiry_timer: Cell<u32>,
    /// Tick of the last finished call, for `stall_timeout`.
    pub progress: Cell<u32>,
    /// Whether the lane is full and reading has stopped for it.
    pub full: Cell<bool>,
    /// Event rate limits: the limit itself, ten times the limit, and those of relay rules by name.
    pub rates: RefCell<Rates>,
}

/// Token buckets; they exist only where a limit is configured.
#[derive(Debug, Default)]
pub struct Rates {
    /// `events_per_socket`, and ten times as much.
    pub events: Option<(Bucket, Bucket)>,
    /// Of `relay` rules, by the address of the route.
    pub relays: Vec<(usize, Bucket)>,
}

/// How a socket ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Why.
    pub reason: Reason,
    /// Who ended it.
    pub initiator: Initiator,
    /// When.
    pub at: SystemTime,
    /// Rooms at the moment of leaving.
    pub rooms: Vec<Room>,
    /// The user then.
    pub user: Option<UserId>,
    /// The state then.
    pub state: Option<State>,
}

impl Ended {
    /// By the client's DISCONNECT, now.
    pub fn left() -> Self {
        Self {
            reason: Reason::ClientNamespaceDisconnect,
            initiator: Initiator::Client,
            at: SystemTime::now(),
            rooms: Vec::new(),
            user: None,
            state: None,
        }
    }
}

impl Socket {
    /// A socket whose CONNECT has just come.
    pub fn new(
        id: SocketId,
        namespace: Namespace,
        connection: ConnectionId,
        table: Rc<Table>,
    ) -> Self {
        Self {
            id,
            namespace,
            connection,
            table,
            key: Cell::new(None),
            lane: RefCell::default(),
            seq: Cell::new(0),
            undelivered: Cell::new(0),
            accepted: Cell::new(None),
            ended: RefCell::new(None),
            ending: Cell::new(false),
            asked_at: SystemTime::now(),
            connecting: RefCell::default(),
            expiry_timer: Cell::new(0),
            progress: Cell::new(0),
            full: Cell::new(false),
            rates: RefCell::default(),
        }
    }

    /// Takes the next number.
    pub fn next_seq(&self) -> u64 {
        let seq = self.seq.get();
        self.seq.set(seq + 1);
        seq
    }

    /// What a backend is told, with this user and state.
    pub fn facts(&self, user: Option<UserId>, state: Option<State>) -> SocketFacts {
        SocketFacts {
            id: self.id,
            namespace: self.namespace.clone(),
            connection: self.connection,
            user,
            state,
        }
    }

    /// Whether it has ended, or its lane will end it.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }
}
