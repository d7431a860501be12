//! What the timers of a session do, and that there are never many of them.
//!
//! # Why
//! The wheel cancels nothing. A lane becomes full and takes the next event a thousand times a second, and a backend may put an
//! expiry off with every reply: were each of these a timer of its own, a client could fill the memory. So a timer that waits is
//! not scheduled again: it looks at how things are when it comes out, and puts itself back for the time that is left.

use std::cell::Cell;
use std::rc::Rc;
use std::time::SystemTime;

use crate::hub::key::SocketKey;
use crate::hub::reason::{Initiator, Reason};
use crate::session::Session;
use crate::session::heartbeat::Beat;
use crate::session::shard::{Shard, Timer};
use crate::session::socket::Socket;

/// Which timers of a session wait in the wheel, of those that are needed again and again.
#[derive(Debug, Default)]
pub(super) struct Armed(Cell<u8>);

impl Armed {
    /// Notes that it waits; false where it did already.
    fn set(&self, timer: Timer) -> bool {
        let bit = 1 << timer as u8;
        self.0.replace(self.0.get() | bit) & bit == 0
    }

    /// It has come out.
    fn clear(&self, timer: Timer) {
        self.0.set(self.0.get() & !(1 << timer as u8));
    }
}

impl Session {
    /// Schedules a timer, unless it waits already: then it comes out earlier, and looks.
    pub(super) fn arm(&self, timer: Timer, in_ticks: u32) {
        if self.armed.set(timer) {
            self.shard.schedule(in_ticks, self.key, timer);
        }
    }

    pub(super) fn beat(&self) -> Beat {
        let mut heartbeat = self.heartbeat.get();
        let beat = heartbeat.check(self.shard.now(), self.shard.timing(), self.is_paused());
        self.heartbeat.set(heartbeat);
        beat
    }

    /// Only connections that have no namespace and no CONNECT waiting are ended. One that waits may be refused yet: then its time
    /// begins anew.
    pub(super) fn connect_timed_out(self: &Rc<Self>) {
        if !self.is_open() || self.joined_once.get() {
            return;
        }
        if self.conversation.borrow().is_empty() {
            return self.close(Reason::ForcedServerClose, Initiator::Gateway);
        }
        let again = self.shard.ticks(self.shard.settings.connect_timeout);
        self.shard.schedule(again, self.key, Timer::Connect);
    }

    /// Ends the session where attachments have been due for too long.
    pub(super) fn look_at_attachments(self: &Rc<Self>) {
        self.armed.clear(Timer::Attachments);
        let since = self.attachments_since.get();
        if since == 0 || !self.is_open() {
            return;
        }
        let limit = self.shard.ticks(self.shard.settings.attachment_timeout);
        let waited = self.shard.now().saturating_sub(since);
        if waited < limit {
            self.arm(Timer::Attachments, limit - waited);
        } else {
            self.unreadable();
        }
    }

    /// Ends the session where a full lane has stood still for too long.
    pub(super) fn look_at_lanes(self: &Rc<Self>) {
        self.armed.clear(Timer::Stall);
        let limit = self.shard.ticks(self.shard.settings.stall_timeout);
        let now = self.shard.now();
        let left = |socket: &Socket| {
            // While a CONNECT is held its own limit counts.
            let held = socket.connecting.borrow().is_some();
            let stood = now.saturating_sub(socket.progress.get());
            if held {
                limit
            } else {
                limit.saturating_sub(stood)
            }
        };
        let sockets = self.sockets.borrow();
        let least = sockets
            .iter()
            .filter(|s| s.full.get())
            .map(|s| left(s))
            .min();
        drop(sockets);
        match least {
            Some(0) => self.close(Reason::BackendStalled, Initiator::Gateway),
            Some(ticks) => self.arm(Timer::Stall, ticks),
            None => {}
        }
    }
}

impl Shard {
    /// Timers are monotonic, `expires_at` is wall time: the distance is taken now, and looked at again when it has passed.
    pub(super) fn watch_expiry(&self, key: SocketKey, at: Option<SystemTime>) {
        let Some(at) = at else { return };
        let connection = self.hub.socket(key, |view| view.connection);
        let session = connection.and_then(|connection| self.session(connection));
        let Some(socket) = session.and_then(|session| session.socket(key)) else {
            return;
        };
        let left = at.duration_since(SystemTime::now()).unwrap_or_default();
        let tick = self.now().saturating_add(self.ticks(left).max(1));
        let waiting = socket.expiry_timer.get();
        if waiting == 0 || tick < waiting {
            socket.expiry_timer.set(tick);
            self.schedule_at(tick, key.as_u64(), Timer::Expiry);
        }
    }

    /// Ends the connection of a socket whose time is over.
    pub(super) fn run_expiry(&self, key: SocketKey) {
        let known = self
            .hub
            .socket(key, |view| (view.connection, view.expires_at));
        let Some((connection, expires_at)) = known else {
            return;
        };
        let Some(session) = self.session(connection) else {
            return;
        };
        if let Some(socket) = session.socket(key)
            && socket.expiry_timer.get() <= self.now()
        {
            socket.expiry_timer.set(0);
        }
        match expires_at {
            Some(at) if at <= SystemTime::now() => {
                session.close(Reason::Expired, Initiator::Server);
            }
            later => self.watch_expiry(key, later),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use futures_util::future::LocalBoxFuture;

    use super::*;
    use crate::hub::action::{Change, UserRoom};
    use crate::hub::id::{NodeTag, ShardId};
    use crate::hub::pattern::Pattern;
    use crate::session::TransportKind;
    use crate::session::admission::{Admission, Bounds};
    use crate::session::backend::{Backend, BackendError, Call, ConnectInfo, Reply};
    use crate::session::routes::Routes;
    use crate::session::settings::{
        Auth, Forward, NamespaceSettings, OnUnavailable, RouteSettings, Settings, TargetSettings,
        Trigger, UpstreamRoute,
    };
    use crate::session::shard::Parts;
    use crate::telemetry::traffic::Traffic;

    /// Answers when it is asked for the second time.
    struct Yielding;

    impl Backend for Yielding {
        fn call(&self, _: Rc<Call>) -> LocalBoxFuture<'_, Result<Reply, BackendError>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(Reply::default())
            })
        }
    }

    /// A shard on which every event is asked, and a session that has joined.
    fn joined() -> (Rc<Shard>, Rc<Session>) {
        let route = RouteSettings {
            name: "r".into(),
            on: Trigger::Event(vec![Pattern::new("*")]),
            target: TargetSettings::Upstream(UpstreamRoute {
                upstream: "app".into(),
                deadline: Duration::from_secs(5),
                idempotent: false,
                max_in_flight: 1,
                auto_ack: true,
            }),
        };
        let namespace = NamespaceSettings {
            pattern: Pattern::new("/"),
            auth: Auth::None,
            user_room: UserRoom::default(),
            forward: Forward::default(),
            on_unavailable: OnUnavailable::Close,
            hold: Duration::from_secs(20),
            routes: vec![route],
        };
        let bounds = Bounds {
            held: 0,
            connections: 0,
            per_address: 0,
            opening: 0,
            shards: 1,
        };
        let parts = Parts {
            hub: crate::hub::tests::hub(),
            id: ShardId::new(0).expect("the first"),
            node: NodeTag::random(),
            settings: Settings {
                lane_events: 1,
                ..Settings::default()
            },
            heartbeat: (Duration::from_secs(25), Duration::from_secs(20)),
            routes: Routes::new(&[namespace], &mut |_, _, _| Rc::new(Yielding)),
            admission: Arc::new(Admission::new(&bounds)),
            counters: Arc::default(),
            traffic: Arc::new(Traffic::new(1)),
            half_outbox: (usize::MAX, usize::MAX),
            began: Instant::now(),
        };
        let shard = Rc::new(Shard::new(parts));
        let session = shard.open(ConnectInfo::default(), TransportKind::WebSocket);
        session.text("0");
        (shard, session)
    }

    #[test]
    fn a_lane_that_is_full_again_and_again_has_one_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.expect("a runtime"), async {
            let (shard, session) = joined();
            let before = shard.timers();
            for n in 0..1000 {
                session.text("2[\"x\"]");
                assert!(session.is_paused(), "{n}");
                session.readable().await;
            }
            assert_eq!(shard.timers(), before + 1);
        });
    }

    #[test]
    fn an_expiry_that_is_put_off_with_every_reply_has_one_timer() {
        let (shard, session) = joined();
        let before = shard.timers();
        let socket = session.sockets.borrow()[0].key.get().expect("joined");
        let in_an_hour = SystemTime::now() + Duration::from_hours(1);
        for second in 0..1000 {
            let at = in_an_hour + Duration::from_secs(second);
            shard.set_expiry(socket, Change::Set(at));
        }
        assert_eq!(shard.timers(), before + 1);
        // An earlier one needs a timer of its own.
        shard.set_expiry(socket, Change::Set(in_an_hour - Duration::from_mins(1)));
        assert_eq!(shard.timers(), before + 2);
    }

    #[test]
    fn attachments_that_come_in_time_have_one_timer() {
        let (shard, session) = joined();
        let before = shard.timers();
        for _ in 0..1000 {
            // An acknowledgement that nobody awaits.
            session.text("61-5[{\"_placeholder\":true,\"num\":0}]");
            session.binary(Bytes::from_static(b"x"));
        }
        assert!(session.is_open());
        assert_eq!(shard.timers(), before + 1);
    }
}
