//! What must hold whatever bytes a client sends over a WebSocket.
//!
//! An input is a seed for the sizes of the portions in which the rest arrives (one byte), then the client's bytes.

use std::{
    io::{self, Read, Write},
    time::Instant,
};

use super::allocation::bounded;
use sockgate::protocol::websocket::{self, CloseError, Decoder, Limits, Message, Violation};
use tokio_tungstenite::tungstenite::{
    self, WebSocket,
    error::{Error, ProtocolError},
    protocol::{CloseFrame, Role, WebSocketConfig},
};

/// Small, so that small inputs reach them; above 125, so that lengths of 16 bits are reached too.
pub const LIMITS: Limits = Limits {
    message: 300,
    fragments: 4,
    control_rate: 1,
};

/// Bytes of a client's frame header at most.
const HEADER: usize = 14;

/// A message, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>, String),
}

impl From<Message<'_>> for Event {
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

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// The client has sent nothing wrong so far.
    Open,
    /// The client has closed.
    Closed,
    /// The client went wrong.
    Refused(E),
}

/// All that was made of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<E> {
    pub events: Vec<Event>,
    pub end: End<E>,
}

/// Sizes of portions, from 1 byte to 33, in an order that looks random.
fn portions(seed: u8) -> impl Iterator<Item = usize> {
    let mut state = u32::from(seed) + 1;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % 33
    })
}

/// Decodes a stream that arrives in portions; after each one, `patience` says how many messages are taken before the next: the
/// others wait, as they do when a session is busy.
pub fn receive(
    stream: &[u8],
    limits: &Limits,
    mut portions: impl Iterator<Item = usize>,
    mut patience: impl Iterator<Item = usize>,
) -> Outcome<CloseError> {
    let mut decoder = Decoder::default();
    let now = Instant::now();
    let mut events = Vec::new();
    let mut rest = stream;
    let mut waiting = false;
    loop {
        // What waits is taken before more is read.
        let size = if waiting {
            0
        } else {
            portions.next().unwrap_or(usize::MAX)
        };
        let (portion, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        if portion.is_empty() && !waiting {
            return Outcome {
                events,
                end: End::Open,
            };
        }
        let mut shared = portion.to_vec();
        let mut received = decoder.receive(&mut shared, limits, now);
        waiting = true;
        for _ in 0..patience.next().unwrap_or(usize::MAX) {
            match received.next_message() {
                Ok(Some(message)) => events.push(message.into()),
                Ok(None) => {
                    waiting = false;
                    break;
                }
                Err(error) => {
                    drop(received);
                    assert_over(&mut decoder, stream);
                    return Outcome {
                        events,
                        end: End::Refused(error),
                    };
                }
            }
        }
        drop(received);
        if let Some(Event::Close(..)) = events.last() {
            assert_over(&mut decoder, stream);
            return Outcome {
                events,
                end: End::Closed,
            };
        }
        if !waiting {
            assert!(decoder.buffered() <= 2 * limits.message + HEADER);
        }
    }
}

/// After the end nothing is kept and nothing is decoded.
fn assert_over(decoder: &mut Decoder, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let mut received = decoder.receive(&mut bytes, &LIMITS, Instant::now());
    assert_eq!(received.next_message(), Ok(None));
    drop(received);
    assert_eq!(decoder.buffered(), 0);
}

/// What is kept of a stream is bounded by what has arrived of it, whatever lengths it claims.
fn cost(stream: &[u8], portions: impl Iterator<Item = usize>) {
    let mut arrived = stream.to_vec();
    let mut decoder = Decoder::default();
    bounded(stream.len(), || {
        let mut rest = &mut arrived[..];
        for size in portions {
            let (portion, later) = rest.split_at_mut(size.min(rest.len()));
            let mut received = decoder.receive(portion, &LIMITS, Instant::now());
            while let Ok(Some(_)) = received.next_message() {}
            if later.is_empty() {
                break;
            }
            rest = later;
        }
    });
}

/// The portions in which a stream arrives, and the pauses of those who take the messages, make no difference; limits hold.
pub fn decode(input: &[u8]) -> Outcome<CloseError> {
    let Some((&seed, stream)) = input.split_first() else {
        return Outcome {
            events: Vec::new(),
            end: End::Open,
        };
    };
    cost(stream, portions(seed));
    let forever = || std::iter::repeat(usize::MAX);
    let at_once = receive(stream, &LIMITS, forever(), forever());
    let in_portions = receive(stream, &LIMITS, portions(seed), forever());
    assert_eq!(in_portions, at_once);
    let with_pauses = receive(
        stream,
        &LIMITS,
        portions(seed),
        portions(!seed).map(|it| it % 3),
    );
    assert_eq!(with_pauses, at_once);

    for event in &at_once.events {
        match event {
            Event::Text(text) => {
                assert!(text.len() <= LIMITS.message);
                assert_eq!(websocket::payload(&websocket::text(text)), text.as_bytes());
            }
            Event::Binary(bytes) => {
                assert!(bytes.len() <= LIMITS.message);
                assert_eq!(websocket::payload(&websocket::binary(bytes)), &bytes[..]);
            }
            Event::Ping(payload) => assert!(payload.len() <= 125),
            Event::Pong => {}
            Event::Close(code, reason) => assert!(reason.len() <= 123 && *code != Some(1005)),
        }
    }
    let is_control = |event: &&Event| matches!(event, Event::Ping(_) | Event::Pong);
    assert!(at_once.events.iter().filter(is_control).count() <= 5);
    at_once
}

/// Our verdict and our answers are those of tungstenite.
///
/// The exceptions, all on purpose:
/// - we refuse by the header; tungstenite waits for the payload, so it gets one;
/// - tungstenite looks at the size of a frame before it looks for other faults;
/// - for a close code that is not allowed, tungstenite reports and answers "1002 Protocol violation" as if the client had said so;
/// - 1014, which was registered later, is such a code for tungstenite.
pub fn differential(input: &[u8]) -> Outcome<CloseError> {
    let limits = Limits {
        fragments: usize::MAX,
        control_rate: 0,
        ..LIMITS
    };
    let Some((&seed, stream)) = input.split_first() else {
        return Outcome {
            events: Vec::new(),
            end: End::Open,
        };
    };
    let ours = receive(
        stream,
        &limits,
        portions(seed),
        std::iter::repeat(usize::MAX),
    );
    let padding = match ours.end {
        End::Refused(_) => limits.message + HEADER,
        End::Open | End::Closed => 0,
    };
    let (theirs, replies) = tungstenite(stream, padding, portions(seed), limits.message);

    let expected = in_tungstenite_terms(&ours);
    assert_eq!(theirs.events, expected.events);
    assert_eq!(replies, answers(&expected.events));
    assert!(
        match (expected.end, &theirs.end) {
            (End::Open, End::Open) | (End::Closed, End::Closed) => true,
            (End::Refused(ours), End::Refused(theirs)) => same_fault(ours, theirs),
            _ => false,
        },
        "{:?}, but {:?}",
        expected.end,
        theirs.end
    );
    ours
}

/// What tungstenite should make of the same stream.
fn in_tungstenite_terms(ours: &Outcome<CloseError>) -> Outcome<CloseError> {
    let mut expected = ours.clone();
    let refused_code = ours.end == End::Refused(CloseError::Protocol(Violation::CloseCode));
    if let Some(Event::Close(Some(1014), _)) = expected.events.last() {
        expected.events.pop();
    } else if !refused_code {
        return expected;
    }
    let violation = Event::Close(Some(1002), "Protocol violation".to_owned());
    expected.events.push(violation);
    expected.end = End::Closed;
    expected
}

/// What a server sends back.
fn answers(events: &[Event]) -> Vec<u8> {
    let mut answers = Vec::new();
    for event in events {
        match event {
            Event::Ping(payload) => answers.extend(websocket::pong(payload)),
            Event::Close(code, reason) => answers.extend(websocket::close(*code, reason)),
            Event::Text(_) | Event::Binary(_) | Event::Pong => {}
        }
    }
    answers
}

fn same_fault(ours: CloseError, theirs: &Error) -> bool {
    let violation = match theirs {
        Error::Utf8(_) => return ours == CloseError::InvalidUtf8,
        Error::Capacity(_) => return matches!(ours, CloseError::TooBig | CloseError::Protocol(_)),
        Error::Protocol(error) => match error {
            ProtocolError::UnmaskedFrameFromClient => Violation::Unmasked,
            ProtocolError::NonZeroReservedBits => Violation::ReservedBits,
            ProtocolError::InvalidOpcode(_) => Violation::ReservedOpcode,
            ProtocolError::FragmentedControlFrame => Violation::FragmentedControl,
            ProtocolError::ControlFrameTooBig => Violation::LongControl,
            ProtocolError::UnexpectedContinueFrame => Violation::UnexpectedContinuation,
            ProtocolError::ExpectedFragment(_) => Violation::ExpectedContinuation,
            ProtocolError::InvalidCloseSequence => Violation::ShortClose,
            _ => return false,
        },
        _ => return false,
    };
    ours == CloseError::Protocol(violation)
}

/// What tungstenite makes of a stream followed by `padding` zeros, and all that it answers.
fn tungstenite(
    stream: &[u8],
    padding: usize,
    portions: impl Iterator<Item = usize>,
    limit: usize,
) -> (Outcome<Error>, Vec<u8>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let client = Client {
        sends: [stream, &vec![0; padding]].concat(),
        portions,
        answers: Vec::new(),
    };
    let mut socket = WebSocket::from_raw_socket(client, Role::Server, Some(config));
    let mut events = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(message) => events.push(Event::from(message)),
            Err(Error::ConnectionClosed) => break End::Closed,
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Open,
            Err(error) => break End::Refused(error),
        }
    };
    let answers = std::mem::take(&mut socket.get_mut().answers);
    (Outcome { events, end }, answers)
}

impl From<tungstenite::Message> for Event {
    fn from(message: tungstenite::Message) -> Self {
        match message {
            tungstenite::Message::Text(text) => Self::Text(text.as_str().to_owned()),
            tungstenite::Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            tungstenite::Message::Ping(payload) => Self::Ping(payload.to_vec()),
            tungstenite::Message::Pong(_) => Self::Pong,
            tungstenite::Message::Close(None) => Self::Close(None, String::new()),
            tungstenite::Message::Close(Some(CloseFrame { code, reason })) => {
                Self::Close(Some(code.into()), reason.as_str().to_owned())
            }
            tungstenite::Message::Frame(_) => unreachable!("never read"),
        }
    }
}

/// The client's end of a connection, in memory.
struct Client<P> {
    sends: Vec<u8>,
    portions: P,
    answers: Vec<u8>,
}

impl<P: Iterator<Item = usize>> Read for Client<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.portions.next().unwrap_or(usize::MAX);
        let size = size.min(buffer.len()).min(self.sends.len());
        buffer[..size].copy_from_slice(&self.sends[..size]);
        self.sends.drain(..size);
        Ok(size)
    }
}

impl<P> Write for Client<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answers.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
