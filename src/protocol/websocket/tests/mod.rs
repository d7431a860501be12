//! One test per rule, named after it; the sections are those of RFC 6455.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chunks;
mod close;
mod encode;
mod framing;
mod limits;
mod text;

use std::time::Instant;

use super::{CloseError, Decoder, Excess, Limits, Message, Violation};

const LIMITS: Limits = Limits {
    message: 1_000_000,
    fragments: 1024,
    control_rate: 0,
};

/// First bytes of frames: `FIN` set, and the same without it.
const CONTINUATION: u8 = 0x80;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MORE_CONTINUATION: u8 = 0x00;
const MORE_TEXT: u8 = 0x01;
const MORE_BINARY: u8 = 0x02;

/// Second bytes of masked frames whose length takes two or eight more bytes.
const MASKED_16: u8 = 0xfe;
const MASKED_64: u8 = 0xff;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a decoder gave, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>, String),
    Error(CloseError),
}

impl From<Message<'_>> for Got {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.into_owned()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong => Self::Pong,
            Message::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

fn violation(violation: Violation) -> Got {
    Got::Error(CloseError::Protocol(violation))
}

/// A client's frame; the length takes the fewest bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// Its header only.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => header.push(0x80 | length),
        (_, Ok(length)) => {
            header.push(MASKED_16);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(MASKED_64);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(MASK);
    header
}

/// Everything that a decoder makes of these bytes, up to an error.
fn feed(decoder: &mut Decoder, bytes: &[u8], limits: &Limits, now: Instant) -> Vec<Got> {
    let mut bytes = bytes.to_vec();
    let mut received = decoder.receive(&mut bytes, limits, now);
    let mut got = Vec::new();
    loop {
        match received.next_message() {
            Ok(Some(message)) => got.push(message.into()),
            Ok(None) => return got,
            Err(error) => {
                got.push(Got::Error(error));
                return got;
            }
        }
    }
}

fn decode_within(limits: &Limits, bytes: &[u8]) -> Vec<Got> {
    feed(&mut Decoder::default(), bytes, limits, Instant::now())
}

fn decode(bytes: &[u8]) -> Vec<Got> {
    decode_within(&LIMITS, bytes)
}
