//! The hub as the session layer sees it, on one shard.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::hub::action::{Audience, Ending, Names, Target};
use crate::hub::id::{ConnectionId, Namespace, NodeTag};
use crate::hub::outbox::Sink;

pub(crate) fn room(name: &str) -> Room {
    Room::new(name).expect("a valid room")
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a valid namespace")
}

pub(crate) fn frame(text: &str) -> Frame {
    Frame::new(Bytes::copy_from_slice(text.as_bytes()), Vec::new())
}

pub(crate) fn to_rooms(names: &[&str]) -> Audience {
    let names = Names {
        rooms: names.iter().map(|name| room(name)).collect(),
        sockets: Vec::new(),
    };
    Audience {
        namespace: namespace("/"),
        to: Target::Names(names),
        except: Names::default(),
    }
}

pub(crate) fn to_all() -> Audience {
    Audience {
        namespace: namespace("/"),
        to: Target::All,
        except: Names::default(),
    }
}

pub(crate) fn emit(to: Audience, text: &str) -> Action {
    Action::Emit {
        to,
        frame: frame(text),
        volatile: false,
    }
}

/// The hubs of all shards.
pub(crate) fn hubs(shards: usize, limits: &Settings) -> Vec<Hub> {
    let switchboard = Switchboard::new(NodeTag::random(), shards, limits);
    let hubs = (0..shards).map(|shard| {
        let shard = ShardId::new(shard).expect("a few shards");
        Hub::new(
            shard,
            Arc::clone(&switchboard),
            limits.clone(),
            Arc::default(),
        )
    });
    hubs.collect()
}

/// A hub of one shard.
pub(crate) fn hub_with(limits: &Settings) -> Hub {
    hubs(1, limits).remove(0)
}

pub(crate) fn hub() -> Hub {
    hub_with(&Settings::default())
}

impl Hub {
    /// A connection with one socket in `/`.
    pub(crate) fn client(&self) -> (ConnectionKey, SocketKey) {
        let connection = self.open();
        (connection, self.socket_in(connection, "/"))
    }

    pub(crate) fn socket_in(&self, connection: ConnectionKey, name: &str) -> SocketKey {
        let new = NewSocket {
            id: SocketId::random(self.switchboard.node(), self.shard),
            namespace: namespace(name),
            connection_id: ConnectionId::random(),
            connected_at: SystemTime::UNIX_EPOCH,
        };
        self.attach(connection, &new)
            .expect("the connection is open")
    }

    pub(crate) fn id(&self, socket: SocketKey) -> SocketId {
        self.socket(socket, |view| view.id)
            .expect("the socket lives")
    }

    /// Takes what a client has got, as text.
    pub(crate) fn received(&self, connection: ConnectionKey) -> Vec<String> {
        let frames = self.outbox(connection, |outbox| outbox.take(usize::MAX, usize::MAX));
        let frames = frames.unwrap_or_default().into_iter();
        frames
            .map(|frame| String::from_utf8_lossy(&frame).into_owned())
            .collect()
    }

    /// Hands over at once and turns.
    pub(crate) fn act_now(&self, action: Action) -> Turn {
        let now = Instant::now();
        let _handed_over = self.perform(action, now).now_or_never();
        self.turn()
    }
}

#[test]
fn an_emit_to_a_room_reaches_its_members_and_nobody_else() {
    let hub = hub();
    let ((a, in_room), (b, _)) = (hub.client(), hub.client());
    assert_eq!(hub.join(in_room, &[room("r")]).sockets, 1);
    assert!(
        hub.act_now(emit(to_rooms(&["r"]), "hello"))
            .effects
            .is_empty()
    );
    assert_eq!(hub.received(a), ["hello"]);
    assert_eq!(hub.received(b), [""; 0]);
}

#[test]
fn a_disconnect_ends_every_namespace_of_the_connection_where_it_says_so() {
    let hub = hub();
    let (connection, socket) = hub.client();
    hub.socket_in(connection, "/chat");
    let to = Audience::socket(namespace("/"), hub.id(socket));
    let ending = Ending::Connection;
    let turn = hub.act_now(Action::Disconnect {
        to,
        ending,
        reason: None,
    });
    assert_eq!(turn.effects.len(), 3);
    assert!(matches!(turn.effects[2], Effect::CloseConnection { .. }));
    let packets = hub.received(connection);
    assert_eq!(packets, ["\u{fffd}\u{2}41", "\u{fffd}\u{8}41/chat,"]);
}

/// A sink whose kernel takes everything or nothing.
struct Kernel {
    is_open: Cell<bool>,
    taken: Cell<usize>,
}

impl Kernel {
    fn new(is_open: bool) -> Rc<Self> {
        Rc::new(Self {
            is_open: Cell::new(is_open),
            taken: Cell::new(0),
        })
    }
}

impl Sink for Kernel {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.is_open.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.taken.set(self.taken.get() + bytes);
        Ok(bytes)
    }
}

impl Hub {
    fn counters(&self) -> Arc<ShardCounters> {
        Arc::clone(&self.state.borrow().counters)
    }

    /// A client behind a kernel.
    fn client_behind(&self, kernel: &Rc<Kernel>) -> (ConnectionKey, SocketKey) {
        let (connection, socket) = self.client();
        let sink: Rc<dyn Sink> = Rc::<Kernel>::clone(kernel);
        assert!(
            self.outbox(connection, |outbox| outbox.set_sink(Some(sink)))
                .is_some()
        );
        (connection, socket)
    }

    /// Polls the transport's write once, into the void or against a wall.
    fn write(&self, connection: ConnectionKey, now: Instant, takes: bool) -> Option<Vec<u8>> {
        let mut written = Vec::new();
        let done = self.outbox(connection, |outbox| {
            outbox.write(now, &mut |slices| {
                if !takes {
                    return Poll::Pending;
                }
                for slice in slices {
                    written.extend_from_slice(slice);
                }
                Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
            })
        });
        done.filter(Poll::is_ready).map(|_| written)
    }
}

fn slow(turn: &Turn) -> Vec<ConnectionKey> {
    let slow = turn.effects.iter().map(|effect| match effect {
        Effect::Slow { connection } => *connection,
        other => panic!("only slow consumers: {other:?}"),
    });
    slow.collect()
}

/// Issue 3, section 3: of 100 members 10 stop reading at 1 KiB × 50/s. The 90 get all in order, the 10 are cut, and the gauges
/// of the queues never pass their bounds.
#[test]
fn who_does_not_read_is_cut_and_hurts_nobody() {
    let limits = Settings {
        outbox: 64 * 1024,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let counters = hub.counters();
    let clients: Vec<_> = (0..100).map(|_| hub.client()).collect();
    let (readers, sleepers) = clients.split_at(90);
    let wall = Kernel::new(false);
    for (connection, socket) in &clients {
        hub.join(*socket, &[room("r")]);
        let is_sleeper = sleepers.iter().any(|(sleeper, _)| sleeper == connection);
        let sink = is_sleeper.then(|| -> Rc<dyn Sink> { Rc::<Kernel>::clone(&wall) });
        assert!(
            hub.outbox(*connection, |outbox| outbox.set_sink(sink))
                .is_some()
        );
    }
    let mut cut = Vec::new();
    let mut received = vec![Vec::new(); readers.len()];
    for number in 0..500 {
        let text = format!("{number:01024}");
        cut.extend(slow(&hub.act_now(emit(to_rooms(&["r"]), &text))));
        assert!(counters.queue_max_bytes.get() <= limits.outbox as u64);
        assert!(counters.queue_bytes.get() <= 90 * 1024 + 10 * limits.outbox as u64);
        for ((reader, _), list) in readers.iter().zip(&mut received) {
            list.extend(
                hub.received(*reader)
                    .iter()
                    .map(|text| text.parse::<usize>().expect("a number")),
            );
        }
    }
    assert!(received.iter().all(|list| list.iter().copied().eq(0..500)));
    let expected: Vec<ConnectionKey> = sleepers.iter().map(|(sleeper, _)| *sleeper).collect();
    cut.sort_unstable();
    assert_eq!(cut, expected, "each once");
    assert_eq!(counters.slow_consumers.get(), 10);
    assert_eq!(
        (counters.queue_bytes.get(), counters.queue_frames.get()),
        (0, 0)
    );
}

#[test]
fn a_healthy_reader_is_never_called_slow() {
    let limits = Settings {
        outbox: 1000,
        outbox_frames: 3,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let kernel = Kernel::new(true);
    let (connection, _) = hub.client_behind(&kernel);
    let now = Instant::now();
    for _ in 0..100 {
        let _handed_over = hub
            .perform(emit(to_all(), &"x".repeat(400)), now)
            .now_or_never();
    }
    assert!(hub.turn().effects.is_empty());
    let left = hub
        .outbox(connection, |outbox| outbox.bytes())
        .expect("it is open");
    assert_eq!(kernel.taken.get() + left, 100 * 400);
}

#[test]
fn a_cut_by_an_own_packet_comes_with_the_next_turn_and_rings() {
    let limits = Settings {
        outbox_frames: 2,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let (connection, _) = hub.client();
    for _ in 0..3 {
        hub.push(connection, &frame("ack"));
    }
    assert_eq!(hub.ready().now_or_never(), Some(()));
    assert_eq!(slow(&hub.turn()), [connection]);
    assert!(hub.turn().effects.is_empty(), "once");
}

#[test]
fn a_busy_inbox_lets_the_other_tasks_go_first() {
    let hub = hub();
    hub.client();
    let mut ready = std::pin::pin!(hub.ready());
    assert_eq!(ready.as_mut().now_or_never(), None, "nothing is there");
    let _handed_over = hub
        .perform(emit(to_all(), "x"), Instant::now())
        .now_or_never();
    assert_eq!(ready.now_or_never(), Some(()), "the bell has rung");
    let mut again = std::pin::pin!(hub.ready());
    assert_eq!(again.as_mut().now_or_never(), None, "it gives way once");
    assert_eq!(again.now_or_never(), Some(()));
    drop(hub.turn());
    assert_eq!(hub.ready().now_or_never(), None);
}

#[test]
fn a_packet_larger_than_the_bound_leaves_in_all_its_parts() {
    let limits = Settings {
        outbox: 4,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let (connection, _) = hub.client();
    let parts = vec![Bytes::from_static(b"attachment")];
    hub.push(connection, &Frame::new(Bytes::from_static(b"text"), parts));
    // Whoever looks at the queue meanwhile does no harm.
    hub.outbox(connection, |_| ()).expect("it is open");
    let taken = hub.outbox(connection, |outbox| outbox.take(9, 99));
    assert_eq!(taken.map(|frames| frames.len()), Some(2));
    assert_eq!(slow(&hub.turn()), []);
}

/// Contract 7: dropped where the transport could not take it when the action list began, and only there.
#[test]
fn a_volatile_packet_is_lost_only_where_the_transport_was_blocked_before() {
    let limits = Settings {
        outbox_frames: 2,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let counters = hub.counters();
    let (connection, _) = hub.client();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let volatile = |begun| {
        let action = Action::Emit {
            to: to_all(),
            frame: frame("volatile"),
            volatile: true,
        };
        let _handed_over = hub.perform(action, begun).now_or_never();
        assert!(hub.turn().effects.is_empty(), "it makes nobody slow");
    };
    // What is queued, but was not refused, does not count.
    hub.push(connection, &frame("queued"));
    volatile(at(1));
    assert_eq!(hub.outbox(connection, |outbox| outbox.len()), Some(2));
    // Nor does a refusal after the beginning; but here the bound is reached.
    assert!(hub.write(connection, at(2), false).is_none());
    volatile(at(1));
    assert_eq!(counters.volatile_dropped.get(), 1);
    assert!(hub.write(connection, at(3), true).is_some());
    hub.push(connection, &frame("refused"));
    assert!(hub.write(connection, at(4), false).is_none());
    volatile(at(3));
    assert_eq!(hub.outbox(connection, |outbox| outbox.len()), Some(2));
    let written = hub.write(connection, at(5), true).expect("all of it");
    assert_eq!(written, b"refusedvolatile");
    // A refusal from before the beginning does.
    hub.push(connection, &frame("refused"));
    assert!(hub.write(connection, at(6), false).is_none());
    volatile(at(7));
    assert_eq!(counters.volatile_dropped.get(), 2);
    assert_eq!(hub.outbox(connection, |outbox| outbox.len()), Some(1));
}

#[test]
fn a_polling_session_without_a_request_loses_volatile_packets() {
    let hub = hub();
    let (connection, _) = hub.client();
    let now = Instant::now();
    let volatile = || {
        let action = Action::Emit {
            to: to_all(),
            frame: frame("volatile"),
            volatile: true,
        };
        let begun = now + Duration::from_secs(1);
        let _handed_over = hub.perform(action, begun).now_or_never();
        drop(hub.turn());
    };
    assert!(hub.outbox(connection, |outbox| outbox.block(now)).is_some());
    volatile();
    assert_eq!(hub.received(connection), [""; 0]);
    assert!(hub.outbox(connection, Outbox::unblock).is_some());
    volatile();
    assert_eq!(hub.received(connection), ["volatile"]);
}

#[test]
fn a_stalled_write_cuts_at_the_next_survey() {
    let hub = hub();
    let (connection, _) = hub.client();
    let start = Instant::now();
    hub.push(connection, &frame("waiting"));
    assert!(hub.write(connection, start, false).is_none());
    hub.survey(start + Duration::from_secs(9));
    assert!(hub.turn().effects.is_empty());
    hub.survey(start + Duration::from_secs(10));
    assert_eq!(slow(&hub.turn()), [connection]);
}

#[test]
fn above_the_budget_of_the_node_the_fullest_that_do_not_read_are_cut_first() {
    let limits = Settings {
        outbox_total: 1000,
        ..Settings::default()
    };
    let hubs = hubs(2, &limits);
    let wall = Kernel::new(false);
    let (small, _) = hubs[0].client_behind(&wall);
    let (large, _) = hubs[1].client_behind(&wall);
    let (middle, _) = hubs[0].client_behind(&wall);
    let healthy_kernel = Kernel::new(true);
    let (healthy, _) = hubs[0].client_behind(&healthy_kernel);
    hubs[1].push(large, &frame(&"l".repeat(500)));
    hubs[0].push(small, &frame(&"s".repeat(100)));
    hubs[0].push(middle, &frame(&"m".repeat(300)));
    assert!(slow(&hubs[0].turn()).is_empty() && slow(&hubs[1].turn()).is_empty());
    hubs[0].push(healthy, &frame(&"h".repeat(900)));
    // Who reads is allowed to write first, and that was all that was needed.
    assert!(slow(&hubs[0].turn()).is_empty());
    assert_eq!(healthy_kernel.taken.get(), 900);
    hubs[0].push(small, &frame(&"s".repeat(150)));
    // The shard with less tells the other, which cuts its own.
    let turns = [&hubs[0], &hubs[1], &hubs[0], &hubs[1]].map(|hub| slow(&hub.turn()));
    assert_eq!(turns.concat(), [large]);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The encoding is the caller's, once; every outbox holds the same bytes.
#[test]
fn a_broadcast_to_ten_thousand_copies_nothing_and_wakes_a_few_per_turn() {
    let hub = hub();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let clients: Vec<_> = (0..10_000).map(|_| hub.client().0).collect();
    for client in &clients {
        assert!(
            hub.outbox(*client, |outbox| outbox.register(&waker))
                .is_some()
        );
    }
    let text = Bytes::from_static(b"to all");
    let action = Action::Emit {
        to: to_all(),
        frame: Frame::new(text.clone(), Vec::new()),
        volatile: false,
    };
    let mut turn = hub.act_now(action);
    let mut turns = 1;
    while turn.unfinished {
        assert!(woken.0.load(Ordering::Relaxed) <= turns * WAKES_PER_TURN);
        assert!(hub.state.borrow().connections.has_unwoken());
        turn = hub.turn();
        turns += 1;
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), 10_000);
    assert_eq!(hub.counters().deliveries.get(), 10_000);
    for client in &clients {
        let frames = hub
            .outbox(*client, |outbox| outbox.take(9, 99))
            .expect("it is open");
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].as_ptr(), text.as_ptr());
    }
}

#[test]
fn an_audience_of_a_few_thousand_is_woken_at_once_and_once() {
    let hub = hub();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..4096 {
        let (client, _) = hub.client();
        assert!(
            hub.outbox(client, |outbox| outbox.register(&waker))
                .is_some()
        );
    }
    assert!(!hub.act_now(emit(to_all(), "first")).unfinished);
    assert!(!hub.act_now(emit(to_all(), "second")).unfinished);
    assert_eq!(woken.0.load(Ordering::Relaxed), 4096);
}

#[test]
fn a_join_beyond_the_limit_of_the_socket_leaves_it_out_entirely() {
    let limits = Settings {
        rooms_per_socket: 2,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let (_, socket) = hub.client();
    assert_eq!(hub.join(socket, &[room("a")]).sockets, 1);
    let limited = Applied {
        sockets: 0,
        limited: 1,
    };
    assert_eq!(hub.join(socket, &[room("b"), room("c")]), limited);
    assert_eq!(
        hub.switchboard().rooms(),
        1,
        "rooms that nobody joined do not stay"
    );
    assert_eq!(hub.counters().joins_limited.get(), 1);
    // Rooms that it is in, and the same one twice, count once; the user's room does not count.
    hub.set_user(socket, Change::Set(user("42")), &UserRoom::default());
    assert_eq!(
        hub.join(socket, &[room("a"), room("b"), room("b")]).sockets,
        1
    );
    assert_eq!(hub.join(socket, &[room("a")]).sockets, 1);
}

#[test]
fn a_join_beyond_the_limit_of_the_node_leaves_the_socket_out() {
    let limits = Settings {
        rooms: 1,
        ..Settings::default()
    };
    let hubs = hubs(2, &limits);
    let ((_, here), (_, there)) = (hubs[0].client(), hubs[1].client());
    assert_eq!(hubs[0].join(here, &[room("a")]).sockets, 1);
    assert_eq!(
        hubs[1].join(there, &[room("a")]).sockets,
        1,
        "it exists already"
    );
    assert_eq!(hubs[1].join(there, &[room("b")]).limited, 1);
    // A user could not be reached without the user's room.
    hubs[1].set_user(there, Change::Set(user("42")), &UserRoom::default());
    assert!(
        hubs[1]
            .socket(there, |view| view.is_in(&room("user:42")))
            .expect("it lives")
    );
    hubs[0].leave(here, &[room("a")]);
    hubs[1].leave(there, &[room("a")]);
    hubs[1].set_user(there, Change::Clear, &UserRoom::default());
    assert_eq!(hubs[0].join(here, &[room("b")]).sockets, 1);
    assert_eq!(hubs[0].switchboard().rooms(), 1);
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a valid user")
}

#[test]
fn a_user_moves_from_room_to_room_and_the_version_rises() {
    let hub = hub();
    let (_, socket) = hub.client();
    let rooms = || {
        let names =
            |view: &SocketView<'_>| view.rooms().map(ToString::to_string).collect::<Vec<_>>();
        hub.socket(socket, |view| (names(view), view.version))
            .expect("it lives")
    };
    let template = UserRoom::default();
    hub.set_user(socket, Change::Set(user("1")), &template);
    assert_eq!(rooms(), (vec!["user:1".to_owned()], 1));
    hub.set_user(socket, Change::Set(user("1")), &template);
    assert_eq!(rooms(), (vec!["user:1".to_owned()], 2));
    hub.set_user(socket, Change::Set(user("2")), &template);
    assert_eq!(rooms(), (vec!["user:2".to_owned()], 3));
    hub.set_user(socket, Change::Keep, &template);
    hub.set_user(socket, Change::Clear, &template);
    assert_eq!(rooms(), (vec![], 4));
    hub.set_state(socket, Change::Set(Notes("{}".into())));
    hub.set_expiry(socket, Change::Set(SystemTime::UNIX_EPOCH));
    hub.set_expiry(socket, Change::Keep);
    assert_eq!(rooms().1, 6);
    assert_eq!(hub.switchboard().rooms(), 0);
}

#[test]
fn the_room_of_a_socket_itself_is_reached_but_never_joined_left_or_listed() {
    let hub = hub();
    let ((connection, socket), (_, other)) = (hub.client(), hub.client());
    let id = hub.id(socket);
    let own = room(id.as_str());
    assert_eq!(hub.join(other, std::slice::from_ref(&own)).sockets, 1);
    hub.leave(socket, std::slice::from_ref(&own));
    assert_eq!(hub.switchboard().rooms(), 0);
    let to = Target::Names(Names {
        rooms: vec![own],
        sockets: vec![id],
    });
    drop(hub.act_now(emit(Audience { to, ..to_all() }, "once")));
    assert_eq!(hub.received(connection), ["once"]);
    let departed = hub.detach(socket).expect("it lived");
    assert_eq!(departed.rooms, []);
}

#[test]
fn who_joins_after_a_room_has_ended_gets_nothing_that_was_under_way() {
    let hub = hub();
    let ((_, leaver), (connection, joiner)) = (hub.client(), hub.client());
    hub.join(leaver, &[room("r")]);
    let _handed_over = hub
        .perform(emit(to_rooms(&["r"]), "before"), Instant::now())
        .now_or_never();
    hub.leave(leaver, &[room("r")]);
    hub.join(joiner, &[room("r")]);
    drop(hub.act_now(emit(to_rooms(&["r"]), "after")));
    assert_eq!(hub.received(connection), ["after"]);
}

#[test]
fn a_disconnect_of_a_namespace_leaves_the_others_alone() {
    let hub = hub();
    let (connection, socket) = hub.client();
    let other = hub.socket_in(connection, "/chat");
    hub.join(socket, &[room("b"), room("a")]);
    let to = Audience::socket(namespace("/"), hub.id(socket));
    let ending = Ending::Namespace;
    let turn = hub.act_now(Action::Disconnect {
        to,
        ending,
        reason: None,
    });
    let [
        Effect::Ended {
            socket: ended,
            departed,
            ..
        },
    ] = &turn.effects[..]
    else {
        panic!("one socket: {:?}", turn.effects);
    };
    assert_eq!(
        (*ended, &departed.rooms[..]),
        (socket, &[room("a"), room("b")][..])
    );
    assert_eq!(hub.socket(socket, |view| view.id), None);
    assert!(hub.socket(other, |view| view.id).is_some());
    assert_eq!(hub.received(connection), ["\u{fffd}\u{2}41"]);
}

#[test]
fn a_transport_close_sends_no_packet() {
    let hub = hub();
    let (connection, socket) = hub.client();
    let to = Audience::socket(namespace("/"), hub.id(socket));
    let ending = Ending::Transport;
    let turn = hub.act_now(Action::Disconnect {
        to,
        ending,
        reason: None,
    });
    assert!(matches!(
        turn.effects[..],
        [Effect::Ended { .. }, Effect::CloseConnection { .. }]
    ));
    assert_eq!(hub.received(connection), [""; 0]);
    // What comes after it in the same batch finds nobody.
    drop(hub.act_now(emit(to_all(), "late")));
    assert_eq!(hub.received(connection), [""; 0]);
}

#[test]
fn keys_of_what_is_gone_do_nothing() {
    let hub = hub();
    let (connection, socket) = hub.client();
    assert_eq!(hub.close(connection).len(), 1);
    let (_, new) = hub.client();
    assert_eq!(new.index, socket.index);
    assert_eq!(hub.join(socket, &[room("r")]), Applied::default());
    assert_eq!(hub.detach(socket), None);
    assert_eq!(hub.outbox(connection, |outbox| outbox.len()), None);
    hub.push(connection, &frame("x"));
    hub.acknowledge(socket, 1, "", Vec::new());
    assert!(hub.close(connection).is_empty());
    assert_eq!(hub.counters().sockets.get(), 1);
}

/// A waker and a sink may own whatever, a way back to the hub too.
#[test]
fn what_a_connection_leaves_behind_is_dropped_outside_of_the_borrow() {
    struct Reentrant(Rc<Hub>);
    impl Sink for Reentrant {
        fn write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    impl Drop for Reentrant {
        fn drop(&mut self) {
            self.0.open();
        }
    }
    let hub = Rc::new(hub());
    let (connection, _) = hub.client();
    let sink: Rc<dyn Sink> = Rc::new(Reentrant(Rc::clone(&hub)));
    assert!(
        hub.outbox(connection, |outbox| outbox.set_sink(Some(sink)))
            .is_some()
    );
    drop(hub.close(connection));
}
