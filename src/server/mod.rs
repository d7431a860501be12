//! Listeners, shard threads, routing of requests, probes, and the end of the process.
//!
//! ```text
//! control thread: acceptor ─ connection ─► shard thread: HTTP ─► router ─┬► transport (Engine.IO)
//!                 API, admin listeners                                   ├► client files
//!                 signals, drain                                         └► fallback, or 404
//! ```

pub mod accept;
pub mod client_files;
pub mod connection;
pub mod deadline;
pub mod fallback;
pub mod healthcheck;
pub mod plain;
pub mod probes;
pub mod proxy;
pub mod reserve;
pub mod router;
pub mod settings;
pub mod shards;
pub mod site;
pub mod stop;
