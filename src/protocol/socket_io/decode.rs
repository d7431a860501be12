//! From the messages of one connection to packets (protocol 3.1, 3.3).
//!
//! Limits hold from the header on: a packet that announces too many attachments, or whose text is too long, is refused before
//! anything is kept for it. A packet without attachments is never copied and, as a rule, allocates nothing; the exceptions are an
//! event name with escapes, and a byte per level for JSON nested deeper than two.

use std::borrow::Cow;

use bytes::Bytes;

use super::packet::{Ack, Body, Event, MAX_ACK_ID, Packet};
use super::{json, placeholders};

/// Limits of a client's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attachments of a packet.
    pub attachments: usize,
    /// Bytes of a packet with attachments: its text and all of them.
    pub bytes: usize,
    /// Levels of arrays and objects; the array that an event or acknowledgement is, is the first.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments: 10,
            bytes: 1_000_000,
            depth: 64,
        }
    }
}

/// What is wrong with a client's message; each closes the connection (protocol 3.3). The kinds are for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No type, an unknown one, or one that only servers send.
    #[error("the packet type is none that a client sends")]
    Type,
    /// The number of attachments is missing, zero or no number.
    #[error("the number of attachments is illegal")]
    AttachmentCount,
    /// More attachments are announced than the limit allows.
    #[error("too many attachments are announced")]
    TooManyAttachments,
    /// An acknowledgement without id, or an id above 2^53 − 1.
    #[error("the acknowledgement id is missing or too large")]
    AckId,
    /// The rest of the packet is not the JSON, or the nothing, that its type needs.
    #[error("the payload is invalid")]
    Payload,
    /// JSON with more levels than the limit allows.
    #[error("the payload is nested too deeply")]
    TooDeep,
    /// An event whose first element is neither a number nor a string of Unicode text.
    #[error("the event has no name")]
    EventName,
    /// A placeholder of a binary packet whose number is not that of an attachment.
    #[error("a placeholder stands for no attachment")]
    Placeholder,
    /// Text and attachments together have more bytes than the limit allows.
    #[error("the packet and its attachments are too large")]
    TooLarge,
    /// Text came where an attachment was due.
    #[error("text came while attachments were due")]
    Interrupted,
    /// Bytes came where no attachment was due.
    #[error("bytes came while no attachment was due")]
    Orphan,
}

/// The decoder of one connection: a pointer, and more only while attachments are due.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Option<Box<Pending>>,
}

/// A packet whose attachments are still to come.
#[derive(Debug)]
struct Pending {
    packet: Packet<'static>,
    attachments: Vec<Bytes>,
    /// Attachments in all.
    due: usize,
    /// Bytes so far, text included.
    bytes: usize,
}

impl Decoder {
    /// Takes the text of an Engine.IO message. `None`: the packet's attachments must come first. After an error nothing is kept.
    pub fn text<'a>(
        &mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.pending.take().is_some() {
            return Err(DecodeError::Interrupted);
        }
        let (packet, due) = decode(text, limits)?;
        if due == 0 {
            return Ok(Some(packet));
        }
        self.pending = Some(Box::new(Pending {
            packet: packet.into_owned(),
            attachments: Vec::new(),
            due,
            bytes: text.len(),
        }));
        Ok(None)
    }

    /// Takes a binary Engine.IO message, the next attachment; the packet comes with its last one. After an error nothing is kept.
    ///
    /// The bytes are kept as they are: they must not be a slice of something larger.
    pub fn binary(
        &mut self,
        data: Bytes,
        limits: &Limits,
    ) -> Result<Option<Packet<'static>>, DecodeError> {
        let mut pending = self.pending.take().ok_or(DecodeError::Orphan)?;
        pending.bytes = pending.bytes.saturating_add(data.len());
        if pending.bytes > limits.bytes {
            return Err(DecodeError::TooLarge);
        }
        pending.attachments.push(data);
        if pending.attachments.len() < pending.due {
            self.pending = Some(pending);
            return Ok(None);
        }
        let Pending {
            mut packet,
            attachments,
            ..
        } = *pending;
        packet.body.attach(attachments);
        Ok(Some(packet))
    }

    /// The namespace of the packet whose attachments are due, if any are. Whoever drives the decoder bounds the wait, and may
    /// refuse the packet now if the client has no business in that namespace.
    pub fn pending(&self) -> Option<&str> {
        Some(&self.pending.as_ref()?.packet.namespace)
    }
}

/// Decodes the text of a packet and tells how many attachments are to follow.
fn decode<'a>(text: &'a str, limits: &Limits) -> Result<(Packet<'a>, usize), DecodeError> {
    let (kind, rest) = text.split_at_checked(1).ok_or(DecodeError::Type)?;
    let (due, rest) = match kind {
        "5" | "6" => attachment_count(rest, limits)?,
        _ => (0, rest),
    };
    let (namespace, rest) = split_namespace(rest);
    let body = match kind {
        "0" => Body::Connect(connect_object(rest, limits)?),
        "1" if rest.is_empty() => Body::Disconnect,
        "1" => return Err(DecodeError::Payload),
        "2" | "5" => Body::Event(event(rest, limits)?),
        "3" | "6" => Body::Ack(ack(rest, limits)?),
        _ => return Err(DecodeError::Type),
    };
    if due > 0 {
        if text.len() > limits.bytes {
            return Err(DecodeError::TooLarge);
        }
        if !placeholders::are_below(body.args(), due) {
            return Err(DecodeError::Placeholder);
        }
    }
    let namespace = Cow::Borrowed(namespace);
    Ok((Packet { namespace, body }, due))
}

/// `<count>-`, at least 1.
fn attachment_count<'a>(rest: &'a str, limits: &Limits) -> Result<(usize, &'a str), DecodeError> {
    let (digits, rest) = split_digits(rest);
    let rest = rest.strip_prefix('-').ok_or(DecodeError::AttachmentCount)?;
    if digits.is_empty() || digits.bytes().all(|b| b == b'0') {
        return Err(DecodeError::AttachmentCount);
    }
    match digits.parse() {
        Ok(count) if count <= limits.attachments => Ok((count, rest)),
        _ => Err(DecodeError::TooManyAttachments),
    }
}

/// A namespace is written only if it is not `/`, and ends with `,` or with the packet.
fn split_namespace(rest: &str) -> (&str, &str) {
    if rest.starts_with('/') {
        rest.split_once(',').unwrap_or((rest, ""))
    } else {
        ("/", rest)
    }
}

/// Leading digits, as many as an id or count could have and one more at most.
fn split_digits(rest: &str) -> (&str, &str) {
    const MOST: usize = 17;
    let digits = rest.bytes().take(MOST).take_while(u8::is_ascii_digit);
    rest.split_at(digits.count())
}

fn ack_id(rest: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let (digits, rest) = split_digits(rest);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse() {
        Ok(id) if id <= MAX_ACK_ID => Ok((Some(id), rest)),
        _ => Err(DecodeError::AckId),
    }
}

fn event<'a>(rest: &'a str, limits: &Limits) -> Result<Event<'a>, DecodeError> {
    let (id, rest) = ack_id(rest)?;
    let elements = array(rest, limits)?;
    let (name, args) = json::split_first_scalar(elements).ok_or(DecodeError::EventName)?;
    Ok(Event {
        name: event_name(name)?,
        args: Cow::Borrowed(args),
        id,
        attachments: Vec::new(),
    })
}

/// The content of a string, or a number as it stands.
fn event_name(first: &str) -> Result<Cow<'_, str>, DecodeError> {
    if first.contains('\\') {
        return serde_json::from_str(first)
            .map(Cow::Owned)
            .map_err(|_| DecodeError::EventName);
    }
    Ok(Cow::Borrowed(first.trim_matches('"')))
}

fn ack<'a>(rest: &'a str, limits: &Limits) -> Result<Ack<'a>, DecodeError> {
    let (id, rest) = ack_id(rest)?;
    Ok(Ack {
        id: id.ok_or(DecodeError::AckId)?,
        args: Cow::Borrowed(array(rest, limits)?),
        attachments: Vec::new(),
    })
}

fn connect_object<'a>(rest: &'a str, limits: &Limits) -> Result<Option<Cow<'a, str>>, DecodeError> {
    if rest.is_empty() {
        return Ok(None);
    }
    validate(rest, '{', limits)?;
    Ok(Some(Cow::Borrowed(rest.trim_end())))
}

/// The elements of an array.
fn array<'a>(rest: &'a str, limits: &Limits) -> Result<&'a str, DecodeError> {
    validate(rest, '[', limits)?;
    json::elements(rest).ok_or(DecodeError::Payload)
}

/// Checks that the rest is one JSON value which begins at once with the bracket. Depth comes first, since it bounds what the
/// validation keeps.
fn validate(rest: &str, bracket: char, limits: &Limits) -> Result<(), DecodeError> {
    if !rest.starts_with(bracket) {
        return Err(DecodeError::Payload);
    }
    if !json::nested_within(rest, limits.depth) {
        return Err(DecodeError::TooDeep);
    }
    if json::is_valid(rest) {
        Ok(())
    } else {
        Err(DecodeError::Payload)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
