//! Numbers that a shard counts and the scrape sums: one writer each, so an increment is a plain load and store.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number with a single writing thread, readable from everywhere.
///
/// # Why
/// `fetch_add` costs a locked instruction per packet, and counters shared by shards would bounce their cache lines. Each shard
/// owns its own set; `/metrics` adds them up. Who sees a change sees those before it too, so that a drain which reads the gauges in
/// the right order never believes that a busy shard is idle.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds; only the owning thread may call this.
    pub fn add(&self, n: u64) {
        self.set(self.0.load(Ordering::Relaxed).wrapping_add(n));
    }

    /// Subtracts (for gauges); only the owning thread may call this.
    pub fn sub(&self, n: u64) {
        self.set(self.0.load(Ordering::Relaxed).wrapping_sub(n));
    }

    /// Replaces (for gauges); only the owning thread may call this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }

    /// The value as last written.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Everything that one shard counts. `Default` is all zero.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Packets encoded for clients; a broadcast counts once, however many it reaches.
    pub encodings: Count,
    /// Packets put into outboxes.
    pub deliveries: Count,
    /// Bytes put into outboxes, as WebSocket frames.
    pub delivered_bytes: Count,
    /// Frames dropped because they were volatile and the transport could not take them.
    pub volatile_dropped: Count,
    /// Gauge: bytes waiting in outboxes.
    pub queue_bytes: Count,
    /// Gauge: frames waiting in outboxes.
    pub queue_frames: Count,
    /// Gauge: bytes waiting in the fullest outbox when last looked at.
    pub queue_max_bytes: Count,
    /// Sessions cut because they did not read.
    pub slow_consumers: Count,
    /// Gauge: sockets.
    pub sockets: Count,
    /// Gauge: rooms with members on this shard.
    pub rooms: Count,
    /// Gauge: memberships.
    pub memberships: Count,
    /// Joins refused by a limit.
    pub joins_limited: Count,
    /// Gauge: acknowledgements awaited from clients.
    pub acks_pending: Count,
}
