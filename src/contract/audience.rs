//! Whom an action is for (contract 7): `namespace`, `to` and `except`, with the rules of the side that they come from.
//!
//! The gateway never guesses "everybody": an audience says `all`, or it names somebody, or it is a fault.

use super::fault::Cause;
use super::names::MAX_NAMES;
use super::reader::{Fields, Object, Value};
use crate::hub::action::{Audience, Names, Target, UserRoom};
use crate::hub::id::{Namespace, Room, SocketId};

/// Why a namespace is closed to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// No `[[namespace]]` matches it.
    Unknown,
    /// The API key does not allow it.
    Forbidden,
}

impl Closed {
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Unknown => Cause::UnknownNamespace,
            Self::Forbidden => Cause::Forbidden,
        }
    }

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Unknown => "no namespace of this name is configured",
            Self::Forbidden => "is not among the namespaces of the key",
        }
    }
}

/// The namespaces that there are, for the one who asks.
pub trait Namespaces {
    /// The template of the rooms of users, which every open namespace has.
    fn user_room(&self, namespace: &Namespace) -> Result<&UserRoom, Closed>;
}

/// Where an action comes from: what it means by default, and what it may name.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The socket that a webhook's reply is for; over REST there is none.
    pub(super) own: Option<SocketId>,
    /// The namespace that is meant where none is written.
    pub(super) namespace: &'a Namespace,
    /// The namespaces that there are.
    pub(super) namespaces: &'a dyn Namespaces,
}

/// Whom a type of action may be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// The fields of `to`.
    to: Fields,
    /// Whether `"namespace":"*"` is in the contract, if not in this version.
    every_namespace: bool,
}

impl Reach {
    /// Anybody in a namespace.
    pub(super) const NAMESPACE: Self = Self {
        to: Fields::of(&["all", "rooms", "users", "sockets", "self"]),
        every_namespace: false,
    };
    /// Anybody, later in every namespace at once.
    pub(super) const EVERYWHERE: Self = Self {
        every_namespace: true,
        ..Self::NAMESPACE
    };
    /// Single sockets.
    pub(super) const SOCKETS: Self = Self {
        to: Fields::of(&["sockets", "self"]),
        every_namespace: false,
    };
}

pub(super) const EXCEPT: Fields = Fields::of(&["rooms", "users", "sockets", "self"]);

const SOME: &str = "an object such as {\"rooms\":[\"a\"]}";
const SOME_OR_ALL: &str = "an object such as {\"rooms\":[\"a\"]} or {\"all\":true}";
const SINGLE: &str = "an object with a list of ids in \"sockets\"";

const NO_SELF: &str = "has a meaning only in the reply to a webhook";
const FOREIGN_SELF: &str = "cannot be meant, since the namespace is not the socket's own";

/// The namespace of an action, as far as it could be read, and what names in it mean.
struct Place<'a> {
    namespace: Option<Namespace>,
    template: Option<&'a UserRoom>,
    /// What `self` means in `to`, or why it means nothing.
    own: Result<SocketId, &'static str>,
}

impl<'a> Origin<'a> {
    /// Reads `namespace`, `to` and `except`. Whether an action may have these fields is checked by its reader.
    pub(super) fn audience(&self, action: &Object<'_, '_>, reach: &Reach) -> Option<Audience> {
        let place = self.place(action, reach);
        let to = place.to(action, reach);
        let except = action.or("except", Names::default(), |value| {
            let object = value.object_such_as(SOME)?;
            place.names(value, &object, &EXCEPT, self.own.ok_or(NO_SELF))
        });
        Some(Audience {
            namespace: place.namespace?,
            to: to?,
            except,
        })
    }

    fn place(&self, action: &Object<'_, '_>, reach: &Reach) -> Place<'a> {
        let namespace = match action.get("namespace") {
            Some(value) if reach.every_namespace && value.raw() == "\"*\"" => {
                value.refuse(Cause::NotAvailable, "'*' is not yet available")
            }
            Some(value) => value.namespace(),
            None => Some(self.namespace.clone()),
        };
        let opened = namespace.and_then(|namespace| {
            let template = self.open(&namespace, |cause, detail| {
                action.refuse("namespace", cause, detail)
            })?;
            Some((namespace, template))
        });
        let is_foreign = |(namespace, _): &(Namespace, _)| namespace != self.namespace;
        let own = match self.own {
            Some(_) if opened.as_ref().is_some_and(is_foreign) => Err(FOREIGN_SELF),
            Some(own) => Ok(own),
            None => Err(NO_SELF),
        };
        let (namespace, template) = opened.unzip();
        Place {
            namespace,
            template,
            own,
        }
    }

    /// The user room's template of a namespace, which must be open.
    pub(super) fn open(
        &self,
        namespace: &Namespace,
        refuse: impl FnOnce(Cause, &'static str) -> Option<&'a UserRoom>,
    ) -> Option<&'a UserRoom> {
        match self.namespaces.user_room(namespace) {
            Ok(template) => Some(template),
            Err(closed) => refuse(closed.cause(), closed.detail()),
        }
    }
}

impl Place<'_> {
    fn to(&self, action: &Object<'_, '_>, reach: &Reach) -> Option<Target> {
        let Some(value) = action.get("to") else {
            return match self.own {
                Ok(own) => Some(Target::Names(Names {
                    rooms: Vec::new(),
                    sockets: vec![own],
                })),
                Err(_) if reach.to.known.contains(&"all") => {
                    let detail = "required; use {\"all\":true} for everybody";
                    action.refuse("to", Cause::Invalid, detail)
                }
                Err(_) => action.refuse("to", Cause::Invalid, "required"),
            };
        };
        let may_be_all = reach.to.known.contains(&"all");
        let object = value.object_such_as(if may_be_all { SOME_OR_ALL } else { SINGLE })?;
        match object.get("all") {
            Some(all) if may_be_all => {
                object.only(&reach.to);
                all.only_true()?;
                if object.len() > 1 {
                    return value.fault("has more than 'all', which stands alone");
                }
                Some(Target::All)
            }
            _ => {
                let names = self.names(value, &object, &reach.to, self.own);
                names.map(Target::Names)
            }
        }
    }

    fn names(
        &self,
        value: Value<'_, '_>,
        object: &Object<'_, '_>,
        fields: &Fields,
        own: Result<SocketId, &'static str>,
    ) -> Option<Names> {
        object.only(fields);
        if object.len() == 0 {
            return value.fault("names nobody; to reach nobody, give an empty list");
        }
        let rooms = object.or("rooms", Vec::new(), Value::rooms);
        let users = object.or("users", Vec::new(), |users| self.user_rooms(users));
        let sockets = object.or("sockets", Vec::new(), |sockets| {
            sockets.list(MAX_NAMES, Value::socket)
        });
        let own = object.get("self").and_then(|value| {
            value.only_true()?;
            own.map_or_else(|detail| value.fault(detail), Some)
        });
        let mut names = Names { rooms, sockets };
        let implicit = names.rooms.iter().map(Room::as_str);
        names.sockets.extend(implicit.filter_map(SocketId::parse));
        names.rooms.extend(users);
        names.sockets.extend(own);
        Some(names)
    }

    /// The rooms of users. Where the namespace is a fault there is no template, and the names are only checked.
    fn user_rooms(&self, users: Value<'_, '_>) -> Option<Vec<Room>> {
        let rooms = users.list(MAX_NAMES, |value| {
            let user = value.user()?;
            match self.template.map(|template| template.room(&user)) {
                Some(None) => value.fault("makes a room name that is too long"),
                room => Some(room.flatten()),
            }
        });
        Some(rooms?.into_iter().flatten().collect())
    }
}
