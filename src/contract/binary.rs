//! Binary data in JSON (contract 7): one list `attachments` for a whole body, and placeholders in arguments that point into it.
//!
//! A body without the list has no bytes: what looks like a placeholder is plain data there.
//!
//! # Why
//! An attachment becomes a WebSocket frame as soon as it is read. A thousand emits of one body may use the same megabyte, each in a
//! packet of its own: they share the frame, so that what a body costs depends on its length alone.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::reader::{Object, Value};
use crate::protocol::socket_io::placeholders::{self, MAX_ATTACHMENTS, PlaceholderError};
use crate::protocol::websocket;
use crate::session::backend::Payload;

/// Attachments of one body at most; a packet may have ten.
const MAX_PER_BODY: usize = 10_000;

/// Reads the list of a body, if there is one: complete WebSocket frames.
pub(super) fn attachments(body: &Object<'_, '_>) -> Option<Vec<Bytes>> {
    body.get("attachments").and_then(|list| {
        list.list(MAX_PER_BODY, |entry| {
            let text = entry.text()?;
            match BASE64_STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => Some(websocket::binary(&bytes)),
                Err(_) => entry.fault("must be base64 with the standard alphabet and padding"),
            }
        })
    })
}

/// Reads the arguments of a packet, and gives it the frames of the attachments that they use.
pub(super) fn args(
    args: Value<'_, '_>,
    attachments: Option<&[Bytes]>,
) -> Option<(Box<str>, Vec<Bytes>)> {
    let text = args.elements()?;
    let Some(attachments) = attachments else {
        return Some((text.into(), Vec::new()));
    };
    match placeholders::renumber(text, attachments) {
        Ok(renumbered) => Some(renumbered),
        Err(PlaceholderError::Number { .. }) => {
            args.fault("has a placeholder whose 'num' is no index of 'attachments'")
        }
        Err(PlaceholderError::TooMany) => args.fault(format!(
            "uses more than {MAX_ATTACHMENTS} different attachments; clients refuse such a packet"
        )),
        Err(PlaceholderError::TooDeep) => args.fault("is nested too deep"),
    }
}

/// Reads the arguments of an acknowledgement, with the bytes that they use.
pub(super) fn payload(value: Value<'_, '_>, attachments: Option<&[Bytes]>) -> Option<Payload> {
    let (args, frames) = args(value, attachments)?;
    let bytes = |frame: &Bytes| frame.slice_ref(websocket::payload(frame));
    Some(Payload {
        args,
        attachments: frames.iter().map(bytes).collect(),
    })
}
