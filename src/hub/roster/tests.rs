use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::hub::action::{Audience, Names, Target};
use crate::hub::id::{NodeTag, ShardId};
use crate::hub::recipients::Recipients;

const SPACES: [&str; 2] = ["/", "/chat"];

fn namespace(number: usize) -> Namespace {
    Namespace::new(SPACES[number]).expect("a valid name")
}

fn room(number: usize) -> Room {
    Room::new(&format!("room {number}")).expect("a valid name")
}

fn add(roster: &mut Roster, space: usize, connection: u32) -> SocketKey {
    let new = NewSocket {
        id: SocketId::random(NodeTag::random(), ShardId::new(0).expect("the first")),
        namespace: namespace(space),
        connection_id: ConnectionId::random(),
        connected_at: SystemTime::UNIX_EPOCH,
    };
    roster.insert(&new, connection, 0)
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Remove(usize),
    Join(usize, usize),
    Leave(usize, usize),
}

/// Numbers of rooms and of sockets.
type Numbers = (Vec<usize>, Vec<usize>);

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..SPACES.len()).prop_map(Step::Add),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::Remove(i.index(1000))),
        4 => (0_usize..1000, 0_usize..5).prop_map(|(socket, room)| Step::Join(socket, room)),
        2 => (0_usize..1000, 0_usize..5).prop_map(|(socket, room)| Step::Leave(socket, room)),
    ]
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let (rooms, sockets) = (
        prop::collection::vec(0_usize..5, 0..4),
        prop::collection::vec(0_usize..1000, 0..4),
    );
    (rooms, sockets)
}

/// A socket in the model: its namespace and its rooms.
type Modelled = (usize, BTreeSet<usize>);

#[derive(Default)]
struct Model {
    sockets: BTreeMap<SocketKey, Modelled>,
}

impl Model {
    fn pick(&self, number: usize) -> Option<SocketKey> {
        let count = self.sockets.len();
        (count > 0).then(|| {
            *self
                .sockets
                .keys()
                .nth(number % count)
                .expect("within the count")
        })
    }

    fn named(&self, space: usize, (rooms, sockets): &Numbers) -> BTreeSet<SocketKey> {
        let picked: BTreeSet<SocketKey> = sockets
            .iter()
            .filter_map(|number| self.pick(*number))
            .collect();
        let named = self.sockets.iter().filter(|(key, (its_space, its_rooms))| {
            *its_space == space
                && (picked.contains(key) || rooms.iter().any(|room| its_rooms.contains(room)))
        });
        named.map(|(key, _)| *key).collect()
    }
}

fn apply(roster: &mut Roster, model: &mut Model, step: &Step) -> Vec<Name> {
    let mut ended = Vec::new();
    match *step {
        Step::Add(space) => {
            let key = add(roster, space, 7);
            model.sockets.insert(key, (space, BTreeSet::new()));
        }
        Step::Remove(number) => {
            if let Some(key) = model.pick(number) {
                roster.remove(key.index, &mut ended);
                model.sockets.remove(&key);
                assert_eq!(roster.index(key), None);
            }
        }
        Step::Join(number, wanted) => {
            if let Some(key) = model.pick(number) {
                let (space, rooms) = model.sockets.get_mut(&key).expect("picked");
                roster.join(key.index, &namespace(*space), &room(wanted), 0);
                rooms.insert(wanted);
            }
        }
        Step::Leave(number, unwanted) => {
            if let Some(key) = model.pick(number) {
                let (space, rooms) = model.sockets.get_mut(&key).expect("picked");
                let group = roster.group(&namespace(*space), Some(&room(unwanted)));
                let has_left =
                    group.is_some_and(|group| roster.leave(key.index, group, &mut ended));
                assert_eq!(has_left, rooms.remove(&unwanted));
            }
        }
    }
    ended
}

fn names(roster: &Roster, model: &Model, (rooms, sockets): &Numbers) -> Names {
    let picked = sockets.iter().filter_map(|number| model.pick(*number));
    Names {
        rooms: rooms.iter().map(|number| room(*number)).collect(),
        sockets: picked.map(|key| roster.socket(key.index).id).collect(),
    }
}

proptest! {
    /// Rooms are what a map of sets would say, however sockets come and go.
    #[test]
    fn a_roster_is_a_map_of_sets(steps in prop::collection::vec(step(), 1..120)) {
        let counters = Arc::new(ShardCounters::default());
        let (mut roster, mut model) = (Roster::new(Arc::clone(&counters)), Model::default());
        for step in &steps {
            let ended = apply(&mut roster, &mut model, step);
            for (name, room) in &ended {
                prop_assert!(roster.group(name, room.as_ref()).is_none(), "it ended");
            }
            for (key, (space, rooms)) in &model.sockets {
                let got: BTreeSet<Room> = roster.rooms(key.index).cloned().collect();
                prop_assert_eq!(got, rooms.iter().map(|number| room(*number)).collect::<BTreeSet<_>>());
                prop_assert_eq!(roster.namespace(key.index), &namespace(*space));
                prop_assert_eq!(roster.find(&roster.socket(key.index).id), Some(key.index));
            }
            let memberships: usize = model.sockets.values().map(|(_, rooms)| rooms.len()).sum();
            prop_assert_eq!(counters.memberships.get(), memberships as u64);
            let pairs = model.sockets.values().flat_map(|(space, rooms)| rooms.iter().map(move |room| (space, room)));
            prop_assert_eq!(counters.rooms.get(), pairs.collect::<BTreeSet<_>>().len() as u64);
        }
    }

    /// Each recipient once, exceptions always win, other namespaces are never reached.
    #[test]
    fn recipients_are_the_union_without_the_exceptions(
        steps in prop::collection::vec(step(), 1..80),
        space in 0..SPACES.len(),
        to in prop::option::of(numbers()),
        except in numbers(),
    ) {
        let (mut roster, mut model) = (Roster::new(Arc::default()), Model::default());
        for step in &steps {
            apply(&mut roster, &mut model, step);
        }
        let audience = Audience {
            namespace: namespace(space),
            to: to.as_ref().map_or(Target::All, |to| Target::Names(names(&roster, &model, to))),
            except: names(&roster, &model, &except),
        };
        let everybody = model.sockets.iter().filter(|(_, (its_space, _))| *its_space == space);
        let named = to.map_or_else(|| everybody.map(|(key, _)| *key).collect(), |to| model.named(space, &to));
        let excepted = model.named(space, &except);
        let mut expected: Vec<u32> = named.difference(&excepted).map(|key| key.index).collect();
        let mut recipients = Recipients::default();
        // Twice, for the marks of the first walk must not disturb the second.
        for _ in 0..2 {
            let mut got: Vec<u32> = recipients.of(&roster, &audience, 0).iter().map(|member| member.socket).collect();
            got.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(&got, &expected);
        }
    }
}

#[test]
fn a_key_never_means_a_later_socket() {
    let mut roster = Roster::new(Arc::default());
    let first = add(&mut roster, 0, 0);
    roster.remove(first.index, &mut Vec::new());
    let second = add(&mut roster, 0, 0);
    assert_eq!(first.index, second.index);
    assert_eq!(roster.index(first), None);
    assert_eq!(roster.index(second), Some(second.index));
}

#[test]
fn a_crowd_that_has_left_leaves_no_memory_behind() {
    let mut roster = Roster::new(Arc::default());
    let sockets: Vec<SocketKey> = (0..10_000).map(|_| add(&mut roster, 0, 0)).collect();
    for socket in &sockets {
        roster.join(socket.index, &namespace(0), &room(0), 0);
    }
    let group = roster
        .group(&namespace(0), Some(&room(0)))
        .expect("it has members");
    for socket in &sockets[10..] {
        assert!(roster.leave(socket.index, group, &mut Vec::new()));
    }
    assert_eq!(roster.members(group).len(), 10);
    assert!(roster.groups[group as usize].members.capacity() <= 64);
}

#[test]
fn the_room_of_the_user_does_not_count_for_the_limit() {
    let mut roster = Roster::new(Arc::default());
    let socket = add(&mut roster, 0, 0);
    let group = roster.join(socket.index, &namespace(0), &room(0), 0);
    assert_eq!(roster.counted_rooms(socket.index), 1);
    roster.set_user_room(socket.index, Some(group));
    assert_eq!(roster.counted_rooms(socket.index), 0);
    assert!(roster.leave(socket.index, group, &mut Vec::new()));
    assert_eq!(roster.user_room(socket.index), None);
    assert_eq!(roster.counted_rooms(socket.index), 0);
}
