//! What an operator sets about the REST API (TOML table `api`).

use std::net::SocketAddr;

use crate::hub::pattern::Pattern;

/// The REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where backends come.
    pub listen: Vec<SocketAddr>,
    /// Without keys, and on loopback, the API is open.
    pub keys: Vec<Key>,
    /// Bytes of a request's body.
    pub body: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 3001))],
            keys: Vec::new(),
            body: 4 << 20,
        }
    }
}

/// A key: who may do what, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name in logs and metrics.
    pub name: Box<str>,
    /// SHA-256 of the key's text; the key itself is not kept.
    pub sha256: [u8; 32],
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Namespaces it may touch; `None`: all.
    pub namespaces: Option<Vec<Pattern>>,
}

/// What a key allows (contract 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Emitting.
    Emit,
    /// Joining and leaving.
    Rooms,
    /// Disconnecting and expiry.
    Disconnect,
    /// Reading.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emit => "emit",
            Self::Rooms => "rooms",
            Self::Disconnect => "disconnect",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}
