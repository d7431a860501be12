//! Why things end: the closed vocabularies that logs, metrics and webhooks share.

use std::fmt;

/// Why a socket or a connection ended (contract 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The client closed the transport, or the network is gone.
    TransportClose,
    /// The transport failed or was misused.
    TransportError,
    /// No pong and no bytes in time.
    PingTimeout,
    /// A packet could not be read, or passed a limit of packets.
    ParseError,
    /// A fault in the conversation: second CONNECT, packet for an unjoined namespace, second GET.
    ForcedClose,
    /// The server closed the transport: `reconnect:true`, or a CONNECT that could not be decided.
    ForcedServerClose,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// A `disconnect` action.
    ServerNamespaceDisconnect,
    /// Drain.
    ServerShuttingDown,
    /// The client does not read.
    SlowConsumer,
    /// A lane stood still for too long.
    BackendStalled,
    /// Too many events.
    RateLimited,
    /// The hard end that a backend has set.
    Expired,
    /// A newer socket of the same user.
    Replaced,
    /// The node is short of memory or places.
    Overload,
}

impl Reason {
    /// All reasons, for tables of metrics.
    pub const ALL: [Self; 15] = [
        Self::TransportClose,
        Self::TransportError,
        Self::PingTimeout,
        Self::ParseError,
        Self::ForcedClose,
        Self::ForcedServerClose,
        Self::ClientNamespaceDisconnect,
        Self::ServerNamespaceDisconnect,
        Self::ServerShuttingDown,
        Self::SlowConsumer,
        Self::BackendStalled,
        Self::RateLimited,
        Self::Expired,
        Self::Replaced,
        Self::Overload,
    ];

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ServerShuttingDown => "server shutting down",
            Self::SlowConsumer => "slow consumer",
            Self::BackendStalled => "backend stalled",
            Self::RateLimited => "rate limited",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who ended a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// Its packet, its close, its silence.
    Client,
    /// An action, a reply, expiry, policy.
    Server,
    /// Limits, protocol faults, drain.
    Gateway,
}

impl Initiator {
    /// The word used in webhooks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Gateway => "gateway",
        }
    }
}
