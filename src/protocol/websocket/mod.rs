//! The server side of RFC 6455 framing: bytes from a client become messages, messages become frames.
//!
//! ```text
//! received bytes ─► Decoder::receive ─► Received::next_message ─► Message    or CloseError: answer it and close
//!                   (kept: the bytes    (header, then limits,
//!                    of half a frame)    then fragments, UTF-8)
//!
//! text, binary, pong, close ─► Bytes, a complete frame that all recipients share ─► payload, for polling
//! ```
//!
//! Promises:
//! - every rule of RFC 6455 for what a client sends is checked; a breach is a [`CloseError`] that knows its close code;
//! - a limit is applied to the header, before a byte of the payload is stored; in all, a connection holds at most one frame and
//!   one fragmented message, each within [`Limits::message`], and whatever its pump has left undecoded;
//! - a message that arrives in one piece is not copied: it is unmasked in place and lent out;
//! - a [`Decoder`] owns no memory between messages, however large the last one was;
//! - the work is linear in the bytes received, whatever their chunks, and no input makes it panic.
//!
//! It does not read, write, wait or look at the clock, and it does not answer pings or closes: it reports them. Extensions
//! (`permessage-deflate`) are never negotiated, so reserved bits are a breach.
//!
//! # Why
//! tungstenite reads into a buffer of its own, which it zero-fills and never gives back: 1 MiB for ever after one large message,
//! against nothing here. It does not count fragments either, so that a client can send empty ones without end. What it does well
//! stays its own: the layout of frame headers, the accept key, the close codes. A differential test and a fuzz target hold
//! this module to its verdicts.
//!
//! Lengths that are not encoded in the fewest bytes are accepted, against the letter of RFC 6455 5.2: tungstenite and the
//! reference server do so, and nothing can be gained by it.

mod assembly;
mod decode;
mod encode;
mod error;
mod header;
mod mask;
mod message;
mod rate;

#[cfg(test)]
mod tests;

pub use self::{
    decode::{Decoder, Received},
    encode::{
        EMPTY_CLOSE, ServerHeader, binary, close, is_text, payload, pong, server_header, text,
    },
    error::{CloseError, Excess, Violation},
    header::Opcode,
    message::{Limits, Message},
};

/// The value of `Sec-WebSocket-Accept` for that of `Sec-WebSocket-Key` (RFC 6455 4.2.2).
pub use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
