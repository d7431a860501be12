//! What the tests of the contract share: the names of its examples.

use std::time::{Duration, SystemTime};

use super::audience::{Closed, Namespaces};
use super::clock;
use super::fault::{Cause, Fault};
use super::problem::{Code, Problem};
use crate::hub::action::{Action, Audience, Names, Target, UserRoom};
use crate::hub::id::{Namespace, Room, SocketId};
use crate::protocol::frame::Frame;
use crate::protocol::websocket;

/// The socket of the examples.
pub(super) const SOCKET: &str = "aB3xQ9Zk3q9sT0bXw7Kd";
/// Another one.
pub(super) const OTHER: &str = "cD5yR2pQ8mV1nE4tJ6Hs";

/// `/` and `/chat` with the usual rooms of users, `/docs` with others, `/closed` to which nobody has a key.
#[derive(Default)]
pub(super) struct Sites {
    usual: UserRoom,
    docs: Option<UserRoom>,
}

impl Sites {
    pub(super) fn new() -> Self {
        Self {
            usual: UserRoom::default(),
            docs: UserRoom::new("of {user} in docs"),
        }
    }
}

impl Namespaces for Sites {
    fn user_room(&self, namespace: &Namespace) -> Result<&UserRoom, Closed> {
        match namespace.as_str() {
            "/" | "/chat" => Ok(&self.usual),
            "/docs" => self.docs.as_ref().ok_or(Closed::Unknown),
            "/closed" => Err(Closed::Forbidden),
            _ => Err(Closed::Unknown),
        }
    }
}

pub(super) fn socket(id: &str) -> SocketId {
    SocketId::parse(id).expect("a socket id")
}

pub(super) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a namespace")
}

pub(super) fn rooms(names: &[&str]) -> Vec<Room> {
    let room = |name: &&str| Room::new(name).expect("a room");
    names.iter().map(room).collect()
}

pub(super) fn at(text: &str) -> SystemTime {
    clock::parse(text).expect("a time")
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn names(room_names: &[&str], sockets: &[&str]) -> Names {
    Names {
        rooms: rooms(room_names),
        sockets: sockets.iter().map(|id| socket(id)).collect(),
    }
}

pub(super) fn audience(at: &str, to: Names, except: Names) -> Audience {
    Audience {
        namespace: namespace(at),
        to: Target::Names(to),
        except,
    }
}

/// A packet as a client gets it: its text, and its attachments.
pub(super) fn packet(frame: &Frame) -> (String, Vec<Vec<u8>>) {
    let mut text = String::new();
    let mut attachments = Vec::new();
    for part in frame.parts() {
        let payload = websocket::payload(part).to_vec();
        if websocket::is_text(part) {
            text = String::from_utf8(payload).expect("UTF-8");
        } else {
            attachments.push(payload);
        }
    }
    (text, attachments)
}

/// The text of the packet that an emit sends.
pub(super) fn sent(action: &Action) -> String {
    match action {
        Action::Emit { frame, .. } => packet(frame).0,
        other => panic!("not an emit: {other:?}"),
    }
}

/// Faults as `pointer: detail`.
pub(super) fn written(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

/// The pointers of faults.
pub(super) fn pointers(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| fault.place.to_string()).collect()
}

/// The code of a problem and its pointers.
pub(super) fn gist(problem: &Problem) -> (Code, Vec<String>) {
    (problem.code, pointers(&problem.errors))
}

/// The causes of faults.
pub(super) fn causes(faults: &[Fault]) -> Vec<Cause> {
    faults.iter().map(|fault| fault.cause).collect()
}
