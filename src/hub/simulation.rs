//! Several hubs and one switchboard, stepped as a seed says: the promises of the switchboard, checked.
//!
//! Lanes of sockets and performers outside of the shards do random things and write down when each began and ended. Afterwards
//! what every socket has received is held against that record; see [`record`]. `SEED=n` replays one seed. The planted faults
//! prove that a broken protocol is found.

mod record;
pub(crate) mod scheduler;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::hub::action::{Action, Audience, Names, Target};
use crate::hub::fault::{Fault, plant};
use crate::hub::id::{ConnectionId, Namespace, NodeTag, Room, ShardId, SocketId};
use crate::hub::key::{ConnectionKey, SocketKey};
use crate::hub::settings::Settings;
use crate::hub::switchboard::Switchboard;
use crate::hub::{Hub, NewSocket};
use crate::protocol::frame::Frame;
use record::{Emit, Record, Violation};
use scheduler::{Course, Task};

/// Rooms.
const ROOMS: usize = 3;

/// The first ones have a member that never leaves, and so sees all of them; the others come to an end now and then.
const WATCHED: usize = 2;

/// Things that each performer does.
const OPERATIONS: usize = 10;

/// A socket in the simulation.
#[derive(Clone, Copy, Debug)]
struct Client {
    shard: usize,
    connection: ConnectionKey,
    socket: SocketKey,
    id: SocketId,
}

/// One run.
struct World {
    course: Rc<Course>,
    switchboard: Arc<Switchboard>,
    hubs: Vec<Hub>,
    clients: Vec<Client>,
    namespace: Namespace,
    rooms: Vec<Room>,
    record: Record,
}

/// Runs one seed and checks it.
fn simulate(seed: u64, fault: Option<Fault>) -> Result<(), Violation> {
    plant(fault);
    let world = Rc::new(World::new(seed));
    let result = world.run();
    plant(None);
    result
}

impl World {
    fn new(seed: u64) -> Self {
        let course = Course::new(seed);
        let shards = 1 + course.below(4);
        let places = [1, 2, 3, 64][course.below(4)];
        let limits = Settings::default();
        let switchboard = Switchboard::with_places(NodeTag::random(), shards, &limits, places);
        let hubs = (0..shards).map(|shard| {
            let shard = ShardId::new(shard).expect("a few shards");
            Hub::new(
                shard,
                Arc::clone(&switchboard),
                limits.clone(),
                Arc::default(),
            )
        });
        let rooms = (0..ROOMS).map(|n| Room::new(&format!("room {n}")).expect("a valid name"));
        let mut world = Self {
            course,
            switchboard: Arc::clone(&switchboard),
            hubs: hubs.collect(),
            clients: Vec::new(),
            namespace: Namespace::new("/").expect("a valid name"),
            rooms: rooms.collect(),
            record: Record::default(),
        };
        for index in 0..=shards * 2 {
            world.add_client(index % shards);
        }
        world.operate(0, |hub, client, world| {
            hub.join(client.socket, &world.rooms[..WATCHED]);
        });
        for room in 0..WATCHED {
            world.record.membership(0, room, true, 0, 0);
        }
        world
    }

    fn add_client(&mut self, shard: usize) {
        let hub = &self.hubs[shard];
        let connection = hub.open();
        let id = SocketId::random(self.switchboard.node(), hub.shard());
        let new = NewSocket {
            id,
            namespace: self.namespace.clone(),
            connection_id: ConnectionId::random(),
            connected_at: SystemTime::UNIX_EPOCH,
        };
        let socket = hub
            .attach(connection, &new)
            .expect("the connection was just opened");
        self.clients.push(Client {
            shard,
            connection,
            socket,
            id,
        });
    }

    fn operate<R>(&self, client: usize, f: impl FnOnce(&Hub, Client, &Self) -> R) -> R {
        let client = self.clients[client];
        f(&self.hubs[client.shard], client, self)
    }

    fn run(self: &Rc<Self>) -> Result<(), Violation> {
        let mut threads = Vec::new();
        for shard in 0..self.hubs.len() {
            let world = Rc::clone(self);
            let mut tasks = vec![Task::service(
                async move { world.turn_for_ever(shard).await },
            )];
            // The first client only listens.
            for (index, client) in self.clients.iter().enumerate().skip(1) {
                if client.shard == shard {
                    let world = Rc::clone(self);
                    tasks.push(Task::awaited(async move {
                        world.perform(index, Some(index)).await;
                    }));
                }
            }
            threads.push(tasks);
        }
        for outside in 0..2 {
            let (world, performer) = (Rc::clone(self), self.clients.len() + outside);
            let task = Task::awaited(async move { world.perform(performer, None).await });
            threads.push(vec![task]);
        }
        scheduler::run(&self.course, threads).map_err(|_stuck| Violation::Stuck)?;
        for hub in &self.hubs {
            drop(hub.turn());
        }
        self.check_rest()?;
        let received = self.clients.iter().map(|client| self.received(*client));
        self.record.check(&received.collect::<Vec<_>>())
    }

    /// A shard's loop.
    async fn turn_for_ever(&self, shard: usize) {
        let hub = &self.hubs[shard];
        loop {
            hub.ready().await;
            drop(hub.turn());
        }
    }

    /// One performer's life: the lane of a client, or somebody outside of the shards.
    async fn perform(&self, performer: usize, own: Option<usize>) {
        for _ in 0..OPERATIONS {
            let room = self.course.below(ROOMS);
            let other = 1 + self.course.below(self.clients.len() - 1);
            match (self.course.below(11), own) {
                (0, Some(own)) => self.join_own(own, room),
                (1, Some(own)) => self.leave_own(own, room),
                (0 | 2, _) => self.change_other(other, room, true).await,
                (1 | 3, _) => self.change_other(other, room, false).await,
                (4, _) => self.emit(performer, vec![room, (room + 1) % ROOMS]).await,
                (5, _) => self.emit(performer, Vec::new()).await,
                (6, _) => self.emit_at_once(performer, room).await,
                (7, _) => self.give_up(performer, room).await,
                (8, _) => self.exchange(other, room).await,
                _ => self.emit(performer, vec![room]).await,
            }
        }
    }

    fn join_own(&self, own: usize, room: usize) {
        let began = self.course.now();
        self.operate(own, |hub, client, world| {
            drop(hub.turn());
            hub.join(client.socket, &world.rooms[room..=room]);
        });
        self.record
            .membership(own, room, true, began, self.course.now());
    }

    fn leave_own(&self, own: usize, room: usize) {
        let began = self.course.now();
        self.operate(own, |hub, client, world| {
            drop(hub.turn());
            hub.leave(client.socket, &world.rooms[room..=room]);
        });
        self.record
            .membership(own, room, false, began, self.course.now());
    }

    async fn change_other(&self, other: usize, room: usize, joins: bool) {
        let to = Audience::socket(self.namespace.clone(), self.clients[other].id);
        let rooms = vec![self.rooms[room].clone()];
        let action = if joins {
            Action::Join { to, rooms }
        } else {
            Action::Leave { to, rooms }
        };
        let began = self.course.now();
        let applied = self.switchboard.perform(action, Instant::now()).await;
        self.record
            .membership(other, room, joins, began, self.course.now());
        if applied.sockets != 1 {
            self.record.unapplied(other);
        }
    }

    /// One client leaves a room and another one joins it at the same time.
    async fn exchange(&self, leaver: usize, room: usize) {
        let joiner = 1 + self.course.below(self.clients.len() - 1);
        if joiner != leaver {
            let leave = self.change_other(leaver, room, false);
            futures_util::future::join(leave, self.change_other(joiner, room, true)).await;
        }
    }

    /// Waits for places where there are none. No rooms mean everybody.
    async fn emit(&self, performer: usize, rooms: Vec<usize>) {
        let (began, number) = (self.course.now(), self.record.number());
        let action = self.action(number, &rooms);
        self.switchboard.perform(action, Instant::now()).await;
        self.emitted(performer, number, rooms, began, true);
    }

    /// As an edge rule does: at once, else by the lane.
    async fn emit_at_once(&self, performer: usize, room: usize) {
        let (began, number) = (self.course.now(), self.record.number());
        let action = self.action(number, &[room]);
        if let Err(action) = self.switchboard.try_emit(action, Instant::now()) {
            self.switchboard.perform(*action, Instant::now()).await;
        }
        self.emitted(performer, number, vec![room], began, true);
    }

    /// Loses patience at some moment: then everybody or nobody gets it.
    async fn give_up(&self, performer: usize, room: usize) {
        let (began, number) = (self.course.now(), self.record.number());
        let action = self.action(number, &[room]);
        let mut sending = Box::pin(self.switchboard.perform(action, Instant::now()));
        let mut polls = self.course.below(3);
        let is_done = std::future::poll_fn(|cx| match sending.as_mut().poll(cx) {
            std::task::Poll::Ready(_) => std::task::Poll::Ready(true),
            std::task::Poll::Pending if polls == 0 => std::task::Poll::Ready(false),
            std::task::Poll::Pending => {
                polls -= 1;
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
        });
        let is_done = is_done.await;
        drop(sending);
        self.emitted(performer, number, vec![room], began, is_done);
    }

    fn action(&self, number: usize, rooms: &[usize]) -> Action {
        let to = if rooms.is_empty() {
            Target::All
        } else {
            Target::Names(Names {
                rooms: rooms.iter().map(|room| self.rooms[*room].clone()).collect(),
                sockets: Vec::new(),
            })
        };
        // Some take more than one place.
        let padding = if number.is_multiple_of(5) { 20_000 } else { 0 };
        let text = format!("{number:<padding$}");
        Action::Emit {
            to: Audience {
                namespace: self.namespace.clone(),
                to,
                except: Names::default(),
            },
            frame: Frame::new(Bytes::from(text), Vec::new()),
            volatile: false,
        }
    }

    fn emitted(
        &self,
        performer: usize,
        number: usize,
        rooms: Vec<usize>,
        began: u64,
        is_sent: bool,
    ) {
        self.record.emit(Emit {
            number,
            performer,
            rooms,
            began,
            ended: self.course.now(),
            is_sent,
        });
    }

    /// Numbers of the emits that a client has got, in order.
    fn received(&self, client: Client) -> Vec<usize> {
        let hub = &self.hubs[client.shard];
        let frames = hub.outbox(client.connection, |outbox| {
            outbox.take(usize::MAX, usize::MAX)
        });
        let numbers = frames
            .expect("the connection is open")
            .into_iter()
            .map(|frame| {
                let text = std::str::from_utf8(&frame).expect("a number");
                text.trim_end().parse().expect("a number")
            });
        numbers.collect()
    }

    /// When everybody is done, nothing is left behind: no place is lost, and the directory says what the rosters say.
    fn check_rest(&self) -> Result<(), Violation> {
        for shard in 0..self.hubs.len() {
            if !self.switchboard.inbox(shard).is_unused() {
                return Err(Violation::PlacesMissing { shard });
            }
            for (index, room) in self.rooms.iter().enumerate() {
                let shards = self.switchboard.directory().shards(&self.namespace, room);
                if shards.contains(shard) != self.hubs[shard].has_members(&self.namespace, room) {
                    return Err(Violation::DirectoryWrong { shard, room: index });
                }
            }
        }
        Ok(())
    }
}

impl Hub {
    fn has_members(&self, namespace: &Namespace, room: &Room) -> bool {
        self.state
            .borrow()
            .roster
            .group(namespace, Some(room))
            .is_some()
    }
}

/// Seeds of the test command; `SEEDS=n` for more.
const SEEDS: u64 = 1000;

fn number_from(variable: &str) -> Option<u64> {
    let number = std::env::var(variable).ok()?;
    Some(number.parse().expect("a number"))
}

#[test]
fn promises_hold_for_every_seed() {
    let seeds = match number_from("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(violation) = simulate(seed, None) {
            panic!("{violation:?}; SEED={seed} replays it");
        }
    }
}

/// Whether a fault leads to such a violation within the seeds of the test command.
fn finds(fault: Fault, is_expected: impl Fn(&Violation) -> bool) -> bool {
    let violations = (0..SEEDS).filter_map(|seed| simulate(seed, Some(fault)).err());
    violations
        .into_iter()
        .any(|violation| is_expected(&violation))
}

#[test]
fn a_stripe_released_early_is_found() {
    assert!(finds(Fault::StripeReleasedEarly, |violation| {
        matches!(violation, Violation::Order { .. })
    }));
}

#[test]
fn a_lost_place_is_found() {
    assert!(finds(Fault::PlaceLost, |violation| *violation == Violation::Stuck));
}

#[test]
fn a_join_acknowledged_before_the_directory_is_found() {
    assert!(finds(Fault::JoinAcknowledgedEarly, |violation| {
        matches!(violation, Violation::Missing { .. })
    }));
}

#[test]
fn a_message_from_before_a_room_began_is_found() {
    assert!(finds(Fault::StaleMessageDelivered, |violation| {
        matches!(violation, Violation::Gap { .. })
    }));
}

#[test]
fn a_seed_means_one_course_of_events() {
    let course = |seed| {
        let world = Rc::new(World::new(seed));
        world.run().expect("the promises hold");
        (world.record.emits(), world.course.now())
    };
    assert_eq!(course(7), course(7));
}
