//! One action (contract 7), in the reply to a webhook or in a REST body.
//!
//! What comes out is complete and within all limits: whoever holds it may apply it without further checks.

use bytes::Bytes;

use super::audience::{Origin, Reach};
use super::binary;
use super::fault::Cause;
use super::packet::Emit;
use super::reader::{Fields, Object, Value, unknown};
use crate::hub::action::{Action, Audience, Ending, State};
use crate::hub::id::Room;
use crate::session::backend::{Payload, Step};

/// Actions in one reply or request at most.
pub const MAX_ACTIONS: usize = 1_000;
/// Longest reason that a `disconnect` may give for the logs, in bytes.
pub const MAX_REASON: usize = 200;

pub(super) const TYPES: &[&str] = &[
    "emit",
    "join",
    "leave",
    "disconnect",
    "state",
    "expire",
    "ack",
];

pub(super) const EMIT: Fields = Fields {
    known: &[
        "type",
        "event",
        "args",
        "to",
        "except",
        "namespace",
        "volatile",
    ],
    later: &["ttl_ms", "conflate"],
};
pub(super) const MEMBERSHIP: Fields = Fields::of(&["type", "rooms", "to", "namespace"]);
pub(super) const DISCONNECT: Fields =
    Fields::of(&["type", "to", "namespace", "reconnect", "close", "reason"]);
pub(super) const STATE: Fields = Fields::of(&["type", "set", "to", "namespace"]);
pub(super) const EXPIRE: Fields = Fields::of(&["type", "at", "to", "namespace"]);
const ACK: Fields = Fields::of(&["type", "args"]);

/// Reads the actions of one body.
#[derive(Clone, Copy)]
pub(super) struct Actions<'a> {
    /// The side that they come from.
    pub(super) origin: Origin<'a>,
    /// The frames of the body's attachments, where it has the list.
    pub(super) attachments: Option<&'a [Bytes]>,
    /// Largest packet, 0 for any.
    pub(super) max_emit: usize,
}

impl Actions<'_> {
    /// Reads one action by its `type`.
    pub(super) fn step(&self, value: Value<'_, '_>) -> Option<Step> {
        let action = value.object()?;
        let kind = action.required("type")?;
        let step = match &*kind.text()? {
            "emit" => {
                action.only(&EMIT);
                self.emit(&action)?.into_action(None)
            }
            "join" => {
                action.only(&MEMBERSHIP);
                let (to, rooms) = self.membership(&action)?;
                Action::Join { to, rooms }
            }
            "leave" => {
                action.only(&MEMBERSHIP);
                let (to, rooms) = self.membership(&action)?;
                Action::Leave { to, rooms }
            }
            "disconnect" => {
                action.only(&DISCONNECT);
                self.disconnect(&action)?
            }
            "state" => self.state(&action)?,
            "expire" => self.expire(&action)?,
            "ack" => return self.ack(kind, &action),
            other => return kind.fault(unknown("type", other, TYPES)),
        };
        Some(Step::Action(step))
    }

    /// `event`, `args`, which may be left out where there are none, `volatile` and the audience.
    pub(super) fn emit(&self, action: &Object<'_, '_>) -> Option<Emit> {
        let event = action.required("event").and_then(Value::event);
        let payload = match action.get("args") {
            Some(args) => binary::args(args, self.attachments),
            None => Some((Box::default(), Vec::new())),
        };
        let volatile = action.or("volatile", false, Value::boolean);
        let to = self.origin.audience(action, &Reach::EVERYWHERE);
        let (args, attachments) = payload?;
        let emit = Emit {
            to: to?,
            event: event?,
            args,
            attachments,
            volatile,
        };
        if self.max_emit > 0 && emit.size() > self.max_emit {
            let detail = format!("make a packet of more than {} bytes", self.max_emit);
            return action.refuse("args", Cause::TooLarge, detail);
        }
        Some(emit)
    }

    /// `rooms` and the audience of `join` and `leave`.
    pub(super) fn membership(&self, action: &Object<'_, '_>) -> Option<(Audience, Vec<Room>)> {
        let rooms = action.required("rooms").and_then(Value::rooms);
        let to = self.origin.audience(action, &Reach::NAMESPACE);
        Some((to?, rooms?))
    }

    /// `reconnect`, `close`, `reason` and the audience.
    pub(super) fn disconnect(&self, action: &Object<'_, '_>) -> Option<Action> {
        let reconnect = action.or("reconnect", false, Value::boolean);
        let close = action.or("close", false, Value::boolean);
        let reason = action.get("reason");
        let reason = reason.and_then(|reason| reason.text_up_to(MAX_REASON));
        let to = self.origin.audience(action, &Reach::EVERYWHERE);
        let ending = match (reconnect, close) {
            (false, false) => Ending::Namespace,
            (true, false) => Ending::Transport,
            (false, true) => Ending::Connection,
            (true, true) => {
                let detail = "cannot be true together with 'reconnect'";
                return action.refuse("close", Cause::Invalid, detail);
            }
        };
        Some(Action::Disconnect {
            to: to?,
            ending,
            reason: reason.map(|reason| reason.as_ref().into()),
        })
    }

    fn state(&self, action: &Object<'_, '_>) -> Option<Action> {
        action.only(&STATE);
        let set = action.required("set").and_then(|set| set.change(state));
        let to = self.origin.audience(action, &Reach::SOCKETS);
        Some(Action::State { to: to?, set: set? })
    }

    fn expire(&self, action: &Object<'_, '_>) -> Option<Action> {
        action.only(&EXPIRE);
        let at = action.required_or("at", "required; null is never");
        let at = at.and_then(|at| {
            if at.is_null() {
                Some(None)
            } else {
                at.time().map(Some)
            }
        });
        let to = self.origin.audience(action, &Reach::NAMESPACE);
        Some(Action::Expire { to: to?, at: at? })
    }

    fn ack(&self, kind: Value<'_, '_>, action: &Object<'_, '_>) -> Option<Step> {
        if self.origin.own.is_none() {
            return kind.fault("'ack' has a meaning only in the reply to a webhook");
        }
        action.only(&ACK);
        let payload = match action.get("args") {
            Some(args) => binary::payload(args, self.attachments),
            None => Some(Payload::default()),
        };
        payload.map(Step::Ack)
    }
}

/// Reads the state of a socket: any JSON, kept as it came.
pub(super) fn state(value: Value<'_, '_>) -> Option<State> {
    let text = value.json_up_to(State::MAX)?;
    Some(State(text.into()))
}
