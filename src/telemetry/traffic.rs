//! What a shard counts about connections and packets; summed at scrape like [`super::counters`].

use crate::telemetry::counters::Count;

/// Counts by a closed set of words.
#[derive(Debug)]
pub struct ByWord<const N: usize> {
    words: [&'static str; N],
    counts: [Count; N],
}

impl<const N: usize> ByWord<N> {
    /// All zero.
    pub fn new(words: [&'static str; N]) -> Self {
        Self {
            words,
            counts: std::array::from_fn(|_| Count::default()),
        }
    }

    /// Adds one; an unknown word is the last one, by convention `other`.
    pub fn increment(&self, word: &str) {
        let index = self.words.iter().position(|w| *w == word).unwrap_or(N - 1);
        self.counts[index].increment();
    }

    /// The words and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.words
            .iter()
            .copied()
            .zip(self.counts.iter().map(Count::get))
    }
}

/// Why something that a client sent had no effect.
pub const DROPPED: [&str; 9] = [
    "unrouted",
    "rate",
    "rule",
    "relay_rate",
    "relay_bytes",
    "relay_room",
    "refused",
    "failed",
    "other",
];

/// Why a connection or handshake was refused.
pub const REJECTED: [&str; 11] = [
    "limit",
    "ip_limit",
    "rate",
    "origin",
    "drain",
    "bad_request",
    "held",
    "breaker",
    "opening",
    "proxy",
    "other",
];

/// Which layer could not read what came.
pub const PARSE_ERRORS: [&str; 5] = ["http", "ws", "eio", "sio", "other"];

/// Why connections ended: the words of [`crate::hub::reason::Reason`].
pub const CLOSED: [&str; 16] = [
    "transport close",
    "transport error",
    "ping timeout",
    "parse error",
    "forced close",
    "forced server close",
    "client namespace disconnect",
    "server namespace disconnect",
    "server shutting down",
    "slow consumer",
    "backend stalled",
    "rate limited",
    "expired",
    "replaced",
    "overload",
    "other",
];

/// What one shard counts about its clients.
#[derive(Debug)]
pub struct Traffic {
    /// Gauge: polling sessions.
    pub polling: Count,
    /// Gauge: WebSocket sessions.
    pub websocket: Count,
    /// Sessions opened.
    pub opened: Count,
    /// Sessions ended, by reason.
    pub closed: ByWord<16>,
    /// Handshakes refused, by reason.
    pub rejected: ByWord<11>,
    /// Socket.IO packets received.
    pub packets_in: Count,
    /// Bytes received from clients, after framing.
    pub bytes_in: Count,
    /// Upgrades completed.
    pub upgrades: Count,
    /// Upgrades begun and not completed.
    pub upgrades_failed: Count,
    /// What could not be read, by layer.
    pub parse_errors: ByWord<5>,
    /// What had no effect, by reason.
    pub dropped: ByWord<9>,
    /// CONNECTs accepted.
    pub connects_accepted: Count,
    /// CONNECTs refused by a decision.
    pub connects_refused: Count,
    /// CONNECTs that were not decided in time.
    pub connects_undecided: Count,
    /// Reads that stood still because a lane was full.
    pub lanes_full: Count,
    /// When the shard's loop ticked last, in milliseconds since the start of the process.
    pub ticked_ms: Count,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            polling: Count::default(),
            websocket: Count::default(),
            opened: Count::default(),
            closed: ByWord::new(CLOSED),
            rejected: ByWord::new(REJECTED),
            packets_in: Count::default(),
            bytes_in: Count::default(),
            upgrades: Count::default(),
            upgrades_failed: Count::default(),
            parse_errors: ByWord::new(PARSE_ERRORS),
            dropped: ByWord::new(DROPPED),
            connects_accepted: Count::default(),
            connects_refused: Count::default(),
            connects_undecided: Count::default(),
            lanes_full: Count::default(),
            ticked_ms: Count::default(),
        }
    }
}
