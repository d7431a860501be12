//! Bodies on their way: piece by piece, never kept, and never waited for without end.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    wanted: AtomicBool,
    complete: AtomicBool,
    broken: AtomicBool,
}

impl Progress {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the server would take more than the client has sent.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Whether the server has all of it.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    /// Whether the client has gone in the middle of it.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// The body of a request, watched.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Incoming,
    progress: Arc<Progress>,
}

impl Watched {
    pub(super) fn new(inner: Incoming) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let complete = inner.is_end_stream();
        progress.complete.store(complete, Ordering::Relaxed);
        let watched = Self {
            inner,
            progress: Arc::clone(&progress),
        };
        (watched, progress)
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let progress = &self.progress;
        progress
            .wanted
            .store(polled.is_pending(), Ordering::Relaxed);
        let frame = ready!(polled);
        if let Some(Err(_)) = &frame {
            progress.broken.store(true, Ordering::Relaxed);
        } else {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            // The end is a sign of life too.
            let bytes = data.and_then(Frame::data_ref).map_or(1, Bytes::len);
            progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            // Whoever knows the length does not ask for what is behind it.
            let complete = frame.is_none() || self.inner.is_end_stream();
            progress.complete.store(complete, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer. It holds the request's place until the client has all of it.
#[derive(Debug)]
pub struct Passed {
    inner: Incoming,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Passed {
    /// A body whose next piece is waited for so long.
    pub(super) fn new(inner: Incoming, patience: Duration, place: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            patience,
            silence: Box::pin(tokio::time::sleep(patience)),
            _place: place,
        }
    }
}

/// The server fell silent in the middle of an answer; the client sees its connection end.
#[derive(Debug, thiserror::Error)]
#[error("the answer did not go on in time")]
struct FellSilent;

impl Body for Passed {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                let next = Instant::now() + self.patience;
                self.silence.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(cx));
                Poll::Ready(Some(Err(FellSilent.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
