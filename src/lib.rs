//! Sockgate: a standalone real-time gateway. Socket.IO clients on one side, HTTP backends in any language on the other.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod contract;
pub mod hub;
pub mod protocol;
pub mod server;
pub mod session;
pub mod tasks;
pub mod telemetry;
pub mod transport;
pub mod webhook;
