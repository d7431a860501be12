//! `check`: all problems of a configuration, or a short summary of what it means.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{Answer, BAD_CONFIG, ConfigArgs};
use crate::config::{Config, Environment, Source, System};

/// The report, on standard output: it is what was asked for.
pub(super) fn check(args: ConfigArgs, environment: &Environment, system: &System) -> Answer {
    match Config::load(&Source::File(args.config), environment, system) {
        Ok(config) => Answer::said(summary(&config)),
        Err(error) => {
            let count = match error.problems.len() {
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            };
            Answer {
                code: BAD_CONFIG,
                ..Answer::said(format!("{error}\n\n{count}"))
            }
        }
    }
}

fn summary(config: &Config) -> String {
    let mut lines = vec!["configuration is valid".to_owned()];
    let clients = addresses(&config.server.listen);
    lines.push(format!(
        "  clients    {clients}, path {}",
        config.transport.path
    ));
    let keys = match config.api.keys.len() {
        0 => "no key".to_owned(),
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    };
    lines.push(format!(
        "  API        {}, {keys}",
        addresses(&config.api.listen)
    ));
    lines.push(format!("  admin      {}", addresses(&config.server.admin)));
    for upstream in &config.upstreams {
        lines.push(format!("  upstream   {}: {}", upstream.name, upstream.url));
    }
    for namespace in &config.namespaces {
        let mut line = format!("  namespace  {}:", namespace.pattern);
        for (index, route) in namespace.routes.iter().enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            // Writing to a string does not fail.
            write!(line, "{separator}{}", route.name).ok();
        }
        lines.push(line);
    }
    let warnings = config.warnings();
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn addresses(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}
