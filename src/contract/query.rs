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
use crate::hub::id::{NameError, Namespace, Room, SocketId, UserId};

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

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Items at most, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Only items whose name comes after this one, byte by byte.
    pub after: Option<Cursor>,
}

/// A place in a list that is sorted by the bytes of its names: everything after a name.
///
/// It names no position, so that it stays valid while the list changes: what is there during a whole walk is given exactly once.
/// Opaque outside: the id of a socket as it is, any other name in base64 for URLs after a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// The place after the last name of a page.
    pub fn after(name: &str) -> Self {
        Self(name.into())
    }

    /// The bytes after which the names come; no name themselves perhaps, where somebody made the cursor up.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CURSOR {
            return None;
        }
        match text.strip_prefix('.') {
            Some(base64) => CURSOR.decode(base64).ok().map(Self),
            None => Self::parse_socket(text),
        }
    }

    fn parse_socket(text: &str) -> Option<Self> {
        SocketId::parse(text).map(|id| Self::after(id.as_str()))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = std::str::from_utf8(&self.0).ok();
        match name.and_then(SocketId::parse) {
            Some(id) => fmt::Display::fmt(&id, f),
            None => write!(f, ".{}", CURSOR.encode(&self.0)),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// `GET /v1/rooms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomsQuery {
    /// The namespace, `/` by default; open to the caller.
    pub namespace: Namespace,
    /// Only rooms that begin so.
    pub prefix: Box<str>,
    /// The page.
    pub paging: Paging,
}

/// `GET /v1/sockets`. Only sockets for which all of it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketsQuery {
    /// The namespace, `/` by default; open to the caller.
    pub namespace: Namespace,
    /// Only members of this room.
    pub room: Option<Room>,
    /// Only sockets of this user.
    pub user: Option<UserId>,
    /// Only this one; if there is none, the answer is 404 `unknown_socket`.
    pub id: Option<SocketId>,
    /// Whether items have what is known of the first request (`fields=handshake`).
    pub handshake: bool,
    /// The page.
    pub paging: Paging,
}

/// Reads the query of `GET /v1/namespaces`.
pub fn namespaces(query: &str) -> Result<Paging, Problem> {
    let parameters = Parameters::parse(query, NAMESPACES);
    let paging = parameters.paging(Cursor::parse);
    parameters.settle(Some(paging))
}

/// Reads the query of `GET /v1/rooms`.
pub fn rooms(query: &str, namespaces: &dyn Namespaces) -> Result<RoomsQuery, Problem> {
    let parameters = Parameters::parse(query, ROOMS);
    let namespace = parameters.namespace(namespaces);
    let prefix = parameters.read("prefix", |prefix| match prefix {
        "" => Ok("".into()),
        _ => Room::new(prefix).map(|room| room.as_str().into()),
    });
    let paging = parameters.paging(Cursor::parse);
    let query = namespace.map(|namespace| RoomsQuery {
        namespace,
        prefix: prefix.unwrap_or_default(),
        paging,
    });
    parameters.settle(query)
}

/// Reads the query of `GET /v1/sockets`.
pub fn sockets(query: &str, namespaces: &dyn Namespaces) -> Result<SocketsQuery, Problem> {
    let parameters = Parameters::parse(query, SOCKETS);
    let namespace = parameters.namespace(namespaces);
    let room = parameters.read("room", Room::new);
    let user = parameters.read("user", UserId::new);
    let id = parameters.convert("id", |id| {
        SocketId::parse(id).ok_or(names::NO_SOCKET_ID.into())
    });
    let handshake = parameters.convert("fields", |fields| match fields {
        "handshake" => Ok(()),
        _ => Err("can only be 'handshake'".into()),
    });
    let paging = parameters.paging(Cursor::parse_socket);
    let query = namespace.map(|namespace| SocketsQuery {
        namespace,
        room,
        user,
        id,
        handshake: handshake.is_some(),
        paging,
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
            Err(detail) => {
                self.faults.add_parameter(name, Cause::Invalid, detail);
                None
            }
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

    fn namespace(&self, namespaces: &dyn Namespaces) -> Option<Namespace> {
        let namespace = match self.get("namespace") {
            Some(_) => self.read("namespace", Namespace::new)?,
            None => names::root(),
        };
        match namespaces.user_room(&namespace) {
            Ok(_) => Some(namespace),
            Err(closed) => {
                let (cause, detail) = (closed.cause(), closed.detail());
                self.faults.add_parameter("namespace", cause, detail);
                None
            }
        }
    }

    fn paging(&self, read: impl FnOnce(&str) -> Option<Cursor>) -> Paging {
        let limit = self.convert("limit", |text| match text.parse() {
            Ok(limit @ 1..=MAX_LIMIT) if !text.starts_with('+') => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {MAX_LIMIT}").into()),
        });
        let after = self.convert("cursor", |text| {
            read(text).ok_or("is not a cursor of an earlier answer".into())
        });
        Paging {
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            after,
        }
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
