//! Frames of the server.

use bytes::Bytes;

use super::super::{EMPTY_CLOSE, Opcode, encode};

#[test]
fn frames_are_complete_and_unmasked() {
    assert_eq!(&encode::text("Hello")[..], b"\x81\x05Hello");
    assert_eq!(&encode::binary(&[1, 2])[..], [0x82, 2, 1, 2]);
    assert_eq!(&encode::pong(b"ping")[..], b"\x8a\x04ping");
    assert_eq!(&encode::text("")[..], [0x81, 0]);
}

#[test]
fn lengths_take_the_fewest_bytes() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (65_535, &[126, 0xff, 0xff]),
        (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (1 << 32, &[127, 0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    for (length, expected) in cases {
        let header = encode::server_header(Opcode::Binary, length);
        assert_eq!(header[0], 0x82);
        assert_eq!(&header[1..], expected);
    }
}

#[test]
fn every_opcode_has_its_number() {
    let numbers = [
        (Opcode::Continuation, 0x80),
        (Opcode::Text, 0x81),
        (Opcode::Binary, 0x82),
        (Opcode::Close, 0x88),
        (Opcode::Ping, 0x89),
        (Opcode::Pong, 0x8a),
    ];
    for (opcode, first) in numbers {
        assert_eq!(encode::server_header(opcode, 0)[0], first);
    }
}

#[test]
fn a_payload_is_sliced_out_of_its_frame() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = "p".repeat(length);
        for frame in [encode::text(&payload), encode::binary(payload.as_bytes())] {
            let slice = encode::payload(&frame);
            assert_eq!(slice, payload.as_bytes());
            // No copy: the payload ends where the frame does.
            assert_eq!(slice.as_ptr_range().end, frame.as_ptr_range().end);
        }
    }
    assert_eq!(encode::payload(&Bytes::new()), Bytes::new());
}

#[test]
fn text_is_told_from_binary() {
    assert!(encode::is_text(&encode::text("x")));
    assert!(!encode::is_text(&encode::binary(b"x")));
    assert!(!encode::is_text(&Bytes::new()));
}

#[test]
fn a_close_frame_without_code_is_empty() {
    assert_eq!(&encode::close(None, "")[..], EMPTY_CLOSE);
    assert_eq!(&encode::close(None, "no place for it")[..], EMPTY_CLOSE);
}

/// ws, CVE-2026-45736: the reason came from a buffer that nobody had written.
#[test]
fn cve_2026_45736_a_close_frame_carries_exactly_its_reason() {
    assert_eq!(&encode::close(Some(1000), "")[..], b"\x88\x02\x03\xe8");
    assert_eq!(
        &encode::close(Some(1009), "big")[..],
        b"\x88\x05\x03\xf1big"
    );
}

#[test]
fn a_long_close_reason_is_cut_between_characters() {
    let fits = "r".repeat(123);
    assert_eq!(
        encode::close(Some(1000), &format!("{fits}r"))[4..],
        *fits.as_bytes()
    );
    let split = format!("{}\u{6c34}", "r".repeat(122));
    assert_eq!(encode::close(Some(1000), &split).len(), 4 + 122);
}

/// ws, CVE-2016-10518: a ping disclosed memory.
#[test]
fn cve_2016_10518_a_pong_carries_exactly_the_ping() {
    let payload: Vec<u8> = (0..125).collect();
    for length in 0..=125 {
        let pong = encode::pong(&payload[..length]);
        assert_eq!(encode::payload(&pong), &payload[..length]);
    }
    assert_eq!(encode::pong(&[0; 126]), encode::pong(&[0; 125]));
}
