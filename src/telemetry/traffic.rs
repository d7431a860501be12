//! What a shard counts about connections and packets; summed at scrape like [`super::counters`].

use crate::telemetry::counters::Count;
use crate::telemetry::histogram::Histogram;

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
pub const DROPPED: [&str; 10] = [
    "unrouted",
    "rate",
    "rule",
    "relay_rate",
    "relay_bytes",
    "relay_room",
    "refused",
    "failed",
    "drain",
    "other",
];

/// Why a connection or handshake was refused.
pub const REJECTED: [&str; 14] = [
    "limit",
    "ip_limit",
    "api_limit",
    "admin_limit",
    "rate",
    "origin",
    "drain",
    "bad_request",
    "held",
    "breaker",
    "opening",
    "proxy",
    "memory",
    "other",
];

/// Limits of HTTP at which a request or its connection is ended: keys of `[limits]`, and `max_payload`.
pub const HTTP_LIMITS: [&str; 8] = [
    "headers",
    "header_bytes",
    "header_timeout",
    "body_timeout",
    "keep_alive",
    "write_stall",
    "max_payload",
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

/// Upper bounds of the life of a session, in seconds.
const LIVES: [f64; 9] = [
    1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Upper bounds of the time in which a session is opened, or its CONNECT decided, in seconds.
const HANDSHAKES: [f64; 11] = [
    0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0,
];

/// Namespaces with a gauge of their own; further ones share one.
pub const MAX_NAMESPACES: usize = 32;

/// Gauges of sockets, one for each `[[namespace]]` of the configuration, the last one for all that have none.
#[derive(Debug)]
pub struct ByNamespace(Box<[Count]>);

impl ByNamespace {
    /// All zero, for so many namespaces.
    pub fn new(namespaces: usize) -> Self {
        let counts = namespaces.min(MAX_NAMESPACES) + 1;
        Self((0..counts).map(|_| Count::default()).collect())
    }

    /// The gauge of the namespace at this place of the configuration.
    pub fn at(&self, place: usize) -> &Count {
        &self.0[place.min(self.0.len() - 1)]
    }
}

/// The same for each transport.
#[derive(Debug, Default)]
pub struct ByTransport<T> {
    /// HTTP long-polling.
    pub polling: T,
    /// WebSocket.
    pub websocket: T,
}

/// What one shard counts about its clients.
#[derive(Debug)]
pub struct Traffic {
    /// Gauge: sessions.
    pub sessions: ByTransport<Count>,
    /// Gauge: lanes at work. A session that ends starts its lanes first: read it after the sessions.
    pub lanes: Count,
    /// Gauge: sockets.
    pub sockets: ByNamespace,
    /// Sessions opened.
    pub opened: Count,
    /// Sessions ended, by reason.
    pub closed: ByTransport<ByWord<16>>,
    /// How long those lived, in seconds.
    pub lives: ByTransport<Histogram>,
    /// From an accepted connection (from the request, on one that was used before) to the opened session, in seconds.
    pub handshakes: Histogram,
    /// From a CONNECT to the backend's decision, in seconds.
    pub decisions: Histogram,
    /// Connections and handshakes refused, by reason.
    pub rejected: ByWord<14>,
    /// Connections that could not be accepted, for want of open files mostly.
    pub accept_errors: Count,
    /// Requests and HTTP connections ended at a limit.
    pub http_limits: ByWord<8>,
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
    pub dropped: ByWord<10>,
    /// CONNECTs accepted.
    pub connects_accepted: Count,
    /// CONNECTs refused by a decision.
    pub connects_refused: Count,
    /// CONNECTs that were not decided in time.
    pub connects_undecided: Count,
    /// Reads that stood still because a lane was full.
    pub lanes_full: Count,
    /// Gauge: connections that wait for the shard to serve them.
    pub arrivals: Count,
    /// Gauge: requests from other shards that wait for this one.
    pub mail: Count,
    /// Gauge: timers, with those that nobody waits for any more.
    pub timers: Count,
    /// When the shard's loop ticked last, in milliseconds since the start of the process.
    pub ticked_ms: Count,
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Traffic {
    /// All zero, for so many namespaces.
    pub fn new(namespaces: usize) -> Self {
        Self {
            sessions: ByTransport::default(),
            lanes: Count::default(),
            sockets: ByNamespace::new(namespaces),
            opened: Count::default(),
            closed: ByTransport {
                polling: ByWord::new(CLOSED),
                websocket: ByWord::new(CLOSED),
            },
            lives: ByTransport {
                polling: Histogram::new(&LIVES),
                websocket: Histogram::new(&LIVES),
            },
            handshakes: Histogram::new(&HANDSHAKES),
            decisions: Histogram::new(&HANDSHAKES),
            rejected: ByWord::new(REJECTED),
            accept_errors: Count::default(),
            http_limits: ByWord::new(HTTP_LIMITS),
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
            arrivals: Count::default(),
            mail: Count::default(),
            timers: Count::default(),
            ticked_ms: Count::default(),
        }
    }

    /// Whether the shard has no session, and no lane at work. Exact, whatever the shard does meanwhile: a session is counted with
    /// its new transport before it leaves the old one, and its lanes are counted before it has gone.
    pub fn is_idle(&self) -> bool {
        self.sessions.polling.get() == 0
            && self.sessions.websocket.get() == 0
            && self.lanes.get() == 0
    }
}
