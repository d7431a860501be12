//! Names and times as they stand in JSON (contract 7a), and the limits on lists of them.

use std::borrow::Cow;
use std::time::SystemTime;

use super::reader::Value;
use super::{clock, decimal};
use crate::hub::id::{self, NameError, Namespace, Room, SocketId, UserId};

/// Names in one list at most (contract 7).
pub(super) const MAX_NAMES: usize = 1_000;

pub(super) const NO_SOCKET_ID: &str =
    "is not a socket id: 20 characters of A-Z, a-z, 0-9, '-' and '_'";

const TIME: &str = "a time as in RFC 3339, such as \"2026-11-24T23:00:00Z\"";

/// The namespace that REST means where none is written.
pub(super) fn root() -> Namespace {
    Namespace::new("/").expect("a valid name")
}

impl<'j> Value<'j, '_> {
    /// A room.
    pub(super) fn room(self) -> Option<Room> {
        let name = self.text()?;
        Room::new(&name).or_else_fault(self, &name)
    }

    /// A list of rooms.
    pub(super) fn rooms(self) -> Option<Vec<Room>> {
        self.list(MAX_NAMES, Value::room)
    }

    /// A namespace.
    pub(super) fn namespace(self) -> Option<Namespace> {
        let name = self.text()?;
        Namespace::new(&name).or_else_fault(self, &name)
    }

    /// A user: a string, or an integer taken as its decimal text.
    pub(super) fn user(self) -> Option<UserId> {
        let name = match decimal::whole(self.raw()) {
            Some(number) => number,
            None if self.raw().starts_with('"') => self.text()?,
            None => return self.mistyped("a string or an integer"),
        };
        UserId::new(&name).or_else_fault(self, &name)
    }

    /// The name of an event which a backend sends.
    pub(super) fn event(self) -> Option<Box<str>> {
        let name = self.text()?;
        let checked = id::check_event(&name).map(|()| name.as_ref().into());
        checked.or_else_fault(self, &name)
    }

    /// The id of a socket.
    pub(super) fn socket(self) -> Option<SocketId> {
        let id = SocketId::parse(&self.text()?);
        id.or_else(|| self.fault(NO_SOCKET_ID))
    }

    /// A moment.
    pub(super) fn time(self) -> Option<SystemTime> {
        if !self.raw().starts_with('"') {
            return self.mistyped(TIME);
        }
        let time = clock::parse(&self.text()?);
        time.or_else(|| self.mistyped(TIME))
    }

    /// A string of at most `max` bytes.
    pub(super) fn text_up_to(self, max: usize) -> Option<Cow<'j, str>> {
        let text = self.text()?;
        if text.len() > max {
            return self.fault(format!("is longer than {max} bytes"));
        }
        Some(text)
    }

    /// Any value whose text has at most `max` bytes, as it came.
    pub(super) fn json_up_to(self, max: usize) -> Option<&'j str> {
        if self.raw().len() > max {
            return self.fault(format!("is longer than {max} bytes"));
        }
        Some(self.raw())
    }
}

/// What is wrong with a name, in words that repeat no name but our own.
pub(super) fn describe(error: NameError, name: &str) -> String {
    match error {
        NameError::Reserved => format!("'{name}' is reserved"),
        other => other.to_string(),
    }
}

trait OrElseFault<T> {
    fn or_else_fault(self, value: Value<'_, '_>, name: &str) -> Option<T>;
}

impl<T> OrElseFault<T> for Result<T, NameError> {
    fn or_else_fault(self, value: Value<'_, '_>, name: &str) -> Option<T> {
        self.map_or_else(|error| value.fault(describe(error, name)), Some)
    }
}
