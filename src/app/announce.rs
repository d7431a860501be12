//! The first lines of the log: what runs, within which limits, and what makes it less safe than it could be.

use crate::config::Config;
use crate::telemetry::memory::Watch;

/// Writes them.
pub(super) fn announce(config: &Config, memory: &Watch) {
    let limits = config.limits_in_force();
    let limits: Vec<String> = limits
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = &*config.server.node,
        shards = config.server.shards,
        max_connections = config.server.max_connections,
        memory_bytes = memory.last().limit,
        limits = limits.join(" "),
        "starting"
    );
    for warning in config.warnings() {
        tracing::warn!(setting = warning, "less safe than it could be");
    }
}
