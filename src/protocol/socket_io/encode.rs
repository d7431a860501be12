//! Packets to clients, each built once as a [`Frame`] for all recipients (protocol 3.1).
//!
//! Arguments are JSON text without brackets, as in [`Event::args`](super::Event::args), and must be valid; namespaces must be valid
//! names. Whoever passes attachments has numbered the placeholders ([`placeholders`](super::placeholders)) and keeps to
//! [`MAX_ATTACHMENTS`](super::placeholders::MAX_ATTACHMENTS); attachments are copied, except by [`event_with_frames`].

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::frame::Frame;
use crate::protocol::websocket::{self, Opcode};

/// CONNECT, the answer that lets a client in: `40{"sid":"…"}`.
pub fn connect(namespace: &str, sid: &str) -> Frame {
    packet(
        "40",
        namespace,
        None,
        &["{\"sid\":\"", &escaped(sid), "\"}"],
        Vec::new(),
    )
}

/// `CONNECT_ERROR`, with a JSON value for the client's application.
pub fn connect_error(namespace: &str, message: &str, data: Option<&str>) -> Frame {
    let message = escaped(message);
    let (key, data) = data.map_or(("", ""), |data| (",\"data\":", data));
    packet(
        "44",
        namespace,
        None,
        &["{\"message\":\"", &message, "\"", key, data, "}"],
        Vec::new(),
    )
}

/// DISCONNECT of one namespace.
pub fn disconnect(namespace: &str) -> Frame {
    packet("41", namespace, None, &[], Vec::new())
}

/// EVENT, or `BINARY_EVENT` if there are attachments. With an id the client is asked for an acknowledgement.
pub fn event(
    namespace: &str,
    name: &str,
    args: &str,
    id: Option<u64>,
    attachments: &[Bytes],
) -> Frame {
    event_with_frames(namespace, name, args, id, binary_frames(attachments))
}

/// [`event`] with attachments that are complete WebSocket frames already: many packets can share them.
pub fn event_with_frames(
    namespace: &str,
    name: &str,
    args: &str,
    id: Option<u64>,
    attachments: Vec<Bytes>,
) -> Frame {
    let kind = if attachments.is_empty() { "42" } else { "45" };
    let comma = if args.is_empty() { "" } else { "," };
    packet(
        kind,
        namespace,
        id,
        &["[\"", &escaped(name), "\"", comma, args, "]"],
        attachments,
    )
}

/// ACK, or `BINARY_ACK` if there are attachments.
pub fn ack(namespace: &str, id: u64, args: &str, attachments: &[Bytes]) -> Frame {
    let kind = if attachments.is_empty() { "43" } else { "46" };
    let attachments = binary_frames(attachments);
    packet(kind, namespace, Some(id), &["[", args, "]"], attachments)
}

/// `<type>[<attachment count>-][<namespace>,][<ack id>]` and the payload.
fn packet(
    kind: &str,
    namespace: &str,
    id: Option<u64>,
    payload: &[&str],
    attachments: Vec<Bytes>,
) -> Frame {
    let (mut count_buffer, mut id_buffer) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (count, dash) = match attachments.len() {
        0 => ("", ""),
        count => (count_buffer.format(count), "-"),
    };
    let (namespace, comma) = match namespace {
        "/" => ("", ""),
        other => (other, ","),
    };
    let id = id.map_or("", |id| id_buffer.format(id));
    let head = [kind, count, dash, namespace, comma, id];
    let text = text_frame(head.iter().chain(payload).copied());
    Frame::new(text, attachments)
}

fn binary_frames(attachments: &[Bytes]) -> Vec<Bytes> {
    let frames = attachments.iter().map(|bytes| websocket::binary(bytes));
    frames.collect()
}

/// A WebSocket frame whose payload is the pieces one after the other: one allocation of exactly its size.
fn text_frame<'a>(pieces: impl Iterator<Item = &'a str> + Clone) -> Bytes {
    let len = pieces.clone().map(str::len).sum();
    let header = websocket::server_header(Opcode::Text, len);
    let mut frame = Vec::with_capacity(header.len() + len);
    frame.extend_from_slice(&header);
    pieces.for_each(|piece| frame.extend_from_slice(piece.as_bytes()));
    frame.into()
}

/// What stands between the quotes of a JSON string.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b < 0x20 || matches!(b, b'"' | b'\\')) {
        return Cow::Borrowed(text);
    }
    let quoted = serde_json::to_string(text).expect("a string is always JSON");
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
