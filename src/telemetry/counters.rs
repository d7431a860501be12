//! Numbers that a shard counts and the scrape sums: one writer each, so an increment is a plain load and store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::histogram::Histogram;

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

/// A number that any thread may count up: for what happens outside of the shards, and seldom.
#[derive(Debug, Default)]
pub struct SharedCount(AtomicU64);

impl SharedCount {
    /// Adds one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the hub counts outside of the shards. `Default` is all zero.
#[derive(Debug, Default)]
pub struct NodeCounters {
    /// Packets encoded outside of the shards, by the REST API for example.
    pub encodings: SharedCount,
    /// Actions that had to wait for places in the shards' inboxes.
    pub inbox_waits: SharedCount,
}

/// Upper bounds of the time in which an emit is queued for all its recipients, in seconds.
const FANOUT: [f64; 10] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0,
];

/// Upper bounds of the recipients of an emit.
const RECIPIENTS: [f64; 8] = [0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// Everything that one shard counts. `Default` is all zero.
#[derive(Debug)]
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
    /// Acknowledgements that came.
    pub acks_answered: Count,
    /// Acknowledgements that did not come because the socket left.
    pub acks_gone: Count,
    /// Acknowledgements that nobody waits for any more: the time is over, others were enough, or whoever asked has left.
    pub acks_given_up: Count,
    /// From the moment in which an emit is handed over until it is queued for all recipients, in seconds. The shard that is done
    /// last observes it.
    pub fanout: Histogram,
    /// Recipients of an emit on all shards.
    pub recipients: Histogram,
}

impl Default for ShardCounters {
    fn default() -> Self {
        Self {
            encodings: Count::default(),
            deliveries: Count::default(),
            delivered_bytes: Count::default(),
            volatile_dropped: Count::default(),
            queue_bytes: Count::default(),
            queue_frames: Count::default(),
            queue_max_bytes: Count::default(),
            slow_consumers: Count::default(),
            sockets: Count::default(),
            rooms: Count::default(),
            memberships: Count::default(),
            joins_limited: Count::default(),
            acks_pending: Count::default(),
            acks_answered: Count::default(),
            acks_gone: Count::default(),
            acks_given_up: Count::default(),
            fanout: Histogram::new(&FANOUT),
            recipients: Histogram::new(&RECIPIENTS),
        }
    }
}
