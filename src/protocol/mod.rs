//! Bytes and packets: pure functions, no runtime, no clock, no I/O.
//!
//! - [`engine_io`]: packets, open document and polling payloads of Engine.IO 4.
//! - [`socket_io`]: packets of Socket.IO 5, the binary assembler and its limits.
//! - [`websocket`]: the server side of RFC 6455 framing.
//! - [`frame`]: an outgoing packet, encoded once.

pub mod engine_io;
pub mod frame;
pub mod socket_io;
pub mod websocket;
