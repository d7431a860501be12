//! What a read asks for: the query parameters of `GET /v1/…` (contract 9), and cursors.
//!
//! As in bodies, unknown, doubled and invalid parameters are faults, all of them at once, each named by its parameter.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};

use super::audience::Namespaces;
use super::fault::{Cause, Faults};
use super::names;
use super::problem::Problem;
use super::reader::unknown;
use crate::hub::action::UserRoom;
use crate::hub::id::{MAX_NAME, NameError, Namespace, Room, SocketId, UserId};
use crate::hub::reads::{Query, SocketsQuery};

/// Items of one page at most.
pub const MAX_LIMIT: usize = 1_000;
/// Items of one page where no limit is given.
pub const DEFAULT_LIMIT: usize = 100;
/// Longest cursor, in characters.
pub(super) const MAX_CURSOR: usize = 400;

pub(super) const NAMESPACES: &[&str] = &["cursor", "limit"];
pub(super) const ROOMS: &[&str] = &["namespace", "prefix", "cursor", "limit"];
pub(super) const SOCKETS: &[&str] = &[
    "namespace",
    "room",
    "user",
    "id",
    "fields",
    "cursor",
    "limit",
];

/// Base64 for URLs which takes every text of the right characters and length: a cursor means a place, whoever made it up.
const CURSOR: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    NO_PAD.with_decode_allow_trailing_bits(true),
);

/// A place in a list that is sorted by the bytes of its names: everything after a name.
///
/// It names no position, so that it stays valid while the list changes: what is there during a whole walk is given exactly once.
/// Opaque outside: the id of a socket as it is, any other name in base64 for URLs after a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// The place after the last name of a page.
    pub fn after(name: &str) -> Self {
        Self(name.into())
    }

    /// Reads a cursor of ours. What somebody made up in its form is somewhere too: after the name which its bytes begin with.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CURSOR {
            return None;
        }
        let Some(base64) = text.strip_prefix('.') else {
            return SocketId::parse(text).map(|id| Self::after(id.as_str()));
        };
        let mut bytes = CURSOR.decode(base64).ok()?;
        if let Err(error) = std::str::from_utf8(&bytes) {
            bytes.truncate(error.valid_up_to());
        }
        let name = String::from_utf8(bytes).ok()?;
        Some(Self(name.into()))
    }

    fn room(&self) -> Option<Room> {
        Room::new(self.beginning(char::is_control)).ok()
    }

    fn namespace(&self) -> Option<Namespace> {
        Namespace::new(self.beginning(|c| c == ',' || c.is_control())).ok()
    }

    /// What may be a name, up to the first character that may not be in one.
    fn beginning(&self, is_foreign: impl Fn(char) -> bool) -> &str {
        let name = self.0.split(is_foreign).next().unwrap_or_default();
        &name[..name.floor_char_boundary(MAX_NAME)]
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SocketId::parse(&self.0) {
            Some(id) => fmt::Display::fmt(&id, f),
            None => write!(f, ".{}", CURSOR.encode(self.0.as_bytes())),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// Reads the query of `GET /v1/namespaces`.
pub fn namespaces(query: &str) -> Result<Query, Problem> {
    let parameters = Parameters::parse(query, NAMESPACES);
    let query = Query::Namespaces {
        after: parameters
            .cursor(Cursor::parse)
            .and_then(|cursor| cursor.namespace()),
        limit: parameters.limit(),
    };
    parameters.settle(Some(query))
}

/// Reads the query of `GET /v1/rooms`.
pub fn rooms(query: &str, namespaces: &dyn Namespaces) -> Result<Query, Problem> {
    let parameters = Parameters::parse(query, ROOMS);
    let place = parameters.place(namespaces);
    let prefix = parameters.read("prefix", |prefix| match prefix {
        "" => Ok("".into()),
        _ => Room::new(prefix).map(|room| room.as_str().into()),
    });
    let after = parameters
        .cursor(Cursor::parse)
        .and_then(|cursor| cursor.room());
    let limit = parameters.limit();
    let query = place.map(|(namespace, _)| Query::Rooms {
        namespace,
        prefix: prefix.unwrap_or_default(),
        after,
        limit,
    });
    parameters.settle(query)
}

/// Reads the query of `GET /v1/sockets`. A user is asked for by his room.
pub fn sockets(query: &str, namespaces: &dyn Namespaces) -> Result<SocketsQuery, Problem> {
    let parameters = Parameters::parse(query, SOCKETS);
    let place = parameters.place(namespaces);
    let template = place.as_ref().map(|(_, template)| *template);
    let room = parameters.read("room", Room::new);
    let user = parameters.read("user", UserId::new);
    let user = user.and_then(|user| {
        let room = template?.room(&user);
        room.or_else(|| parameters.fault("user", "makes a room name that is too long"))
    });
    let id = parameters.convert("id", |id| {
        SocketId::parse(id).ok_or(names::NO_SOCKET_ID.into())
    });
    let handshake = parameters.convert("fields", |fields| match fields {
        "handshake" => Ok(true),
        _ => Err("can only be 'handshake'".into()),
    });
    let after = parameters.cursor(SocketId::parse);
    let limit = parameters.limit();
    let query = place.map(|(namespace, _)| SocketsQuery {
        namespace,
        rooms: room.into_iter().chain(user).collect(),
        id,
        after,
        limit,
        handshake: handshake.unwrap_or_default(),
    });
    parameters.settle(query)
}

/// Checks that a path without parameters has none.
pub fn none(query: &str) -> Result<(), Problem> {
    Parameters::parse(query, &[]).settle(Some(()))
}

/// The parameters of one query.
struct Parameters<'q> {
    pairs: Vec<(&'static str, Cow<'q, str>)>,
    faults: Faults,
}

impl<'q> Parameters<'q> {
    /// Takes a query apart, without the `?`. Only known names are kept.
    fn parse(query: &'q str, known: &[&'static str]) -> Self {
        let faults = Faults::default();
        let mut pairs: Vec<(&'static str, Cow<'q, str>)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), value) = (decode(name), decode(value)) else {
                faults.add_parameter(name, Cause::Invalid, NOT_UTF8);
                continue;
            };
            let invalid =
                |detail: Cow<'static, str>| faults.add_parameter(&name, Cause::Invalid, detail);
            match (known.iter().find(|known| **known == name), value) {
                (None, _) => invalid(unknown("parameter", &name, known).into()),
                (Some(_), None) => invalid(NOT_UTF8.into()),
                (Some(name), _) if pairs.iter().any(|(other, _)| other == name) => {
                    invalid("is there twice".into());
                }
                (Some(name), Some(value)) => pairs.push((name, value)),
            }
        }
        Self { pairs, faults }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs.find(|(other, _)| *other == name).map(|(_, v)| &**v)
    }

    /// A parameter as read, if it is there and valid.
    fn convert<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<T> {
        match read(self.get(name)?) {
            Ok(value) => Some(value),
            Err(detail) => self.fault(name, detail),
        }
    }

    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        self.convert(name, |text| {
            read(text).map_err(|error| names::describe(error, text).into())
        })
    }

    /// The namespace, which must be open, and the template of its users' rooms.
    fn place<'n>(&self, namespaces: &'n dyn Namespaces) -> Option<(Namespace, &'n UserRoom)> {
        let namespace = match self.get("namespace") {
            Some(_) => self.read("namespace", Namespace::new)?,
            None => names::root(),
        };
        match namespaces.user_room(&namespace) {
            Ok(template) => Some((namespace, template)),
            Err(closed) => {
                let (cause, detail) = (closed.cause(), closed.detail());
                self.faults.add_parameter("namespace", cause, detail);
                None
            }
        }
    }

    fn limit(&self) -> usize {
        let limit = self.convert("limit", |text| match text.parse() {
            Ok(limit @ 1..=MAX_LIMIT) if !text.starts_with('+') => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {MAX_LIMIT}").into()),
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    fn cursor<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.convert("cursor", |text| {
            read(text).ok_or("is not a cursor of an earlier answer".into())
        })
    }

    /// Notes that a parameter breaks the contract.
    fn fault<T>(&self, name: &'static str, detail: impl Into<Cow<'static, str>>) -> Option<T> {
        self.faults.add_parameter(name, Cause::Invalid, detail);
        None
    }

    fn settle<T>(self, value: Option<T>) -> Result<T, Problem> {
        self.faults.settle(value).map_err(Problem::from)
    }
}

const NOT_UTF8: &str = "is not UTF-8";

/// Decodes a name or value as forms write it; `None` where it is not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned().into())
}

#[cfg(test)]
mod tests;
