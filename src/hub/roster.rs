//! [`Roster`]: the sockets of one shard and the rooms they are in.
//!
//! Plain data without a runtime, a clock or a lock. A *group* is a namespace or a room of it; its members stand densely in one
//! vector, and each socket remembers its place in each of its groups, so that leaving is constant work. A group exists as long
//! as it has members.
//!
//! # Why
//! A delivery to a room is a walk over eight bytes per member which lead straight to the outbox; the sockets themselves are not
//! touched. Names are looked up once per action. Rooms stand in a hash map for lookups and in a sorted map for listings, so
//! that a page of a million rooms costs a page.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;
use slab::Slab;

use crate::hub::action::State;
use crate::hub::fault::{Fault, is_planted};
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::key::{SocketKey, narrow};
use crate::hub::sync::Hashing;
use crate::telemetry::counters::ShardCounters;

/// A socket as the vectors of members know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) socket: u32,
    pub(crate) connection: u32,
}

/// A socket's place in a group.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    position: u32,
}

/// A namespace, or a room of one.
#[derive(Debug)]
struct Group {
    namespace: Namespace,
    room: Option<Room>,
    /// Number of the first message in the inbox that is for its members.
    since: u64,
    members: Vec<Member>,
}

/// A namespace's own group, and its rooms by name.
#[derive(Debug)]
struct Space {
    group: u32,
    rooms: HashMap<Room, u32, Hashing>,
    sorted: BTreeMap<Room, u32>,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    generation: u32,
    pub(crate) connection: u32,
    pub(crate) id: SocketId,
    pub(crate) connection_id: ConnectionId,
    pub(crate) connected_at: SystemTime,
    pub(crate) user: Option<UserId>,
    pub(crate) state: Option<State>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) version: u64,
    /// Ids of emits whose acknowledgement is awaited from it.
    pub(crate) acks: Vec<u64>,
    /// The namespace first, then rooms.
    places: Vec<Place>,
    /// The group of the user's room; it does not count for `rooms_per_socket`.
    user_room: Option<u32>,
}

/// The name of a group that came or went.
pub(crate) type Name = (Namespace, Option<Room>);

/// Who is where on one shard.
#[derive(Debug)]
pub(crate) struct Roster {
    sockets: Slab<Socket>,
    births: u32,
    ids: HashMap<SocketId, u32, Hashing>,
    spaces: BTreeMap<Namespace, Space>,
    groups: Slab<Group>,
    counters: Arc<ShardCounters>,
}

/// What a new socket is made of.
#[derive(Clone, Debug)]
pub struct NewSocket {
    /// Public id.
    pub id: SocketId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Public name of its connection.
    pub connection_id: ConnectionId,
    /// When its CONNECT was accepted.
    pub connected_at: SystemTime,
}

impl Roster {
    pub(crate) fn new(counters: Arc<ShardCounters>) -> Self {
        Self {
            sockets: Slab::new(),
            births: 0,
            ids: HashMap::default(),
            spaces: BTreeMap::new(),
            groups: Slab::new(),
            counters,
        }
    }

    /// Adds a socket to its namespace, which begins with this message where it has no group yet.
    pub(crate) fn insert(&mut self, new: &NewSocket, connection: u32, since: u64) -> SocketKey {
        self.births = self.births.wrapping_add(1);
        let index = narrow(self.sockets.insert(Socket {
            generation: self.births,
            connection,
            id: new.id,
            connection_id: new.connection_id,
            connected_at: new.connected_at,
            user: None,
            state: None,
            expires_at: None,
            version: 0,
            acks: Vec::new(),
            places: Vec::new(),
            user_room: None,
        }));
        self.ids.insert(new.id, index);
        let group = self.group_or_new(&new.namespace, None, since);
        self.enter(index, group);
        self.counters.sockets.set(self.sockets.len() as u64);
        SocketKey {
            index,
            generation: self.births,
        }
    }

    /// Takes a socket out of everything; the groups that ended with it are appended.
    pub(crate) fn remove(&mut self, index: u32, ended: &mut Vec<Name>) -> Socket {
        while let Some(place) = self.sockets[index as usize].places.last().copied() {
            self.exit(index, place, ended);
        }
        let socket = self.sockets.remove(index as usize);
        self.ids.remove(&socket.id);
        self.counters.sockets.set(self.sockets.len() as u64);
        socket
    }

    /// The index behind a key, while its socket lives.
    pub(crate) fn index(&self, key: SocketKey) -> Option<u32> {
        self.sockets
            .get(key.index as usize)
            .filter(|socket| socket.generation == key.generation)
            .map(|_| key.index)
    }

    pub(crate) fn key(&self, index: u32) -> SocketKey {
        SocketKey {
            index,
            generation: self.sockets[index as usize].generation,
        }
    }

    pub(crate) fn find(&self, id: &SocketId) -> Option<u32> {
        self.ids.get(id).copied()
    }

    pub(crate) fn socket(&self, index: u32) -> &Socket {
        &self.sockets[index as usize]
    }

    pub(crate) fn socket_mut(&mut self, index: u32) -> &mut Socket {
        &mut self.sockets[index as usize]
    }

    /// One more than the greatest index of a socket there has been.
    pub(crate) fn capacity(&self) -> usize {
        self.sockets.capacity()
    }

    /// The namespace of a socket.
    pub(crate) fn namespace(&self, index: u32) -> &Namespace {
        let first = self.sockets[index as usize].places[0];
        &self.groups[first.group as usize].namespace
    }

    /// The rooms of a socket, in no order.
    pub(crate) fn rooms(&self, index: u32) -> impl Iterator<Item = &Room> {
        let places = self.sockets[index as usize].places.iter().skip(1);
        places.filter_map(|place| self.groups[place.group as usize].room.as_ref())
    }

    /// How many rooms of a socket count for its limit: all but the user's.
    pub(crate) fn counted_rooms(&self, index: u32) -> usize {
        let socket = &self.sockets[index as usize];
        socket.places.len() - 1 - usize::from(socket.user_room.is_some())
    }

    /// The group of a namespace or of a room, where it has members.
    pub(crate) fn group(&self, namespace: &Namespace, room: Option<&Room>) -> Option<u32> {
        let space = self.spaces.get(namespace)?;
        match room {
            None => Some(space.group),
            Some(room) => space.rooms.get(room).copied(),
        }
    }

    pub(crate) fn members(&self, group: u32) -> &[Member] {
        &self.groups[group as usize].members
    }

    /// The members for whom a message with this number is: none where the group began after it.
    pub(crate) fn members_at(&self, group: u32, number: u64) -> &[Member] {
        let group = &self.groups[group as usize];
        if number < group.since && !is_planted(Fault::StaleMessageDelivered) {
            return &[];
        }
        &group.members
    }

    pub(crate) fn is_in(&self, index: u32, group: u32) -> bool {
        self.place(index, group).is_some()
    }

    /// Puts a socket into a room, which begins with this message where it has no group yet. Nothing where it is there already.
    pub(crate) fn join(
        &mut self,
        index: u32,
        namespace: &Namespace,
        room: &Room,
        since: u64,
    ) -> u32 {
        let group = self.group_or_new(namespace, Some(room), since);
        if !self.is_in(index, group) {
            self.enter(index, group);
        }
        group
    }

    /// Takes a socket out of a room; the group is appended if it ended with it. False where the socket was not there.
    pub(crate) fn leave(&mut self, index: u32, group: u32, ended: &mut Vec<Name>) -> bool {
        let Some(place) = self.place(index, group) else {
            return false;
        };
        self.exit(index, place, ended);
        true
    }

    /// The group of the user's room.
    pub(crate) fn user_room(&self, index: u32) -> Option<u32> {
        self.sockets[index as usize].user_room
    }

    /// Says which of the socket's rooms is the user's.
    pub(crate) fn set_user_room(&mut self, index: u32, group: Option<u32>) {
        self.sockets[index as usize].user_room = group;
    }

    /// Namespaces from one name on, in order of their bytes, with the number of their sockets.
    pub(crate) fn namespaces_from(
        &self,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&Namespace, usize)> {
        let spaces = self.spaces.range::<str, _>((from, Bound::Unbounded));
        spaces.map(|(name, space)| (name, self.members(space.group).len()))
    }

    /// Rooms of a namespace from one name on, in order of their bytes, with the number of their sockets.
    pub(crate) fn rooms_from<'a>(
        &'a self,
        namespace: &Namespace,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&'a Room, usize)> {
        let space = self.spaces.get(namespace);
        let rooms = space.map(|space| {
            let range = (from, Bound::Unbounded);
            space.sorted.range::<str, _>(range)
        });
        let rooms = rooms.into_iter().flatten();
        rooms.map(|(room, group)| (room, self.members(*group).len()))
    }

    fn place(&self, index: u32, group: u32) -> Option<Place> {
        let places = &self.sockets[index as usize].places;
        places.iter().find(|place| place.group == group).copied()
    }

    fn group_or_new(&mut self, namespace: &Namespace, room: Option<&Room>, since: u64) -> u32 {
        if let Some(group) = self.group(namespace, room) {
            return group;
        }
        let group = narrow(self.groups.insert(Group {
            namespace: namespace.clone(),
            room: room.cloned(),
            since,
            members: Vec::with_capacity(1),
        }));
        match room {
            None => {
                let space = Space {
                    group,
                    rooms: HashMap::default(),
                    sorted: BTreeMap::new(),
                };
                self.spaces.insert(namespace.clone(), space);
            }
            Some(room) => {
                let space = self.spaces.get_mut(namespace);
                let space = space.expect("a socket of a room is in its namespace");
                space.rooms.insert(room.clone(), group);
                space.sorted.insert(room.clone(), group);
                self.counters.rooms.add(1);
            }
        }
        group
    }

    fn enter(&mut self, index: u32, group: u32) {
        let socket = &mut self.sockets[index as usize];
        let members = &mut self.groups[group as usize].members;
        let position = narrow(members.len());
        members.push(Member {
            socket: index,
            connection: socket.connection,
        });
        if socket.places.is_empty() {
            // Most sockets have a namespace, a user and a room.
            socket.places.reserve_exact(3);
        }
        socket.places.push(Place { group, position });
        if self.groups[group as usize].room.is_some() {
            self.counters.memberships.add(1);
        }
    }

    fn exit(&mut self, index: u32, place: Place, ended: &mut Vec<Name>) {
        let socket = &mut self.sockets[index as usize];
        let at = socket.places.iter().position(|p| p.group == place.group);
        let at = at.expect("the caller has found the place");
        // The namespace stays the first.
        socket.places.swap_remove(at);
        if socket.user_room == Some(place.group) {
            socket.user_room = None;
        }
        let group = &mut self.groups[place.group as usize];
        if group.room.is_some() {
            self.counters.memberships.sub(1);
        }
        group.members.swap_remove(place.position as usize);
        if let Some(moved) = group.members.get(place.position as usize) {
            let moved = &mut self.sockets[moved.socket as usize];
            let its_place = moved.places.iter_mut().find(|p| p.group == place.group);
            its_place.expect("a member knows its place").position = place.position;
        }
        if group.members.is_empty() {
            self.end(place.group, ended);
        } else if group.members.capacity() > 64
            && group.members.len() < group.members.capacity() / 4
        {
            group.members.shrink_to(group.members.len() * 2);
        }
    }

    fn end(&mut self, group: u32, ended: &mut Vec<Name>) {
        let gone = self.groups.remove(group as usize);
        match &gone.room {
            None => {
                self.spaces.remove(&gone.namespace);
            }
            Some(room) => {
                if let Some(space) = self.spaces.get_mut(&gone.namespace) {
                    space.rooms.remove(room);
                    space.sorted.remove(room);
                }
                self.counters.rooms.sub(1);
            }
        }
        ended.push((gone.namespace, gone.room));
    }
}

#[cfg(test)]
mod tests;
