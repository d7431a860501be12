//! What a backend answers to a webhook (contract 3, 4 and 7).
//!
//! A reply is valid as a whole or nothing of it is applied: all of it is read, and every fault noted, before anything comes out.
//! Unknown fields at the top are ignored, since new ones may appear within v1; everywhere below they are faults.

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use super::action::{self, Actions, MAX_ACTIONS};
use super::audience::{Namespaces, Origin};
use super::binary;
use super::fault::{Cause, Faults, Faulty};
use super::reader::{Fields, Object, Value};
use crate::hub::action::Change;
use crate::hub::id::{Namespace, Room, SocketId, UserId};
use crate::session::backend::{Reject, Reply, Step};

/// Longest message of a refusal, in bytes.
pub const MAX_REJECT_MESSAGE: usize = 200;
/// Longest data of a refusal, in bytes of JSON text.
pub const MAX_REJECT_DATA: usize = 4 * 1024;
/// Longest time that a decision may be asked to be remembered, in seconds.
const MAX_CACHE_TTL: u32 = 300;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// Whether a client may join.
    Connect,
    /// What an event does.
    Event,
}

/// What the fields of a reply refer to.
#[derive(Clone, Copy)]
pub struct ReplyContext<'a> {
    /// The socket that was asked about: `self`.
    pub socket: SocketId,
    /// Its namespace, which actions mean where they name none.
    pub namespace: &'a Namespace,
    /// Finds the namespaces that actions name.
    pub namespaces: &'a dyn Namespaces,
    /// Largest packet as a client gets it, text and bytes (`limits.emit`); 0 for any.
    pub max_emit: usize,
    /// Rooms of one socket (`limits.rooms_per_socket`); 0 for any number.
    pub max_rooms: usize,
    /// The present, by the wall clock.
    pub now: SystemTime,
}

impl fmt::Debug for ReplyContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyContext")
            .field("socket", &self.socket)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A reply that breaks the contract.
///
/// Its text names the first fault by its JSON pointer and repeats nothing of the payload, so that it can go to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadReply(pub Faulty);

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fault) = self.0.faults.first() {
            write!(f, "{fault}")?;
        }
        match self.0.count {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

impl std::error::Error for BadReply {}

/// A refusal of a CONNECT, and how it came to be; each way is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client gets.
    pub reject: Reject,
    /// Whose words these are.
    pub wording: Wording,
}

/// Whose words a refusal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The backend's.
    Backend,
    /// Ours, since the backend's were too long.
    TooLong,
    /// Ours, since a 401 or 403 brought none: perhaps it is not even from the backend but from a proxy before it.
    Missing,
}

/// A valid reply.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The reply.
    pub reply: Reply,
    /// Where it is a refusal, whose words it has.
    pub wording: Option<Wording>,
}

/// Reads the body of a 2xx answer. An empty body is `{}`.
pub fn parse(kind: ReplyKind, body: &[u8], context: &ReplyContext<'_>) -> Result<Parsed, BadReply> {
    if body.trim_ascii().is_empty() {
        return Ok(Parsed::default());
    }
    let faults = Faults::default();
    let parsed = Value::document(body, &faults).and_then(|body| match kind {
        ReplyKind::Connect => connect(body, context),
        ReplyKind::Event => event(body, context),
    });
    faults.settle(parsed).map_err(BadReply)
}

/// Reads the body of a 4xx answer to a `connect`; `None` where it is no decision.
///
/// Any of them refuses by a valid `reject`; without one, 401 and 403 do.
pub fn reject_body(status: u16, body: &[u8]) -> Option<Refusal> {
    if !(400..500).contains(&status) {
        return None;
    }
    let faults = Faults::default();
    let refusal = Value::document(body, &faults)
        .and_then(|body| body.envelope(&["reject"]))
        .and_then(|body| refusal(body.get("reject")?));
    match faults.settle(refusal) {
        Ok(refusal) => Some(refusal),
        Err(_) if matches!(status, 401 | 403) => Some(unauthorized(Wording::Missing)),
        Err(_) => None,
    }
}

const CONNECT: &[&str] = &[
    "user",
    "state",
    "expires_at",
    "rooms",
    "cache_ttl",
    "reject",
    "actions",
    "attachments",
];
const EVENT: &[&str] = &[
    "user",
    "state",
    "expires_at",
    "ack",
    "actions",
    "attachments",
];
const REJECT: Fields = Fields::of(&["message", "data"]);

fn connect(body: Value<'_, '_>, context: &ReplyContext<'_>) -> Option<Parsed> {
    let body = body.envelope(CONNECT)?;
    if let Some(reject) = body.get("reject") {
        return refused(reject);
    }
    let mut reply = facts(&body, Some(context.now));
    reply.rooms = body.or("rooms", Vec::new(), |value| {
        let rooms = value.rooms()?;
        check_count(value, &rooms, &reply.user, context)?;
        Some(rooms)
    });
    body.or("cache_ttl", (), cache_ttl);
    reply.steps = steps(&body, ReplyKind::Connect, context);
    Some(reply.into())
}

fn event(body: Value<'_, '_>, context: &ReplyContext<'_>) -> Option<Parsed> {
    let body = body.envelope(EVENT)?;
    let mut reply = facts(&body, None);
    reply.steps = steps(&body, ReplyKind::Event, context);
    Some(reply.into())
}

/// `user`, `state` and `expires_at`, which must be later than `after`. What is a fault is noted and kept as it was.
fn facts(body: &Object<'_, '_>, after: Option<SystemTime>) -> Reply {
    let user = body.change("user", Value::user);
    let state = body.change("state", action::state);
    let expires_at = body.change("expires_at", |value| {
        let at = value.time()?;
        if after.is_some_and(|after| at <= after) {
            return value.fault("is in the past");
        }
        Some(at)
    });
    Reply {
        user,
        state,
        expires_at,
        ..Reply::default()
    }
}

/// The acknowledgement, then the actions. A `connect` has nothing to acknowledge: whatever says so is left out.
fn steps(body: &Object<'_, '_>, kind: ReplyKind, context: &ReplyContext<'_>) -> Vec<Step> {
    let attachments = binary::attachments(body);
    let attachments = attachments.as_deref();
    let actions = Actions {
        origin: Origin {
            own: Some(context.socket),
            namespace: context.namespace,
            namespaces: context.namespaces,
        },
        attachments,
        max_emit: context.max_emit,
    };
    let mut steps = Vec::new();
    // A CONNECT's envelope has no field for it.
    let ack = body.get("ack");
    let payload = ack.and_then(|args| binary::payload(args, attachments));
    steps.extend(payload.map(Step::Ack));
    let mut acked = ack.is_some();
    steps.extend(body.or("actions", Vec::new(), |list| {
        list.list(MAX_ACTIONS, |value| {
            let step = actions.step(value)?;
            let is_ack = kind == ReplyKind::Event && matches!(step, Step::Ack(_));
            if is_ack && std::mem::replace(&mut acked, true) {
                return value.fault("is a second acknowledgement");
            }
            Some(step)
        })
    }));
    if kind == ReplyKind::Connect {
        steps.retain(|step| matches!(step, Step::Action(_)));
    }
    steps
}

/// The room of the user is a room like others: a socket that could not have all of them would lose some silently.
fn check_count(
    value: Value<'_, '_>,
    rooms: &[Room],
    user: &Change<UserId>,
    context: &ReplyContext<'_>,
) -> Option<()> {
    let template = context.namespaces.user_room(context.namespace);
    let own = match (user, template) {
        (Change::Set(user), Ok(template)) => template.room(user),
        _ => None,
    };
    let distinct: HashSet<&Room> = rooms.iter().chain(&own).collect();
    if context.max_rooms > 0 && distinct.len() > context.max_rooms {
        return value.fault(format!(
            "with the user's own room they are more than the {} that a socket may be in",
            context.max_rooms
        ));
    }
    Some(())
}

/// Not there yet: only the value that asks for nothing is taken (contract 14).
fn cache_ttl(value: Value<'_, '_>) -> Option<()> {
    match value.integer(0..=MAX_CACHE_TTL)? {
        0 => Some(()),
        _ => value.refuse(Cause::NotAvailable, "is not yet available"),
    }
}

fn refused(reject: Value<'_, '_>) -> Option<Parsed> {
    let Refusal { reject, wording } = refusal(reject)?;
    Some(Parsed {
        reply: Reply {
            reject: Some(reject),
            ..Reply::default()
        },
        wording: Some(wording),
    })
}

fn refusal(value: Value<'_, '_>) -> Option<Refusal> {
    let object = value.object()?;
    object.only(&REJECT);
    let message = object.required("message")?.text()?;
    let data = object.get("data").map(Value::raw);
    if message.len() > MAX_REJECT_MESSAGE || data.is_some_and(|data| data.len() > MAX_REJECT_DATA) {
        return Some(unauthorized(Wording::TooLong));
    }
    Some(Refusal {
        reject: Reject {
            message: message.into(),
            data: data.map(Box::from),
        },
        wording: Wording::Backend,
    })
}

fn unauthorized(wording: Wording) -> Refusal {
    Refusal {
        reject: Reject {
            message: "unauthorized".into(),
            data: None,
        },
        wording,
    }
}

impl From<Reply> for Parsed {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            wording: None,
        }
    }
}

#[cfg(test)]
mod tests;
