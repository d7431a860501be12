//! Server frames: complete, unmasked, never fragmented (RFC 6455 5.1).

use std::{io::Cursor, ops::Deref};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use super::header::{CONTROL_PAYLOAD, Opcode, header_size};

/// A close frame without a code, which the client's library reports as 1005.
pub const EMPTY_CLOSE: [u8; 2] = [0x88, 0x00];

/// The first byte of a text frame: `FIN` and the opcode.
const TEXT: u8 = 0x81;

/// Bytes of a server frame's header at most.
const HEADER: usize = 10;

/// The header of a server frame; dereferences to its 2, 4 or 10 bytes.
#[derive(Clone, Copy, Debug)]
pub struct ServerHeader {
    bytes: [u8; HEADER],
    size: usize,
}

impl Deref for ServerHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// The header of an unfragmented frame with so many bytes of payload, for those who write the payload behind it themselves.
pub fn server_header(opcode: Opcode, payload: usize) -> ServerHeader {
    let header = FrameHeader {
        opcode: opcode.to_wire(),
        ..FrameHeader::default()
    };
    let mut bytes = [0; HEADER];
    let mut cursor = Cursor::new(&mut bytes[..]);
    header
        .format(payload as u64, &mut cursor)
        .expect("ten bytes hold the header of any unmasked frame");
    ServerHeader {
        size: header.len(payload as u64),
        bytes,
    }
}

/// A text frame.
pub fn text(payload: &str) -> Bytes {
    frame(Opcode::Text, &[payload.as_bytes()])
}

/// A binary frame.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(Opcode::Binary, &[payload])
}

/// The answer to a ping. A ping has at most 125 bytes; more are cut off.
pub fn pong(payload: &[u8]) -> Bytes {
    let length = payload.len().min(CONTROL_PAYLOAD);
    frame(Opcode::Pong, &[&payload[..length]])
}

/// A close frame. `None`: without a code, and then without a reason. A reason of more than 123 bytes is cut before the character
/// that does not fit.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return Bytes::from_static(&EMPTY_CLOSE);
    };
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD - 2)];
    frame(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()])
}

/// The payload of a frame that was built here.
pub fn payload(frame: &[u8]) -> &[u8] {
    &frame[header_size(frame).min(frame.len())..]
}

/// Whether a frame that was built here is text.
pub fn is_text(frame: &[u8]) -> bool {
    frame.first() == Some(&TEXT)
}

fn frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let header = server_header(opcode, length);
    let mut frame = Vec::with_capacity(header.len() + length);
    frame.extend_from_slice(&header);
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.into()
}
