//! [`Shard`]: the sessions of one thread, their timers, and the way into the hub.
//!
//! Everything here lives on one thread; what other threads want of a shard reaches it through the hub's inbox or the server's
//! mail. Methods first take what they need out of a `RefCell`, then act: no borrow is held while a session is called.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashMap;
use rand::RngExt as _;

use crate::hub::Hub;
use crate::hub::action::{Change, Ending};
use crate::hub::effect::Effect;
use crate::hub::id::{NodeTag, SessionId, ShardId, SocketId};
use crate::hub::key::{ConnectionKey, SocketKey};
use crate::hub::outbox::Outbox;
use crate::hub::reads::{Answer, SessionRecord, SocketsQuery};
use crate::hub::reason::{Initiator, Reason};
use crate::hub::wheel::{Item, Wheel};
use crate::protocol::frame::Frame;
use crate::protocol::socket_io;
use crate::session::admission::Admission;
use crate::session::backend::ConnectInfo;
use crate::session::heartbeat::{Beat, Timing};
use crate::session::lane::Room as LaneRoom;
use crate::session::routes::{Routes, Table, Target};
use crate::session::settings::Settings;
use crate::session::socket::Socket;
use crate::session::{Session, TransportKind};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::traffic::Traffic;

/// How long a closed polling session waits for the GET that will be told so (protocol 1.10).
pub const LINGER: Duration = Duration::from_secs(30);

/// What a timer of a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    /// Ping, or death.
    Beat,
    /// `connect_timeout`.
    Connect,
    /// `attachment_timeout`.
    Attachments,
    /// `stall_timeout` of a full lane.
    Stall,
    /// A socket's hard end.
    Expiry,
    /// A closed session that nobody fetched.
    Linger,
}

impl Timer {
    const ALL: [Self; 6] = [
        Self::Beat,
        Self::Connect,
        Self::Attachments,
        Self::Stall,
        Self::Expiry,
        Self::Linger,
    ];
}

/// What a shard is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who is where.
    pub hub: Hub,
    /// Number of the shard.
    pub id: ShardId,
    /// Tag of the node.
    pub node: NodeTag,
    /// Limits.
    pub settings: Settings,
    /// Heartbeat: from a pong to the next ping, and from a ping to its pong.
    pub heartbeat: (Duration, Duration),
    /// Backends and edge rules.
    pub routes: Routes,
    /// Counts of the node.
    pub admission: Arc<Admission>,
    /// Counts of this shard's hub.
    pub counters: Arc<ShardCounters>,
    /// Counts of this shard's clients.
    pub traffic: Arc<Traffic>,
    /// Half of an outbox, in bytes and frames.
    pub half_outbox: (usize, usize),
    /// When the process began.
    pub began: Instant,
}

/// One shard, as its sessions and transports see it.
#[derive(Debug)]
pub struct Shard {
    /// Who is where.
    pub hub: Hub,
    /// Number of the shard.
    pub id: ShardId,
    /// Tag of the node.
    pub node: NodeTag,
    /// Limits.
    pub settings: Settings,
    /// Limits of packets, ready for the decoder.
    pub packet_limits: socket_io::Limits,
    /// Backends and edge rules.
    pub routes: Routes,
    /// Counts of the node.
    pub admission: Arc<Admission>,
    /// Counts of this shard's clients.
    pub traffic: Arc<Traffic>,
    counters: Arc<ShardCounters>,
    timing: Timing,
    tick: Duration,
    /// By the runtime's clock, which tests can move.
    started: tokio::time::Instant,
    now: Cell<u32>,
    half_outbox: (usize, usize),
    began: Instant,
    sessions: RefCell<HashMap<SessionId, Rc<Session>>>,
    by_key: RefCell<Vec<Option<Rc<Session>>>>,
    wheel: RefCell<Wheel>,
}

impl Shard {
    /// Builds a shard; must be called on its own thread.
    pub fn new(parts: Parts) -> Self {
        let (interval, timeout) = parts.heartbeat;
        let tick =
            (interval.min(timeout) / 20).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let timing = Timing {
            interval: ticks(interval, tick),
            timeout: ticks(timeout, tick),
        };
        let packet_limits = socket_io::Limits {
            attachments: parts.settings.attachments,
            bytes: parts.settings.max_payload,
            depth: parts.settings.json_depth,
        };
        Self {
            hub: parts.hub,
            id: parts.id,
            node: parts.node,
            settings: parts.settings,
            packet_limits,
            routes: parts.routes,
            admission: parts.admission,
            traffic: parts.traffic,
            counters: parts.counters,
            timing,
            tick,
            started: tokio::time::Instant::now(),
            now: Cell::new(1),
            half_outbox: parts.half_outbox,
            began: parts.began,
            sessions: RefCell::default(),
            by_key: RefCell::default(),
            wheel: RefCell::new(Wheel::new()),
        }
    }

    // ---- time ---------------------------------------------------------------------------------------------------------------

    /// Length of a tick.
    pub fn tick_length(&self) -> Duration {
        self.tick
    }

    /// The present, in ticks; only moves forward, starts at 1.
    pub fn now(&self) -> u32 {
        self.now.get()
    }

    /// The present, in whole seconds since the shard began.
    pub fn second(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// A duration in ticks, rounded up.
    pub fn ticks(&self, duration: Duration) -> u32 {
        let tick = self.tick.as_nanos();
        u32::try_from(duration.as_nanos().div_ceil(tick)).unwrap_or(u32::MAX / 2)
    }

    /// Ticks in a second, at least one.
    pub fn ticks_per_second(&self) -> u32 {
        u32::try_from(Duration::from_secs(1).as_nanos() / self.tick.as_nanos())
            .unwrap_or(1)
            .max(1)
    }

    /// Heartbeat in ticks.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Wall time of a past tick.
    pub fn wall_time(&self, tick: u32) -> SystemTime {
        let age = self.tick.saturating_mul(self.now().saturating_sub(tick));
        SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(crate) fn random_spread() -> u32 {
        rand::rng().random_range(0..=200)
    }

    /// Wakes a session's timer in so many ticks. Nothing is ever cancelled: whoever schedules the same again and again, while the
    /// former one still waits, takes memory each time (see `timers`).
    pub(crate) fn schedule(&self, in_ticks: u32, key: ConnectionKey, timer: Timer) {
        let at = self.now().saturating_add(in_ticks.max(1));
        self.schedule_at(at, key.as_u64(), timer);
    }

    /// Wakes a timer at this tick; the key is what the timer is about, in bits.
    pub(super) fn schedule_at(&self, tick: u32, key: u64, timer: Timer) {
        let kind = timer as u8;
        let mut wheel = self.wheel.borrow_mut();
        wheel.schedule(u64::from(tick), Item { key, kind });
    }

    /// Moves the clock and runs what is due.
    pub fn step(&self) {
        self.hub.survey(Instant::now());
        self.traffic
            .ticked_ms
            .set(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let elapsed = self.started.elapsed().as_nanos() / self.tick.as_nanos();
        let now = u32::try_from(elapsed).unwrap_or(u32::MAX - 1) + 1;
        let mut due = Vec::new();
        self.wheel
            .borrow_mut()
            .advance(u64::from(now), |item| due.push(item));
        self.now.set(now);
        for item in due {
            self.run_timer(item.key, Timer::ALL[usize::from(item.kind)]);
        }
        let timers = self.wheel.borrow().len();
        self.traffic.timers.set(timers as u64);
    }

    fn run_timer(&self, bits: u64, timer: Timer) {
        if timer == Timer::Expiry {
            return self.run_expiry(SocketKey::from_u64(bits));
        }
        let Some(session) = self.session(ConnectionKey::from_u64(bits)) else {
            return;
        };
        match timer {
            Timer::Beat => self.beat(&session),
            Timer::Connect => session.connect_timed_out(),
            Timer::Attachments => session.look_at_attachments(),
            Timer::Stall => session.look_at_lanes(),
            Timer::Linger => session.gone(Reason::TransportClose, Initiator::Client),
            Timer::Expiry => {}
        }
    }

    fn beat(&self, session: &Rc<Session>) {
        if !session.is_open() {
            return;
        }
        match session.beat() {
            Beat::Wait(at) => {
                self.schedule(at.saturating_sub(self.now()), session.key, Timer::Beat);
            }
            Beat::Ping(at) => {
                self.push_bytes(session, crate::protocol::engine_io::PING.clone());
                self.schedule(at.saturating_sub(self.now()), session.key, Timer::Beat);
            }
            Beat::Dead => session.fail(Reason::PingTimeout, Initiator::Client),
        }
    }

    // ---- sessions -------------------------------------------------------------------------------------------------------------

    /// Opens a session.
    pub fn open(self: &Rc<Self>, info: ConnectInfo, transport: TransportKind) -> Rc<Session> {
        let sid = SessionId::random(self.node, self.id);
        let key = self.hub.open();
        let session = Rc::new(Session::new(
            Rc::clone(self),
            key,
            sid,
            Rc::new(info),
            transport,
        ));
        self.sessions.borrow_mut().insert(sid, Rc::clone(&session));
        let mut by_key = self.by_key.borrow_mut();
        if by_key.len() <= key.index as usize {
            by_key.resize(key.index as usize + 1, None);
        }
        by_key[key.index as usize] = Some(Rc::clone(&session));
        drop(by_key);
        self.traffic.opened.increment();
        self.gauge(transport).increment();
        self.admission.sessions.take();
        self.beat(&session);
        self.schedule(
            self.ticks(self.settings.connect_timeout),
            key,
            Timer::Connect,
        );
        session
    }

    fn gauge(&self, transport: TransportKind) -> &crate::telemetry::counters::Count {
        match transport {
            TransportKind::Polling => &self.traffic.sessions.polling,
            TransportKind::WebSocket => &self.traffic.sessions.websocket,
        }
    }

    /// A session of this age has ended.
    pub(crate) fn count_closed(&self, transport: TransportKind, reason: Reason, age: Duration) {
        let (closed, lives) = (&self.traffic.closed, &self.traffic.lives);
        let (closed, lives) = match transport {
            TransportKind::Polling => (&closed.polling, &lives.polling),
            TransportKind::WebSocket => (&closed.websocket, &lives.websocket),
        };
        closed.increment(reason.as_str());
        lives.took(age);
    }

    /// The socket is joined with this key, or no longer; returns the former key.
    pub(crate) fn note_key(&self, socket: &Socket, key: Option<SocketKey>) -> Option<SocketKey> {
        let former = socket.key.replace(key);
        let gauge = self.traffic.sockets.at(socket.table.index);
        match (former, key) {
            (None, Some(_)) => gauge.increment(),
            (Some(_), None) => gauge.sub(1),
            (None, None) | (Some(_), Some(_)) => {}
        }
        former
    }

    /// There are too many sessions that sent no CONNECT, and this was the oldest: it ends, unless it has sent one by now.
    pub fn end_opening(&self, sid: &SessionId) {
        if let Some(session) = self.by_sid(sid).filter(|s| s.is_opening()) {
            self.traffic.rejected.increment("opening");
            session.fail(Reason::Overload, Initiator::Gateway);
        }
    }

    /// The session with this id, unless it is closed.
    pub fn by_sid(&self, sid: &SessionId) -> Option<Rc<Session>> {
        self.sessions.borrow().get(sid).cloned()
    }

    /// The session with this key.
    pub fn session(&self, key: ConnectionKey) -> Option<Rc<Session>> {
        self.by_key
            .borrow()
            .get(key.index as usize)
            .and_then(Option::as_ref)
            .filter(|s| s.key == key)
            .cloned()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<Rc<Session>> {
        self.sessions.borrow().values().cloned().collect()
    }

    pub(crate) fn forget(&self, session: &Session) {
        self.gauge(session.transport()).sub(1);
        self.admission.sessions.give_back();
        drop(self.hub.close(session.key));
        let gone = self.sessions.borrow_mut().remove(&session.sid);
        let slot = self
            .by_key
            .borrow_mut()
            .get_mut(session.key.index as usize)
            .and_then(Option::take);
        // Dropped here, after the borrows ended: a session may hold the last handle of something that borrows again.
        drop((gone, slot));
    }

    /// Why a new handshake is to be refused: there are as many sessions as connections may be, or no CONNECT could be decided
    /// now and it would only wait.
    pub fn is_undecidable(&self) -> Option<&'static str> {
        if self.admission.is_full_of_sessions() {
            return Some("limit");
        }
        if self.admission.held.is_full() {
            return Some("held");
        }
        let closed = |table: &Rc<Table>| {
            table.connect().is_some_and(
                |route| matches!(&route.target, Target::Backend { backend, .. } if !backend.is_reachable()),
            )
        };
        let tables = self.routes.tables();
        (!tables.is_empty() && tables.iter().all(closed)).then_some("breaker")
    }

    pub(crate) fn socket_id(&self) -> SocketId {
        SocketId::random(self.node, self.id)
    }

    pub(crate) fn lane_room(&self) -> LaneRoom {
        LaneRoom {
            events: self.settings.lane_events,
            bytes: self.settings.lane_bytes,
        }
    }

    pub(crate) fn unrouted(&self, table: &Table, name: &str) {
        self.traffic.dropped.increment("unrouted");
        if table.first_unrouted(name) {
            let namespace = &*table.label;
            let hint =
                format!("add a [[namespace.route]] with event = {name:?} to match = {namespace:?}");
            tracing::info!(
                namespace,
                event = name,
                hint,
                "an event without a route is dropped"
            );
        }
    }

    /// A packet was encoded on this shard.
    pub(crate) fn count_encoding(&self) {
        self.counters.encodings.increment();
    }

    pub(crate) fn is_half_full(&self, session: &Session) -> bool {
        let (bytes, frames) = self.half_outbox;
        let full = |outbox: &mut Outbox| outbox.bytes() > bytes || outbox.len() > frames;
        self.hub.outbox(session.key, full).unwrap_or(false)
    }

    pub(crate) async fn half_empty(&self, session: &Session) {
        std::future::poll_fn(|cx| {
            if !self.is_half_full(session) {
                return std::task::Poll::Ready(());
            }
            session.wait_for_outbox(cx.waker());
            std::task::Poll::Pending
        })
        .await;
    }

    // ---- the hub's effects ------------------------------------------------------------------------------------------------------

    /// Applies what is in this shard's inbox, now.
    pub fn catch_up(&self) {
        let mut turn = self.hub.turn();
        for effect in turn.effects.drain(..) {
            self.run(effect);
        }
        // Only now those who wait for what was applied are told.
        drop(turn);
    }

    /// Does what the hub cannot do alone.
    fn run(&self, effect: Effect) {
        match effect {
            Effect::Ended {
                connection,
                socket,
                departed,
                ending,
            } => {
                let Some(session) = self.session(connection) else {
                    return;
                };
                let reason = match ending {
                    Ending::Transport => Reason::ForcedServerClose,
                    Ending::Namespace | Ending::Connection => Reason::ServerNamespaceDisconnect,
                };
                if let Some(socket) = session.socket(socket) {
                    session.ended_by_action(&socket, reason, departed);
                }
            }
            Effect::CloseConnection { connection, ending } => {
                let reason = match ending {
                    Ending::Transport => Reason::ForcedServerClose,
                    Ending::Namespace | Ending::Connection => Reason::ServerNamespaceDisconnect,
                };
                if let Some(session) = self.session(connection) {
                    session.close(reason, Initiator::Server);
                }
            }
            Effect::Slow { connection } => {
                if let Some(session) = self.session(connection) {
                    session.cut(Reason::SlowConsumer, Initiator::Gateway);
                }
            }
            Effect::Expiry { socket, at } => self.watch_expiry(socket, at),
            // Whoever asked may have left.
            Effect::Ask(query, reply) => drop(reply.send(self.answer(&query))),
        }
    }

    /// The part of a read that only sessions know.
    fn answer(&self, query: &SocketsQuery) -> Answer {
        let records = self.hub.sockets(query).into_iter().filter_map(|key| {
            let (mut record, connection) = self
                .hub
                .socket(key, |view| (view.record(), view.connection))?;
            record.session = self.session(connection).map(|session| {
                let table = self.routes.table(&record.namespace);
                let table = table.filter(|_| query.handshake);
                SessionRecord {
                    transport: session.transport().as_str(),
                    last_seen: self.wall_time(session.last_seen()),
                    handshake: table.map(|table| table.forwarded(&session.info)),
                }
            });
            Some(record)
        });
        Answer::Sockets(records.collect())
    }

    pub(crate) fn set_expiry(&self, key: SocketKey, change: Change<SystemTime>) {
        let at = match &change {
            Change::Set(at) => Some(*at),
            Change::Keep | Change::Clear => None,
        };
        self.hub.set_expiry(key, change);
        self.watch_expiry(key, at);
    }

    /// Sends a ready frame of the transport: a ping, a pong, the open packet.
    pub fn push_bytes(&self, session: &Session, frame: bytes::Bytes) {
        self.hub.push(session.key, &Frame::new(frame, Vec::new()));
    }

    /// Timers that wait.
    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.wheel.borrow().len()
    }

    /// Closes every session, as a drain does.
    pub fn shut_down(&self) {
        for session in self.sessions() {
            session.close(Reason::ServerShuttingDown, Initiator::Gateway);
        }
    }
}

fn ticks(duration: Duration, tick: Duration) -> u32 {
    u32::try_from(duration.as_nanos() / tick.as_nanos())
        .unwrap_or(u32::MAX / 4)
        .max(1)
}
