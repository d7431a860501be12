//! UTF-8 over the joined message (8.1).

use super::*;

/// Characters of one to four bytes.
const SAMPLE: &str = "a\u{df}\u{6c34}\u{1d11e}z";

/// Neither of these is a beginning of UTF-8.
const INVALID: [&[u8]; 7] = [
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90",
    b"\xf8",
    b"\xff",
];

const CUT_OFF: [&[u8]; 3] = [b"\xc3", b"\xe6\xb0", b"\xf0\x9d\x84"];

#[test]
fn a_character_may_be_split_across_fragments() {
    let bytes = SAMPLE.as_bytes();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let stream = [
                frame(MORE_TEXT, &bytes[..first]),
                frame(MORE_CONTINUATION, &bytes[first..second]),
                frame(CONTINUATION, &bytes[second..]),
            ];
            assert_eq!(decode(&stream.concat()), [text(SAMPLE)]);
        }
    }
}

#[test]
fn a_control_frame_may_come_inside_a_character() {
    let stream = [
        frame(MORE_TEXT, b"\xf0\x9d"),
        frame(PING, b"\xff"),
        frame(MORE_CONTINUATION, b""),
        frame(CONTINUATION, b"\x84\x9e"),
    ];
    assert_eq!(
        decode(&stream.concat()),
        [Got::Ping(vec![0xff]), text("\u{1d11e}")]
    );
}

#[test]
fn text_must_be_utf8() {
    for invalid in INVALID.iter().chain(&CUT_OFF) {
        let payload = [b"ok", *invalid].concat();
        assert_eq!(
            decode(&frame(TEXT, &payload)),
            [Got::Error(CloseError::InvalidUtf8)]
        );
    }
}

#[test]
fn invalid_utf8_is_noticed_in_its_fragment() {
    for invalid in INVALID {
        let first = frame(MORE_TEXT, &[b"ok", invalid].concat());
        assert_eq!(decode(&first), [Got::Error(CloseError::InvalidUtf8)]);
        let second = [frame(MORE_TEXT, b"ok"), frame(MORE_CONTINUATION, invalid)];
        assert_eq!(
            decode(&second.concat()),
            [Got::Error(CloseError::InvalidUtf8)]
        );
    }
}

#[test]
fn a_split_character_must_be_completed_by_the_next_fragment() {
    for cut_off in CUT_OFF {
        for wrong in [b"a", b"\xc3", b"\xff"] {
            let stream = [frame(MORE_TEXT, cut_off), frame(MORE_CONTINUATION, wrong)];
            assert_eq!(
                decode(&stream.concat()),
                [Got::Error(CloseError::InvalidUtf8)]
            );
        }
    }
    // Each half may look like a beginning; together they are a surrogate.
    let stream = [frame(MORE_TEXT, b"\xed"), frame(MORE_CONTINUATION, b"\xa0")];
    assert_eq!(
        decode(&stream.concat()),
        [Got::Error(CloseError::InvalidUtf8)]
    );
}

#[test]
fn a_message_must_not_end_inside_a_character() {
    for cut_off in CUT_OFF {
        let at_once = [frame(MORE_TEXT, b"ok"), frame(CONTINUATION, cut_off)];
        let then_nothing = [frame(MORE_TEXT, cut_off), frame(CONTINUATION, b"")];
        for stream in [at_once, then_nothing] {
            assert_eq!(
                decode(&stream.concat()),
                [Got::Error(CloseError::InvalidUtf8)]
            );
        }
    }
}

#[test]
fn binary_messages_are_not_checked() {
    let stream = [
        frame(BINARY, b"\xff"),
        frame(MORE_BINARY, b"\xc3"),
        frame(CONTINUATION, b"\xc3"),
    ];
    assert_eq!(
        decode(&stream.concat()),
        [Got::Binary(vec![0xff]), Got::Binary(vec![0xc3, 0xc3])]
    );
}
