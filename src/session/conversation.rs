//! [`Conversation`]: what a client may say, as a pure state machine.
//!
//! In go decoded packets, out comes exactly one [`Effect`] each. It knows which namespaces of the connection are being joined,
//! joined or recently left; it does not know sockets' rooms, lanes, backends, queues or clocks (time is passed in as a tick).
//!
//! ```text
//!            CONNECT                accepted
//!   absent ───────────► Connecting ─────────► Joined
//!      ▲                    │ refused            │ DISCONNECT of either side
//!      └── 30 s ── Left ◄───┴────────────────────┘
//! ```

use std::borrow::Cow;

use crate::hub::id::{Namespace, check_client_event};
use crate::hub::reason::Reason;
use crate::protocol::socket_io::{Ack, Body, Event, Packet};

/// For so many seconds packets for a namespace that was left are ignored rather than punished: they were on their way.
pub const LEFT_SECONDS: u32 = 30;
/// So many left namespaces are remembered; the oldest is forgotten first.
const LEFT_MAX: usize = 32;

/// What the session must do about a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'a, S> {
    /// Ask whether the client may join; the namespace is [`Conversation::add`]ed by whoever does.
    Connect {
        /// The namespace, valid and not yet joined.
        namespace: Namespace,
        /// The JSON object that the client sent, if any.
        auth: Option<Cow<'a, str>>,
    },
    /// The event enters the lane of this socket.
    Event(S, Event<'a>),
    /// The acknowledgement of something this socket was sent.
    Ack(S, Ack<'a>),
    /// The client leaves; the socket is no longer part of the conversation.
    Leave(S),
    /// Nothing.
    Ignore,
    /// The connection must be closed.
    Close(Reason),
}

/// The namespaces of one connection; `S` is a cheap handle of a socket.
#[derive(Debug)]
pub struct Conversation<S> {
    members: Vec<Member<S>>,
    left: Vec<(Namespace, u32)>,
}

#[derive(Debug)]
struct Member<S> {
    namespace: Namespace,
    socket: S,
    joined: bool,
}

impl<S> Default for Conversation<S> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            left: Vec::new(),
        }
    }
}

impl<S: Clone> Conversation<S> {
    /// Takes a packet; `second` is the present in whole seconds of any clock that only moves forward.
    pub fn receive<'a>(&mut self, packet: Packet<'a>, second: u32) -> Effect<'a, S> {
        let namespace = &*packet.namespace;
        if let Body::Connect(auth) = packet.body {
            return self.connect(namespace, auth);
        }
        let Some(position) = self.position(namespace) else {
            let known = self.left.iter().any(|(n, at)| {
                n.as_str() == namespace && second.saturating_sub(*at) < LEFT_SECONDS
            });
            return if known {
                Effect::Ignore
            } else {
                Effect::Close(Reason::ForcedClose)
            };
        };
        let member = &self.members[position];
        match packet.body {
            Body::Connect(_) => unreachable!("handled above"),
            Body::Event(event) if check_client_event(&event.name).is_err() => {
                Effect::Close(Reason::ParseError)
            }
            Body::Event(event) => Effect::Event(member.socket.clone(), event),
            // Nothing was sent to a socket that is not joined yet, so there is nothing to acknowledge.
            Body::Ack(_) if !member.joined => Effect::Ignore,
            Body::Ack(ack) => Effect::Ack(member.socket.clone(), ack),
            Body::Disconnect => Effect::Leave(self.leave(position, second)),
        }
    }

    fn connect<'a>(&self, namespace: &str, auth: Option<Cow<'a, str>>) -> Effect<'a, S> {
        if self.position(namespace).is_some() {
            return Effect::Close(Reason::ForcedClose);
        }
        match Namespace::new(namespace) {
            Ok(namespace) => Effect::Connect { namespace, auth },
            Err(_) => Effect::Close(Reason::ParseError),
        }
    }

    /// A CONNECT for this namespace is being decided.
    pub fn add(&mut self, namespace: Namespace, socket: S) {
        self.members.push(Member {
            namespace,
            socket,
            joined: false,
        });
    }

    /// The CONNECT was accepted. False where the client left meanwhile.
    pub fn joined(&mut self, namespace: &Namespace, same: impl Fn(&S) -> bool) -> bool {
        let member = self
            .members
            .iter_mut()
            .find(|m| m.namespace == *namespace && same(&m.socket));
        member.map(|m| m.joined = true).is_some()
    }

    /// The socket has ended by something else than the client's DISCONNECT, or its CONNECT was refused.
    pub fn remove(&mut self, namespace: &Namespace, second: u32, same: impl Fn(&S) -> bool) {
        if let Some(position) = self
            .members
            .iter()
            .position(|m| m.namespace == *namespace && same(&m.socket))
        {
            self.leave(position, second);
        }
    }

    /// A CONNECT was refused before there was a socket.
    pub fn refused(&mut self, namespace: Namespace, second: u32) {
        self.remember(namespace, second);
    }

    /// Sockets that are joined or being joined.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.members.iter().map(|m| &m.socket)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is joined or being joined.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether some socket other than the one that `same` tells is joined.
    pub fn has_other_joined(&self, same: impl Fn(&S) -> bool) -> bool {
        self.members.iter().any(|m| m.joined && !same(&m.socket))
    }

    /// Forgets all, and gives what there was: the connection has ended.
    pub fn end(&mut self) -> Vec<S> {
        self.left = Vec::new();
        std::mem::take(&mut self.members)
            .into_iter()
            .map(|m| m.socket)
            .collect()
    }

    fn position(&self, namespace: &str) -> Option<usize> {
        self.members
            .iter()
            .position(|m| m.namespace.as_str() == namespace)
    }

    fn leave(&mut self, position: usize, second: u32) -> S {
        let member = self.members.swap_remove(position);
        self.remember(member.namespace, second);
        member.socket
    }

    fn remember(&mut self, namespace: Namespace, second: u32) {
        self.left
            .retain(|(n, at)| *n != namespace && second.saturating_sub(*at) < LEFT_SECONDS);
        if self.left.len() == LEFT_MAX {
            self.left.remove(0);
        }
        self.left.push((namespace, second));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
