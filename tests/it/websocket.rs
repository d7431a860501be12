//! WebSocket framing: what a client sends arrives, and tungstenite agrees about what is refused.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sockgate::protocol::websocket::Limits;

use crate::properties::websocket::{End, Event, differential, receive};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client's frame.
fn frame(opcode: u8, is_final: bool, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![if is_final { 0x80 | opcode } else { opcode }];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).expect("at most 125")),
        length @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend(u16::try_from(length).expect("at most 65,535").to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// A message, where it is cut into fragments, and the pings between them.
#[derive(Clone, Debug)]
struct Sent {
    message: Event,
    cuts: Vec<Index>,
    pings: Vec<Option<Vec<u8>>>,
    mask: [u8; 4],
}

impl Sent {
    fn any() -> impl Strategy<Value = Self> {
        let message = prop_oneof![
            4 => any::<String>().prop_map(Event::Text),
            4 => vec(any::<u8>(), 0..200).prop_map(Event::Binary),
            1 => (any::<u8>(), 60_000..70_000_usize)
                .prop_map(|(byte, length)| Event::Binary(vec![byte; length])),
        ];
        let ping = proptest::option::of(vec(any::<u8>(), 0..=125));
        (
            message,
            vec(any::<Index>(), 0..5),
            vec(ping, 5),
            any::<[u8; 4]>(),
        )
            .prop_map(|(message, cuts, pings, mask)| Self {
                message,
                cuts,
                pings,
                mask,
            })
    }

    /// The bytes on the wire, and what the server should see.
    fn expand(&self) -> (Vec<u8>, Vec<Event>) {
        let (opcode, payload) = match &self.message {
            Event::Text(text) => (TEXT, text.as_bytes()),
            Event::Binary(bytes) => (BINARY, &bytes[..]),
            _ => unreachable!("only data is generated"),
        };
        let mut cuts: Vec<usize> = self
            .cuts
            .iter()
            .map(|cut| cut.index(payload.len() + 1))
            .collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (i, end) in cuts.iter().copied().enumerate() {
            let opcode = if i == 0 { opcode } else { CONTINUATION };
            let is_last = i + 1 == cuts.len();
            bytes.extend(frame(opcode, is_last, self.mask, &payload[start..end]));
            start = end;
            if is_last {
                events.push(self.message.clone());
            }
            if let Some(ping) = &self.pings[i] {
                bytes.extend(frame(PING, true, self.mask, ping));
                events.push(Event::Ping(ping.clone()));
            }
        }
        (bytes, events)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the fragments, the portions and the pauses.
    #[test]
    fn what_a_client_sends_arrives(
        sent in vec(Sent::any(), 1..8),
        portions in vec(1..5_000_usize, 1..20),
        patience in vec(0..4_usize, 1..5).prop_filter("must end", |it| it.iter().any(|n| *n > 0)),
    ) {
        let limits = Limits { message: 70_000, fragments: 5, control_rate: 0 };
        let (bytes, events): (Vec<_>, Vec<_>) = sent.iter().map(Sent::expand).unzip();
        let portions = portions.into_iter().cycle();
        let patience = patience.into_iter().cycle();
        let outcome = receive(&bytes.concat(), &limits, portions, patience);
        prop_assert_eq!(outcome.events, events.concat());
        prop_assert_eq!(outcome.end, End::Open);
    }
}

/// Frames without faults, but near the limits in places.
fn valid_frames(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let alphabet = ["a", "{", "\u{df}", "\u{6c34}", "\u{1d11e}"];
    let mut frames = Vec::new();
    for _ in 0..rng.random_range(1..6) {
        let payload: String = (0..rng.random_range(0..60))
            .map(|_| *alphabet.choose(rng).expect("not empty"))
            .collect();
        let mut rest = payload.as_bytes();
        let mut opcode = *[TEXT, BINARY].choose(rng).expect("not empty");
        while rng.random_bool(0.4) {
            let (fragment, later) = rest.split_at(rng.random_range(0..=rest.len()));
            frames.push(frame(opcode, false, rng.random(), fragment));
            if rng.random_bool(0.3) {
                let control = *[PING, PONG].choose(rng).expect("not empty");
                let length = rng.random_range(0..=125);
                frames.push(frame(control, true, rng.random(), &vec![0xee; length]));
            }
            (rest, opcode) = (later, CONTINUATION);
        }
        frames.push(frame(opcode, true, rng.random(), rest));
    }
    if rng.random_bool(0.3) {
        let code: u16 = rng.random_range(990..1020);
        let payload = [&code.to_be_bytes()[..], b"bye"].concat();
        let length = rng.random_range(0..=payload.len());
        frames.push(frame(CLOSE, true, rng.random(), &payload[..length]));
    }
    frames
}

/// A frame that comes at the wrong time, is of the wrong kind, or is just fine.
fn odd_frame(rng: &mut StdRng) -> Vec<u8> {
    let opcode = rng.random_range(0..16);
    let length = *[0, 1, 125, 126, 300, 301].choose(rng).expect("not empty");
    frame(opcode, rng.random(), rng.random(), &vec![b'x'; length])
}

/// A fault in the order of the frames, or in a byte.
fn spoil(mut frames: Vec<Vec<u8>>, rng: &mut StdRng) -> Vec<u8> {
    let at = rng.random_range(0..frames.len());
    let kind = rng.random_range(0..8);
    match kind {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, frames[at].clone()),
        2 | 3 => frames.insert(at, odd_frame(rng)),
        _ => {}
    }
    let mut stream = frames.concat();
    if kind < 4 || stream.is_empty() {
        return stream;
    }
    let at = rng.random_range(0..stream.len());
    match kind {
        4 => stream[at] ^= 1 << rng.random_range(0..8),
        5 => stream.insert(at, rng.random()),
        6 => drop(stream.remove(at)),
        _ => stream.truncate(at),
    }
    stream
}

/// Random bytes hardly ever get beyond the first header, so most cases are valid streams with a few faults.
#[test]
fn tungstenite_comes_to_the_same_verdict() {
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for seed in 0..2_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let frames = valid_frames(&mut rng);
        let mut stream = match seed % 10 {
            0 => frames.concat(),
            _ => spoil(frames, &mut rng),
        };
        if seed % 10 == 1 {
            rng.fill_bytes(&mut stream);
        }
        stream.insert(0, rng.random());
        println!("seed {seed}");
        let outcome = match differential(&stream).end {
            End::Open => "open",
            End::Closed => "closed",
            End::Refused(error) => error.label(),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    // Every verdict is reached, so that none of them agrees only because it never comes.
    for outcome in [
        "open",
        "closed",
        "unmasked",
        "reserved_bits",
        "reserved_opcode",
        "fragmented_control",
        "long_control",
        "unexpected_continuation",
        "expected_continuation",
        "short_close",
        "close_code",
        "invalid_utf8",
        "too_big",
    ] {
        let cases = outcomes.get(outcome).copied().unwrap_or(0);
        assert!(cases >= 3, "{outcome}: {outcomes:?}");
    }
}
