//! Logs and metrics.
//!
//! ```text
//! shard threads ─ ShardCounters, Traffic ─┐
//! control thread ─ Traffic ───────────────┼─► Node ──┐
//! /proc, control groups ─ process, memory ┴► Readings ┴─► Registry ─► /metrics
//! ```
//! Counters are written by one thread each and added up when somebody scrapes. Labels come from the configuration and closed lists;
//! nothing that a client chooses is a label, and no payload, token or header is ever logged.

pub mod counters;
pub mod histogram;
pub mod log;
pub mod log_limit;
pub mod memory;
pub mod node;
pub mod process;
pub mod readings;
pub mod subscriber;
pub mod traffic;
