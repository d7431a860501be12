//! Back-pressure: when a session stops reading, who waits for it, and who drains its outbox.

use std::rc::Rc;
use std::task::Waker;

use crate::hub::outbox::Outbox;
use crate::hub::reason::{Initiator, Reason};
use crate::session::lane::Item;
use crate::session::shard::Timer;
use crate::session::socket::Socket;
use crate::session::{Phase, Session, work};

impl Session {
    /// Whether the transport must not read: a lane is full.
    pub fn is_paused(&self) -> bool {
        self.full_lanes.get() > 0 && self.is_open()
    }

    /// The WebSocket wants to be woken when it may read again, or when the session closes.
    pub fn wait_to_read(&self, waker: &Waker) {
        let mut reader = self.reader.borrow_mut();
        if reader.as_ref().is_none_or(|w| !w.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    /// Resolves when the transport may read again, or the session has closed.
    pub async fn readable(&self) {
        self.wait_until(|| !self.is_paused()).await;
    }

    /// Resolves when the session is no longer open.
    pub async fn ended(&self) {
        self.wait_until(|| !self.is_open()).await;
    }

    async fn wait_until(&self, come: impl Fn() -> bool) {
        loop {
            // Before the look, so that no change is missed between the two.
            let changed = self.changed.notified();
            if come() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn wake_reader(&self) {
        self.changed.notify_waiters();
        let reader = self.reader.borrow_mut().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn enqueue(self: &Rc<Self>, socket: &Rc<Socket>, item: Item) {
        let start = socket.lane.borrow_mut().push(item);
        if start {
            self.shard.traffic.lanes.increment();
            socket.progress.set(self.shard.now());
            crate::tasks::spawn_local("lane", work::run(Rc::clone(self), Rc::clone(socket)));
        }
        self.note_fullness(socket);
    }

    /// Looks whether the lane has become full, or is no longer.
    pub(super) fn note_fullness(&self, socket: &Socket) {
        let full = socket.lane.borrow().is_full(self.shard.lane_room()) && !socket.is_ending();
        if socket.full.replace(full) == full {
            return;
        }
        if full {
            self.full_lanes.set(self.full_lanes.get() + 1);
            self.shard.traffic.lanes_full.increment();
            let limit = self.shard.ticks(self.shard.settings.stall_timeout);
            self.arm(Timer::Stall, limit);
        } else {
            self.full_lanes.set(self.full_lanes.get() - 1);
            self.resumed();
            self.wake_reader();
        }
    }

    /// The transport's writer wants to be woken when the outbox is drained below half.
    pub(crate) fn wait_for_outbox(&self, waker: &Waker) {
        let mut waiting = self.emptied.borrow_mut();
        if !waiting.iter().any(|w| w.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// The transport has written: whoever waits for room in the outbox looks again.
    pub fn wrote(&self) {
        let waiting = std::mem::take(&mut *self.emptied.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the client should read what it has caused before it causes more: who sends to itself waits.
    pub fn is_half_full(&self) -> bool {
        self.is_open() && self.shard.is_half_full(self)
    }

    /// Waits until the client has read, and closes it as slow consumer where it does not within the stall timeout.
    pub async fn room_in_outbox(self: &Rc<Self>) {
        let limit = self.shard.settings.stall_timeout;
        if self.is_half_full()
            && tokio::time::timeout(limit, self.shard.half_empty(self))
                .await
                .is_err()
        {
            self.cut(Reason::SlowConsumer, Initiator::Gateway);
        }
    }

    /// Takes the lease to drain the outbox.
    pub fn acquire(&self) -> bool {
        self.shard
            .hub
            .outbox(self.key, Outbox::acquire)
            .unwrap_or(false)
    }

    /// Gives the lease back, and wakes the WebSocket that may wait for it.
    pub fn release(&self) {
        self.shard.hub.outbox(self.key, Outbox::release);
        self.wake_heir();
    }

    pub(super) fn wake_heir(&self) {
        let heir = self.link.heir.borrow_mut().take();
        if let Some(heir) = heir {
            heir.wake();
        }
    }

    /// Waits for the lease; false where the session is over, and there is none any more.
    pub async fn inherit(&self) -> bool {
        std::future::poll_fn(|cx| {
            if self.acquire() {
                return std::task::Poll::Ready(true);
            }
            if matches!(self.phase(), Phase::Closed(_)) {
                return std::task::Poll::Ready(false);
            }
            *self.link.heir.borrow_mut() = Some(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await
    }
}
