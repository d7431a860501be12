//! The hub as the session layer sees it, on one shard.

use futures_util::FutureExt as _;

use super::*;
use crate::hub::action::{Audience, Ending, Names, Target};
use crate::hub::id::{ConnectionId, Namespace, NodeTag};

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
pub(crate) fn hub_with(limits: Settings) -> Hub {
    hubs(1, &limits).remove(0)
}

pub(crate) fn hub() -> Hub {
    hub_with(Settings::default())
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
    let turn = hub.act_now(Action::Disconnect { to, ending });
    assert_eq!(turn.effects.len(), 3);
    assert!(matches!(turn.effects[2], Effect::CloseConnection { .. }));
    let packets = hub.received(connection);
    assert_eq!(packets, ["\u{fffd}\u{2}41", "\u{fffd}\u{8}41/chat,"]);
}
