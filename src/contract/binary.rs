//! Binary data in JSON (contract 7): one list `attachments` for a whole body, and placeholders in arguments that point into it.
//!
//! A body without the list has no bytes: what looks like a placeholder is plain data there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::reader::{Object, Value};
use crate::protocol::socket_io::placeholders::{self, MAX_ATTACHMENTS, PlaceholderError};
use crate::session::backend::Payload;

/// Attachments of one body at most; a packet may have ten.
const MAX_PER_BODY: usize = 10_000;

/// Reads the list of a body, if there is one.
pub(super) fn attachments(body: &Object<'_, '_>) -> Option<Vec<Bytes>> {
    body.get("attachments").and_then(|list| {
        list.list(MAX_PER_BODY, |entry| {
            let text = entry.text()?;
            match BASE64_STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => Some(bytes.into()),
                Err(_) => entry.fault("must be base64 with the standard alphabet and padding"),
            }
        })
    })
}

/// Reads the arguments of a packet, and gives it the attachments that they use.
pub(super) fn payload(args: Value<'_, '_>, attachments: Option<&[Bytes]>) -> Option<Payload> {
    let text = args.elements()?;
    let Some(attachments) = attachments else {
        return Some(Payload {
            args: text.into(),
            attachments: Vec::new(),
        });
    };
    match placeholders::renumber(text, attachments) {
        Ok((args, attachments)) => Some(Payload { args, attachments }),
        Err(PlaceholderError::Number { .. }) => {
            args.fault("has a placeholder whose 'num' is no index of 'attachments'")
        }
        Err(PlaceholderError::TooMany) => args.fault(format!(
            "uses more than {MAX_ATTACHMENTS} different attachments; clients refuse such a packet"
        )),
        Err(PlaceholderError::TooDeep) => args.fault("is nested too deep"),
    }
}
