//! Frame headers, and the rules that concern nothing but one header.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::error::Violation;

/// Payload bytes of a control frame at most (RFC 6455 5.5).
pub(super) const CONTROL_PAYLOAD: usize = 125;

/// What a frame carries; the reserved opcodes are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation,
    /// Text, or its first fragment.
    Text,
    /// Binary data, or its first fragment.
    Binary,
    /// Close.
    Close,
    /// Ping.
    Ping,
    /// Pong.
    Pong,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    pub(super) fn to_wire(self) -> OpCode {
        match self {
            Self::Continuation => OpCode::Data(Data::Continue),
            Self::Text => OpCode::Data(Data::Text),
            Self::Binary => OpCode::Data(Data::Binary),
            Self::Close => OpCode::Control(Control::Close),
            Self::Ping => OpCode::Control(Control::Ping),
            Self::Pong => OpCode::Control(Control::Pong),
        }
    }

    fn from_wire(opcode: OpCode) -> Result<Self, Violation> {
        match opcode {
            OpCode::Data(Data::Continue) => Ok(Self::Continuation),
            OpCode::Data(Data::Text) => Ok(Self::Text),
            OpCode::Data(Data::Binary) => Ok(Self::Binary),
            OpCode::Control(Control::Close) => Ok(Self::Close),
            OpCode::Control(Control::Ping) => Ok(Self::Ping),
            OpCode::Control(Control::Pong) => Ok(Self::Pong),
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                Err(Violation::ReservedOpcode)
            }
        }
    }
}

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Whether a message ends here; always, for control frames.
    pub(super) is_final: bool,
    pub(super) mask: [u8; 4],
    /// Bytes of the header itself.
    pub(super) size: usize,
    /// Bytes after it, below 2^63; not yet compared with any limit.
    pub(super) payload: u64,
}

impl Header {
    /// Reads a header at the beginning of `bytes`; `None`: it is not complete, see [`header_size`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        // Memory does not fail to be read: the only error is a reserved opcode.
        let parsed = FrameHeader::parse(&mut Cursor::new(bytes))
            .map_err(|_error| Violation::ReservedOpcode)?;
        let Some((header, payload)) = parsed else {
            return Ok(None);
        };
        let Some(mask) = header.mask else {
            return Err(Violation::Unmasked);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::ReservedBits);
        }
        if payload > i64::MAX.unsigned_abs() {
            return Err(Violation::Length);
        }
        let opcode = Opcode::from_wire(header.opcode)?;
        if opcode.is_control() && !header.is_final {
            return Err(Violation::FragmentedControl);
        }
        if opcode.is_control() && payload > CONTROL_PAYLOAD as u64 {
            return Err(Violation::LongControl);
        }
        Ok(Some(Self {
            opcode,
            is_final: header.is_final,
            mask,
            size: header_size(bytes),
            payload,
        }))
    }
}

/// Bytes of the header that begins like this: 2 as long as its second byte, which tells, is missing.
pub(super) fn header_size(bytes: &[u8]) -> usize {
    let Some(second) = bytes.get(1) else {
        return 2;
    };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}
