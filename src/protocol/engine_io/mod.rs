//! Engine.IO revision 4: packets, the open packet and polling payloads (protocol 1.3–1.5).
//!
//! Incoming: [`decode_text`] for a WebSocket text frame, [`decode_payload`] for the body of a POST; a WebSocket binary frame is a
//! [`Packet::Binary`] by itself. Outgoing: packets are ready frames of [`websocket`](super::websocket); for a polling response
//! [`encode_payload`] takes their payloads out again. Packets without content are the statics [`PING`], [`NOOP`], [`CLOSE`] and
//! [`PROBE_PONG`].
//!
//! Which packet may come when, and what it does, is not decided here.

mod open;
mod packet;
mod payload;

pub use open::Open;
pub use packet::{CLOSE, DecodeError, NOOP, PING, PROBE_PONG, Packet, decode_text};
pub use payload::{decode_payload, encode_payload};
