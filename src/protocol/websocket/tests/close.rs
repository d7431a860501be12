//! Close frames (5.5.1, 7.4), and what we answer.

use super::*;

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

#[test]
fn a_close_frame_may_be_empty() {
    assert_eq!(
        decode(&frame(CLOSE, b"")),
        [Got::Close(None, String::new())]
    );
}

#[test]
fn a_close_frame_may_have_a_reason() {
    assert_eq!(
        decode(&close_frame(1000, b"")),
        [Got::Close(Some(1000), String::new())]
    );
    let longest = "r".repeat(123);
    assert_eq!(
        decode(&close_frame(4999, longest.as_bytes())),
        [Got::Close(Some(4999), longest)]
    );
}

#[test]
fn a_single_byte_is_no_close_code() {
    assert_eq!(
        decode(&frame(CLOSE, &[3])),
        [violation(Violation::ShortClose)]
    );
}

#[test]
fn close_codes_must_be_registered_or_private() {
    let allowed = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in 0..=u16::MAX {
        let expected = if allowed(code) {
            Got::Close(Some(code), "bye".to_owned())
        } else {
            violation(Violation::CloseCode)
        };
        assert_eq!(decode(&close_frame(code, b"bye")), [expected], "{code}");
    }
}

#[test]
fn a_close_reason_must_be_utf8() {
    for reason in [&b"\xff"[..], b"\xc3"] {
        assert_eq!(
            decode(&close_frame(1000, reason)),
            [Got::Error(CloseError::InvalidUtf8)]
        );
    }
}

#[test]
fn nothing_comes_after_a_close_frame() {
    let mut decoder = Decoder::default();
    let stream = [frame(CLOSE, b""), frame(TEXT, b"late"), header(TEXT, 9)];
    let got = feed(&mut decoder, &stream.concat(), &LIMITS, Instant::now());
    assert_eq!(got, [Got::Close(None, String::new())]);
    assert_eq!(decoder.buffered(), 0);
    let got = feed(&mut decoder, &frame(TEXT, b"late"), &LIMITS, Instant::now());
    assert_eq!(got, []);
}

#[test]
fn nothing_comes_after_an_error() {
    let broken = [
        header(0x83, 0),
        frame(TEXT, b"\xff"),
        frame(MORE_TEXT, b"\xff"),
    ];
    for broken in broken {
        let mut decoder = Decoder::default();
        let mut bytes = [broken, frame(TEXT, b"late")].concat();
        let mut received = decoder.receive(&mut bytes, &LIMITS, Instant::now());
        received.next_message().unwrap_err();
        assert_eq!(received.next_message(), Ok(None));
        drop(received);
        assert_eq!(decoder.buffered(), 0);
        let got = feed(&mut decoder, &frame(TEXT, b"late"), &LIMITS, Instant::now());
        assert_eq!(got, []);
    }
}

#[test]
fn errors_are_answered_by_their_close_code() {
    let cases = [
        (CloseError::Protocol(Violation::Unmasked), 1002),
        (CloseError::InvalidUtf8, 1007),
        (CloseError::Policy(Excess::Fragments), 1008),
        (CloseError::TooBig, 1009),
    ];
    for (error, code) in cases {
        assert_eq!(error.code(), code);
        assert_eq!(
            error.frame(),
            super::super::close(Some(code), &error.to_string())
        );
    }
    assert_eq!(
        &CloseError::TooBig.frame()[..],
        b"\x88\x14\x03\xf1message is too big"
    );
}
