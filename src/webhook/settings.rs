//! What an operator sets about a backend (TOML table `upstream`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use reqwest::{Certificate, Client};

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

/// As in the configuration.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Unix { socket, path } => write!(f, "unix:{}:{path}", socket.display()),
        }
    }
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

/// Reads certificates of authorities (PEM); each of them can be used, and there is one at least.
pub fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, AuthoritiesError> {
    let certificates = Certificate::from_pem_bundle(pem)?;
    if certificates.is_empty() {
        return Err(AuthoritiesError::None);
    }
    // What is between the lines of the PEM is looked at only where it is used.
    let client = Client::builder().tls_certs_only(certificates.iter().cloned());
    client.build()?;
    Ok(certificates)
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// There are none.
    #[error("holds no PEM certificate")]
    None,
    /// One of them is none.
    #[error("holds a PEM certificate that cannot be read")]
    Unreadable(#[from] reqwest::Error),
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

/// Metadata services outside of the link-local ranges: Azure, Alibaba.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
];

/// Metadata services outside of the link-local ranges: AWS, Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Whether a connection to the address is refused: link-local addresses and metadata services, where clouds answer with a
/// machine's credentials (contract 8).
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || METADATA_V6.contains(&v6)
                || embedded(v6).is_some_and(|v4| is_forbidden(v4.into()))
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or behind NAT64.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    v6.to_ipv4().or_else(|| match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    })
}
