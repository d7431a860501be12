//! Logs and metrics.

pub mod counters;
pub mod log;
pub mod subscriber;
pub mod traffic;
