//! Bytes arrive in any portions, and memory comes and goes with them.

use std::borrow::Cow;

use super::*;

#[test]
fn bytes_may_come_one_by_one() {
    let payload = "x".repeat(70_000);
    let stream = [
        frame(TEXT, b"a"),
        frame(MORE_TEXT, "\u{6c34}".as_bytes()),
        frame(PING, b"p"),
        frame(CONTINUATION, &[b'b'; 200]),
        frame(TEXT, payload.as_bytes()),
        frame(CLOSE, b"\x03\xe8bye"),
    ];
    let mut decoder = Decoder::default();
    let now = Instant::now();
    let got: Vec<Got> = (stream.concat().iter())
        .flat_map(|byte| feed(&mut decoder, &[*byte], &LIMITS, now))
        .collect();
    assert_eq!(got, decode(&stream.concat()));
    assert_eq!(got.len(), 5);
}

#[test]
fn every_split_in_two_gives_the_same() {
    let stream = [
        frame(MORE_TEXT, b"Hel"),
        frame(PING, b"?"),
        frame(CONTINUATION, b"lo"),
        frame(BINARY, &[7; 126]),
        frame(TEXT, b""),
    ]
    .concat();
    let expected = decode(&stream);
    for split in 0..=stream.len() {
        let mut decoder = Decoder::default();
        let now = Instant::now();
        let mut got = feed(&mut decoder, &stream[..split], &LIMITS, now);
        got.extend(feed(&mut decoder, &stream[split..], &LIMITS, now));
        assert_eq!(got, expected);
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn a_message_in_one_piece_is_not_copied() {
    let mut bytes = [frame(TEXT, b"Hello"), frame(BINARY, b"World")].concat();
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::default();
    let mut received = decoder.receive(&mut bytes, &LIMITS, Instant::now());
    match received.next_message() {
        Ok(Some(Message::Text(Cow::Borrowed(text)))) => assert!(range.contains(&text.as_ptr())),
        other => panic!("{other:?}"),
    }
    match received.next_message() {
        Ok(Some(Message::Binary(Cow::Borrowed(it)))) => assert!(range.contains(&it.as_ptr())),
        other => panic!("{other:?}"),
    }
    drop(received);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_connection_at_rest_is_small_and_owns_nothing() {
    assert!(size_of::<Decoder>() <= 64);
    let mut decoder = Decoder::default();
    let now = Instant::now();
    assert_eq!(feed(&mut decoder, b"", &LIMITS, now), []);
    assert_eq!(decoder.buffered(), 0);
    // A whole frame, as nearly always, leaves nothing behind either: not even for a moment.
    let mut bytes = frame(TEXT, b"Hello");
    let mut received = decoder.receive(&mut bytes, &LIMITS, now);
    assert!(received.next_message().unwrap().is_some());
    assert!(received.next_message().unwrap().is_none());
    std::mem::forget(received);
    assert_eq!(decoder.buffered(), 0);
}

/// A client could have a megabyte for a header of ten bytes.
#[test]
fn a_claimed_length_reserves_no_more_than_twice_what_came() {
    let stream = frame(BINARY, &vec![1; 100_000]);
    for size in [1, 1000] {
        let mut decoder = Decoder::default();
        let now = Instant::now();
        let mut came = 0;
        for part in stream[..90_000].chunks(size) {
            assert_eq!(feed(&mut decoder, part, &LIMITS, now), []);
            came += part.len();
            assert!(decoder.buffered() <= (2 * came).min(stream.len()));
        }
        assert_eq!(decoder.buffered(), stream.len());
    }
}

#[test]
fn memory_is_given_back_after_a_large_message() {
    let payload = vec![1; 500_000];
    let whole = frame(BINARY, &payload);
    let joined = [
        frame(MORE_BINARY, &payload[..300_000]),
        frame(CONTINUATION, &payload[300_000..]),
    ]
    .concat();
    for stream in [whole, joined] {
        let mut decoder = Decoder::default();
        let now = Instant::now();
        let mut got = Vec::new();
        for part in stream.chunks(65_536) {
            got.extend(feed(&mut decoder, part, &LIMITS, now));
        }
        assert_eq!(got, [Got::Binary(payload.clone())]);
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn what_follows_a_large_frame_does_not_keep_its_memory() {
    let stream = [frame(BINARY, &vec![1; 500_000]), frame(TEXT, b"next")].concat();
    let (first, last) = stream.split_at(400_000);
    let mut decoder = Decoder::default();
    let now = Instant::now();
    feed(&mut decoder, first, &LIMITS, now);
    let got = feed(&mut decoder, &last[..last.len() - 1], &LIMITS, now);
    assert_eq!(got.len(), 1);
    assert!(decoder.buffered() < 20);
    assert_eq!(feed(&mut decoder, b"\x00", &LIMITS, now).len(), 1);
}

/// Takes at most one message out of a portion, like a pump whose lane is full.
fn take_one(decoder: &mut Decoder, bytes: &[u8]) -> Option<Got> {
    let mut bytes = bytes.to_vec();
    let mut received = decoder.receive(&mut bytes, &LIMITS, Instant::now());
    let message = received.next_message().unwrap();
    message.map(Got::from)
}

#[test]
fn who_stops_in_the_middle_loses_nothing() {
    let stream: Vec<u8> = (0..100)
        .flat_map(|i| frame(TEXT, i.to_string().as_bytes()))
        .collect();
    let half = frame(TEXT, b"half");
    let mut decoder = Decoder::default();
    let mut got = vec![take_one(&mut decoder, &[&stream[..], &half[..8]].concat())];
    got.extend((1..100).map(|_| take_one(&mut decoder, b"")));
    let expected: Vec<_> = (0..100).map(|i| Some(text(&i.to_string()))).collect();
    assert_eq!(got, expected);
    assert_eq!(take_one(&mut decoder, b""), None);
    assert!(decoder.buffered() <= half.len());
    assert_eq!(take_one(&mut decoder, &half[8..]), Some(text("half")));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn who_stops_and_reads_on_loses_nothing() {
    let stream: Vec<u8> = (0..100)
        .flat_map(|i| frame(TEXT, i.to_string().as_bytes()))
        .collect();
    let mut decoder = Decoder::default();
    let mut got: Vec<_> = (stream.chunks(11))
        .filter_map(|part| take_one(&mut decoder, part))
        .collect();
    got.extend(std::iter::from_fn(|| take_one(&mut decoder, b"")));
    let expected: Vec<_> = (0..100).map(|i| text(&i.to_string())).collect();
    assert_eq!(got, expected);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn who_does_not_look_at_all_loses_nothing() {
    let mut decoder = Decoder::default();
    let mut bytes = frame(TEXT, b"Hello");
    drop(decoder.receive(&mut bytes, &LIMITS, Instant::now()));
    assert_eq!(take_one(&mut decoder, b""), Some(text("Hello")));
}

#[test]
fn an_incomplete_header_is_kept() {
    let frame = frame(BINARY, &vec![5; 70_000]);
    for length in 0..14 {
        let mut decoder = Decoder::default();
        let now = Instant::now();
        assert_eq!(feed(&mut decoder, &frame[..length], &LIMITS, now), []);
        assert!(decoder.buffered() <= 14);
        assert_eq!(feed(&mut decoder, &frame[length..], &LIMITS, now).len(), 1);
    }
}
