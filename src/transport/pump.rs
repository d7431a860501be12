//! The WebSocket pump: one future per connection that reads, feeds the session, and writes everything queued at once.
//!
//! An idle WebSocket is this future and a slab entry. Frames are read into a buffer that belongs to the thread; only the rest of
//! an incomplete frame is kept, and given back when the frame is complete.
//!
//! # Why
//! One task for both directions: an answer made in the reader's turn leaves in the same turn (one `recv`, one `send` per echo),
//! and there is no channel to wake another task through (`0.7–1.4 µs` and the tail latency, measured on peers).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use crate::hub::outbox::Sink;
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::engine_io::{Packet, decode_text};
use crate::protocol::websocket::{self, Decoder, EMPTY_CLOSE, Message};
use crate::session::{Phase, Session};
use crate::transport::Context;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// After a close frame of ours the client's bytes are thrown away for so long, so that the frame is not lost to a reset.
const GOODBYE: Duration = Duration::from_secs(2);
/// And so many of them.
const GOODBYE_BYTES: usize = 32 << 20;

/// The buffer into which all `WebSockets` of a thread are read.
#[derive(Debug)]
pub struct ReadBuffer(RefCell<Box<[u8]>>);

impl Default for ReadBuffer {
    fn default() -> Self {
        Self(RefCell::new(vec![0; READ].into_boxed_slice()))
    }
}

/// The connection, shared with the outbox: a push that would pass the bound first lets the kernel take what it can.
#[derive(Debug)]
pub struct Io(pub RefCell<TcpStream>);

impl Sink for Io {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow().try_write_vectored(slices)
    }
}

/// Serves a session whose WebSocket is open and whose outbox nobody else drains. Returns when the connection has ended.
pub async fn run(
    context: &Rc<Context>,
    session: &Rc<Session>,
    io: Rc<Io>,
    decoder: Decoder,
    rest: &mut [u8],
) {
    let sink: Rc<dyn Sink> = Rc::<Io>::clone(&io);
    drop(session.shard.hub.outbox(session.key, |o| {
        o.unblock();
        o.set_sink(Some(sink))
    }));
    let mut pump = Pump {
        context,
        session,
        io,
        decoder,
        undecoded: false,
        goodbye: Bytes::from_static(&EMPTY_CLOSE),
    };
    pump.decode(rest);
    let end = poll_fn(|cx| pump.poll(cx)).await;
    let Pump { io, goodbye, .. } = pump;
    drop(session.shard.hub.outbox(session.key, |o| o.set_sink(None)));
    session.gone(Reason::TransportClose, Initiator::Client);
    if end == End::Polite {
        say_goodbye(&io, &goodbye, &context.read_buffer).await;
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a close frame.
    Polite,
    /// The connection is gone, or nobody reads from it.
    Silent,
}

struct Pump<'a> {
    context: &'a Context,
    session: &'a Rc<Session>,
    io: Rc<Io>,
    decoder: Decoder,
    /// Whether decoding stopped in the middle because the session is paused.
    undecoded: bool,
    goodbye: Bytes,
}

impl Pump<'_> {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        loop {
            let written = self.write(cx);
            match self.session.phase() {
                Phase::Open => {}
                // Nothing more is read; what is queued still leaves, unless the client does not take it.
                Phase::Closing(Reason::SlowConsumer) | Phase::Closed(_) => {
                    return Poll::Ready(End::Silent);
                }
                Phase::Closing(_) => {
                    return written.map(|w| if w.is_ok() { End::Polite } else { End::Silent });
                }
            }
            if let Poll::Ready(Err(_)) = written {
                self.session
                    .close(Reason::TransportError, Initiator::Client);
                return Poll::Ready(End::Silent);
            }
            if self.session.is_paused() {
                self.session.wait_to_read(cx.waker());
                return Poll::Pending;
            }
            // The write above waits for the kernel, and goes on when there is room.
            if written.is_pending() && self.session.is_half_full() {
                return Poll::Pending;
            }
            if self.undecoded {
                self.decode(&mut []);
                continue;
            }
            if ready!(self.read(cx)).is_err() {
                return Poll::Ready(End::Silent);
            }
        }
    }

    /// Writes all that is queued.
    fn write(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let Self { session, io, .. } = self;
        let outcome = session.shard.hub.outbox(session.key, |outbox| {
            let former = outbox.register(cx.waker());
            let written = outbox.write(Instant::now(), &mut |slices| {
                Pin::new(&mut *io.0.borrow_mut()).poll_write_vectored(cx, slices)
            });
            (written, former)
        });
        let Some((written, _former)) = outcome else {
            return Poll::Ready(Ok(()));
        };
        self.session.wrote();
        written
    }

    /// Reads once and feeds the session; an error means that the connection has ended.
    fn read(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), ()>> {
        let context = self.context;
        let mut buffer = context.read_buffer.0.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        let outcome = ready!(Pin::new(&mut *self.io.0.borrow_mut()).poll_read(cx, &mut read));
        let filled = read.filled().len();
        if outcome.is_err() || filled == 0 {
            let reason = if outcome.is_err() {
                Reason::TransportError
            } else {
                Reason::TransportClose
            };
            self.session.close(reason, Initiator::Client);
            return Poll::Ready(Err(()));
        }
        self.session.seen(filled);
        self.decode(&mut buffer[..filled]);
        Poll::Ready(Ok(()))
    }

    fn decode(&mut self, bytes: &mut [u8]) {
        let Self {
            context,
            session,
            decoder,
            undecoded,
            goodbye,
            ..
        } = self;
        let mut received = decoder.receive(bytes, &context.frames, Instant::now());
        *undecoded = false;
        loop {
            if session.is_paused() || session.is_half_full() {
                *undecoded = true;
                return;
            }
            if !session.is_open() {
                return;
            }
            match received.next_message() {
                Ok(None) => return,
                Ok(Some(message)) => {
                    if let Some(answer) = receive(session, message) {
                        *goodbye = answer;
                    }
                }
                Err(error) => {
                    session.shard.traffic.parse_errors.increment("ws");
                    *goodbye = error.frame();
                    session.close(Reason::TransportError, Initiator::Client);
                }
            }
        }
    }
}

/// What a message does; gives the close frame where the client has closed.
pub fn receive(session: &Rc<Session>, message: Message<'_>) -> Option<Bytes> {
    match message {
        Message::Text(text) => packet(session, &text),
        Message::Binary(data) => session.binary(Bytes::copy_from_slice(&data)),
        Message::Ping(payload) => session.shard.push_bytes(session, websocket::pong(payload)),
        Message::Pong => {}
        Message::Close { code, .. } => {
            session.close(Reason::TransportClose, Initiator::Client);
            return Some(websocket::close(code, ""));
        }
    }
    None
}

/// What an Engine.IO packet does (protocol 1.4).
fn packet(session: &Rc<Session>, text: &str) {
    match decode_text(text) {
        Ok(Packet::Message(text)) => session.text(text),
        Ok(Packet::Binary(data)) => session.binary(data),
        Ok(Packet::Pong(_)) => session.pong(),
        Ok(Packet::Ping(_)) => session.close(Reason::TransportError, Initiator::Client),
        Ok(Packet::Close) => session.close(Reason::TransportClose, Initiator::Client),
        Ok(Packet::Open | Packet::Upgrade | Packet::Noop) => {}
        Err(_) => {
            session.shard.traffic.parse_errors.increment("eio");
            session.close(Reason::ParseError, Initiator::Gateway);
        }
    }
}

/// Sends the close frame and waits, for a short time, until the client has closed as well.
pub(crate) async fn say_goodbye(io: &Io, frame: &[u8], buffer: &ReadBuffer) {
    let farewell = async {
        write_all(io, frame).await?;
        poll_fn(|cx| Pin::new(&mut *io.0.borrow_mut()).poll_shutdown(cx)).await?;
        let mut left = GOODBYE_BYTES;
        loop {
            let taken = poll_fn(|cx| {
                let mut buffer = buffer.0.borrow_mut();
                let mut read = ReadBuf::new(&mut buffer);
                let outcome = Pin::new(&mut *io.0.borrow_mut()).poll_read(cx, &mut read);
                outcome.map_ok(|()| read.filled().len())
            })
            .await?;
            if taken == 0 || taken > left {
                return Ok::<(), io::Error>(());
            }
            left -= taken;
        }
    };
    // Either way the connection is dropped after this.
    drop(tokio::time::timeout(GOODBYE, farewell).await);
}

/// Writes a few bytes of our own, outside of the outbox.
pub(crate) async fn write_all(io: &Io, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = poll_fn(|cx| Pin::new(&mut *io.0.borrow_mut()).poll_write(cx, bytes)).await?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[taken..];
    }
    Ok(())
}
