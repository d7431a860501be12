//! Names and identities: small types that are validated when they are built, so that the rest never checks again.
//!
//! Limits and forms are those of the public contract (sections 2 and 7a). All comparisons are byte by byte.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use rand::RngExt as _;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no bytes.
    #[error("must not be empty")]
    Empty,
    /// The name has more bytes than the limit given here.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// The name holds a control character.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// A namespace that does not begin with `/`.
    #[error("must begin with '/'")]
    NoSlash,
    /// A namespace that holds a `,`, which the packet format uses as its end.
    #[error("must not contain ','")]
    Comma,
    /// An event name that Socket.IO keeps for itself.
    #[error("is reserved")]
    Reserved,
}

/// Longest namespace, room or event name, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest user id, in bytes.
pub const MAX_USER: usize = 128;

/// Event names that neither side may use (protocol 3.3).
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

fn check(name: &str, max: usize) -> Result<(), NameError> {
    if name.len() > max {
        return Err(NameError::TooLong(max));
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter);
    }
    Ok(())
}

macro_rules! shared_name {
    ($(#[$doc:meta])* $name:ident, |$text:ident| $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and shares it.
            pub fn new($text: &str) -> Result<Self, NameError> {
                $check
                Ok(Self(Arc::from($text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

shared_name! {
    /// A namespace: 1–200 bytes, begins with `/`, holds no `,` and no control character.
    Namespace, |text| {
        check(text, MAX_NAME)?;
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !text.starts_with('/') {
            return Err(NameError::NoSlash);
        }
        if text.contains(',') {
            return Err(NameError::Comma);
        }
    }
}

shared_name! {
    /// A room: 1–200 bytes without control characters.
    Room, |text| {
        check(text, MAX_NAME)?;
        if text.is_empty() {
            return Err(NameError::Empty);
        }
    }
}

shared_name! {
    /// A user id given by the backend: 1–128 bytes without control characters.
    UserId, |text| {
        check(text, MAX_USER)?;
        if text.is_empty() {
            return Err(NameError::Empty);
        }
    }
}

/// Checks an event name that a *backend* sends: 1–200 bytes, no control characters, not reserved.
pub fn check_event(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    check_client_event(name)
}

/// Checks an event name that a *client* sends: like [`check_event`], but it may be empty.
pub fn check_client_event(name: &str) -> Result<(), NameError> {
    check(name, MAX_NAME)?;
    if RESERVED_EVENTS.contains(&name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Fills the slice with characters of the id alphabet, six random bits of the system's generator each.
fn fill_random(out: &mut [u8]) {
    let mut random = rand::rng();
    for byte in out {
        *byte = ALPHABET[random.random_range(0..ALPHABET.len())];
    }
}

fn is_id_text(text: &[u8]) -> bool {
    text.iter().all(|b| ALPHABET.contains(b))
}

macro_rules! ascii_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).expect("built from ASCII only")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

ascii_id! {
    /// Six random characters made at process start; the first part of every id this node gives out.
    NodeTag, 6
}

ascii_id! {
    /// Public id of a socket: node tag (6), shard (1), random (13).
    SocketId, 20
}

ascii_id! {
    /// Engine.IO session id, a bearer secret: node tag (6), shard (2), random (24). Never logged whole, never sent to backends.
    SessionId, 32
}

ascii_id! {
    /// Public name of a connection, shared by its namespaces: `c.` and 16 random characters.
    ConnectionId, 18
}

impl fmt::Debug for NodeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Only the node tag: the rest is secret.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", &self.as_str()[..6])
    }
}

impl NodeTag {
    /// A fresh tag, made once per process start.
    pub fn random() -> Self {
        let mut tag = [0; 6];
        fill_random(&mut tag);
        Self(tag)
    }
}

/// Number of a shard within its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u8);

impl ShardId {
    /// Shards per node at most: one id character, and one bit of a [`u64`].
    pub const MAX: usize = 64;

    /// The shard with this number, if there can be one.
    pub fn new(index: usize) -> Option<Self> {
        (index < Self::MAX).then(|| Self(u8::try_from(index).expect("below 64")))
    }

    /// The number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    fn letter(self) -> u8 {
        ALPHABET[usize::from(self.0)]
    }

    fn from_letter(letter: u8) -> Option<Self> {
        ALPHABET
            .iter()
            .position(|b| *b == letter)
            .and_then(Self::new)
    }
}

impl SocketId {
    /// A fresh id for a socket of this shard.
    pub fn random(node: NodeTag, shard: ShardId) -> Self {
        let mut id = [0; 20];
        id[..6].copy_from_slice(&node.0);
        id[6] = shard.letter();
        fill_random(&mut id[7..]);
        Self(id)
    }

    /// Reads an id; `None` where the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; 20] = text.as_bytes().try_into().ok()?;
        is_id_text(&id).then_some(Self(id))
    }

    /// Where the socket lives, if it belongs to this node.
    pub fn shard(&self, node: NodeTag) -> Option<ShardId> {
        if self.0[..6] != node.0 {
            return None;
        }
        ShardId::from_letter(self.0[6])
    }
}

impl SessionId {
    /// A fresh id for a session of this shard.
    pub fn random(node: NodeTag, shard: ShardId) -> Self {
        let mut id = [0; 32];
        id[..6].copy_from_slice(&node.0);
        id[6] = b's';
        id[7] = shard.letter();
        fill_random(&mut id[8..]);
        Self(id)
    }

    /// Reads an id; `None` where the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; 32] = text.as_bytes().try_into().ok()?;
        is_id_text(&id).then_some(Self(id))
    }

    /// Where the session lives, if it belongs to this node.
    pub fn shard(&self, node: NodeTag) -> Option<ShardId> {
        if self.0[..6] != node.0 || self.0[6] != b's' {
            return None;
        }
        ShardId::from_letter(self.0[7])
    }
}

impl ConnectionId {
    /// A fresh name, unrelated to the session's id.
    pub fn random() -> Self {
        let mut id = *b"c.________________";
        fill_random(&mut id[2..]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_contract() {
        assert_eq!(Namespace::new("chat"), Err(NameError::NoSlash));
        assert_eq!(Namespace::new("/a,b"), Err(NameError::Comma));
        assert_eq!(Namespace::new(""), Err(NameError::Empty));
        assert_eq!(Room::new(""), Err(NameError::Empty));
        assert_eq!(Room::new("a\nb"), Err(NameError::ControlCharacter));
        assert!(Room::new(&"x".repeat(200)).is_ok());
        assert_eq!(Room::new(&"x".repeat(201)), Err(NameError::TooLong(200)));
        assert_eq!(UserId::new(&"x".repeat(129)), Err(NameError::TooLong(128)));
        assert_eq!(check_event(""), Err(NameError::Empty));
        assert_eq!(check_client_event(""), Ok(()));
        assert_eq!(check_event("connect"), Err(NameError::Reserved));
    }

    #[test]
    fn ids_tell_their_shard_and_only_to_their_node() {
        let (node, other) = (NodeTag::random(), NodeTag::random());
        let shard = ShardId::new(63).expect("below the limit");
        let socket = SocketId::random(node, shard);
        assert_eq!(SocketId::parse(socket.as_str()), Some(socket));
        assert_eq!(socket.shard(node), Some(shard));
        assert_eq!(socket.shard(other), None);
        let session = SessionId::random(node, shard);
        assert_eq!(
            SessionId::parse(session.as_str()).and_then(|s| s.shard(node)),
            Some(shard)
        );
        assert!(!format!("{session:?}").contains(&session.as_str()[6..]));
        assert_eq!(SocketId::parse("too short"), None);
        assert_eq!(ShardId::new(64), None);
    }
}
