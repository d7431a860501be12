//! [`SocketView`]: a socket as it is now, for whoever may look at it.

use std::time::SystemTime;

use crate::hub::action::State;
use crate::hub::effect::Departed;
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::key::ConnectionKey;
use crate::hub::reads::SocketRecord;
use crate::hub::roster::{Roster, Socket};

/// A look at a socket, valid inside of [`Hub::socket`](super::Hub::socket).
#[derive(Debug)]
pub struct SocketView<'a> {
    pub(crate) roster: &'a Roster,
    pub(crate) index: u32,
    pub(crate) connection: ConnectionKey,
    /// Frames and bytes that wait for its connection.
    pub(crate) queue: (usize, usize),
}

impl SocketView<'_> {
    fn socket(&self) -> &Socket {
        self.roster.socket(self.index)
    }

    /// Public id.
    pub fn id(&self) -> SocketId {
        self.socket().id
    }

    /// Namespace.
    pub fn namespace(&self) -> &Namespace {
        self.roster.namespace(self.index)
    }

    /// Its connection.
    pub fn connection(&self) -> ConnectionKey {
        self.connection
    }

    /// Public name of its connection.
    pub fn connection_id(&self) -> ConnectionId {
        self.socket().connection_id
    }

    /// When its CONNECT was accepted.
    pub fn connected_at(&self) -> SystemTime {
        self.socket().connected_at
    }

    /// The user.
    pub fn user(&self) -> Option<&UserId> {
        self.socket().user.as_ref()
    }

    /// The backend's notes.
    pub fn state(&self) -> Option<&State> {
        self.socket().state.as_ref()
    }

    /// Its hard end.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.socket().expires_at
    }

    /// Rises with state, user and expiry.
    pub fn version(&self) -> u64 {
        self.socket().version
    }

    /// Its rooms in no order, the user's room included, its own id excluded.
    pub fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.roster.rooms(self.index)
    }

    /// Whether it is in a room.
    pub fn is_in(&self, room: &Room) -> bool {
        let group = self.roster.group(self.namespace(), Some(room));
        group.is_some_and(|group| self.roster.is_in(self.index, group))
    }

    /// All of it for a read; the session adds what only it knows.
    pub fn record(&self) -> SocketRecord {
        let Departed {
            id,
            namespace,
            connection_id,
            connected_at,
            user,
            state,
            rooms,
        } = self.departed();
        SocketRecord {
            id,
            namespace,
            connection: connection_id,
            user,
            state,
            rooms,
            connected_at,
            expires_at: self.expires_at(),
            version: self.version(),
            queue_frames: self.queue.0,
            queue_bytes: self.queue.1,
            session: None,
        }
    }

    pub(crate) fn departed(&self) -> Departed {
        let mut rooms: Vec<Room> = self.rooms().cloned().collect();
        rooms.sort_unstable();
        Departed {
            id: self.id(),
            namespace: self.namespace().clone(),
            connection_id: self.connection_id(),
            connected_at: self.connected_at(),
            user: self.user().cloned(),
            state: self.state().cloned(),
            rooms,
        }
    }
}
