//! The JSON of the contract, as far as the chat speaks it: what it reads of a webhook's body, and what it writes in a reply.
//!
//! These are the words that a backend in any language would write down for itself.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of a webhook. What the chat does not look at is not read.
#[derive(Debug, Deserialize)]
pub(super) struct Webhook<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) timestamp: String,
    pub(super) socket: Socket,
    pub(super) request: Option<Request>,
    pub(super) event: Option<String>,
    #[serde(borrow, default)]
    pub(super) args: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) attachments: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Socket {
    pub(super) id: String,
    pub(super) state: Option<Person>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) auth: Auth,
}

/// What the page sends with its CONNECT.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Auth {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) room: String,
}

/// Who a socket is: the chat's notes, which the gateway keeps for it and repeats in each call.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) room: String,
}

/// The body of a reply.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reject: Option<Reject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rooms: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) actions: Vec<Action>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<&'a RawValue>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reject {
    pub(super) message: &'static str,
    pub(super) data: Code,
}

#[derive(Debug, Serialize)]
pub(super) struct Code {
    pub(super) code: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Action {
    Join { rooms: [String; 1] },
    Leave { rooms: [String; 1] },
    Emit(Emit),
}

/// An `emit` action, and the body of `POST /v1/emit`.
#[derive(Debug, Serialize)]
pub(super) struct Emit {
    pub(super) event: &'static str,
    pub(super) args: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Rooms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) except: Option<Myself>,
}

#[derive(Debug, Serialize)]
pub(super) struct Rooms {
    pub(super) rooms: [String; 1],
}

#[derive(Debug, Serialize)]
pub(super) struct Myself {
    #[serde(rename = "self")]
    pub(super) myself: bool,
}

/// A line of the chat.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Message {
    /// The `webhook-id` that brought it: the same however often it is asked.
    pub(super) id: String,
    pub(super) from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    pub(super) at: String,
}

/// What a newcomer is told of a room.
#[derive(Debug, Serialize)]
pub(super) struct Scene<'a> {
    pub(super) room: &'a str,
    pub(super) people: Vec<&'a str>,
    pub(super) history: Vec<&'a Message>,
}

/// Somebody came or went.
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    pub(super) name: &'a str,
    pub(super) people: Vec<&'a str>,
}
