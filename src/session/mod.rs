//! One client's conversation: what a connection may say, what is asked of backends, and what the answers do.
//!
//! ```text
//! transport ── packet ─► Session ─► Conversation ─► effect ─┬─► edge rule, in place ─► own outbox / switchboard
//!                                                           └─► Lane ─► Backend ─► Reply ─► own outbox, then switchboard
//! ```
//!
//! - [`Session`] is what transports drive: packets in, and a phase that tells when to close.
//! - [`conversation`] decides about packets; it is pure.
//! - [`lane`] keeps the order of a socket's calls; `work` runs it.
//! - [`shard`] holds the sessions of one thread and steps their timers.
//! - [`backend`] is the seam to whoever answers.
//!
//! Promises: the effects of a socket's events are applied in the order in which the client sent them; acknowledgements from
//! clients never wait for calls; a lane that is full stops the reading, and nothing else. Not here: bytes of HTTP and WebSocket,
//! JSON of webhooks.

pub mod admission;
pub mod backend;
pub mod conversation;
pub mod edge;
mod ending;
pub mod heartbeat;
mod joining;
pub mod lane;
mod pressure;
pub mod rate;
pub mod routes;
pub mod settings;
pub mod shard;
pub mod socket;
mod timers;
mod work;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::hub::id::{ConnectionId, SessionId};
use crate::hub::key::ConnectionKey;
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::frame::Frame;
use crate::protocol::socket_io::{self, Event};
use crate::session::backend::ConnectInfo;
use crate::session::conversation::{Conversation, Effect};
use crate::session::heartbeat::Heartbeat;
use crate::session::lane::{Item, QueuedEvent};
use crate::session::shard::{Shard, Timer};
use crate::session::socket::Socket;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Packets are taken.
    Open,
    /// Its sockets have ended; the transport sends what is queued and closes.
    Closing(Reason),
    /// The transport is gone too.
    Closed(Reason),
}

/// Which transport drains the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    WebSocket,
}

impl TransportKind {
    /// The word in queries, webhooks and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// What the transports of one session tell each other.
#[derive(Debug, Default)]
pub struct Link {
    /// A polling body is being read.
    pub posting: Cell<bool>,
    /// A WebSocket with this session's id is open and has not become the transport.
    pub upgrading: Cell<bool>,
    /// The probe was answered: polling requests that wait are released with a noop.
    pub probed: Cell<bool>,
    /// The client has said goodbye by itself: a waiting GET is released rather than told to close.
    pub left: Cell<bool>,
    /// A polling request was aborted before it was handled.
    pub aborted: Cell<bool>,
    /// The WebSocket that waits for the polling request to give the lease back.
    heir: RefCell<Option<Waker>>,
}

/// One client connection (Engine.IO `sid`).
#[derive(Debug)]
pub struct Session {
    /// The hub's key: where its outbox is.
    pub key: ConnectionKey,
    /// The secret by which requests of the same client are known.
    pub sid: SessionId,
    /// The public name.
    pub id: ConnectionId,
    /// Facts about the request that opened it.
    pub info: Rc<ConnectInfo>,
    /// The shard that owns it.
    pub shard: Rc<Shard>,
    /// When it was opened.
    pub opened_at: Instant,
    /// What its transports tell each other.
    pub link: Link,
    phase: Cell<Phase>,
    transport: Cell<TransportKind>,
    decoder: RefCell<socket_io::Decoder>,
    conversation: RefCell<Conversation<Rc<Socket>>>,
    /// Sockets that are joined, being joined, or still settling their lanes.
    sockets: RefCell<Vec<Rc<Socket>>>,
    heartbeat: Cell<Heartbeat>,
    full_lanes: Cell<u32>,
    /// The WebSocket that stopped reading.
    reader: RefCell<Option<Waker>>,
    /// Told when reading may go on and when the session ends. Several wait at once: a POST, and the upgrade beside it.
    changed: Notify,
    /// Those who wait for room in the outbox.
    emptied: RefCell<Vec<Waker>>,
    rested: RefCell<Option<Waker>>,
    retiring: Cell<bool>,
    /// Its number among the sessions that sent no CONNECT.
    opening: Cell<Option<u64>>,
    joined_once: Cell<bool>,
    /// Whether something was performed since the own shard's inbox was last applied.
    unsettled: Cell<bool>,
    /// Tick at which the attachments of a packet became due; 0: none are.
    attachments_since: Cell<u32>,
    armed: timers::Armed,
}

impl Session {
    pub(crate) fn new(
        shard: Rc<Shard>,
        key: ConnectionKey,
        sid: SessionId,
        info: Rc<ConnectInfo>,
        transport: TransportKind,
    ) -> Self {
        let heartbeat = Heartbeat::new(shard.now(), shard.timing(), Shard::random_spread());
        Self {
            key,
            sid,
            id: ConnectionId::random(),
            info,
            shard,
            opened_at: Instant::now(),
            link: Link::default(),
            phase: Cell::new(Phase::Open),
            transport: Cell::new(transport),
            decoder: RefCell::default(),
            conversation: RefCell::default(),
            sockets: RefCell::default(),
            heartbeat: Cell::new(heartbeat),
            full_lanes: Cell::new(0),
            reader: RefCell::default(),
            changed: Notify::new(),
            emptied: RefCell::default(),
            rested: RefCell::default(),
            retiring: Cell::new(false),
            opening: Cell::new(None),
            joined_once: Cell::new(false),
            unsettled: Cell::new(false),
            attachments_since: Cell::new(0),
            armed: timers::Armed::default(),
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether packets are taken.
    pub fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    /// Which transport drains the outbox.
    pub fn transport(&self) -> TransportKind {
        self.transport.get()
    }

    /// The WebSocket has become the transport.
    pub fn upgraded(&self) {
        self.transport.set(TransportKind::WebSocket);
        // In this order the session is counted all the time.
        self.shard.traffic.sessions.websocket.increment();
        self.shard.traffic.sessions.polling.sub(1);
        self.shard.traffic.upgrades.increment();
    }

    /// Whether it is open and no CONNECT ever came.
    pub fn is_opening(&self) -> bool {
        self.opening.get().is_some()
    }

    /// Counts it as opening. Where there are too many now, the oldest is returned: it is to be ended.
    pub fn begin_opening(&self) -> Option<SessionId> {
        let (number, oldest) = self.shard.admission.opening.begin(self.sid);
        self.opening.set(Some(number));
        oldest
    }

    fn no_longer_opening(&self) {
        if let Some(number) = self.opening.take() {
            self.shard.admission.opening.end(number);
        }
    }

    // ---- what the client sends ------------------------------------------------------------------------------------------

    /// Bytes came, of whatever kind: the session is alive.
    pub fn seen(&self, bytes: usize) {
        let mut heartbeat = self.heartbeat.get();
        heartbeat.seen(self.shard.now());
        self.heartbeat.set(heartbeat);
        self.shard.traffic.bytes_in.add(bytes as u64);
    }

    /// A pong came.
    pub fn pong(&self) {
        let mut heartbeat = self.heartbeat.get();
        heartbeat.pong(self.shard.now(), self.shard.timing());
        self.heartbeat.set(heartbeat);
    }

    /// Reading goes on after a pause, unless another lane is full too.
    fn resumed(&self) {
        if self.full_lanes.get() == 0 {
            let mut heartbeat = self.heartbeat.get();
            heartbeat.resumed(self.shard.now());
            self.heartbeat.set(heartbeat);
        }
    }

    /// A text message: the Socket.IO packet after the Engine.IO digit.
    pub fn text(self: &Rc<Self>, text: &str) {
        if !self.is_open() {
            return;
        }
        let mut decoder = self.decoder.borrow_mut();
        match decoder.text(text, &self.shard.packet_limits) {
            Ok(Some(packet)) => self.packet(packet),
            Ok(None) => {
                let now = self.shard.now().max(1);
                self.attachments_since.set(now);
                let limit = self.shard.ticks(self.shard.settings.attachment_timeout);
                self.arm(Timer::Attachments, limit);
            }
            Err(_) => self.unreadable(),
        }
    }

    /// A binary message: an attachment.
    pub fn binary(self: &Rc<Self>, data: Bytes) {
        if !self.is_open() {
            return;
        }
        let mut decoder = self.decoder.borrow_mut();
        match decoder.binary(data, &self.shard.packet_limits) {
            Ok(Some(packet)) => {
                self.attachments_since.set(0);
                self.packet(packet);
            }
            Ok(None) => {}
            Err(_) => self.unreadable(),
        }
    }

    fn unreadable(self: &Rc<Self>) {
        self.shard.traffic.parse_errors.increment("sio");
        self.close(Reason::ParseError, Initiator::Gateway);
    }

    fn packet(self: &Rc<Self>, packet: socket_io::Packet<'_>) {
        self.shard.traffic.packets_in.increment();
        let effect = self
            .conversation
            .borrow_mut()
            .receive(packet, self.shard.second());
        match effect {
            Effect::Connect { namespace, auth } => self.connect(namespace, auth.as_deref()),
            Effect::Event(socket, event) => self.event(&socket, event),
            Effect::Ack(socket, ack) => {
                if let Some(key) = socket.key.get() {
                    self.shard
                        .hub
                        .acknowledge(key, ack.id, &ack.args, ack.attachments);
                }
            }
            Effect::Leave(socket) => self.enqueue_end(&socket),
            Effect::Ignore => {}
            Effect::Close(reason) => {
                if reason == Reason::ParseError {
                    self.shard.traffic.parse_errors.increment("sio");
                }
                self.close(reason, Initiator::Gateway);
            }
        }
    }

    fn event(self: &Rc<Self>, socket: &Rc<Socket>, event: Event<'_>) {
        if self.retiring.get() {
            return self.shard.traffic.dropped.increment("drain");
        }
        let Some(route) = socket.table.event(&event.name) else {
            self.shard.unrouted(&socket.table, &event.name);
            return;
        };
        if !self.within_rate(socket) {
            return;
        }
        let idle = socket.key.get().is_some() && socket.lane.borrow().is_idle();
        if idle && edge::in_place(self, socket, route, &event) {
            return;
        }
        let asks = matches!(route.target, routes::Target::Backend { .. });
        let queued = QueuedEvent {
            seq: asks.then(|| socket.next_seq()),
            at: SystemTime::now(),
            name: event.name.as_ref().into(),
            args: event.args.as_ref().into(),
            id: event.id,
            attachments: event.attachments,
        };
        self.enqueue(socket, Item::Event(Rc::clone(route), queued));
    }

    fn within_rate(self: &Rc<Self>, socket: &Socket) -> bool {
        let limit = self.shard.settings.events_per_socket;
        if limit == 0 {
            return true;
        }
        let (now, per_second) = (self.shard.now(), self.shard.ticks_per_second());
        let (within, far) = {
            let mut rates = socket.rates.borrow_mut();
            let fresh = || {
                (
                    rate::Bucket::new(limit, now),
                    rate::Bucket::new(limit.saturating_mul(10), now),
                )
            };
            let (own, tenfold) = rates.events.get_or_insert_with(fresh);
            let far = !tenfold.take(limit.saturating_mul(10), now, per_second);
            (own.take(limit, now, per_second), far)
        };
        if far {
            self.close(Reason::RateLimited, Initiator::Gateway);
        } else if !within {
            self.shard.traffic.dropped.increment("rate");
        }
        within && !far
    }

    // ---- what the client is sent --------------------------------------------------------------------------------------------

    /// Sends a packet of the session's own, behind what it has already caused.
    fn push(&self, frame: &Frame) {
        self.settle_inbox();
        self.shard.hub.push(self.key, frame);
    }

    /// Applies what is in the own shard's inbox, where this session has put something there: its own answers must not overtake
    /// its own emits.
    fn settle_inbox(&self) {
        if self.unsettled.replace(false) {
            self.shard.catch_up();
        }
    }

    /// Something of this session has gone through the switchboard.
    fn performed(&self) {
        self.unsettled.set(true);
    }

    /// The socket with this key, if it is joined.
    pub(crate) fn socket(&self, key: crate::hub::key::SocketKey) -> Option<Rc<Socket>> {
        self.sockets
            .borrow()
            .iter()
            .find(|s| s.key.get() == Some(key))
            .cloned()
    }

    /// Tick at which bytes came last.
    pub(crate) fn last_seen(&self) -> u32 {
        self.heartbeat.get().last_seen()
    }
}
