//! What an operator sets about a backend (TOML table `upstream`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// One `[[upstream]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name in routes, metrics and logs.
    pub name: Box<str>,
    /// Where it listens.
    pub url: Url,
    /// Signing secrets, the raw key bytes; empty: requests are not signed.
    pub secrets: Vec<Secret>,
    /// Fixed headers of every request.
    pub headers: Vec<(Box<str>, Secret)>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Time to connect, within `timeout`.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Bytes of a reply.
    pub max_reply: usize,
    /// Requests under way on this node.
    pub concurrency: usize,
    /// Calls that wait for their turn; beyond: an event waits in its lane, a connect is undecided.
    pub queue: usize,
    /// When to stop asking.
    pub breaker: Breaker,
    /// How long notices are kept for a backend that is away.
    pub retention: Retention,
    /// Certificates of additional authorities, PEM.
    pub ca: Option<Vec<u8>>,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `http://` or `https://`.
    Http(Box<str>),
    /// `unix:/run/app.sock:/path`.
    Unix {
        /// The socket.
        socket: Box<std::path::Path>,
        /// The request's path.
        path: Box<str>,
    },
}

/// When to stop asking a backend that fails (contract 8).
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// Failures are counted over this time.
    pub window: Duration,
    /// With fewer attempts it stays closed.
    pub min_requests: u32,
    /// Share of failures that opens it, in thousandths.
    pub failure_permille: u32,
    /// How long it stays open, ± 20 %.
    pub open: Duration,
}

impl Eq for Breaker {}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_requests: 20,
            failure_permille: 500,
            open: Duration::from_secs(5),
        }
    }
}

/// How much of the notices is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Oldest.
    pub age: Duration,
    /// Number.
    pub items: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_mins(5),
            items: 10_000,
            bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// The defaults for a backend at this address.
    pub fn new(name: &str, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            secrets: Vec::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            keep_alive: Duration::from_millis(1500),
            max_reply: 2 << 20,
            concurrency: 256,
            queue: 1000,
            breaker: Breaker::default(),
            retention: Retention::default(),
            ca: None,
            insecure_skip_verify: false,
        }
    }
}

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps the bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether a request to this address is refused, by whatever name it was found: link-local addresses, and those where clouds
/// give out credentials (contract 8).
pub fn is_refused_address(address: IpAddr) -> bool {
    /// Where AWS and Alibaba Cloud answer outside of the link-local networks.
    const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == ALIBABA,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == AWS,
    }
}
