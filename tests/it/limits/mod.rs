//! Every key of `[limits]`: the value just inside passes; just outside has its named outcome and moves a counter; and an honest
//! client is unharmed. A key without a row fails.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde_json::json;
use sockgate::config::LIMIT_KEYS;

use crate::support::backend::Backend;
use crate::support::client::{Client, Kind};
use crate::support::frames::{Frames, opcode};
use crate::support::gateway::Gateway;
use crate::support::http::{Exchange, ask, request};
use crate::support::polling::Polling;
use crate::support::wait::eventually;

/// How far the counter of a row rises outside of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rise {
    Once,
    /// What is beyond the limit comes more than once.
    Often,
}

use Rise::{Often, Once};

/// The value of each row, small enough to be reached, the counter that tells of it, and how far that rises.
const ROWS: [(&str, &str, &str, Rise); 29] = [
    (
        "connections_per_address",
        "3",
        "sockgate_connections_rejected_total{reason=\"ip_limit\"}",
        Once,
    ),
    (
        "accept_rate",
        "5",
        "sockgate_connections_rejected_total{reason=\"rate\"}",
        Often,
    ),
    (
        "opening",
        "2",
        "sockgate_connections_rejected_total{reason=\"opening\"}",
        Once,
    ),
    (
        "held",
        "1",
        "sockgate_connections_rejected_total{reason=\"held\"}",
        Once,
    ),
    (
        "headers",
        "8",
        "sockgate_http_limited_total{limit=\"headers\"}",
        Once,
    ),
    (
        "header_bytes",
        "\"8KiB\"",
        "sockgate_http_limited_total{limit=\"header_bytes\"}",
        Once,
    ),
    (
        "header_timeout",
        "\"500ms\"",
        "sockgate_http_limited_total{limit=\"header_timeout\"}",
        Once,
    ),
    (
        "body_timeout",
        "\"500ms\"",
        "sockgate_http_limited_total{limit=\"body_timeout\"}",
        Once,
    ),
    (
        "keep_alive",
        "\"500ms\"",
        "sockgate_http_limited_total{limit=\"keep_alive\"}",
        Once,
    ),
    (
        "fragments",
        "4",
        "sockgate_parse_errors_total{layer=\"ws\"}",
        Once,
    ),
    (
        "control_frames",
        "\"1/s\"",
        "sockgate_parse_errors_total{layer=\"ws\"}",
        Once,
    ),
    (
        "packets_per_payload",
        "4",
        "sockgate_parse_errors_total{layer=\"eio\"}",
        Once,
    ),
    (
        "attachments",
        "3",
        "sockgate_parse_errors_total{layer=\"sio\"}",
        Once,
    ),
    (
        "attachment_timeout",
        "\"500ms\"",
        "sockgate_parse_errors_total{layer=\"sio\"}",
        Once,
    ),
    (
        "json_depth",
        "4",
        "sockgate_parse_errors_total{layer=\"sio\"}",
        Once,
    ),
    (
        "namespaces_per_connection",
        "2",
        "sockgate_connects_total{result=\"refused\"}",
        Once,
    ),
    (
        "rooms_per_socket",
        "2",
        "sockgate_joins_limited_total",
        Once,
    ),
    ("rooms", "2", "sockgate_joins_limited_total", Once),
    (
        "acks",
        "1",
        "sockgate_api_problems_total{code=\"too_many_acks\"}",
        Once,
    ),
    (
        "events_per_socket",
        "5",
        "sockgate_dropped_packets_total{reason=\"rate\"}",
        Often,
    ),
    (
        "emit",
        "\"1kB\"",
        "sockgate_api_problems_total{code=\"too_large\"}",
        Once,
    ),
    ("outbox", "\"10kB\"", "sockgate_slow_clients_total", Once),
    ("outbox_frames", "8", "sockgate_slow_clients_total", Once),
    (
        "outbox_total",
        "\"100kB\"",
        "sockgate_slow_clients_total",
        Once,
    ),
    ("write_stall", "\"1s\"", "sockgate_slow_clients_total", Once),
    ("lane_events", "2", "sockgate_lanes_full_total", Often),
    ("lane_bytes", "\"1kB\"", "sockgate_lanes_full_total", Often),
    (
        "stall_timeout",
        "\"1s\"",
        "sockgate_connections_closed_total{transport=\"websocket\",reason=\"backend stalled\"}",
        Once,
    ),
    (
        "api_body",
        "\"1kB\"",
        "sockgate_api_problems_total{code=\"too_large\"}",
        Once,
    ),
];

mod inside;
mod outside;

use inside::inside;
use outside::outside;

/// What a limit is about: the rows of one subject stand together.
enum Subject {
    Http,
    Packets,
    Calls,
    Hub,
}

fn subject(key: &str) -> Subject {
    match key {
        "connections_per_address"
        | "accept_rate"
        | "headers"
        | "header_bytes"
        | "header_timeout"
        | "body_timeout"
        | "keep_alive"
        | "api_body" => Subject::Http,
        "fragments"
        | "control_frames"
        | "packets_per_payload"
        | "attachments"
        | "attachment_timeout"
        | "json_depth"
        | "namespaces_per_connection"
        | "events_per_socket" => Subject::Packets,
        "opening" | "held" | "stall_timeout" | "lane_events" | "lane_bytes" => Subject::Calls,
        "rooms_per_socket" | "rooms" | "acks" | "emit" | "outbox" | "outbox_frames"
        | "outbox_total" | "write_stall" => Subject::Hub,
        other => panic!("no row for limits.{other}"),
    }
}

struct Bench {
    gateway: Gateway,
    backend: Backend,
    honest: Client,
}

impl Bench {
    async fn with(key: &str, value: &str) -> Self {
        let backend = Backend::start().await;
        let more = match key {
            "stall_timeout" => "limits.lane_events = 1\n",
            "write_stall" => "limits.outbox = \"64MiB\"\nlimits.outbox_frames = 100000\n",
            "outbox_total" => "limits.outbox = \"90kB\"\n",
            _ => "",
        };
        let rooms = "[[namespace]]\nmatch = \"/n-*\"\nauth = \"none\"\n";
        let config = backend.everything();
        let config = format!("limits.{key} = {value}\n{more}{config}{rooms}");
        let gateway = Gateway::start(&config).await;
        let (honest, _) = Client::joined(&gateway).await;
        Self {
            gateway,
            backend,
            honest,
        }
    }

    async fn socket(&self) -> (Client, String) {
        Client::joined(&self.gateway).await
    }

    async fn polling(&self) -> (Polling, String) {
        let mut client = Client::open(Kind::Polling, &self.gateway).await;
        let id = client.connect("/", "").await;
        match client {
            Client::Polling(polling) => (polling, id),
            Client::WebSocket(_) => unreachable!("opened by polling"),
        }
    }

    async fn join(&self, socket: &str, rooms: &[&str]) -> crate::support::http::Answer {
        let body = json!({"rooms": rooms, "to": {"sockets": [socket]}});
        self.gateway.api_post("/v1/join", &body).await
    }

    async fn emit(&self, to: &str, bytes: usize) {
        let text = json!(["x".repeat(bytes)]);
        self.gateway
            .emit(&json!({"sockets": [to]}), "x", &text)
            .await;
    }

    async fn is_gone(&self, socket: &str) {
        let target = format!("/v1/sockets?namespace=/&id={socket}");
        eventually("the socket to be cut", async || {
            let answer = self.gateway.api_get(&target).await;
            (answer.status == 404)
                .then_some(())
                .ok_or_else(|| format!("{answer:?}"))
        })
        .await;
    }

    /// The reason of the notice that this socket has ended.
    async fn reason(&mut self, socket: &str) -> String {
        loop {
            let request = self.backend.next().await;
            if request.kind() == "disconnect" && request.socket() == socket {
                let reason = request.body["reason"].as_str();
                return reason.expect("a reason").to_owned();
            }
        }
    }

    /// Whether the client listener answers another connection with a handshake.
    async fn is_served(&self) -> bool {
        let bytes = handshake(&self.gateway);
        let mut exchange = Exchange::begin(self.gateway.clients, &bytes).await;
        exchange
            .answer_or_end()
            .await
            .is_ok_and(|answer| answer.status == 200)
    }
}

#[tokio::test]
async fn every_key_of_limits_has_a_row() {
    let defaults = include_str!("../../../config/default.toml");
    let defaults: toml::Table = defaults.parse().unwrap();
    let keys: Vec<_> = defaults["limits"].as_table().unwrap().keys().collect();
    let rows: Vec<_> = ROWS.iter().map(|(key, ..)| *key).collect();
    for key in keys {
        assert!(rows.contains(&key.as_str()), "no row for limits.{key}");
    }
    for key in LIMIT_KEYS {
        assert!(rows.contains(&key), "no row for limits.{key}");
    }
}

#[tokio::test]
async fn inside_every_limit_all_is_well_and_outside_it_has_its_outcome() {
    let mut failed = Vec::new();
    for (key, value, counter, rise) in ROWS {
        // One row that fails does not hide the others.
        if AssertUnwindSafe(Box::pin(row(key, value, counter, rise)))
            .catch_unwind()
            .await
            .is_err()
        {
            failed.push(key);
        }
    }
    assert!(failed.is_empty(), "rows that failed: {failed:?}");
}

async fn row(key: &'static str, value: &'static str, counter: &'static str, rise: Rise) {
    println!("--- limits.{key} = {value}");
    let mut bench = Bench::with(key, value).await;
    let before = bench.gateway.metric(counter).await;
    inside(key, &mut bench).await;
    bench.honest.expect_quiet().await;
    bench.gateway.metric_is(counter, before).await;
    outside(key, &mut bench).await;
    bench.honest.expect_quiet().await;
    if rise == Once {
        return bench.gateway.metric_is(counter, before + 1.0).await;
    }
    eventually(format_args!("limits.{key} in {counter}"), async || {
        let now = bench.gateway.metric(counter).await;
        (now > before).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
}

fn echo(bytes: usize) -> String {
    let text = "x".repeat(bytes.saturating_sub(r#"42["echo",""]"#.len()));
    format!(r#"42["echo","{text}"]"#)
}

fn header(attachments: usize) -> String {
    let hole = |num| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
    let holes: Vec<_> = (0..attachments).map(hole).collect();
    format!(r#"45{attachments}-["echo",{}]"#, holes.join(","))
}

fn nested(depth: usize) -> String {
    // The packet's own array is the first level.
    format!(
        r#"42["echo",{}{}]"#,
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

fn handshake(gateway: &Gateway) -> Vec<u8> {
    request("GET", &gateway.target("EIO=4&transport=polling"), &[], b"")
}

/// The status of an answer to a request with so many headers.
async fn with_headers(gateway: &Gateway, headers: usize) -> u16 {
    // `Host` is there in any case.
    let names: Vec<_> = (1..headers).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let target = gateway.target("EIO=4&transport=polling");
    ask(gateway.clients, "GET", &target, &headers, "")
        .await
        .status
}

/// The status of an answer to a request whose head has so many bytes.
async fn with_head(gateway: &Gateway, bytes: usize) -> u16 {
    let target = gateway.target("EIO=4&transport=polling");
    let bare = request("GET", &target, &[("x-long", "")], b"").len();
    let long = "v".repeat(bytes - bare);
    ask(gateway.clients, "GET", &target, &[("x-long", &long)], "")
        .await
        .status
}

async fn in_fragments(frames: &mut Frames, count: usize) {
    frames.fragment(opcode::TEXT, br#"42["echo","#).await;
    for _ in 0..count - 2 {
        frames.fragment(opcode::CONTINUATION, b"1").await;
    }
    frames.message(opcode::CONTINUATION, b"]").await;
}

/// An emit whose packet has so many bytes.
fn packet_of(bytes: usize) -> serde_json::Value {
    let text = "x".repeat(bytes - r#"42["x",""]"#.len());
    json!({"event": "x", "args": [text], "to": {"all": true}})
}

/// An emit to nobody, whose body has so many bytes.
fn body_of(bytes: usize) -> serde_json::Value {
    let body = |text: &str| json!({"event": "x", "args": [text], "to": {"rooms": []}});
    let bare = body("").to_string().len();
    body(&"x".repeat(bytes - bare))
}

/// An emit to one socket that has to be acknowledged.
fn question(socket: &str) -> serde_json::Value {
    let ack = json!({"timeout_ms": 30_000});
    json!({"event": "x", "args": [], "to": {"sockets": [socket]}, "ack": ack})
}
