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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_follow_the_text() {
        let part = Bytes::from_static;
        let frame = Frame::new(part(b"text"), vec![part(b"1"), part(b"22")]);
        assert_eq!(frame.parts(), [part(b"text"), part(b"1"), part(b"22")]);
        assert_eq!(frame.len(), 7);
        assert!(!frame.is_empty());
        assert_eq!(
            Frame::new(part(b"text"), Vec::new()).parts(),
            [part(b"text")]
        );
    }
}
