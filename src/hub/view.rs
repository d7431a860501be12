//! [`SocketView`]: a socket as it is now, for whoever may look at it.

use std::time::SystemTime;

use crate::hub::action::State;
use crate::hub::effect::Departed;
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::key::ConnectionKey;
use crate::hub::reads::SocketRecord;
use crate::hub::roster::Roster;

/// A look at a socket, valid inside of [`Hub::socket`](super::Hub::socket).
#[derive(Clone, Copy, Debug)]
pub struct SocketView<'a> {
    /// Public id.
    pub id: SocketId,
    /// Namespace.
    pub namespace: &'a Namespace,
    /// Its connection.
    pub connection: ConnectionKey,
    /// Public name of its connection.
    pub connection_id: ConnectionId,
    /// When its CONNECT was accepted.
    pub connected_at: SystemTime,
    /// The user.
    pub user: Option<&'a UserId>,
    /// The backend's notes.
    pub state: Option<&'a State>,
    /// Its hard end.
    pub expires_at: Option<SystemTime>,
    /// Rises with state, user and expiry.
    pub version: u64,
    /// Frames and bytes that wait for its connection.
    pub queue: (usize, usize),
    roster: &'a Roster,
    index: u32,
}

impl<'a> SocketView<'a> {
    pub(crate) fn new(
        roster: &'a Roster,
        index: u32,
        connection: ConnectionKey,
        queue: (usize, usize),
    ) -> Self {
        let socket = roster.socket(index);
        Self {
            id: socket.id,
            namespace: roster.namespace(index),
            connection,
            connection_id: socket.connection_id,
            connected_at: socket.connected_at,
            user: socket.user.as_ref(),
            state: socket.state.as_ref(),
            expires_at: socket.expires_at,
            version: socket.version,
            queue,
            roster,
            index,
        }
    }

    /// Its rooms in no order, the user's room included, its own id excluded.
    pub fn rooms(&self) -> impl Iterator<Item = &'a Room> {
        self.roster.rooms(self.index)
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &Room) -> bool {
        let group = self.roster.group(self.namespace, Some(room));
        group.is_some_and(|group| self.roster.is_in(self.index, group))
    }

    /// All of it for a read; the session adds what only it knows.
    pub fn record(&self) -> SocketRecord {
        let departed = self.departed();
        SocketRecord {
            id: departed.id,
            namespace: departed.namespace,
            connection: departed.connection_id,
            user: departed.user,
            state: departed.state,
            rooms: departed.rooms,
            connected_at: departed.connected_at,
            expires_at: self.expires_at,
            version: self.version,
            queue_frames: self.queue.0,
            queue_bytes: self.queue.1,
            session: None,
        }
    }

    pub(crate) fn departed(&self) -> Departed {
        let mut rooms: Vec<Room> = self.rooms().cloned().collect();
        rooms.sort_unstable();
        Departed {
            id: self.id,
            namespace: self.namespace.clone(),
            connection_id: self.connection_id,
            connected_at: self.connected_at,
            user: self.user.cloned(),
            state: self.state.cloned(),
            rooms,
        }
    }
}
