//! What an operator sets about listeners, threads and shutdown (TOML tables `server`, `admin`, `drain`, parts of `limits`).

use std::net::SocketAddr;
use std::time::Duration;

/// Listeners, threads and the limits that apply before a session exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where clients come.
    pub listen: Vec<SocketAddr>,
    /// Name of this node in webhooks and reads.
    pub node: Box<str>,
    /// Shards; at least 1.
    pub shards: usize,
    /// Connections on the client listener; the file limit is known to hold them.
    pub max_connections: usize,
    /// Whether `socket.io.js` and its siblings are served.
    pub serve_client: bool,
    /// Whether a PROXY header is mandatory on the client listener.
    pub proxy_protocol: bool,
    /// Origin that gets what is not under the Engine.IO path, as `http://host:port`.
    pub fallback: Option<Box<str>>,
    /// Where operators come.
    pub admin: Vec<SocketAddr>,
    /// Connections of one client address (IPv6 by /64); 0: unlimited.
    pub connections_per_address: usize,
    /// New connections per second; 0: unlimited.
    pub accept_rate: u32,
    /// Sessions that sent no CONNECT, in connections; beyond, the oldest is closed. 0: unlimited.
    pub opening: Share,
    /// Headers of one request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Time for a request's head.
    pub header_timeout: Duration,
    /// Time that an idle HTTP connection is kept.
    pub keep_alive: Duration,
    /// How the process ends.
    pub drain: Drain,
}

/// Requests of a node that are passed on to `fallback` at once.
pub const FALLBACK_PLACES: usize = 512;
/// Idle connections of a shard to `fallback`.
pub const FALLBACK_IDLE: usize = 32;

/// A count, or a share of `max_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(usize),
    /// So many hundredths.
    Percent(u8),
}

impl Share {
    /// The count, given the whole.
    pub fn of(self, whole: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => whole.saturating_mul(usize::from(percent)) / 100,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 3000))],
            node: "".into(),
            shards: 1,
            max_connections: 50_000,
            serve_client: true,
            proxy_protocol: false,
            fallback: None,
            admin: vec![SocketAddr::from(([127, 0, 0, 1], 3002))],
            connections_per_address: 0,
            accept_rate: 0,
            opening: Share::Percent(20),
            headers: 64,
            header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(30),
            drain: Drain::default(),
        }
    }
}

/// How the process ends after SIGTERM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// From SIGTERM until new handshakes are refused.
    pub delay: Duration,
    /// Over which sessions are closed.
    pub spread: Duration,
    /// After which the rest is cut.
    pub hard_stop: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            spread: Duration::from_secs(20),
            hard_stop: Duration::from_secs(45),
        }
    }
}
