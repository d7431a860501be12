//! What a backend asks over REST (contract 9): the bodies of `/v1/emit`, `/v1/actions`, `/v1/join`, `/v1/leave` and
//! `/v1/disconnect`.
//!
//! A body that comes out is valid and its namespaces are open to the caller; whether the key has the scope is not looked at here.

use std::fmt;
use std::time::Duration;

use super::action::{Actions, MAX_ACTIONS};
use super::audience::{Namespaces, Origin};
use super::binary;
use super::fault::Faults;
use super::names;
use super::packet::Emit;
use super::problem::Problem;
use super::reader::{Fields, Object, Value};
use crate::hub::action::Action;
use crate::hub::id::Namespace;
use crate::session::backend::Step;

/// Longest wait for acknowledgements, in milliseconds.
pub const MAX_ACK_TIMEOUT: u32 = 30_000;
/// Wait for acknowledgements where none is given, in milliseconds.
pub const DEFAULT_ACK_TIMEOUT: u32 = 5_000;
/// Acknowledgements in one answer at most.
pub const MAX_ACKS: u32 = 1_000;

pub(super) const EMIT: Fields = Fields {
    known: &[
        "namespace",
        "event",
        "args",
        "to",
        "except",
        "volatile",
        "report",
        "ack",
        "attachments",
    ],
    later: &["ttl_ms", "conflate"],
};
pub(super) const ACK: Fields = Fields::of(&["timeout_ms", "max", "first"]);
pub(super) const ACTIONS: Fields =
    Fields::of(&["namespace", "actions", "attachments", "stop_on_error"]);
pub(super) const MEMBERSHIP: Fields = Fields::of(&["namespace", "rooms", "to", "report"]);
pub(super) const DISCONNECT: Fields =
    Fields::of(&["namespace", "to", "reconnect", "close", "reason", "report"]);

/// What requests refer to.
#[derive(Clone, Copy)]
pub struct RestContext<'a> {
    /// The namespaces that are there, and open to the caller's key.
    pub namespaces: &'a dyn Namespaces,
    /// Largest packet as a client gets it, text and bytes (`limits.emit`); 0 for any.
    pub max_emit: usize,
}

impl fmt::Debug for RestContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestContext").finish_non_exhaustive()
    }
}

/// `POST /v1/emit`.
#[derive(Clone, Debug)]
pub struct EmitRequest {
    /// The packet and its recipients.
    pub emit: Emit,
    /// Whether the caller wants to know how many got it.
    pub report: bool,
    /// Whether and how acknowledgements are awaited.
    pub ack: Option<AckRequest>,
}

/// How acknowledgements are awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRequest {
    /// How long.
    pub timeout: Duration,
    /// How many are enough; `None`: all who were asked.
    pub enough: Option<usize>,
}

/// `POST /v1/join`, `/v1/leave` and `/v1/disconnect`.
#[derive(Clone, Debug)]
pub struct ActionRequest {
    /// What to do.
    pub action: Action,
    /// Whether the caller wants to know how many sockets were touched.
    pub report: bool,
}

/// `POST /v1/actions`.
#[derive(Clone, Debug)]
pub struct ActionsRequest {
    /// What to do, in order. Each stands for itself: an invalid one is refused alone.
    pub actions: Vec<Result<Action, Problem>>,
    /// Whether the first refusal ends the list.
    pub stop_on_error: bool,
}

/// Reads the body of `POST /v1/emit`.
pub fn emit(body: &[u8], context: &RestContext<'_>) -> Result<EmitRequest, Problem> {
    read(body, |body| {
        let body = body.object()?;
        body.only(&EMIT);
        let attachments = binary::attachments(&body);
        let root = names::root();
        let emit = Actions {
            origin: context.origin(&root),
            attachments: attachments.as_deref(),
            max_emit: context.max_emit,
        }
        .emit(&body);
        let report = body.or("report", false, Value::boolean);
        let ack = body.get("ack").and_then(ack);
        Some(EmitRequest {
            emit: emit?,
            report,
            ack,
        })
    })
}

/// Reads the body of `POST /v1/join`.
pub fn join(body: &[u8], context: &RestContext<'_>) -> Result<ActionRequest, Problem> {
    single(body, &MEMBERSHIP, context, |actions, body| {
        let (to, rooms) = actions.membership(body)?;
        Some(Action::Join { to, rooms })
    })
}

/// Reads the body of `POST /v1/leave`.
pub fn leave(body: &[u8], context: &RestContext<'_>) -> Result<ActionRequest, Problem> {
    single(body, &MEMBERSHIP, context, |actions, body| {
        let (to, rooms) = actions.membership(body)?;
        Some(Action::Leave { to, rooms })
    })
}

/// Reads the body of `POST /v1/disconnect`.
pub fn disconnect(body: &[u8], context: &RestContext<'_>) -> Result<ActionRequest, Problem> {
    single(body, &DISCONNECT, context, |actions, body| {
        actions.disconnect(body)
    })
}

/// Reads the body of `POST /v1/actions`. It is refused as a whole only where it is no list of actions.
pub fn actions(body: &[u8], context: &RestContext<'_>) -> Result<ActionsRequest, Problem> {
    read(body, |body| {
        let body = body.object()?;
        body.only(&ACTIONS);
        let namespace = body.or("namespace", names::root(), Value::namespace);
        let attachments = binary::attachments(&body);
        let stop_on_error = body.or("stop_on_error", false, Value::boolean);
        let list = body.required("actions")?;
        let actions = Actions {
            origin: context.origin(&namespace),
            attachments: attachments.as_deref(),
            max_emit: context.max_emit,
        };
        let actions = list.list(MAX_ACTIONS, |value| {
            let faults = Faults::default();
            let step = actions.step(value.apart(&faults));
            let action = step.and_then(|step| match step {
                Step::Action(action) => Some(action),
                Step::Ack(_) => value.apart(&faults).fault("is no action"),
            });
            Some(faults.settle(action).map_err(Problem::from))
        });
        Some(ActionsRequest {
            actions: actions?,
            stop_on_error,
        })
    })
}

impl<'a> RestContext<'a> {
    fn origin(&self, namespace: &'a Namespace) -> Origin<'a> {
        Origin {
            own: None,
            namespace,
            namespaces: self.namespaces,
        }
    }
}

fn single(
    body: &[u8],
    fields: &Fields,
    context: &RestContext<'_>,
    action: impl FnOnce(&Actions<'_>, &Object<'_, '_>) -> Option<Action>,
) -> Result<ActionRequest, Problem> {
    read(body, |body| {
        let body = body.object()?;
        body.only(fields);
        let root = names::root();
        let actions = Actions {
            origin: context.origin(&root),
            attachments: None,
            max_emit: context.max_emit,
        };
        let action = action(&actions, &body);
        let report = body.or("report", false, Value::boolean);
        Some(ActionRequest {
            action: action?,
            report,
        })
    })
}

fn read<T>(body: &[u8], read: impl FnOnce(Value<'_, '_>) -> Option<T>) -> Result<T, Problem> {
    let faults = Faults::default();
    let value = Value::document(body, &faults).and_then(read);
    faults.settle(value).map_err(Problem::from)
}

fn ack(value: Value<'_, '_>) -> Option<AckRequest> {
    let object = value.object_such_as("an object such as {\"timeout_ms\":5000}, or {}")?;
    object.only(&ACK);
    let timeout = object.or("timeout_ms", DEFAULT_ACK_TIMEOUT, |value| {
        value.integer(1..=MAX_ACK_TIMEOUT)
    });
    let max = object.get("max").and_then(|max| max.integer(1..=MAX_ACKS));
    let first = object.or("first", false, Value::boolean);
    let enough = if first { Some(1) } else { max };
    Some(AckRequest {
        timeout: Duration::from_millis(timeout.into()),
        enough: enough.map(|enough| enough as usize),
    })
}

#[cfg(test)]
mod tests;
