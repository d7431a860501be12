//! What an operator sets about Engine.IO (TOML tables `engine`, `cors`, parts of `server` and `limits`).

use std::time::Duration;

/// Engine.IO and the limits of its transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Path prefix, with one trailing slash.
    pub path: Box<str>,
    /// Whether polling is offered.
    pub polling: bool,
    /// Whether WebSocket is offered.
    pub websocket: bool,
    /// Whether a polling session may upgrade.
    pub allow_upgrades: bool,
    /// Time between a pong and the next ping.
    pub ping_interval: Duration,
    /// Time for the pong.
    pub ping_timeout: Duration,
    /// Time between probe and upgrade packet.
    pub upgrade_timeout: Duration,
    /// Bytes of a polling body or WebSocket message from a client.
    pub max_payload: usize,
    /// Packets in one polling response.
    pub polling_packets: usize,
    /// Polling responses of at least so many bytes are compressed; `None`: never.
    pub compress_from: Option<usize>,
    /// Cookie set by a polling handshake.
    pub cookie: Option<Cookie>,
    /// Origins and CORS headers.
    pub cors: Cors,
    /// Fragments per WebSocket message.
    pub fragments: usize,
    /// WebSocket control frames per second from one client; the burst is five times as many.
    pub control_frames: u32,
    /// Packets in one polling body.
    pub packets_per_payload: usize,
    /// Time for a polling body to arrive.
    pub body_timeout: Duration,
    /// Bytes of headers and query that are forwarded or passed to backends, per connection.
    pub forwarded: usize,
    /// Addresses of proxies whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/socket.io/".into(),
            polling: true,
            websocket: true,
            allow_upgrades: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            polling_packets: 16,
            compress_from: Some(1024),
            cookie: None,
            cors: Cors::default(),
            fragments: 1024,
            control_frames: 10,
            packets_per_payload: 65_536,
            body_timeout: Duration::from_secs(10),
            forwarded: 4096,
            trusted_proxies: Vec::new(),
        }
    }
}

/// A cookie with the session id, for sticky load balancers; the gateway never reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Name.
    pub name: Box<str>,
    /// `Path`.
    pub path: Box<str>,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Secure`.
    pub secure: bool,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "io".into(),
            path: "/".into(),
            http_only: true,
            same_site: SameSite::Lax,
            secure: false,
        }
    }
}

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SameSite {
    /// `Lax`.
    #[default]
    Lax,
    /// `Strict`.
    Strict,
    /// `None`.
    None,
}

/// Which pages of other origins may connect (contract 10, Origins), and what preflights are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Allowed origins; `https://*.example.com` allows every subdomain.
    pub origins: Vec<Box<str>>,
    /// Reflects any origin.
    pub any_origin: bool,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// `Access-Control-Allow-Methods`.
    pub methods: Vec<Box<str>>,
    /// `Access-Control-Allow-Headers`; empty: the requested ones are echoed.
    pub headers: Vec<Box<str>>,
    /// `Access-Control-Max-Age`.
    pub max_age: Duration,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            any_origin: false,
            credentials: false,
            methods: vec!["GET".into(), "POST".into()],
            headers: Vec::new(),
            max_age: Duration::from_mins(10),
        }
    }
}

impl Cookie {
    /// The `Set-Cookie` header for this session.
    pub fn header(&self, sid: &str) -> String {
        let mut text = format!("{}={sid}; Path={}", self.name, self.path);
        if self.http_only {
            text.push_str("; HttpOnly");
        }
        if self.secure {
            text.push_str("; Secure");
        }
        text.push_str(match self.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::Strict => "; SameSite=Strict",
            SameSite::None => "; SameSite=None",
        });
        text
    }
}
