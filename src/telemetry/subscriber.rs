//! Log lines on standard error: text on a terminal, else one JSON object a line.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::telemetry::log::{Format, Settings};

/// Sets up the log of the process; only the first call counts.
pub fn start(settings: &Settings) {
    let filter =
        EnvFilter::try_new(directives(&settings.level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(terminal).try_init()
    };
    if started.is_err() {
        tracing::debug!("the log was set up before");
    }
}

/// A level is meant for the gateway; the libraries below it would drown the rest, so they only warn. A filter is taken as it is.
fn directives(level: &str) -> String {
    match level {
        "trace" | "debug" | "info" => format!("warn,sockgate={level}"),
        _ => level.to_owned(),
    }
}
