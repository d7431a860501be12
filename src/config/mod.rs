//! What an operator wrote, and what it means.
//!
//! `RawConfig` is what was written; [`Config`] is what it means. The rest of the program sees only the second.

/// Everything that the gateway is told at start, complete and free of contradictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Listeners, threads, shutdown.
    pub server: crate::server::settings::Settings,
    /// Engine.IO.
    pub transport: crate::transport::settings::Settings,
    /// Conversations.
    pub session: crate::session::settings::Settings,
    /// Rooms, queues, acknowledgements.
    pub hub: crate::hub::settings::Settings,
    /// REST.
    pub api: crate::api::settings::Settings,
    /// Backends.
    pub upstreams: Vec<crate::webhook::settings::Settings>,
    /// Namespaces, in order.
    pub namespaces: Vec<crate::session::settings::NamespaceSettings>,
    /// Logs.
    pub log: crate::telemetry::log::Settings,
}
