//! The tables `server`, `admin`, `drain`, `log`, and those that are to come: `cluster`, `socket_admin`.

use std::net::SocketAddr;

use ::config::Value;
use tracing_subscriber::EnvFilter;

use super::Config;
use super::address::{self, is_path};
use super::problem::nearest;
use super::raw::Table;
use super::value::{self, Reading, flag, positive, quote, text, word};
use crate::hub::id::ShardId;
use crate::server::settings::{Drain, FALLBACK_IDLE, FALLBACK_PLACES};
use crate::telemetry::log::{self, Format};

/// Connections of a node whose operator did not say.
const MAX_CONNECTIONS: usize = 50_000;
/// Fewest files that are left for others than clients.
const SPARE_FILES: usize = 1000;
/// Files of listeners, backends that come to the API, and the program itself.
const OWN_FILES: usize = 400;
/// Longest name of a node, in bytes.
const MAX_NODE: usize = 128;
/// Levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `[server]`; its path and proxies are the transport's.
pub(super) fn server(table: &mut Table<'_>, config: &mut Config) {
    let settings = &mut config.server;
    listen(table, &mut settings.listen);
    table.set("path", path, &mut config.transport.path);
    if let Some(node) = table.get("node", node).filter(|node| !node.is_empty()) {
        settings.node = node;
    }
    let most = i64::try_from(ShardId::MAX).unwrap_or(i64::MAX);
    if let Some(shards) = table
        .get("shards", value::integer(0..=most))
        .filter(|n| *n > 0)
    {
        settings.shards = shards;
    }
    table.set("max_connections", positive, &mut settings.max_connections);
    table.set("serve_client", flag, &mut settings.serve_client);
    let proxies = table.list("trusted_proxies", address::network);
    if let Some(proxies) = proxies {
        config.transport.trusted_proxies =
            proxies.into_iter().map(|(network, _)| network).collect();
    }
    table.set("proxy_protocol", flag, &mut settings.proxy_protocol);
    settings.fallback = table.get("fallback", address::fallback);
    if settings.fallback.is_some() && &*config.transport.path == "/" {
        table.wrong("fallback", "nothing is left for it, since `path` is \"/\"");
    }
    table.later("tls");
}

/// `listen` of any table.
pub(super) fn listen(table: &mut Table<'_>, setting: &mut Vec<SocketAddr>) {
    if let Some(addresses) = table.one_or_many("listen", address::listen) {
        *setting = addresses.into_iter().map(|(address, _)| address).collect();
    }
}

fn path(value: &Value) -> Reading<Box<str>> {
    let written = text(value)?;
    if !is_path(written) || written.contains("//") {
        return Err(format!(
            "expected a path such as \"/socket.io/\", found {}",
            quote(written)
        ));
    }
    Ok(format!("{}/", written.strip_suffix('/').unwrap_or(written)).into())
}

fn node(value: &Value) -> Reading<Box<str>> {
    let name = text(value)?;
    if name.len() > MAX_NODE || name.chars().any(char::is_control) {
        return Err(format!(
            "must be at most {MAX_NODE} bytes without control characters"
        ));
    }
    Ok(name.into())
}

/// `server.max_connections`, once it is known what else has files open: written, the limit of open files must hold it; else it is
/// what the limit leaves (0 so far). `table` is the root.
///
/// # Why
/// A call to a backend that has no file left counts as the backend's fault, and opens its breaker.
pub(super) fn check_files(table: &Table<'_>, config: &mut Config) {
    let files = table.context().system.files;
    let spare = spare_files(config);
    let most = usize::try_from(files).unwrap_or(usize::MAX);
    let most = most.saturating_sub(spare);
    let connections = &mut config.server.max_connections;
    if *connections == 0 {
        *connections = most.min(MAX_CONNECTIONS);
        if most == 0 {
            let message = format!("the limit of {files} open files leaves none for clients");
            table.wrong("server", message);
        }
    } else if *connections > most {
        let place = table.place_at(&["server", "max_connections"]);
        let message = format!(
            "the limit of {files} open files holds at most {most} connections and {spare} others; raise it (`ulimit -Hn`, `LimitNOFILE=`) or lower this"
        );
        table
            .context()
            .problem(place, "server.max_connections", message);
    }
}

/// Files that are open besides the clients' connections.
fn spare_files(config: &Config) -> usize {
    let backends = config.upstreams.iter().map(|upstream| upstream.concurrency);
    let pages = match config.server.fallback {
        Some(_) => FALLBACK_PLACES + FALLBACK_IDLE * config.server.shards,
        None => 0,
    };
    let all = backends.fold(OWN_FILES + pages, usize::saturating_add);
    all.max(SPARE_FILES)
}

/// `[drain]`.
pub(super) fn drain(table: &mut Table<'_>, drain: &mut Drain) {
    table.set("delay", value::duration, &mut drain.delay);
    table.set("spread", value::duration, &mut drain.spread);
    table.set("hard_stop", value::some_time, &mut drain.hard_stop);
    let least = drain.delay + drain.spread;
    if drain.hard_stop < least {
        table.wrong(
            "hard_stop",
            format!(
                "{} is before `delay` and `spread` are over ({})",
                humantime::format_duration(drain.hard_stop),
                humantime::format_duration(least)
            ),
        );
    }
}

/// `[log]`.
pub(super) fn log(table: &mut Table<'_>, settings: &mut log::Settings) {
    let formats = [
        ("auto", Format::Auto),
        ("text", Format::Text),
        ("json", Format::Json),
    ];
    table.set("format", word(&formats, &[]), &mut settings.format);
    table.set("level", level, &mut settings.level);
}

/// A level, or a filter as `tracing-subscriber` reads it.
fn level(value: &Value) -> Reading<Box<str>> {
    let written = text(value)?;
    // A lone word that is no level would be read as the name of a module.
    if !written.contains(['=', ',', ':', '[']) {
        if LEVELS.contains(&written) {
            return Ok(written.into());
        }
        let nearest = nearest(written, LEVELS).unwrap_or_default();
        return Err(format!(
            "expected a level or a filter such as \"info,sockgate::webhook=debug\", found {}; the nearest level is {nearest:?}",
            quote(written)
        ));
    }
    EnvFilter::try_new(written)
        .map(|_| written.into())
        .map_err(|error| format!("is no filter: {error}"))
}

/// `[cluster]`: a single node for now.
pub(super) fn cluster(table: &mut Table<'_>) {
    table.later_but("bus", "none");
    for key in ["url", "prefix", "redis", "nats"] {
        table.later(key);
    }
}

/// `[socket_admin]`: off for now, whatever else is written.
pub(super) fn socket_admin(table: &mut Table<'_>) {
    table.later_but("enabled", false);
    for key in ["namespace", "username", "password", "mode", "read_only"] {
        table.value(key);
    }
}
