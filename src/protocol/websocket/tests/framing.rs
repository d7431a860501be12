//! Headers, control frames and fragments (5.2 to 5.5).

use super::*;

#[test]
fn a_client_frame_is_unmasked() {
    assert_eq!(decode(&frame(TEXT, b"Hello")), [text("Hello")]);
    // The example of 5.7.
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(decode(&hello), [text("Hello")]);
}

#[test]
fn every_length_of_payload_is_unmasked() {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(67).collect();
    for length in 0..payload.len() {
        let payload = &payload[..length];
        assert_eq!(
            decode(&frame(BINARY, payload)),
            [Got::Binary(payload.to_vec())]
        );
    }
}

#[test]
fn a_client_frame_must_be_masked() {
    assert_eq!(
        decode(&[0x81, 0x01, b'x']),
        [violation(Violation::Unmasked)]
    );
    assert_eq!(
        decode(&[0x82, 126, 0, 200]),
        [violation(Violation::Unmasked)]
    );
}

#[test]
fn reserved_bits_must_be_zero() {
    for bit in [0x40, 0x20, 0x10] {
        for first in [TEXT, BINARY, PING, CLOSE, MORE_TEXT] {
            assert_eq!(
                decode(&header(first | bit, 1)),
                [violation(Violation::ReservedBits)]
            );
        }
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in (3..=7).chain(11..=15) {
        assert_eq!(
            decode(&frame(0x80 | opcode, b"")),
            [violation(Violation::ReservedOpcode)]
        );
    }
}

#[test]
fn lengths_at_the_edges_of_their_encodings() {
    for (length, header_bytes) in [
        (0, 6),
        (125, 6),
        (126, 8),
        (65_535, 8),
        (65_536, 14),
        (1_000_000, 14),
    ] {
        let payload = vec![0xa5; length];
        let frame = frame(BINARY, &payload);
        assert_eq!(frame.len(), length + header_bytes);
        assert_eq!(decode(&frame), [Got::Binary(payload)]);
    }
}

#[test]
fn the_highest_bit_of_a_length_must_be_zero() {
    for first in [BINARY, MORE_BINARY, TEXT, PING] {
        assert_eq!(
            decode(&header(first, 1 << 63)),
            [violation(Violation::Length)]
        );
    }
}

#[test]
fn a_length_may_take_more_bytes_than_it_needs() {
    let mut short = vec![BINARY, MASKED_16, 0, 1, 0, 0, 0, 0, 7];
    assert_eq!(decode(&short), [Got::Binary(vec![7])]);
    let mut long = vec![PING, MASKED_64, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7];
    assert_eq!(decode(&long), [Got::Ping(vec![7])]);
    short.append(&mut long);
    assert_eq!(decode(&short), [Got::Binary(vec![7]), Got::Ping(vec![7])]);
}

#[test]
fn control_frames_must_not_be_fragmented() {
    for first in [CLOSE, PING, PONG] {
        assert_eq!(
            decode(&header(first & 0x0f, 0)),
            [violation(Violation::FragmentedControl)]
        );
    }
}

#[test]
fn control_frames_have_at_most_125_bytes() {
    let payload = [b'p'; 126];
    assert_eq!(
        decode(&frame(PING, &payload[..125])),
        [Got::Ping(payload[..125].to_vec())]
    );
    assert_eq!(decode(&frame(PONG, &payload[..125])), [Got::Pong]);
    for first in [CLOSE, PING, PONG] {
        // The header is enough to see it.
        assert_eq!(
            decode(&header(first, 126)),
            [violation(Violation::LongControl)]
        );
    }
}

#[test]
fn fragments_are_joined() {
    let bytes = [
        frame(MORE_TEXT, b"Hel"),
        frame(MORE_CONTINUATION, b""),
        frame(CONTINUATION, b"lo"),
        frame(MORE_BINARY, b"\xff"),
        frame(CONTINUATION, b"\xfe"),
        frame(TEXT, b"!"),
    ];
    assert_eq!(
        decode(&bytes.concat()),
        [text("Hello"), Got::Binary(vec![0xff, 0xfe]), text("!")]
    );
}

#[test]
fn a_message_may_consist_of_empty_fragments() {
    let bytes = [frame(MORE_TEXT, b""), frame(CONTINUATION, b"")];
    assert_eq!(decode(&bytes.concat()), [text("")]);
}

#[test]
fn control_frames_may_come_between_fragments() {
    let bytes = [
        frame(MORE_TEXT, b"Hel"),
        frame(PING, b"1"),
        frame(MORE_CONTINUATION, b"lo"),
        frame(PONG, b"2"),
        frame(CONTINUATION, b"!"),
        frame(MORE_BINARY, b""),
        frame(CLOSE, b""),
    ];
    assert_eq!(
        decode(&bytes.concat()),
        [
            Got::Ping(b"1".to_vec()),
            Got::Pong,
            text("Hello!"),
            Got::Close(None, String::new())
        ]
    );
}

#[test]
fn a_continuation_needs_a_message() {
    for first in [CONTINUATION, MORE_CONTINUATION] {
        assert_eq!(
            decode(&frame(first, b"x")),
            [violation(Violation::UnexpectedContinuation)]
        );
        // A message in one piece leaves nothing to continue, nor does a joined one.
        let bytes = [frame(TEXT, b"x"), frame(first, b"y")];
        assert_eq!(
            decode(&bytes.concat()),
            [text("x"), violation(Violation::UnexpectedContinuation)]
        );
        let bytes = [
            frame(MORE_TEXT, b"x"),
            frame(CONTINUATION, b"y"),
            frame(first, b"z"),
        ];
        assert_eq!(
            decode(&bytes.concat()),
            [text("xy"), violation(Violation::UnexpectedContinuation)]
        );
    }
}

#[test]
fn a_message_must_not_begin_inside_another() {
    for outer in [MORE_TEXT, MORE_BINARY] {
        for inner in [TEXT, BINARY, MORE_TEXT, MORE_BINARY] {
            let bytes = [frame(outer, b"x"), header(inner, 1)];
            assert_eq!(
                decode(&bytes.concat()),
                [violation(Violation::ExpectedContinuation)]
            );
        }
    }
}

#[test]
fn accept_key_of_the_handshake() {
    // The example of 1.3.
    assert_eq!(
        super::super::derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}
