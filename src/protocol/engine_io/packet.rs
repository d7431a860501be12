//! A single packet: one digit and its data (protocol 1.4).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD_INDIFFERENT};
use bytes::Bytes;

/// A heartbeat, as a ready WebSocket frame.
pub static PING: Bytes = Bytes::from_static(b"\x81\x012");
/// What releases a pending poll, as a ready WebSocket frame.
pub static NOOP: Bytes = Bytes::from_static(b"\x81\x016");
/// The end of a polling transport, as a ready WebSocket frame.
pub static CLOSE: Bytes = Bytes::from_static(b"\x81\x011");
/// The answer to `2probe` on a transport that upgrades, as a ready WebSocket frame.
pub static PROBE_PONG: Bytes = Bytes::from_static(b"\x81\x063probe");

/// A packet from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: sent by servers; its data is not kept.
    Open,
    /// `1`.
    Close,
    /// `2` and its data: in revision 4 only the `probe` of an upgrade comes from clients.
    Ping(&'a str),
    /// `3` and its data: the answer to a heartbeat.
    Pong(&'a str),
    /// `4` and its data, perhaps none.
    Message(&'a str),
    /// A message of bytes.
    Binary(Bytes),
    /// `5`: the end of an upgrade.
    Upgrade,
    /// `6`.
    Noop,
}

/// Why a packet is none; each ends the session as `parse error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The packet has no bytes.
    #[error("the packet is empty")]
    Empty,
    /// The first character is no packet type.
    #[error("the packet type is unknown")]
    Type,
    /// Bytes in text form that are not base64.
    #[error("the packet is not base64")]
    Base64,
    /// A polling packet that is not UTF-8.
    #[error("the packet is not UTF-8")]
    Utf8,
    /// One packet too many in a polling payload.
    #[error("the payload has too many packets")]
    TooManyPackets,
}

/// Decodes a packet in text form: a WebSocket text frame, or a part of a polling payload. `b` and base64 is accepted in both.
pub fn decode_text(text: &str) -> Result<Packet<'_>, DecodeError> {
    let data = text.get(1..).unwrap_or_default();
    match text.as_bytes().first() {
        Some(b'4') => Ok(Packet::Message(data)),
        Some(b'3') => Ok(Packet::Pong(data)),
        Some(b'2') => Ok(Packet::Ping(data)),
        Some(b'b') => decode_base64(data).map(Packet::Binary),
        Some(b'0') => Ok(Packet::Open),
        Some(b'1') => Ok(Packet::Close),
        Some(b'5') => Ok(Packet::Upgrade),
        Some(b'6') => Ok(Packet::Noop),
        Some(_) => Err(DecodeError::Type),
        None => Err(DecodeError::Empty),
    }
}

/// As tolerant as Node where an encoder of the field needs it: padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD_INDIFFERENT.with_decode_allow_trailing_bits(true),
);

/// Decodes base64. The official Java client breaks its lines every 76 characters: where the text is refused, it is tried once more
/// without white space.
fn decode_base64(text: &str) -> Result<Bytes, DecodeError> {
    let joined = || text.split_ascii_whitespace().collect::<String>();
    BASE64
        .decode(text)
        .or_else(|_| BASE64.decode(joined()))
        .map(Bytes::from)
        .map_err(|_| DecodeError::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::websocket;

    #[test]
    fn every_type_has_its_digit() {
        for (text, packet) in [
            ("0{\"sid\":\"S\"}", Packet::Open),
            ("1", Packet::Close),
            ("2", Packet::Ping("")),
            ("2probe", Packet::Ping("probe")),
            ("3", Packet::Pong("")),
            ("3anything", Packet::Pong("anything")),
            ("4", Packet::Message("")),
            ("4héllo\u{1f980}", Packet::Message("héllo\u{1f980}")),
            ("42[\"a\"]", Packet::Message("2[\"a\"]")),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ] {
            assert_eq!(decode_text(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn unknown_types_and_nothing_are_errors() {
        for text in [
            "7",
            "8x",
            "9",
            "abc",
            "x",
            "é",
            "\u{1f980}4",
            " 4",
            "-1",
            "\0",
        ] {
            assert_eq!(decode_text(text), Err(DecodeError::Type), "{text:?}");
        }
        assert_eq!(decode_text(""), Err(DecodeError::Empty));
    }

    #[test]
    fn base64_is_a_binary_message() {
        let binary = |bytes: &'static [u8]| Ok(Packet::Binary(Bytes::from_static(bytes)));
        assert_eq!(decode_text("bAQIDBA=="), binary(&[1, 2, 3, 4]));
        assert_eq!(decode_text("bAQIDBA"), binary(&[1, 2, 3, 4]));
        assert_eq!(decode_text("b"), binary(&[]));
        assert_eq!(decode_text("b+/+/"), binary(&[0xfb, 0xff, 0xbf]));
        for text in ["b!", "bA", "bAQ=IDBA", "bAQIDé", "b=", "b\u{1f980}"] {
            assert_eq!(decode_text(text), Err(DecodeError::Base64), "{text}");
        }
    }

    /// The line breaks of `android.util.Base64.DEFAULT`: after 76 characters and at the end.
    #[test]
    fn base64_of_the_java_client_has_line_breaks() {
        let line = "A".repeat(76);
        let text = format!("b{line}\n{line}\n");
        assert_eq!(
            decode_text(&text),
            Ok(Packet::Binary(Bytes::from(vec![0; 114])))
        );
    }

    #[test]
    fn statics_are_frames_of_their_packet() {
        for (packet, text) in [
            (&PING, "2"),
            (&NOOP, "6"),
            (&CLOSE, "1"),
            (&PROBE_PONG, "3probe"),
        ] {
            assert_eq!(*packet, websocket::text(text));
        }
    }
}
