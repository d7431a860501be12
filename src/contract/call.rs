//! What a backend is asked: the JSON body of a webhook (contract 2 to 4 and 6).
//!
//! A body is written once per call and signed as it is, so that all attempts are byte-identical. What a client sent is copied
//! verbatim. Names in headers and query are as [`ConnectInfo`] has them; only what the namespace forwards goes out.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::clock;
use super::text::{self, list, string};
use super::trim::without_members;
use crate::hub::id::{Room, SocketId};
use crate::session::backend::{Call, CallKind, ConnectInfo, SocketFacts};
use crate::session::settings::{Allow, Forward};

/// Members of a CONNECT's payload that belong to the protocol and are no business of a backend (protocol 4).
const RECOVERY: [&str; 2] = ["pid", "offset"];

const WRITES: &str = "a String takes everything";

/// The identity of a call, the same in all attempts: `evt_` and a ULID.
pub fn id(call: &Call) -> String {
    let id = match call.kind {
        CallKind::Disconnect { asked_at, .. } => notice_id(asked_at, call.socket.id),
        CallKind::Connect { .. } | CallKind::Event { .. } => call.id,
    };
    format!("evt_{id}")
}

/// The identity of a socket's `disconnect`, which any node can tell who knows of the socket: the moment of its `connect` and the
/// first 80 bits of SHA-256 of its id.
fn notice_id(asked_at: SystemTime, socket: SocketId) -> Ulid {
    let since = asked_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let hash = Sha256::digest(socket.as_str());
    let random = hash.iter().take(10);
    let random = random.fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    Ulid::from_parts(millis, random)
}

/// The body of a call.
pub fn body(call: &Call, node: &str, forward: &Forward) -> Bytes {
    let mut out = String::with_capacity(512 + size_hint(&call.kind));
    let kind = match call.kind {
        CallKind::Connect { .. } => "connect",
        CallKind::Event { .. } => "event",
        CallKind::Disconnect { .. } => "disconnect",
    };
    let at = clock::format(call.at);
    write!(
        out,
        "{{\"type\":\"{kind}\",\"timestamp\":\"{at}\",\"node\":"
    )
    .expect(WRITES);
    string(&mut out, node);
    write!(out, ",\"seq\":{},\"socket\":", call.seq).expect(WRITES);
    socket(&mut out, &call.socket);
    match &call.kind {
        CallKind::Connect {
            auth,
            info,
            transport,
            ..
        } => request(&mut out, auth, info, transport, forward),
        CallKind::Event {
            name,
            args,
            attachments,
            ack,
        } => event(&mut out, name, args, attachments, *ack),
        CallKind::Disconnect {
            reason,
            initiator,
            duration,
            rooms,
            undelivered,
            asked_at: _,
        } => {
            let (reason, initiator) = (reason.as_str(), initiator.as_str());
            let millis = duration.as_millis();
            write!(
                out,
                ",\"reason\":\"{reason}\",\"initiator\":\"{initiator}\",\"duration_ms\":{millis},\"rooms\":"
            )
            .expect(WRITES);
            list(&mut out, rooms.iter().map(Room::as_str));
            write!(out, ",\"undelivered\":{undelivered},\"synthesized\":false").expect(WRITES);
        }
    }
    out.push('}');
    out.into()
}

/// Bytes of the parts that may be long.
fn size_hint(kind: &CallKind) -> usize {
    match kind {
        CallKind::Connect { auth, .. } => 1024 + auth.len(),
        CallKind::Event {
            args, attachments, ..
        } => {
            let base64 = attachments.iter().map(|bytes| bytes.len() / 3 * 4 + 8);
            args.len() + base64.sum::<usize>()
        }
        CallKind::Disconnect { rooms, .. } => {
            rooms.iter().map(|room| room.as_str().len() + 3).sum()
        }
    }
}

fn socket(out: &mut String, socket: &SocketFacts) {
    let (id, connection) = (socket.id, &socket.connection);
    write!(out, "{{\"id\":\"{id}\",\"namespace\":").expect(WRITES);
    string(out, socket.namespace.as_str());
    write!(out, ",\"connection\":\"{connection}\"").expect(WRITES);
    if let Some(user) = &socket.user {
        out.push_str(",\"user\":");
        string(out, user.as_str());
    }
    if let Some(state) = &socket.state {
        out.push_str(",\"state\":");
        out.push_str(&state.0);
    }
    out.push('}');
}

fn request(out: &mut String, auth: &str, info: &ConnectInfo, transport: &str, forward: &Forward) {
    out.push_str(",\"request\":{\"auth\":");
    out.push_str(&without_members(auth, &RECOVERY));
    out.push_str(",\"query\":");
    pairs(out, &info.query, &forward.query);
    out.push_str(",\"headers\":");
    pairs(out, &info.headers, &forward.headers);
    if let Some(ip) = info.ip {
        write!(out, ",\"ip\":\"{ip}\"").expect(WRITES);
    }
    let protocol = info.protocol;
    write!(
        out,
        ",\"transport\":\"{transport}\",\"protocol\":{protocol},\"recovered\":false"
    )
    .expect(WRITES);
    if info.tls {
        out.push_str(",\"tls\":true");
    }
    out.push('}');
}

fn event(out: &mut String, name: &str, args: &str, attachments: &[Bytes], ack: bool) {
    out.push_str(",\"event\":");
    string(out, name);
    write!(out, ",\"args\":[{args}]").expect(WRITES);
    text::attachments(out, attachments.iter());
    write!(out, ",\"ack\":{ack}").expect(WRITES);
}

/// The pairs that are let through, as an object.
fn pairs(out: &mut String, pairs: &[(Box<str>, Box<str>)], allowed: &Allow) {
    out.push('{');
    let allowed = pairs.iter().filter(|(name, _)| allowed.contains(name));
    for (index, (name, value)) in allowed.enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests;
