//! Socket.IO revision 5 with the default (JSON) parser (protocol 3).
//!
//! [`Decoder`] turns the messages of one connection into [`Packet`]s and joins attachments to the packet they belong to; [`encode`]
//! builds the packets that a server sends; [`placeholders`] renumbers what stands for bytes in a backend's JSON; [`json`] is what
//! of JSON the rest needs.
//!
//! JSON is validated but never rebuilt: arguments are slices of what the client sent, so that key order, the spelling of numbers,
//! duplicate keys and escapes come out as they came in (protocol 10, 16).
//!
//! Not decided here: which namespaces and event names are allowed (length, characters, reserved words), and whether a packet may
//! come now. Where Node is lenient by accident (`42`, `42 ["x"]`, `42x["a"]` as id 0) we are strict.

mod decode;
pub mod encode;
pub mod json;
mod packet;
pub mod placeholders;

pub use decode::{DecodeError, Decoder, Limits};
pub use packet::{Ack, Body, Event, MAX_ACK_ID, Packet};
