//! Bounds on size, number and rate, and what memory they protect.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{assembly::Assembly, header::Header},
    *,
};

fn limits(message: usize, fragments: usize) -> Limits {
    Limits {
        message,
        fragments,
        control_rate: 0,
    }
}

#[test]
fn a_message_may_be_as_big_as_the_limit() {
    let limits = limits(10, 2);
    assert_eq!(
        decode_within(&limits, &frame(TEXT, b"0123456789")),
        [text("0123456789")]
    );
    let stream = [frame(MORE_TEXT, b"0123"), frame(CONTINUATION, b"456789")];
    assert_eq!(
        decode_within(&limits, &stream.concat()),
        [text("0123456789")]
    );
}

#[test]
fn a_message_that_is_too_big_is_refused_by_its_header() {
    for first in [TEXT, BINARY, MORE_TEXT, MORE_BINARY] {
        assert_eq!(
            decode_within(&limits(10, 2), &header(first, 11)),
            [Got::Error(CloseError::TooBig)]
        );
    }
}

#[test]
fn fragments_are_added_up_by_their_headers() {
    for first in [CONTINUATION, MORE_CONTINUATION] {
        let stream = [frame(MORE_BINARY, b"0123456"), header(first, 4)];
        assert_eq!(
            decode_within(&limits(10, 9), &stream.concat()),
            [Got::Error(CloseError::TooBig)]
        );
    }
}

#[test]
fn half_a_character_counts_as_its_bytes() {
    let stream = [frame(MORE_TEXT, b"01234567\xc3"), header(CONTINUATION, 2)];
    assert_eq!(
        decode_within(&limits(10, 9), &stream.concat()),
        [Got::Error(CloseError::TooBig)]
    );
}

#[test]
fn the_limit_is_for_one_message() {
    let stream = [
        frame(BINARY, b"0123456789"),
        frame(MORE_BINARY, b"01234"),
        frame(PING, &[0; 125]),
        frame(CONTINUATION, b"56789"),
        frame(BINARY, b"0123456789"),
    ];
    assert_eq!(decode_within(&limits(10, 2), &stream.concat()).len(), 4);
}

/// ws; also uws, CVE-2016-10544; Qt, CVE-2018-21035.
#[test]
fn cve_2016_10542_announced_lengths_are_not_allocated() {
    for length in [1 << 30, 1 << 32, (1 << 63) - 1] {
        for mut stream in [
            header(BINARY, length),
            [frame(MORE_BINARY, b"x"), header(CONTINUATION, length)].concat(),
        ] {
            let mut decoder = Decoder::default();
            let mut received = decoder.receive(&mut stream, &LIMITS, Instant::now());
            assert_eq!(received.next_message(), Err(CloseError::TooBig));
            // Without its `drop`, which would hide what was allocated before.
            std::mem::forget(received);
            assert!(decoder.buffered() <= 1);
        }
    }
}

/// aiohttp: length plus buffered bytes; also nats, CVE-2026-27889; gorilla, CVE-2020-27813.
#[test]
fn cve_2026_54274_the_sum_of_lengths_does_not_overflow() {
    let unlimited = limits(usize::MAX, usize::MAX);
    let parse = |bytes: &[u8]| Header::parse(bytes).unwrap().unwrap();
    let mut assembly = Assembly::default();
    let first = parse(&header(MORE_BINARY, 1));
    assembly.keep(&first, b"x", &unlimited).unwrap();
    let largest = parse(&header(CONTINUATION, (1 << 63) - 1));
    assert_eq!(assembly.admit(&largest, &unlimited), Ok(()));
    assert_eq!(assembly.admit(&largest, &LIMITS), Err(CloseError::TooBig));
}

#[test]
fn a_message_has_no_more_fragments_than_the_limit() {
    let limits = limits(1000, 3);
    let three = [
        frame(MORE_TEXT, b"a"),
        frame(MORE_CONTINUATION, b"b"),
        frame(CONTINUATION, b"c"),
    ];
    // Twice, since each message has its own count.
    assert_eq!(
        decode_within(&limits, &[three.concat(), three.concat()].concat()),
        [text("abc"), text("abc")]
    );
    for last in [CONTINUATION, MORE_CONTINUATION] {
        let four = [
            frame(MORE_TEXT, b"a"),
            frame(MORE_CONTINUATION, b"b"),
            frame(MORE_CONTINUATION, b"c"),
            header(last, 0),
        ];
        assert_eq!(
            decode_within(&limits, &four.concat()),
            [Got::Error(CloseError::Policy(Excess::Fragments))]
        );
    }
}

#[test]
fn messages_in_one_piece_are_no_fragments() {
    let stream = [frame(TEXT, b"a"), frame(BINARY, b""), frame(MORE_TEXT, b"")];
    assert_eq!(
        decode_within(&limits(10, 0), &stream.concat()),
        [
            text("a"),
            Got::Binary(Vec::new()),
            Got::Error(CloseError::Policy(Excess::Fragments))
        ]
    );
}

/// How many of `frames` are let through at one moment.
fn let_through(decoder: &mut Decoder, first: u8, frames: usize, rate: u32, now: Instant) -> usize {
    let limits = Limits {
        control_rate: rate,
        ..LIMITS
    };
    let stream = frame(first, b"").repeat(frames);
    let got = feed(decoder, &stream, &limits, now);
    let errors = got.iter().filter(|it| matches!(it, Got::Error(_))).count();
    got.len() - errors
}

#[test]
fn control_frames_are_limited_to_a_burst_of_five_seconds() {
    for first in [PING, PONG] {
        for rate in [1, 10, 1000] {
            let burst = 5 * rate as usize;
            let now = Instant::now();
            let mut decoder = Decoder::default();
            assert_eq!(let_through(&mut decoder, first, burst, rate, now), burst);
            assert_eq!(let_through(&mut decoder, first, 1, rate, now), 0);
        }
    }
}

#[test]
fn control_frames_over_the_rate_are_a_policy_error() {
    let limits = Limits {
        control_rate: 1,
        ..LIMITS
    };
    let mut got = decode_within(&limits, &frame(PONG, b"").repeat(6));
    assert_eq!(
        got.pop(),
        Some(Got::Error(CloseError::Policy(Excess::ControlFrames)))
    );
    assert_eq!(got, vec![Got::Pong; 5]);
}

#[test]
fn control_frames_at_the_rate_may_go_on_for_ever() {
    let mut now = Instant::now();
    let mut decoder = Decoder::default();
    for _ in 0..1000 {
        assert_eq!(let_through(&mut decoder, PONG, 10, 10, now), 10);
        now += Duration::from_secs(1);
    }
    // Silence brings back the burst, but no more than that.
    now += Duration::from_hours(1);
    assert_eq!(let_through(&mut decoder, PONG, 51, 10, now), 50);
}

#[test]
fn a_rate_of_zero_is_no_limit() {
    let mut decoder = Decoder::default();
    assert_eq!(
        let_through(&mut decoder, PING, 10_000, 0, Instant::now()),
        10_000
    );
}

#[test]
fn closing_and_data_are_not_limited_by_the_control_rate() {
    let limits = Limits {
        control_rate: 1,
        ..LIMITS
    };
    let stream = [
        frame(PONG, b"").repeat(5),
        frame(TEXT, b"x").repeat(20),
        frame(CLOSE, b""),
    ];
    let got = decode_within(&limits, &stream.concat());
    assert_eq!(got.len(), 26);
    assert_eq!(got.last(), Some(&Got::Close(None, String::new())));
}

#[test]
fn a_frame_counts_once_however_it_arrives() {
    let limits = Limits {
        control_rate: 1,
        fragments: 5,
        ..LIMITS
    };
    let fragments = [
        frame(MORE_BINARY, b"a"),
        frame(MORE_CONTINUATION, b"b").repeat(3),
        frame(CONTINUATION, b"c"),
    ];
    let stream = [frame(PING, b"ping").repeat(5), fragments.concat()].concat();
    let now = Instant::now();
    let mut decoder = Decoder::default();
    let got: Vec<Got> = stream
        .iter()
        .flat_map(|byte| feed(&mut decoder, &[*byte], &limits, now))
        .collect();
    let mut expected = vec![Got::Ping(b"ping".to_vec()); 5];
    expected.push(Got::Binary(b"abbbc".to_vec()));
    assert_eq!(got, expected);
}

#[test]
fn a_growing_message_reserves_ever_more_but_not_beyond_the_limit() {
    let limits = limits(1000, usize::MAX);
    for first in [MORE_TEXT, MORE_BINARY] {
        let mut decoder = Decoder::default();
        let mut capacities = BTreeSet::new();
        let mut feed = |first, payload: &[u8]| {
            let frame = frame(first, payload);
            feed(&mut decoder, &frame, &limits, Instant::now());
            capacities.insert(decoder.buffered());
        };
        feed(first, b"\xf0");
        feed(MORE_CONTINUATION, b"\x9d\x84");
        feed(MORE_CONTINUATION, b"\x9e01234");
        for _ in 0..99 {
            feed(MORE_CONTINUATION, b"0123456789");
        }
        assert_eq!(capacities.last(), Some(&1000));
        // Moved for each fragment, a message would cost the square of its size.
        assert!(capacities.len() <= 11, "{capacities:?}");
    }
}

/// ws, CVE-2026-48779 and its follow-up (empty fragments); netty, CVE-2014-0193.
#[test]
fn cve_2026_48779_fragments_are_counted_empty_ones_too() {
    for payload in [&b""[..], b"x"] {
        let fragments = frame(MORE_CONTINUATION, payload).repeat(1023);
        let stream = [frame(MORE_BINARY, payload), fragments];
        let mut decoder = Decoder::default();
        let now = Instant::now();
        assert_eq!(feed(&mut decoder, &stream.concat(), &LIMITS, now), []);
        assert!(decoder.buffered() <= 2048);
        assert_eq!(
            feed(&mut decoder, &frame(CONTINUATION, payload), &LIMITS, now),
            [Got::Error(CloseError::Policy(Excess::Fragments))]
        );
    }
}
