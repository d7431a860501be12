//! What must hold whatever a client sends as Engine.IO packets (protocol 1.4, 1.5).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sockgate::protocol::engine_io::{
    self, CLOSE, DecodeError, NOOP, PING, Packet, decode_payload, decode_text, encode_payload,
};
use sockgate::protocol::websocket;

use super::allocation::bounded;

/// One packet in text form: as the table of packet types says, and bytes are those that Node would see.
pub fn packet(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let ours = bounded(text.len(), || decode_text(text));
    let data = text.chars().next().map_or("", |c| &text[c.len_utf8()..]);
    let expected = match text.chars().next() {
        None => Err(DecodeError::Empty),
        Some('0') => Ok(Packet::Open),
        Some('1') => Ok(Packet::Close),
        Some('2') => Ok(Packet::Ping(data)),
        Some('3') => Ok(Packet::Pong(data)),
        Some('4') => Ok(Packet::Message(data)),
        Some('5') => Ok(Packet::Upgrade),
        Some('6') => Ok(Packet::Noop),
        Some('b') => {
            let canonical = BASE64_STANDARD.decode(data).is_ok();
            match &ours {
                Ok(Packet::Binary(bytes)) => assert_eq!(bytes[..], bytes_in_node(data)),
                other => assert_eq!(*other, Err(DecodeError::Base64)),
            }
            assert!(ours.is_ok() || !canonical, "an encoder has written {data}");
            return;
        }
        Some(_) => Err(DecodeError::Type),
    };
    assert_eq!(ours, expected);
}

/// How Node reads base64: what is no character of it is passed over, and `=` ends it.
fn bytes_in_node(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes().take_while(|byte| *byte != b'=') {
        let Some(value) = ALPHABET.iter().position(|known| *known == byte) else {
            continue;
        };
        bits = (bits << 6) | u32::try_from(value).expect("below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).expect("a byte"));
        }
    }
    bytes
}

/// A polling body (first a byte for the limit): cut at the separators, in order, up to the first fault; and what was understood
/// can be written and read again.
pub fn payload(input: &[u8]) {
    let Some((&limit, body)) = input.split_first() else {
        return;
    };
    let limit = usize::from(limit % 8);
    let count = bounded(body.len(), || decode_payload(body, limit).count());
    let ours: Vec<_> = decode_payload(body, limit).collect();
    assert_eq!(ours.len(), count);

    let mut expected = Vec::new();
    for (index, part) in body.split(|byte| *byte == 0x1e).enumerate() {
        let packet = match std::str::from_utf8(part) {
            _ if index == limit => Err(DecodeError::TooManyPackets),
            Ok(text) => decode_text(text),
            Err(_) => Err(DecodeError::Utf8),
        };
        let failed = packet.is_err();
        expected.push(packet);
        if failed {
            break;
        }
    }
    assert_eq!(ours, expected);

    let packets: Vec<_> = ours.into_iter().flatten().collect();
    let frames: Vec<_> = packets.iter().map(frame).collect();
    let body = encode_payload(&frames);
    if !packets.is_empty() {
        let again: Vec<_> = decode_payload(&body, limit).collect();
        assert_eq!(again, packets.into_iter().map(Ok).collect::<Vec<_>>());
    }
}

/// A packet as a ready frame, as a server would send it.
fn frame(packet: &engine_io::Packet<'_>) -> Bytes {
    let text = |digit: &str, data: &str| websocket::text(&format!("{digit}{data}"));
    match packet {
        Packet::Open => text("0", "{}"),
        Packet::Close => CLOSE.clone(),
        Packet::Ping("") => PING.clone(),
        Packet::Ping(data) => text("2", data),
        Packet::Pong(data) => text("3", data),
        Packet::Message(data) => text("4", data),
        Packet::Binary(bytes) => websocket::binary(bytes),
        Packet::Upgrade => text("5", ""),
        Packet::Noop => NOOP.clone(),
    }
}
