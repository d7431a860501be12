//! [`Connections`]: the outboxes of one shard, their sums, and who of them must be woken later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::hub::key::{ConnectionKey, narrow};
use crate::hub::outbox::{Bounds, Outbox, Pushed};
use crate::protocol::frame::Frame;
use crate::telemetry::counters::ShardCounters;

/// How the recipients of a push are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// At once.
    Now,
    /// In a later turn, a few at a time: a walk over very many would keep everybody else waiting.
    Later,
}

/// When a packet may be lost instead of queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Never: a connection that cannot hold it is cut.
    Always,
    /// Where the transport could not take anything since before this moment, or cannot hold it.
    UnlessBlockedBefore(Instant),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    generation: u32,
    /// Indexes of its sockets, one for each namespace.
    pub(crate) sockets: Vec<u32>,
    outbox: Outbox,
}

/// All connections of a shard.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    births: u32,
    bounds: Bounds,
    bytes: usize,
    frames: usize,
    fullest: usize,
    unwoken: VecDeque<ConnectionKey>,
    cut: Vec<ConnectionKey>,
    counters: Arc<ShardCounters>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds, counters: Arc<ShardCounters>) -> Self {
        Self {
            slab: Slab::new(),
            births: 0,
            bounds,
            bytes: 0,
            frames: 0,
            fullest: 0,
            unwoken: VecDeque::new(),
            cut: Vec::new(),
            counters,
        }
    }

    /// Adds a connection without sockets.
    pub(crate) fn open(&mut self) -> ConnectionKey {
        self.births = self.births.wrapping_add(1);
        let index = self.slab.insert(Connection {
            generation: self.births,
            sockets: Vec::new(),
            outbox: Outbox::default(),
        });
        ConnectionKey {
            index: narrow(index),
            generation: self.births,
        }
    }

    /// Removes a connection; drop what is returned outside of the borrow.
    pub(crate) fn close(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.get(key)?;
        let gone = self.slab.remove(key.index as usize);
        self.account(gone.outbox.bytes(), gone.outbox.len(), 0, 0);
        Some(gone)
    }

    pub(crate) fn get(&self, key: ConnectionKey) -> Option<&Connection> {
        self.slab
            .get(key.index as usize)
            .filter(|found| found.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.slab
            .get_mut(key.index as usize)
            .filter(|found| found.generation == key.generation)
    }

    /// The key of a connection known by its index; sockets never outlive their connection.
    pub(crate) fn key(&self, index: u32) -> ConnectionKey {
        ConnectionKey {
            index,
            generation: self.slab[index as usize].generation,
        }
    }

    /// The connection of a socket.
    pub(crate) fn of_mut(&mut self, index: u32) -> &mut Connection {
        &mut self.slab[index as usize]
    }

    /// Frames and bytes that wait for a connection.
    pub(crate) fn queue(&self, index: u32) -> (usize, usize) {
        let outbox = &self.slab[index as usize].outbox;
        (outbox.len(), outbox.bytes())
    }

    /// Lets a transport work with an outbox.
    pub(crate) fn outbox<R>(
        &mut self,
        key: ConnectionKey,
        f: impl FnOnce(&mut Outbox) -> R,
    ) -> Option<R> {
        let outbox = &mut self.get_mut(key)?.outbox;
        let (bytes, frames) = (outbox.bytes(), outbox.len());
        let result = f(outbox);
        let (new_bytes, new_frames) = (outbox.bytes(), outbox.len());
        self.account(bytes, frames, new_bytes, new_frames);
        Some(result)
    }

    /// Queues a packet for a connection known by its index. True where it was queued.
    pub(crate) fn push(&mut self, index: u32, frame: &Frame, keep: Keep, wake: Wake) -> bool {
        let (bounds, connections) = (self.bounds, self.slab.len());
        let connection = &mut self.slab[index as usize];
        let outbox = &mut connection.outbox;
        if let Keep::UnlessBlockedBefore(begun) = keep
            && outbox.blocked_since().is_some_and(|since| since < begun)
        {
            self.counters.volatile_dropped.increment();
            return false;
        }
        let (bytes, frames) = (outbox.bytes(), outbox.len());
        let pushed = outbox.push(frame, bounds);
        let (new_bytes, new_frames) = (outbox.bytes(), outbox.len());
        // The bound is for a transport that drains by itself meanwhile, and so comes in more than once.
        let later = wake == Wake::Later && self.unwoken.len() < connections;
        if pushed == Pushed::First && !later {
            outbox.wake();
        }
        let key = ConnectionKey {
            index,
            generation: connection.generation,
        };
        self.account(bytes, frames, new_bytes, new_frames);
        match pushed {
            Pushed::First if later => self.unwoken.push_back(key),
            Pushed::Full if keep == Keep::Always => self.cut(key),
            Pushed::Full => self.counters.volatile_dropped.increment(),
            Pushed::First | Pushed::Behind | Pushed::Cut => {}
        }
        let queued = matches!(pushed, Pushed::First | Pushed::Behind);
        if queued {
            self.counters.deliveries.increment();
            self.counters.delivered_bytes.add(frame.len() as u64);
        }
        queued
    }

    /// Cuts a connection: clears its queue, refuses further packets, wakes its transport.
    pub(crate) fn cut(&mut self, key: ConnectionKey) {
        let Some(connection) = self.get_mut(key) else {
            return;
        };
        let outbox = &mut connection.outbox;
        if outbox.is_cut() {
            return;
        }
        let (bytes, frames) = (outbox.bytes(), outbox.len());
        outbox.cut();
        self.account(bytes, frames, 0, 0);
        self.counters.slow_consumers.increment();
        self.cut.push(key);
    }

    /// The connections cut since the last call.
    pub(crate) fn take_cut(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.cut)
    }

    /// Whether connections were cut since the last [`take_cut`](Self::take_cut).
    pub(crate) fn has_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    /// Wakes some of those whose waking was put off; true while there are more.
    pub(crate) fn wake_some(&mut self, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Some(key) = self.unwoken.pop_front() else {
                break;
            };
            if let Some(connection) = self.get(key) {
                connection.outbox.wake();
            }
        }
        if self.unwoken.is_empty() {
            self.unwoken = VecDeque::new();
            return false;
        }
        true
    }

    /// Whether there are transports still to be woken.
    pub(crate) fn has_unwoken(&self) -> bool {
        !self.unwoken.is_empty()
    }

    /// Cuts those whose kernel took nothing for too long, and measures the fullest queue.
    pub(crate) fn survey(&mut self, now: Instant, write_stall: Duration) {
        let mut stalled = Vec::new();
        let mut fullest = 0;
        for (index, connection) in &self.slab {
            if connection.outbox.is_stalled(now, write_stall) {
                stalled.push(ConnectionKey {
                    index: narrow(index),
                    generation: connection.generation,
                });
            } else {
                fullest = fullest.max(connection.outbox.bytes());
            }
        }
        self.set_fullest(fullest);
        for key in stalled {
            self.cut(key);
        }
    }

    /// The connections that do not take what waits for them, the fullest last; each was allowed to write just now.
    pub(crate) fn blocked(&mut self) -> Vec<(usize, ConnectionKey)> {
        let mut found = Vec::new();
        let (mut bytes, mut frames) = (0, 0);
        for (index, connection) in &mut self.slab {
            let outbox = &mut connection.outbox;
            outbox.relieve();
            bytes += outbox.bytes();
            frames += outbox.len();
            if outbox.blocked_since().is_some() && !outbox.is_empty() {
                let key = ConnectionKey {
                    index: narrow(index),
                    generation: connection.generation,
                };
                found.push((outbox.bytes(), key));
            }
        }
        self.set_totals(bytes, frames);
        found.sort_unstable();
        found
    }

    /// Bytes waiting for the fullest connection since somebody has last looked at all of them.
    pub(crate) fn fullest(&self) -> usize {
        self.fullest
    }

    /// Says what a look at all connections has found.
    pub(crate) fn set_fullest(&mut self, bytes: usize) {
        self.fullest = bytes;
        self.counters.queue_max_bytes.set(bytes as u64);
    }

    /// Bytes waiting in all outboxes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes what has changed about one connection.
    fn account(&mut self, bytes: usize, frames: usize, new_bytes: usize, new_frames: usize) {
        self.set_totals(
            self.bytes - bytes + new_bytes,
            self.frames - frames + new_frames,
        );
        if new_bytes > self.fullest {
            self.set_fullest(new_bytes);
        }
    }

    fn set_totals(&mut self, bytes: usize, frames: usize) {
        self.bytes = bytes;
        self.frames = frames;
        self.counters.queue_bytes.set(bytes as u64);
        self.counters.queue_frames.set(frames as u64);
    }
}
