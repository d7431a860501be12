//! [`Outbox`]: the bounded queue of frames to one connection. The shard pushes, exactly one transport drains.
//!
//! It holds complete WebSocket frames that the kernel has not taken yet. It promises: frames leave in the order in which they
//! were pushed, a packet and its attachments stay together, the bounds of [`Bounds`] hold after every push, and an idle outbox
//! owns no memory beyond its own fields. It never does I/O by itself: the transport hands in how to write.
//!
//! A connection that does not read is *cut*: its queue is cleared at once, nothing is pushed any more, and its transport is
//! woken to find [`Outbox::is_cut`].
//!
//! # Why
//! A channel would need a block of memory per connection, has no byte budget, cannot give a polling answer back, and cannot be
//! leased. Reliable frames are never dropped one by one: a closed client reconnects, a gap goes unnoticed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::protocol::frame::Frame;

/// Slices given to one vectored write.
pub const SLICES: usize = 32;

/// Capacity which an empty queue may keep.
const KEPT: usize = 8;

/// The non-blocking write of the transport that drains, for the moment when a push would pass the bound.
///
/// Called while the shard's state is borrowed: an implementation writes and returns, it must not call the hub.
pub trait Sink {
    /// Writes what can be written now; [`io::ErrorKind::WouldBlock`] where nothing can.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// How much an outbox may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes; a larger packet is admitted into an empty outbox.
    pub bytes: usize,
    /// Frames; a packet with attachments counts one for each part.
    pub frames: usize,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Queued behind others: whoever drains already knows.
    Behind,
    /// Queued as the first: the transport must be woken.
    First,
    /// Not queued: the bound would be passed although the transport was allowed to write.
    Full,
    /// Not queued: the connection is cut.
    Cut,
}

/// The queue of frames to one connection.
#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue without those of the head that are already sent.
    bytes: usize,
    /// Bytes of the head that the kernel has taken.
    sent: usize,
    waker: Option<Waker>,
    sink: Option<Rc<dyn Sink>>,
    blocked_since: Option<Instant>,
    stalled_since: Option<Instant>,
    leased: bool,
    cut: bool,
}

impl Outbox {
    /// Takes the lease to drain; false where another transport has it.
    #[must_use]
    pub fn acquire(&mut self) -> bool {
        !std::mem::replace(&mut self.leased, true)
    }

    /// Returns the lease.
    pub fn release(&mut self) {
        self.leased = false;
    }

    /// Remembers who must be woken when a frame comes into an empty queue and when the connection is cut.
    ///
    /// Waking happens while the shard's state is borrowed, so the waker must only queue its task, as those of all executors do.
    /// Returns a different waker that was there before; drop it outside of the borrow.
    pub fn register(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }

    /// Gives the way to write when a push would pass the bound, or takes it away; returns the former one.
    pub fn set_sink(&mut self, sink: Option<Rc<dyn Sink>>) -> Option<Rc<dyn Sink>> {
        std::mem::replace(&mut self.sink, sink)
    }

    /// Frames waiting.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes waiting: what the kernel has not taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the connection was cut because it does not read.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Marks that the transport cannot take anything, as a polling session without an open request.
    ///
    /// [`write`](Self::write) does this by itself for a kernel that refuses bytes. The first call counts.
    pub fn block(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    /// Marks that the transport can take frames again.
    pub fn unblock(&mut self) {
        self.blocked_since = None;
        self.stalled_since = None;
    }

    /// Since when the transport could not take anything more: volatile packets of action lists that began later are dropped.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Whether a write has waited for so long without a single byte taken.
    pub fn is_stalled(&self, now: Instant, limit: Duration) -> bool {
        self.stalled_since
            .is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }

    /// Writes until the queue is empty or the transport takes no more; an error of the transport is final.
    ///
    /// The function gets up to [`SLICES`] slices and returns how many bytes it took. `Pending` means that it has registered a
    /// waker for the time when it can go on. It must not call the hub.
    pub fn write(
        &mut self,
        now: Instant,
        io: &mut dyn FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            match self.with_slices(|slices| io(slices)) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => self.advance(taken),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked_since.get_or_insert(now);
                    self.stalled_since.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
        self.unblock();
        self.settle();
        Poll::Ready(Ok(()))
    }

    /// Takes frames from the front for a polling answer: at most so many, and at least one where there is any, as long as
    /// their bytes stay within `max_bytes`.
    pub fn take(&mut self, max_frames: usize, max_bytes: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.queue.front() {
            let len = next.len() - self.sent;
            if taken.len() == max_frames || (!taken.is_empty() && bytes + len > max_bytes) {
                break;
            }
            bytes += len;
            taken.extend(self.pop());
        }
        self.settle();
        taken
    }

    /// Queues a packet, unless it would pass the bounds even after the transport was allowed to write.
    pub(crate) fn push(&mut self, frame: &Frame, bounds: Bounds) -> Pushed {
        if self.cut {
            return Pushed::Cut;
        }
        let (parts, bytes) = (frame.parts(), frame.len());
        if !self.fits(parts.len(), bytes, bounds) {
            self.relieve();
            if !self.fits(parts.len(), bytes, bounds) {
                return Pushed::Full;
            }
        }
        let first = self.queue.is_empty();
        self.queue.extend(parts.iter().cloned());
        self.bytes += bytes;
        if first { Pushed::First } else { Pushed::Behind }
    }

    /// Lets the transport write what it can, at once.
    pub(crate) fn relieve(&mut self) {
        let Some(sink) = self.sink.clone() else {
            return;
        };
        // The clock is read here only, where the kernel refuses bytes: the callers of a push need none.
        let outcome = self.write(Instant::now(), &mut |slices| match sink.write(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        });
        // An error is the transport's to find: its next write fails the same way.
        drop(outcome);
    }

    /// Clears the queue and refuses everything from now on.
    pub(crate) fn cut(&mut self) {
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.sent = 0;
        self.cut = true;
        self.wake();
    }

    /// Wakes whoever drains.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn fits(&self, frames: usize, bytes: usize, bounds: Bounds) -> bool {
        self.queue.is_empty()
            || (self.bytes + bytes <= bounds.bytes && self.queue.len() + frames <= bounds.frames)
    }

    fn with_slices<R>(&self, f: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slot, frame) in slices.iter_mut().zip(&self.queue) {
            let start = if count == 0 { self.sent } else { 0 };
            *slot = IoSlice::new(&frame[start..]);
            count += 1;
        }
        f(&slices[..count])
    }

    fn advance(&mut self, mut taken: usize) {
        self.stalled_since = None;
        while let Some(head) = self.queue.front() {
            let left = head.len() - self.sent;
            if taken < left {
                self.sent += taken;
                self.bytes -= taken;
                return;
            }
            taken -= left;
            self.bytes -= left;
            self.sent = 0;
            self.queue.pop_front();
        }
    }

    /// Removes the head, without what of it was sent.
    fn pop(&mut self) -> Option<Bytes> {
        let mut head = self.queue.pop_front()?;
        let sent = std::mem::take(&mut self.sent);
        self.bytes -= head.len() - sent;
        Some(if sent == 0 {
            head
        } else {
            head.split_off(sent)
        })
    }

    /// Gives memory back that a burst has left.
    fn settle(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("frames", &self.queue.len())
            .field("bytes", &self.bytes)
            .field("leased", &self.leased)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
