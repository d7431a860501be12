//! The seam to the packet format: an event and its arguments become a [`Frame`] here and nowhere else in the contract.

use bytes::Bytes;

use crate::hub::action::{Action, Audience};
use crate::hub::id::Namespace;
use crate::protocol::frame::Frame;
use crate::session::backend::Payload;

/// Attachments of one packet; official clients close the connection on one more (protocol 3.1).
pub(super) const MAX_ATTACHMENTS: usize = 10;

#[derive(Debug)]
pub(super) enum PlaceholderError {
    Absent,
    TooMany,
}

// Stand-in until the encoders of the packet format are there.
pub(super) fn renumber(
    args: &str,
    attachments: &[Bytes],
) -> Result<(Box<str>, Vec<Bytes>), PlaceholderError> {
    const MARK: &str = r#"{"_placeholder":true,"num":"#;
    let mut out = String::new();
    let mut used: Vec<usize> = Vec::new();
    let mut rest = args;
    while let Some(at) = rest.find(MARK) {
        let (head, tail) = rest.split_at(at + MARK.len());
        out.push_str(head);
        let end = tail.find('}').ok_or(PlaceholderError::Absent)?;
        let num: usize = tail[..end].parse().map_err(|_| PlaceholderError::Absent)?;
        if num >= attachments.len() {
            return Err(PlaceholderError::Absent);
        }
        let new = used.iter().position(|n| *n == num).unwrap_or_else(|| {
            used.push(num);
            used.len() - 1
        });
        out.push_str(&new.to_string());
        rest = &tail[end..];
    }
    out.push_str(rest);
    if used.len() > MAX_ATTACHMENTS {
        return Err(PlaceholderError::TooMany);
    }
    let attachments = used.into_iter().map(|n| attachments[n].clone()).collect();
    Ok((out.into(), attachments))
}

pub(super) fn has_placeholders(args: &str) -> bool {
    args.contains("_placeholder")
}

pub(super) fn shift(args: &str, by: usize) -> String {
    const MARK: &str = r#"{"_placeholder":true,"num":"#;
    let mut out = String::new();
    let mut rest = args;
    while let Some(at) = rest.find(MARK) {
        let (head, tail) = rest.split_at(at + MARK.len());
        out.push_str(head);
        let end = tail.find('}').expect("stand-in");
        out.push_str(&(tail[..end].parse::<usize>().expect("stand-in") + by).to_string());
        rest = &tail[end..];
    }
    out + rest
}

fn frame(namespace: &Namespace, event: &str, payload: Payload, id: Option<u64>) -> Frame {
    let count = payload.attachments.len();
    let mut text = String::from(if count == 0 { "42" } else { "45" });
    if count > 0 {
        text.push_str(&format!("{count}-"));
    }
    if namespace.as_str() != "/" {
        text.push_str(&format!("{namespace},"));
    }
    if let Some(id) = id {
        text.push_str(&id.to_string());
    }
    text.push_str(&format!("[{}", serde_json::json!(event)));
    if !payload.args.is_empty() {
        text.push(',');
        text.push_str(&payload.args);
    }
    text.push(']');
    Frame::new(text.into(), payload.attachments)
}

/// An event on its way to clients, complete and within the limits, but not encoded yet: an acknowledgement has its number only
/// once a place is taken for it.
#[derive(Clone, Debug)]
pub struct Emit {
    /// The recipients.
    pub to: Audience,
    /// The name of the event.
    pub event: Box<str>,
    /// The arguments.
    pub payload: Payload,
    /// Whether a socket whose transport cannot take it now loses it.
    pub volatile: bool,
}

impl Emit {
    /// Encodes the packet, once for all recipients. With `ack` they are asked to acknowledge it under this number.
    pub fn into_action(self, ack: Option<u64>) -> Action {
        Action::Emit {
            frame: frame(&self.to.namespace, &self.event, self.payload, ack),
            to: self.to,
            volatile: self.volatile,
        }
    }

    /// Bytes of text and attachments as a client gets them, without the number of an acknowledgement.
    pub fn size(&self) -> usize {
        let Payload { args, attachments } = &self.payload;
        let count = match attachments.len() {
            0 => 0,
            count => count.to_string().len() + "-".len(),
        };
        let namespace = match self.to.namespace.as_str() {
            "/" => 0,
            namespace => namespace.len() + ",".len(),
        };
        let event = serde_json::to_string(&self.event).map_or(0, |text| text.len());
        let args = match args.len() {
            0 => 0,
            len => len + ",".len(),
        };
        let bytes: usize = attachments.iter().map(Bytes::len).sum();
        "42".len() + count + namespace + "[".len() + event + args + "]".len() + bytes
    }
}
