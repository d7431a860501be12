//! [`Frame`]: an outgoing Socket.IO packet, encoded once and shared by all its recipients.
//!
//! The parts are complete, unmasked WebSocket frames, since these are the same bytes for every client; the payload of a
//! polling answer is sliced out of them. The text part comes first and its attachments follow: they are queued as one unit, so
//! that no other message of the connection can come between them (protocol 3.1).

use std::sync::Arc;

use bytes::Bytes;

/// An encoded packet; cloning it copies no bytes.
#[derive(Clone, Debug)]
pub struct Frame(Parts);

#[derive(Clone, Debug)]
enum Parts {
    /// A packet without attachments, by far the most common: no extra allocation.
    One(Bytes),
    /// The text and its attachments, in order.
    Many(Arc<[Bytes]>),
}

impl Frame {
    /// A frame of ready WebSocket frames: the text, then one binary frame for each attachment.
    pub fn new(text: Bytes, attachments: Vec<Bytes>) -> Self {
        if attachments.is_empty() {
            return Self(Parts::One(text));
        }
        let mut parts = Vec::with_capacity(attachments.len() + 1);
        parts.push(text);
        parts.extend(attachments);
        Self(Parts::Many(parts.into()))
    }

    /// The WebSocket frames in the order in which they must be sent.
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(text) => std::slice::from_ref(text),
            Parts::Many(parts) => parts,
        }
    }

    /// Bytes of all parts, headers included.
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Never true: a packet has at least its type.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// FIN and the opcode of a text frame.
const TEXT: u8 = 0x81;
/// FIN and the opcode of a binary frame.
const BINARY: u8 = 0x82;

/// A ready text frame whose payload is the pieces one after the other: one allocation of exactly its size.
pub fn text<'a>(pieces: impl Iterator<Item = &'a str> + Clone) -> Bytes {
    let mut frame = open(TEXT, pieces.clone().map(str::len).sum());
    pieces.for_each(|piece| frame.extend_from_slice(piece.as_bytes()));
    frame.into()
}

/// A ready binary frame: one allocation of exactly its size.
pub fn binary(payload: &[u8]) -> Bytes {
    let mut frame = open(BINARY, payload.len());
    frame.extend_from_slice(payload);
    frame.into()
}

/// What a ready frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// UTF-8 text.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
}

/// The payload of a frame that [`text`] or [`binary`] made; it panics on shorter things than a frame.
pub fn payload(frame: &[u8]) -> Payload<'_> {
    let header = match frame[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    match frame[0] {
        TEXT => Payload::Text(&frame[header..]),
        _ => Payload::Binary(&frame[header..]),
    }
}

/// The header of an unmasked frame (RFC 6455, 5.2), in a buffer with room for `len` more bytes and no other.
fn open(first: u8, len: usize) -> Vec<u8> {
    let mut header = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let used = if let Ok(short) = u8::try_from(len)
        && short < 126
    {
        header[1] = short;
        2
    } else if let Ok(short) = u16::try_from(len) {
        header[1] = 126;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..].copy_from_slice(&(len as u64).to_be_bytes());
        10
    };
    let mut frame = Vec::with_capacity(used + len);
    frame.extend_from_slice(&header[..used]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_length_follows_the_payload() {
        for (len, header) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let bytes = vec![7; len];
            let frame = binary(&bytes);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(payload(&frame), Payload::Binary(&bytes));
        }
    }

    #[test]
    fn text_is_its_pieces() {
        let frame = text(["4", "2", "[\"é\"]"].into_iter());
        assert_eq!(payload(&frame), Payload::Text("42[\"é\"]".as_bytes()));
        assert_eq!(&frame[..2], &[0x81, 8]);
    }

    #[test]
    fn attachments_follow_the_text() {
        let text = text(["451-[]"].into_iter());
        let frame = Frame::new(text.clone(), vec![binary(&[1]), binary(&[2, 3])]);
        assert_eq!(frame.parts(), [text, binary(&[1]), binary(&[2, 3])]);
        assert_eq!(frame.len(), 8 + 3 + 4);
        assert!(!frame.is_empty());
    }
}
