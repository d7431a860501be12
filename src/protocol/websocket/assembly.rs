//! From frames to messages: fragments, limits, UTF-8, close frames.

use std::{borrow::Cow, str, time::Instant};

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{
    error::{CloseError, Excess, Violation},
    header::{Header, Opcode},
    message::{Limits, Message},
    rate::ControlRate,
};

/// What is remembered between the frames of a connection.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// The message whose last fragment has not come; boxed, since nearly always there is none.
    partial: Option<Box<Partial>>,
    control_rate: ControlRate,
}

impl Assembly {
    /// Whether a frame with this header may come now. Asked as often as one likes: it changes nothing.
    pub(super) fn admit(&self, header: &Header, limits: &Limits) -> Result<(), CloseError> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let (length, fragments) = match (&self.partial, header.opcode) {
            (None, Opcode::Continuation) => return Err(Violation::UnexpectedContinuation.into()),
            (None, _) => (0, 0),
            (Some(partial), Opcode::Continuation) => (partial.content.len(), partial.fragments),
            (Some(_), _) => return Err(Violation::ExpectedContinuation.into()),
        };
        // Both below 2^63, so the sum is exact.
        if header.payload + length as u64 > limits.message as u64 {
            return Err(CloseError::TooBig);
        }
        let is_fragment = !header.is_final || header.opcode == Opcode::Continuation;
        if is_fragment && fragments >= limits.fragments {
            return Err(Excess::Fragments.into());
        }
        Ok(())
    }

    /// Keeps a fragment, not the last one, of an admitted header; `payload` is unmasked.
    pub(super) fn keep(
        &mut self,
        header: &Header,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<(), CloseError> {
        let partial = if header.opcode == Opcode::Continuation {
            (self.partial.as_mut()).ok_or(Violation::UnexpectedContinuation)?
        } else {
            self.partial.insert(Box::new(Partial::new(header.opcode)))
        };
        partial.fragments += 1;
        partial.content.push(payload, limits.message)
    }

    /// The message that a final frame of an admitted header completes, or the control frame it is; `payload` is unmasked.
    pub(super) fn complete<'a>(
        &mut self,
        header: &Header,
        payload: &'a [u8],
        limits: &Limits,
        now: Instant,
    ) -> Result<Message<'a>, CloseError> {
        match header.opcode {
            Opcode::Text => str::from_utf8(payload)
                .map(|text| Message::Text(Cow::Borrowed(text)))
                .map_err(|_error| CloseError::InvalidUtf8),
            Opcode::Binary => Ok(Message::Binary(Cow::Borrowed(payload))),
            Opcode::Continuation => {
                let mut partial = (self.partial.take()).ok_or(Violation::UnexpectedContinuation)?;
                partial.content.push(payload, limits.message)?;
                partial.content.into_message()
            }
            Opcode::Close => close(payload),
            Opcode::Ping | Opcode::Pong if !self.control_rate.take(limits.control_rate, now) => {
                Err(Excess::ControlFrames.into())
            }
            Opcode::Ping => Ok(Message::Ping(payload)),
            Opcode::Pong => Ok(Message::Pong),
        }
    }

    /// Bytes of memory held for a fragmented message.
    pub(super) fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |it| it.content.capacity())
    }
}

/// A message of which some fragments have come.
#[derive(Debug)]
struct Partial {
    content: Content,
    /// Frames so far; the empty ones count.
    fragments: usize,
}

impl Partial {
    fn new(opcode: Opcode) -> Self {
        let content = if opcode == Opcode::Text {
            Content::Text(Text::default())
        } else {
            Content::Binary(Vec::new())
        };
        Self {
            content,
            fragments: 0,
        }
    }
}

#[derive(Debug)]
enum Content {
    Text(Text),
    Binary(Vec<u8>),
}

impl Content {
    /// Bytes so far.
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.valid.len() + text.tail_length,
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.valid.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Appends a fragment; `limit` is what the message can grow to.
    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), CloseError> {
        let capacity = grown(self.capacity(), self.len() + payload.len(), limit);
        match self {
            Self::Text(text) => {
                text.valid.reserve_exact(capacity - text.valid.len());
                text.push(payload)
            }
            Self::Binary(bytes) => {
                bytes.reserve_exact(capacity - bytes.len());
                bytes.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    fn into_message(self) -> Result<Message<'static>, CloseError> {
        match self {
            Self::Text(text) if text.tail_length > 0 => Err(CloseError::InvalidUtf8),
            Self::Text(text) => Ok(Message::Text(Cow::Owned(text.valid))),
            Self::Binary(bytes) => Ok(Message::Binary(Cow::Owned(bytes))),
        }
    }
}

/// The capacity for `needed` bytes: it doubles, like that of a `Vec`, but does not pass the limit.
fn grown(capacity: usize, needed: usize, limit: usize) -> usize {
    if needed <= capacity {
        return capacity;
    }
    capacity.saturating_mul(2).min(limit).max(needed)
}

/// Text that is checked as it comes, so that a wrong byte is noticed in its own fragment and no byte is looked at twice.
#[derive(Debug, Default)]
struct Text {
    valid: String,
    /// The beginning of a character which the next fragment completes: at most three bytes between two fragments.
    tail: [u8; 4],
    tail_length: usize,
}

impl Text {
    fn push(&mut self, mut payload: &[u8]) -> Result<(), CloseError> {
        while self.tail_length > 0 {
            let Some((&next, rest)) = payload.split_first() else {
                return Ok(());
            };
            payload = rest;
            self.tail[self.tail_length] = next;
            self.tail_length += 1;
            match str::from_utf8(&self.tail[..self.tail_length]) {
                Ok(character) => {
                    self.valid.push_str(character);
                    self.tail_length = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(CloseError::InvalidUtf8),
            }
        }
        match str::from_utf8(payload) {
            Ok(text) => self.valid.push_str(text),
            Err(error) if error.error_len().is_none() => {
                let (valid, tail) = payload.split_at(error.valid_up_to());
                let valid = str::from_utf8(valid).map_err(|_error| CloseError::InvalidUtf8)?;
                self.valid.push_str(valid);
                self.tail[..tail.len()].copy_from_slice(tail);
                self.tail_length = tail.len();
            }
            Err(_) => return Err(CloseError::InvalidUtf8),
        }
        Ok(())
    }
}

/// What a close frame says (RFC 6455 5.5.1).
fn close(payload: &[u8]) -> Result<Message<'_>, CloseError> {
    let (code, reason) = match payload {
        [] => (None, &[][..]),
        [_] => return Err(Violation::ShortClose.into()),
        [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason),
    };
    let reason = str::from_utf8(reason).map_err(|_error| CloseError::InvalidUtf8)?;
    if code.is_some_and(|code| !may_be_sent(code)) {
        return Err(Violation::CloseCode.into());
    }
    Ok(Message::Close { code, reason })
}

/// Whether a close code may be on the wire: RFC 6455 7.4.2 and its registry, where 1014 (bad gateway) came after tungstenite's list.
fn may_be_sent(code: u16) -> bool {
    code == 1014 || CloseCode::from(code).is_allowed()
}
