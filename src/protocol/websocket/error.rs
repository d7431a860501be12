//! Why a client's connection must be closed, ordered by what it is told.

use bytes::Bytes;
use thiserror::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::encode::close;

/// The client went wrong; the variant says which close code it gets (RFC 6455 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseError {
    /// 1002.
    #[error(transparent)]
    Protocol(#[from] Violation),
    /// 1007.
    #[error("text is not UTF-8")]
    InvalidUtf8,
    /// 1008.
    #[error(transparent)]
    Policy(#[from] Excess),
    /// 1009.
    #[error("message is too big")]
    TooBig,
}

/// A breach of the framing rules; the sections are those of RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// 5.1.
    #[error("frame is not masked")]
    Unmasked,
    /// 5.2: no extension was negotiated that gives them a meaning.
    #[error("reserved bits are set")]
    ReservedBits,
    /// 5.2.
    #[error("opcode is reserved")]
    ReservedOpcode,
    /// 5.2: the highest bit of a 64-bit length is set.
    #[error("length is out of range")]
    Length,
    /// 5.5.
    #[error("control frame is fragmented")]
    FragmentedControl,
    /// 5.5: more than 125 bytes.
    #[error("control frame is too long")]
    LongControl,
    /// 5.4: no message to continue.
    #[error("continuation without a message")]
    UnexpectedContinuation,
    /// 5.4: a message begins inside another.
    #[error("message inside a fragmented one")]
    ExpectedContinuation,
    /// 5.5.1: a single byte is no code.
    #[error("close code is cut off")]
    ShortClose,
    /// 7.4.
    #[error("close code is not allowed")]
    CloseCode,
}

/// Legal frames, but more of them than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Excess {
    /// In one message.
    #[error("too many fragments")]
    Fragments,
    /// Per second.
    #[error("too many control frames")]
    ControlFrames,
}

impl CloseError {
    /// The close code that answers it.
    pub fn code(self) -> u16 {
        let code = match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::InvalidUtf8 => CloseCode::Invalid,
            Self::Policy(_) => CloseCode::Policy,
            Self::TooBig => CloseCode::Size,
        };
        code.into()
    }

    /// The close frame that answers it: the code, and the error's text as the reason.
    pub fn frame(self) -> Bytes {
        close(Some(self.code()), &self.to_string())
    }

    /// The kind as a metric label; a closed set of 14.
    pub fn label(self) -> &'static str {
        match self {
            Self::Protocol(violation) => violation.label(),
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Policy(Excess::Fragments) => "fragments",
            Self::Policy(Excess::ControlFrames) => "control_frames",
            Self::TooBig => "too_big",
        }
    }
}

impl Violation {
    fn label(self) -> &'static str {
        match self {
            Self::Unmasked => "unmasked",
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpcode => "reserved_opcode",
            Self::Length => "length",
            Self::FragmentedControl => "fragmented_control",
            Self::LongControl => "long_control",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::ExpectedContinuation => "expected_continuation",
            Self::ShortClose => "short_close",
            Self::CloseCode => "close_code",
        }
    }
}
