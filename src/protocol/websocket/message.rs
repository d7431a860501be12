//! What a client may send, and how much of it.

use std::borrow::Cow;

/// A message or control frame of a client.
///
/// What arrived in one piece is borrowed from the bytes received, a joined message is owned; the difference matters only to
/// those who want to keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(Cow<'a, str>),
    /// A whole binary message.
    Binary(Cow<'a, [u8]>),
    /// At most 125 bytes, to be sent back with [`pong`](super::pong).
    Ping(&'a [u8]),
    /// An answer to a ping, or a sign of life without one.
    Pong,
    /// The client closes; nothing comes after it. It is answered with a close frame of the same code.
    Close {
        /// One that RFC 6455 7.4 or its registry allows on the wire; `None`: the frame was empty.
        code: Option<u16>,
        /// At most 123 bytes.
        reason: &'a str,
    },
}

/// Bounds of what one client may send. They may change between two calls: those before CONNECT can be tighter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of a message, the sum over its fragments; beyond it, close code 1009.
    pub message: usize,
    /// Frames of a fragmented message, empty ones included; beyond it, close code 1008.
    pub fragments: usize,
    /// Pings and pongs per second, with a burst of five times as many; beyond it, close code 1008. 0: any number.
    pub control_rate: u32,
}
