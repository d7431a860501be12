//! The table `limits`. What happens at each limit is told where its setting is declared.

use std::time::Duration;

use ::config::Value;

use super::Config;
use super::raw::Table;
use super::value::{Reading, count, integer, percent, positive, rate, share, size, size_within};
use super::value::{some_rate, some_time};

/// Every key of `[limits]`, in the order of the documentation.
pub const LIMIT_KEYS: [&str; 29] = [
    "connections_per_address",
    "accept_rate",
    "opening",
    "held",
    "headers",
    "header_bytes",
    "header_timeout",
    "body_timeout",
    "keep_alive",
    "fragments",
    "control_frames",
    "packets_per_payload",
    "attachments",
    "attachment_timeout",
    "json_depth",
    "namespaces_per_connection",
    "rooms_per_socket",
    "rooms",
    "acks",
    "events_per_socket",
    "emit",
    "outbox",
    "outbox_frames",
    "outbox_total",
    "write_stall",
    "lane_events",
    "lane_bytes",
    "stall_timeout",
    "api_body",
];

impl Config {
    /// Every key of [`LIMIT_KEYS`] with its effective value, for the log.
    pub fn limits_in_force(&self) -> Vec<(&'static str, String)> {
        let (server, transport) = (&self.server, &self.transport);
        let (session, hub) = (&self.session, &self.hub);
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let values = [
            server.connections_per_address.to_string(),
            server.accept_rate.to_string(),
            server.opening.of(server.max_connections).to_string(),
            session.held.to_string(),
            server.headers.to_string(),
            server.header_bytes.to_string(),
            time(server.header_timeout),
            time(transport.body_timeout),
            time(server.keep_alive),
            transport.fragments.to_string(),
            format!("{}/s", transport.control_frames),
            transport.packets_per_payload.to_string(),
            session.attachments.to_string(),
            time(session.attachment_timeout),
            session.json_depth.to_string(),
            session.namespaces_per_connection.to_string(),
            hub.rooms_per_socket.to_string(),
            hub.rooms.to_string(),
            hub.acks.to_string(),
            session.events_per_socket.to_string(),
            hub.emit.to_string(),
            hub.outbox.to_string(),
            hub.outbox_frames.to_string(),
            hub.outbox_total.to_string(),
            time(hub.write_stall),
            session.lane_events.to_string(),
            session.lane_bytes.to_string(),
            time(session.stall_timeout),
            self.api.body.to_string(),
        ];
        LIMIT_KEYS.into_iter().zip(values).collect()
    }
}

/// The HTTP parser's table of headers lies on the stack of each request.
const MAX_HEADERS: i64 = 1000;
/// The HTTP parser's buffer is at least so large.
const MIN_HEADER_BYTES: u64 = 8 << 10;
/// Larger heads are no heads.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// JSON parsers of backends commonly stop here.
const MAX_JSON_DEPTH: i64 = 128;

/// `[limits]`. Only `connections_per_address`, `accept_rate`, `opening` and `events_per_socket` can be 0, for "off": the
/// others bound memory or time that a stranger could use up.
pub(super) fn limits(table: &mut Table<'_>, config: &mut Config) {
    connections(table, config);
    clients(table, config);
    queues(table, config);
    table.set("api_body", size, &mut config.api.body);
}

/// What applies before there is a session.
fn connections(table: &mut Table<'_>, config: &mut Config) {
    let server = &mut config.server;
    table.set(
        "connections_per_address",
        count,
        &mut server.connections_per_address,
    );
    table.set("accept_rate", rate, &mut server.accept_rate);
    table.set("opening", share, &mut server.opening);
    table.set("headers", integer(1..=MAX_HEADERS), &mut server.headers);
    let header_bytes = size_within(MIN_HEADER_BYTES..=MAX_HEADER_BYTES);
    table.set("header_bytes", header_bytes, &mut server.header_bytes);
    table.set("header_timeout", some_time, &mut server.header_timeout);
    table.set("keep_alive", some_time, &mut server.keep_alive);
}

/// What applies to what clients send.
fn clients(table: &mut Table<'_>, config: &mut Config) {
    let transport = &mut config.transport;
    table.set("body_timeout", some_time, &mut transport.body_timeout);
    table.set("fragments", positive, &mut transport.fragments);
    table.set("control_frames", some_rate, &mut transport.control_frames);
    table.set(
        "packets_per_payload",
        positive,
        &mut transport.packets_per_payload,
    );
    let session = &mut config.session;
    table.set("held", positive, &mut session.held);
    table.set("attachments", positive, &mut session.attachments);
    table.set(
        "attachment_timeout",
        some_time,
        &mut session.attachment_timeout,
    );
    table.set(
        "json_depth",
        integer(1..=MAX_JSON_DEPTH),
        &mut session.json_depth,
    );
    table.set(
        "namespaces_per_connection",
        positive,
        &mut session.namespaces_per_connection,
    );
    table.set("events_per_socket", rate, &mut session.events_per_socket);
    table.set("lane_events", positive, &mut session.lane_events);
    table.set("lane_bytes", size, &mut session.lane_bytes);
    table.set("stall_timeout", some_time, &mut session.stall_timeout);
}

/// What applies to rooms and to what is sent to clients.
fn queues(table: &mut Table<'_>, config: &mut Config) {
    let memory = table.context().system.memory;
    let hub = &mut config.hub;
    table.set("rooms", positive, &mut hub.rooms);
    table.set("rooms_per_socket", positive, &mut hub.rooms_per_socket);
    table.set("acks", positive, &mut hub.acks);
    table.set("emit", size, &mut hub.emit);
    table.set("outbox", size, &mut hub.outbox);
    table.set("outbox_frames", positive, &mut hub.outbox_frames);
    table.set("outbox_total", part_of(memory), &mut hub.outbox_total);
    table.set("write_stall", some_time, &mut hub.write_stall);
    if table.has("outbox_total") && hub.outbox_total < hub.outbox {
        let message = format!(
            "{} bytes cannot hold one full outbox of {} bytes",
            hub.outbox_total, hub.outbox
        );
        table.wrong("outbox_total", message);
    }
}

/// A size, or a share of the memory.
fn part_of(memory: u64) -> impl Fn(&Value) -> Reading<usize> {
    move |value| match percent(value) {
        Some(0) => Err("must be at least \"1%\"".to_owned()),
        Some(percent) => Ok(share_of(memory, percent)),
        None => size(value).map_err(|message| format!("{message}; or a share such as \"25%\"")),
    }
}

/// So many hundredths of the memory.
pub(super) fn share_of(memory: u64, percent: u8) -> usize {
    usize::try_from(u128::from(memory) * u128::from(percent) / 100).unwrap_or(usize::MAX)
}
