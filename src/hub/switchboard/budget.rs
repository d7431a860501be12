//! [`Budget`]: how much waits in the outboxes of the whole node, and where the fullest is.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Each shard writes its own two numbers; all read the sums. Plain loads and stores, a moment old at worst.
#[derive(Debug)]
pub(crate) struct Budget {
    shards: Box<[Slot]>,
    limit: usize,
}

/// One shard's numbers, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    bytes: AtomicUsize,
    fullest: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(shards: usize, limit: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Slot::default()).collect(),
            limit,
        }
    }

    /// Publishes how many bytes wait on a shard, and how many at most for one of its connections.
    pub(crate) fn set(&self, shard: usize, bytes: usize, fullest: usize) {
        self.shards[shard].bytes.store(bytes, Ordering::Relaxed);
        self.shards[shard].fullest.store(fullest, Ordering::Relaxed);
    }

    /// Whether more waits than may.
    pub(crate) fn is_over(&self) -> bool {
        let bytes = self.shards.iter().map(|s| s.bytes.load(Ordering::Relaxed));
        bytes.sum::<usize>() > self.limit
    }

    /// The shard with the fullest connection, as far as it has looked, and its bytes.
    pub(crate) fn fullest(&self) -> (usize, usize) {
        let fullest = self
            .shards
            .iter()
            .map(|s| s.fullest.load(Ordering::Relaxed));
        let fullest = fullest.enumerate().max_by_key(|(_, bytes)| *bytes);
        fullest.unwrap_or_default()
    }
}
