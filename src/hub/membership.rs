//! Joining and leaving: the roster and the directory kept in step.
//!
//! The directory is told before the roster where a room begins here, and after it where a room ends. Either order is as good:
//! between the two nothing else runs on this shard, and what comes into the inbox meanwhile is applied later.

use super::Hub;
use crate::hub::action::Applied;
use crate::hub::id::{Namespace, Room, SocketId};
use crate::hub::key::SocketKey;
use crate::hub::roster::Name;

/// A room to be joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun<'a> {
    pub(super) room: &'a Room,
    /// Whether it had no members here.
    is_new: bool,
    /// Number of the first message for its members, where it is new; `None` where a limit forbids it.
    pub(super) since: Option<u64>,
}

impl Hub {
    /// Puts sockets of a namespace into rooms; each joins all of them or, where a limit forbids one, none.
    pub(super) fn join_all(
        &self,
        sockets: &[u32],
        namespace: &Namespace,
        rooms: &[Room],
    ) -> Applied {
        if sockets.is_empty() {
            return Applied::default();
        }
        let mut rooms: Vec<&Room> = rooms
            .iter()
            .filter(|room| !self.is_implicit(room))
            .collect();
        rooms.sort_unstable();
        rooms.dedup();
        let new: Vec<bool> = self.with(|state| {
            let is_new = |room: &&Room| state.roster.group(namespace, Some(room)).is_none();
            rooms.iter().map(is_new).collect()
        });
        let begun = rooms.into_iter().zip(new).map(|(room, is_new)| Begun {
            room,
            is_new,
            since: if is_new {
                self.occupy(namespace, room, false)
            } else {
                Some(0)
            },
        });
        let begun: Vec<Begun<'_>> = begun.collect();
        let limit = self.limits.rooms_per_socket;
        let applied = self.with(|state| state.join(sockets, namespace, &begun, limit));
        for begun in begun.iter().filter(|begun| begun.is_new) {
            let room = Some(begun.room);
            let is_empty = self.with(|state| state.roster.group(namespace, room).is_none());
            if is_empty {
                self.switchboard.vacate(self.shard, namespace, room);
            }
        }
        applied
    }

    /// Takes sockets of a namespace out of rooms.
    pub(super) fn leave_all(
        &self,
        sockets: &[u32],
        namespace: &Namespace,
        rooms: &[Room],
    ) -> Applied {
        let mut ended = Vec::new();
        let applied = self.with(|state| state.leave(sockets, namespace, rooms, &mut ended));
        self.vacate(&ended);
        applied
    }

    /// Moves a socket from the room of its former user to another.
    pub(super) fn move_user(&self, socket: SocketKey, room: Option<Room>) {
        let Some((index, namespace)) = self.with(|state| state.with_namespace(socket)) else {
            return;
        };
        // First in, then out: where both are the same room, nobody may find it empty in between.
        let room = room.filter(|room| !self.is_implicit(room));
        let since = room
            .as_ref()
            .and_then(|room| self.occupy(&namespace, room, true));
        let mut ended = Vec::new();
        self.with(|state| {
            let former = state.roster.user_room(index);
            let group = room.map(|room| {
                state
                    .roster
                    .join(index, &namespace, &room, since.unwrap_or(0))
            });
            if let Some(former) = former.filter(|former| Some(*former) != group) {
                state.roster.leave(index, former, &mut ended);
            }
            state.roster.set_user_room(index, group);
        });
        self.vacate(&ended);
    }

    pub(super) fn vacate(&self, ended: &[Name]) {
        for (namespace, room) in ended {
            self.switchboard
                .vacate(self.shard, namespace, room.as_ref());
        }
    }

    fn occupy(&self, namespace: &Namespace, room: &Room, unlimited: bool) -> Option<u64> {
        let name = (namespace, Some(room));
        self.switchboard.occupy(self.shard, name, unlimited)
    }

    /// Whether the room is that of a socket itself, which is never joined or left (contract 7).
    fn is_implicit(&self, room: &Room) -> bool {
        let id = SocketId::parse(room.as_str());
        id.is_some_and(|id| id.shard(self.switchboard.node()).is_some())
    }
}
