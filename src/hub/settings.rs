//! Limits of the hub (TOML table `limits`).

use std::time::Duration;

/// Limits on rooms, queues and acknowledgements. Every one has a metric and a named outcome; 0 is off where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rooms on this node.
    pub rooms: usize,
    /// Rooms of one socket; a join beyond leaves the socket out.
    pub rooms_per_socket: usize,
    /// Acknowledgements awaited from clients on this node; beyond: 503 `too_many_acks`.
    pub acks: usize,
    /// Largest emit as the client gets it, text and bytes.
    pub emit: usize,
    /// Bytes per session that the kernel has not taken; a larger frame is admitted into an empty outbox.
    pub outbox: usize,
    /// Frames per session that the kernel has not taken.
    pub outbox_frames: usize,
    /// Bytes queued on the whole node; above it the fullest session is cut first.
    pub outbox_total: usize,
    /// A session whose kernel buffer takes nothing for so long is cut as slow consumer.
    pub write_stall: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rooms: 1_000_000,
            rooms_per_socket: 512,
            acks: 100_000,
            emit: 1 << 20,
            outbox: 1 << 20,
            outbox_frames: 4096,
            outbox_total: 1 << 30,
            write_stall: Duration::from_secs(10),
        }
    }
}
