//! [`Action`]: everything that can be done to sockets, in one vocabulary.
//!
//! Webhook replies, REST requests and, later, cluster messages are all translated into these values at the edge, where they are
//! validated completely; whoever holds an `Action` may apply it without further checks.

use std::sync::Arc;
use std::time::SystemTime;

use crate::hub::id::{Namespace, Room, SocketId, UserId};
use crate::protocol::frame::Frame;

/// What a field of a reply asks for: nothing, to clear, or to replace.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// The field is absent: keep what there is.
    #[default]
    Keep,
    /// The field is `null`.
    Clear,
    /// The field has a value.
    Set(T),
}

impl<T> Change<T> {
    /// Applies the change to a value in place; true where something may have changed.
    pub fn apply(self, value: &mut Option<T>) -> bool {
        match self {
            Self::Keep => return false,
            Self::Clear => *value = None,
            Self::Set(new) => *value = Some(new),
        }
        true
    }
}

/// A backend's notes about a socket: verbatim JSON, at most 16 KiB, never sent to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(pub Arc<str>);

impl State {
    /// Largest state, in bytes of JSON text.
    pub const MAX: usize = 16 * 1024;
}

/// Names of sockets, directly or by room. The empty list names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Rooms; the rooms of users are among them, made by the template of the target namespace.
    pub rooms: Vec<Room>,
    /// Socket ids. A room that has the form of a socket id stands in both lists.
    pub sockets: Vec<SocketId>,
}

impl Names {
    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.sockets.is_empty()
    }
}

/// Whom an action is for, within one namespace. Each socket is meant once, and exceptions always win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The namespace; sockets of another one are never reached.
    pub namespace: Namespace,
    /// The sockets meant.
    pub to: Target,
    /// The sockets left out.
    pub except: Names,
}

/// The positive part of an [`Audience`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every socket of the namespace.
    All,
    /// The union of these.
    Names(Names),
}

impl Audience {
    /// One socket.
    pub fn socket(namespace: Namespace, id: SocketId) -> Self {
        let names = Names {
            rooms: Vec::new(),
            sockets: vec![id],
        };
        Self {
            namespace,
            to: Target::Names(names),
            except: Names::default(),
        }
    }
}

/// How a `disconnect` action ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A DISCONNECT packet in this namespace; the client stays away (`server namespace disconnect`).
    Namespace,
    /// A transport close of the whole connection; the client returns (`forced server close`).
    Transport,
    /// A DISCONNECT packet in every namespace of the connection, then a close (`server namespace disconnect`).
    Connection,
}

/// Something done to sockets.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends a packet.
    Emit {
        /// The recipients.
        to: Audience,
        /// The encoded packet.
        frame: Frame,
        /// Whether a socket whose transport cannot take it now loses it.
        volatile: bool,
    },
    /// Puts sockets into rooms.
    Join {
        /// The sockets.
        to: Audience,
        /// The rooms.
        rooms: Vec<Room>,
    },
    /// Takes sockets out of rooms.
    Leave {
        /// The sockets.
        to: Audience,
        /// The rooms.
        rooms: Vec<Room>,
    },
    /// Ends sockets.
    Disconnect {
        /// The sockets.
        to: Audience,
        /// How.
        ending: Ending,
        /// Why, in the backend's words: for whoever performs it to log.
        reason: Option<Box<str>>,
    },
    /// Replaces the state of sockets.
    State {
        /// The sockets.
        to: Audience,
        /// The new state; never `Keep`.
        set: Change<State>,
    },
    /// Sets the hard end of sockets.
    Expire {
        /// The sockets.
        to: Audience,
        /// When; `None` is never, the past ends them now.
        at: Option<SystemTime>,
    },
}

impl Action {
    /// Whom the action is for.
    pub fn audience(&self) -> &Audience {
        match self {
            Self::Emit { to, .. }
            | Self::Join { to, .. }
            | Self::Leave { to, .. }
            | Self::Disconnect { to, .. }
            | Self::State { to, .. }
            | Self::Expire { to, .. } => to,
        }
    }
}

/// What an action did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Sockets touched.
    pub sockets: usize,
    /// Sockets that a limit kept out (`rooms_per_socket`, `rooms`).
    pub limited: usize,
}

/// The room that holds all sockets of a user: a template which holds `{user}` exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRoom {
    prefix: Box<str>,
    suffix: Box<str>,
}

impl UserRoom {
    /// Reads the template; `None` unless it holds `{user}` exactly once.
    pub fn new(template: &str) -> Option<Self> {
        let (prefix, suffix) = template.split_once("{user}")?;
        (!suffix.contains("{user}")).then(|| Self {
            prefix: prefix.into(),
            suffix: suffix.into(),
        })
    }

    /// The user's room; `None` where the name would be longer than a room may be.
    pub fn room(&self, user: &UserId) -> Option<Room> {
        Room::new(&format!("{}{}{}", self.prefix, user.as_str(), self.suffix)).ok()
    }
}

impl Default for UserRoom {
    fn default() -> Self {
        Self {
            prefix: "user:".into(),
            suffix: "".into(),
        }
    }
}
