//! The deadlines of an HTTP connection: for the head of a request, for the next request, for taking an answer.
//!
//! [`Timed`] is the connection's stream. It sees the bytes that come and go, and the service tells it by [`Answering`] when a request
//! is under way, so it knows what is being waited for. A wait that is too long ends the connection by an error of the stream.
//!
//! | waits for | until | begins |
//! | --- | --- | --- |
//! | the first request's head | `header_timeout` | with the connection |
//! | the next request | `keep_alive` | when the last answer was made |
//! | its head | `header_timeout` | with its first byte |
//! | the client to take an answer | `write_stall` | when the kernel takes no more |
//!
//! While a request is under way nothing is waited for here: bodies have deadlines of their own, and a poll may take its time.
//!
//! When the connection is closed, what the client still sends is read and thrown away for a short time: bytes that nobody reads
//! would make the kernel reset the connection, and with it the last answer.
//!
//! # Why
//! hyper has one deadline for heads, which it starts when a connection becomes idle: an idle connection would end after the time for
//! a head, or a slow head would get the time of an idle connection. It has none for answers that are not taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a closed connection is still read.
const GOODBYE: Duration = Duration::from_secs(5);
/// And how many bytes.
const GOODBYE_BYTES: usize = 32 << 20;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For the head of a request (`header_timeout`).
    pub head: Duration,
    /// For the next request (`keep_alive`).
    pub idle: Duration,
    /// For the client to take more of an answer (`write_stall`).
    pub stall: Duration,
}

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// `header_timeout`.
    Head,
    /// `keep_alive`.
    Idle,
    /// `write_stall`.
    Stall,
}

impl Missed {
    /// The key of `[limits]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "header_timeout",
            Self::Idle => "keep_alive",
            Self::Stall => "write_stall",
        }
    }
}

/// What the stream and the service of one connection tell each other.
#[derive(Clone, Debug, Default)]
pub struct Talk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// A request is under way.
    busy: AtomicBool,
    /// Requests so far.
    requests: AtomicUsize,
    /// Bytes since the head began.
    head_bytes: AtomicUsize,
    missed: AtomicU8,
}

impl Talk {
    /// A request is under way from now on, until what this returns is dropped.
    pub fn request(&self) -> Answering {
        self.0.busy.store(true, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// Bytes that have come since the last head began.
    pub fn head_bytes(&self) -> usize {
        self.0.head_bytes.load(Ordering::Relaxed)
    }

    /// The deadline that ended the connection.
    pub fn missed(&self) -> Option<Missed> {
        [Missed::Head, Missed::Idle, Missed::Stall]
            .into_iter()
            .find(|missed| self.0.missed.load(Ordering::Relaxed) == 1 + *missed as u8)
    }

    fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed)
    }
}

/// A request is under way.
#[derive(Debug)]
pub struct Answering(Talk);

impl Answering {
    /// The request is under way until this body was handed to the connection.
    pub fn with<B>(self, body: B) -> Answered<B> {
        Answered {
            body,
            _answering: self,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.busy.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer, on its way.
#[derive(Debug)]
pub struct Answered<B> {
    body: B,
    _answering: Answering,
}

impl<B: Body + Unpin> Body for Answered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection waits for from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Nothing,
    Head(Instant),
    Request(Instant),
}

/// A stream with deadlines.
#[derive(Debug)]
pub struct Timed<S> {
    stream: S,
    /// What was read of it before: comes first.
    before: Bytes,
    deadlines: Deadlines,
    talk: Talk,
    wait: Wait,
    /// Requests that were noticed: one may come and go unseen.
    requests: usize,
    stall: Option<Instant>,
    goodbye: Option<Goodbye>,
    sleep: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug)]
struct Goodbye {
    until: Instant,
    bytes: usize,
}

impl<S> Timed<S> {
    /// A connection that begins now; `before`: bytes that were already read.
    pub fn new(stream: S, before: Bytes, deadlines: Deadlines) -> (Self, Talk) {
        let talk = Talk::default();
        let until = Instant::now() + deadlines.head;
        let timed = Self {
            stream,
            before,
            deadlines,
            talk: talk.clone(),
            wait: Wait::Head(until),
            requests: 0,
            stall: None,
            goodbye: None,
            sleep: Box::pin(tokio::time::sleep_until(until)),
        };
        (timed, talk)
    }

    /// The stream, and what it had not given yet of the bytes before.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.before)
    }

    /// Looks whether a request has come under way or has ended.
    fn follow(&mut self) {
        let requests = self.talk.0.requests.load(Ordering::Relaxed);
        let is_new = std::mem::replace(&mut self.requests, requests) != requests;
        if self.talk.is_busy() {
            self.wait = Wait::Nothing;
        } else if is_new || self.wait == Wait::Nothing {
            self.wait = Wait::Request(Instant::now() + self.deadlines.idle);
        }
    }

    fn arrived(&mut self, bytes: usize) {
        let head_bytes = &self.talk.0.head_bytes;
        if bytes > 0 && matches!(self.wait, Wait::Request(_)) {
            self.wait = Wait::Head(Instant::now() + self.deadlines.head);
            head_bytes.store(0, Ordering::Relaxed);
        }
        head_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits for the earliest deadline; ready only with an error.
    fn poll_deadline<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let wait = match self.wait {
            Wait::Nothing => None,
            Wait::Head(at) => Some((at, Missed::Head)),
            Wait::Request(at) => Some((at, Missed::Idle)),
        };
        let stall = self.stall.map(|at| (at, Missed::Stall));
        let earliest = wait.into_iter().chain(stall).min_by_key(|(at, _)| *at);
        let Some((at, missed)) = earliest.filter(|_| self.goodbye.is_none()) else {
            return Poll::Pending;
        };
        if self.sleep.deadline() != at {
            self.sleep.as_mut().reset(at);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.talk
            .0
            .missed
            .store(1 + missed as u8, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// A write that the kernel does not take has so long; one that it takes ends the stall.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        self.follow();
        self.stall
            .get_or_insert_with(|| Instant::now() + self.deadlines.stall);
        self.poll_deadline(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.follow();
        if this.before.has_remaining() {
            let given = this.before.split_to(this.before.len().min(to.remaining()));
            to.put_slice(&given);
            this.arrived(given.len());
            return Poll::Ready(Ok(()));
        }
        let filled = to.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, to) {
            Poll::Pending => this.poll_deadline(cx),
            Poll::Ready(outcome) => {
                this.arrived(to.filled().len() - filled);
                Poll::Ready(outcome)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper comes here at the end of each turn: also of that in which it has become idle and reads nothing.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.follow();
        if let Poll::Ready(Err(error)) = this.poll_deadline::<()>(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.goodbye.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            let until = Instant::now() + GOODBYE;
            this.sleep.as_mut().reset(until);
            this.goodbye = Some(Goodbye { until, bytes: 0 });
        }
        this.poll_goodbye(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> Timed<S> {
    /// Throws away what comes until the client has closed too, or long enough.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [std::mem::MaybeUninit::uninit(); 4096];
        while let Some(goodbye) = &mut self.goodbye {
            let mut thrown = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut thrown) {
                Poll::Pending if Instant::now() < goodbye.until => {
                    return self.sleep.as_mut().poll(cx);
                }
                Poll::Ready(Ok(())) if !thrown.filled().is_empty() => {
                    goodbye.bytes += thrown.filled().len();
                    if goodbye.bytes > GOODBYE_BYTES {
                        break;
                    }
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
