//! Polling payloads: packets in text form with 0x1E between them (protocol 1.5).

use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::packet::{DecodeError, Packet, decode_text};
use crate::protocol::websocket;

const SEPARATOR: u8 = 0x1e;

/// The packets of a POST body, in order; the first bad one is the last item, so that the good ones before it still count.
///
/// An empty body is one empty packet, hence an error. At most `limit` packets are yielded. Each byte of the body is looked at a
/// constant number of times and packets of text borrow from it.
pub fn decode_payload(
    body: &[u8],
    limit: usize,
) -> impl Iterator<Item = Result<Packet<'_>, DecodeError>> {
    let mut packets = body.split(|byte| *byte == SEPARATOR).enumerate();
    let mut failed = false;
    iter::from_fn(move || {
        if failed {
            return None;
        }
        let (index, bytes) = packets.next()?;
        let packet = if index < limit {
            str::from_utf8(bytes)
                .map_err(|_| DecodeError::Utf8)
                .and_then(decode_text)
        } else {
            Err(DecodeError::TooManyPackets)
        };
        failed = packet.is_err();
        Some(packet)
    })
}

/// The body of a polling response: the payloads of ready WebSocket frames, those of binary frames as `b` and base64.
pub fn encode_payload(frames: &[Bytes]) -> Vec<u8> {
    let len = frames.iter().map(|frame| text_len(frame) + 1).sum();
    let mut body = Vec::with_capacity(len);
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            body.push(SEPARATOR);
        }
        let payload = websocket::payload(frame);
        if websocket::is_text(frame) {
            body.extend_from_slice(payload);
        } else {
            push_base64(&mut body, payload);
        }
    }
    body
}

/// Bytes of a frame's payload in text form.
fn text_len(frame: &[u8]) -> usize {
    let payload = websocket::payload(frame);
    if websocket::is_text(frame) {
        payload.len()
    } else {
        1 + base64_len(payload)
    }
}

fn base64_len(bytes: &[u8]) -> usize {
    base64::encoded_len(bytes.len(), true).expect("a frame in memory is far below usize::MAX")
}

fn push_base64(body: &mut Vec<u8>, bytes: &[u8]) {
    body.push(b'b');
    let start = body.len();
    body.resize(start + base64_len(bytes), 0);
    STANDARD
        .encode_slice(bytes, &mut body[start..])
        .expect("the rest of the body has the encoded length");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::engine_io::{CLOSE, NOOP, PING};

    const LIMIT: usize = 65_536;

    fn decode(body: &[u8]) -> Vec<Result<Packet<'_>, DecodeError>> {
        decode_payload(body, LIMIT).collect()
    }

    fn text(packet: &str) -> Bytes {
        websocket::text(packet)
    }

    /// Bodies of the conformance suite (protocol 8.1), in both directions.
    #[test]
    fn conformance_bodies() {
        let binary = websocket::binary(&[1, 2, 3, 4]);
        for (body, packets, frames) in [
            (
                &b"4hello"[..],
                vec![Packet::Message("hello")],
                vec![text("4hello")],
            ),
            (
                b"4test1\x1e4test2\x1e4test3",
                vec![
                    Packet::Message("test1"),
                    Packet::Message("test2"),
                    Packet::Message("test3"),
                ],
                vec![text("4test1"), text("4test2"), text("4test3")],
            ),
            (
                b"4hello\x1ebAQIDBA==",
                vec![
                    Packet::Message("hello"),
                    Packet::Binary(Bytes::from_static(&[1, 2, 3, 4])),
                ],
                vec![text("4hello"), binary],
            ),
            (b"3", vec![Packet::Pong("")], vec![text("3")]),
            (b"1", vec![Packet::Close], vec![CLOSE.clone()]),
            (b"2", vec![Packet::Ping("")], vec![PING.clone()]),
            (
                b"6\x1e1",
                vec![Packet::Noop, Packet::Close],
                vec![NOOP.clone(), CLOSE.clone()],
            ),
        ] {
            let decoded: Result<Vec<_>, _> = decode(body).into_iter().collect();
            assert_eq!(decoded, Ok(packets));
            assert_eq!(encode_payload(&frames), body);
        }
        assert_eq!(decode(b"abc"), [Err(DecodeError::Type)]);
    }

    #[test]
    fn a_binary_event_is_one_payload() {
        let frames = [
            text("451-[\"up\",{\"_placeholder\":true,\"num\":0}]"),
            websocket::binary(&[1, 2, 3]),
        ];
        assert_eq!(
            encode_payload(&frames),
            b"451-[\"up\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID"
        );
    }

    #[test]
    fn an_empty_body_is_an_empty_packet() {
        assert_eq!(decode(b""), [Err(DecodeError::Empty)]);
        assert_eq!(
            decode(b"4a\x1e"),
            [Ok(Packet::Message("a")), Err(DecodeError::Empty)]
        );
        assert_eq!(decode(b"\x1e4a"), [Err(DecodeError::Empty)]);
    }

    #[test]
    fn decoding_stops_at_the_first_bad_packet() {
        assert_eq!(
            decode(b"4a\x1e4b\x1ex\x1e4c"),
            [
                Ok(Packet::Message("a")),
                Ok(Packet::Message("b")),
                Err(DecodeError::Type),
            ]
        );
        assert_eq!(
            decode(b"4a\x1e4\xff\x1e4c"),
            [Ok(Packet::Message("a")), Err(DecodeError::Utf8)]
        );
        assert_eq!(
            decode(b"4a\x1eb?\x1e4c"),
            [Ok(Packet::Message("a")), Err(DecodeError::Base64)]
        );
    }

    /// One POST of half a million tiny packets: what is decoded is bounded by count, and every packet is a slice of the body.
    #[test]
    fn cve_2020_36048_many_tiny_packets_in_one_body() {
        let body = b"4a\x1e".repeat(350_000);
        let range = body.as_ptr_range();
        let mut count = 0;
        for packet in decode_payload(&body, LIMIT) {
            match packet {
                Ok(Packet::Message(text)) => {
                    assert!(range.contains(&text.as_ptr()));
                    count += 1;
                }
                other => assert_eq!(other, Err(DecodeError::TooManyPackets)),
            }
        }
        assert_eq!(count, LIMIT);
    }

    #[test]
    fn as_many_packets_as_allowed() {
        let body = [b"3".as_slice(); 5].join(&SEPARATOR);
        assert_eq!(decode_payload(&body, 5).flatten().count(), 5);
        assert_eq!(
            decode_payload(&body, 4).last(),
            Some(Err(DecodeError::TooManyPackets))
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(packets in prop::collection::vec(
            prop_oneof![
                "[^\u{1e}]{0,200}".prop_map(Ok),
                prop::collection::vec(any::<u8>(), 0..200).prop_map(Err),
            ],
            1..8,
        )) {
            let frames: Vec<Bytes> = packets.iter().map(|packet| match packet {
                Ok(data) => websocket::text(&format!("4{data}")),
                Err(bytes) => websocket::binary(bytes),
            }).collect();
            let body = encode_payload(&frames);
            let expected: Vec<_> = packets.iter().map(|packet| Ok(match packet {
                Ok(data) => Packet::Message(data),
                Err(bytes) => Packet::Binary(Bytes::copy_from_slice(bytes)),
            })).collect();
            prop_assert_eq!(decode(&body), expected);
        }

        #[test]
        fn any_body_is_decoded_without_panic(body in prop::collection::vec(any::<u8>(), 0..300), limit in 0usize..10) {
            let packets: Vec<_> = decode_payload(&body, limit).collect();
            let first_error = packets.iter().position(Result::is_err);
            prop_assert!(first_error.is_none_or(|index| index + 1 == packets.len()));
        }
    }
}
