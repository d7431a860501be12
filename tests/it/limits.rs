//! Every key of `[limits]`: the value just inside passes; just outside has its named outcome and moves a counter; and an honest
//! client is unharmed. A key without a row fails.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde_json::json;
use sockgate::config::LIMIT_KEYS;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, Kind, Packet};
use crate::support::frames::{Frames, Length, frame, opcode};
use crate::support::gateway::Gateway;
use crate::support::http::{Exchange, ask, request};
use crate::support::polling::{Polling, SEPARATOR, UNKNOWN_SESSION};
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

/// The value of each row, small enough to be reached, and the counter that tells of it.
const ROWS: [(&str, &str, &str); 29] = [
    (
        "connections_per_address",
        "3",
        "sockgate_connections_rejected_total{reason=\"ip_limit\"}",
    ),
    (
        "accept_rate",
        "5",
        "sockgate_connections_rejected_total{reason=\"rate\"}",
    ),
    (
        "opening",
        "2",
        "sockgate_connections_rejected_total{reason=\"opening\"}",
    ),
    (
        "held",
        "1",
        "sockgate_connections_rejected_total{reason=\"held\"}",
    ),
    (
        "headers",
        "8",
        "sockgate_http_limited_total{limit=\"headers\"}",
    ),
    (
        "header_bytes",
        "\"8KiB\"",
        "sockgate_http_limited_total{limit=\"header_bytes\"}",
    ),
    (
        "header_timeout",
        "\"200ms\"",
        "sockgate_http_limited_total{limit=\"header_timeout\"}",
    ),
    (
        "body_timeout",
        "\"200ms\"",
        "sockgate_http_limited_total{limit=\"body_timeout\"}",
    ),
    (
        "keep_alive",
        "\"200ms\"",
        "sockgate_http_limited_total{limit=\"keep_alive\"}",
    ),
    (
        "fragments",
        "4",
        "sockgate_parse_errors_total{layer=\"ws\"}",
    ),
    (
        "control_frames",
        "\"1/s\"",
        "sockgate_parse_errors_total{layer=\"ws\"}",
    ),
    (
        "packets_per_payload",
        "4",
        "sockgate_parse_errors_total{layer=\"eio\"}",
    ),
    (
        "attachments",
        "3",
        "sockgate_parse_errors_total{layer=\"sio\"}",
    ),
    (
        "attachment_timeout",
        "\"200ms\"",
        "sockgate_parse_errors_total{layer=\"sio\"}",
    ),
    (
        "json_depth",
        "4",
        "sockgate_parse_errors_total{layer=\"sio\"}",
    ),
    (
        "namespaces_per_connection",
        "2",
        "sockgate_connects_total{result=\"refused\"}",
    ),
    ("rooms_per_socket", "2", "sockgate_joins_limited_total"),
    ("rooms", "2", "sockgate_joins_limited_total"),
    (
        "acks",
        "1",
        "sockgate_api_requests_total{op=\"emit\",code=\"503\"}",
    ),
    (
        "events_per_socket",
        "5",
        "sockgate_dropped_packets_total{reason=\"rate\"}",
    ),
    (
        "emit",
        "\"1kB\"",
        "sockgate_api_requests_total{op=\"emit\",code=\"413\"}",
    ),
    ("outbox", "\"10kB\"", "sockgate_slow_clients_total"),
    ("outbox_frames", "8", "sockgate_slow_clients_total"),
    ("outbox_total", "\"100kB\"", "sockgate_slow_clients_total"),
    ("write_stall", "\"300ms\"", "sockgate_slow_clients_total"),
    ("lane_events", "2", "sockgate_lanes_full_total"),
    ("lane_bytes", "\"1kB\"", "sockgate_lanes_full_total"),
    (
        "stall_timeout",
        "\"300ms\"",
        "sockgate_connections_closed_total{transport=\"websocket\",reason=\"backend stalled\"}",
    ),
    (
        "api_body",
        "\"1kB\"",
        "sockgate_api_requests_total{op=\"emit\",code=\"413\"}",
    ),
];

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

    /// Whether the client listener answers another connection with a handshake.
    async fn is_served(&self) -> bool {
        let target = self.gateway.target("EIO=4&transport=polling");
        let bytes = request("GET", &target, &[], b"");
        let mut exchange = Exchange::begin(self.gateway.clients, &bytes).await;
        exchange
            .answer_or_end()
            .await
            .is_ok_and(|answer| answer.status == 200)
    }
}

#[tokio::test]
async fn every_key_of_limits_has_a_row() {
    let defaults = include_str!("../../config/default.toml");
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
    for (key, value, counter) in ROWS {
        // One row that fails does not hide the others.
        if AssertUnwindSafe(Box::pin(row(key, value, counter)))
            .catch_unwind()
            .await
            .is_err()
        {
            failed.push(key);
        }
    }
    assert!(failed.is_empty(), "rows that failed: {failed:?}");
}

async fn row(key: &'static str, value: &'static str, counter: &'static str) {
    println!("--- limits.{key} = {value}");
    let mut bench = Bench::with(key, value).await;
    inside(key, &mut bench).await;
    let before = bench.gateway.metric(counter).await;
    outside(key, &mut bench).await;
    bench.honest.expect_quiet().await;
    eventually(format_args!("limits.{key} in {counter}"), async || {
        let metrics = bench.gateway.metrics().await;
        let now = metrics.get(counter).copied().unwrap_or(0.0);
        (now > before)
            .then_some(())
            .ok_or_else(|| format!("{now} in {metrics:#?}"))
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

async fn inside(key: &str, bench: &mut Bench) {
    match key {
        "connections_per_address"
        | "accept_rate"
        | "headers"
        | "header_bytes"
        | "header_timeout"
        | "body_timeout"
        | "keep_alive"
        | "api_body" => inside_http(key, bench).await,
        "fragments"
        | "control_frames"
        | "packets_per_payload"
        | "attachments"
        | "attachment_timeout"
        | "json_depth"
        | "namespaces_per_connection"
        | "events_per_socket" => inside_packets(key, bench).await,
        "opening" | "held" | "stall_timeout" | "lane_events" | "lane_bytes" => {
            inside_calls(key, bench).await;
        }
        "rooms_per_socket" | "rooms" | "acks" | "emit" | "outbox" | "outbox_frames"
        | "outbox_total" | "write_stall" => inside_hub(key, bench).await,
        other => panic!("no row for limits.{other}"),
    }
}

async fn inside_http(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "connections_per_address" | "accept_rate" | "header_timeout" | "keep_alive" => {
            assert!(bench.is_served().await);
        }
        "headers" => assert_eq!(with_headers(gateway, 7).await, 200),
        "header_bytes" => assert_eq!(with_head(gateway, 8_000).await, 200),
        "body_timeout" => bench.polling().await.0.send(echo(20)).await,
        "api_body" => {
            let body = json!({"event": "x", "args": ["x".repeat(900)], "to": {"rooms": []}});
            assert_eq!(gateway.api_post("/v1/emit", &body).await.status, 202);
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn inside_packets(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "fragments" => {
            let mut frames = Frames::joined(gateway).await;
            in_fragments(&mut frames, 4).await;
            frames.expect(r#"42["echo",11]"#).await;
        }
        "control_frames" => {
            let mut frames = Frames::joined(gateway).await;
            frames.message(opcode::PING, b"x").await;
            frames.expect_frame(0x80 | opcode::PONG, b"x").await;
        }
        "packets_per_payload" => {
            let (polling, _) = bench.polling().await;
            polling.send(["3"; 4].join(SEPARATOR)).await;
            polling.send(echo(20)).await;
        }
        "attachments" => {
            let (mut client, _) = bench.socket().await;
            client.send_binary(&header(3), &[b"a", b"b", b"c"]).await;
            client.expect(&header(3)).await;
        }
        "attachment_timeout" => {
            let (mut client, _) = bench.socket().await;
            client.send_binary(&header(1), &[b"a"]).await;
            client.expect(&header(1)).await;
        }
        "json_depth" => {
            let (mut client, _) = bench.socket().await;
            client.send(&nested(4)).await;
            client.expect(&nested(4)).await;
        }
        "namespaces_per_connection" => {
            bench.socket().await.0.connect("/n-1", "").await;
        }
        "events_per_socket" => bench.honest.expect_quiet().await,
        other => unreachable!("{other} is of another group"),
    }
}

async fn inside_calls(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "opening" => {
            let mut first = WebSocket::open(gateway).await;
            let _second = WebSocket::open(gateway).await;
            first.send("40").await;
            assert!(matches!(first.receive().await, Packet::Text(text) if text.starts_with("40{")));
        }
        "held" | "stall_timeout" => drop(bench.socket().await),
        "lane_events" | "lane_bytes" => {
            let (mut client, _) = bench.socket().await;
            client.send(r#"421["x"]"#).await;
            client.expect("431[]").await;
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn inside_hub(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "rooms_per_socket" | "rooms" => {
            let (_client, id) = bench.socket().await;
            assert_eq!(bench.join(&id, &["a", "b"]).await.status, 202);
        }
        "acks" => {
            let body = json!({"event": "x", "args": [], "to": {"rooms": ["none"]}, "ack": {}});
            assert_eq!(gateway.api_post("/v1/emit", &body).await.status, 200);
        }
        "emit" => {
            let (mut client, id) = bench.socket().await;
            bench.emit(&id, 900).await;
            assert!(client.text().await.starts_with(r#"42["x""#));
        }
        "outbox" => kept(bench, 8, 1000).await,
        "outbox_frames" => kept(bench, 8, 1).await,
        "outbox_total" => kept(bench, 5, 10_000).await,
        "write_stall" => kept(bench, 2, 10).await,
        other => unreachable!("{other} is of another group"),
    }
}

async fn outside(key: &str, bench: &mut Bench) {
    match key {
        "connections_per_address"
        | "accept_rate"
        | "headers"
        | "header_bytes"
        | "header_timeout"
        | "body_timeout"
        | "keep_alive"
        | "api_body" => outside_http(key, bench).await,
        "fragments"
        | "control_frames"
        | "packets_per_payload"
        | "attachments"
        | "attachment_timeout"
        | "json_depth"
        | "namespaces_per_connection"
        | "events_per_socket" => outside_packets(key, bench).await,
        "opening" | "held" | "stall_timeout" | "lane_events" | "lane_bytes" => {
            outside_calls(key, bench).await;
        }
        "rooms_per_socket" | "rooms" | "acks" | "emit" | "outbox" | "outbox_frames"
        | "outbox_total" | "write_stall" => outside_hub(key, bench).await,
        other => panic!("no row for limits.{other}"),
    }
}

async fn outside_http(key: &str, bench: &mut Bench) {
    match key {
        "connections_per_address" => {
            let _second = WebSocket::open(&bench.gateway).await;
            let _third = WebSocket::open(&bench.gateway).await;
            assert!(!bench.is_served().await);
        }
        "accept_rate" => {
            let target = bench.gateway.target("EIO=4&transport=polling");
            let bytes = request("GET", &target, &[], b"");
            let mut dials = Vec::new();
            for _ in 0..50 {
                dials.push(Exchange::begin(bench.gateway.clients, &bytes).await);
            }
            let mut refused = 0;
            for mut dial in dials {
                refused += u32::from(dial.answer_or_end().await.is_err());
            }
            assert!(
                refused > 0,
                "all of 50 connections were served at 5 per second"
            );
        }
        "headers" => assert_eq!(with_headers(&bench.gateway, 8).await, 431),
        "header_bytes" => assert_eq!(with_head(&bench.gateway, 8_400).await, 431),
        "header_timeout" => {
            let half = b"GET /socket.io/?EIO=4 HTTP/1.1\r\nhost: ";
            let mut exchange = Exchange::begin(bench.gateway.clients, half).await;
            let seen = exchange.until_end().await;
            assert!(
                seen.is_empty() || seen.starts_with(b"HTTP/1.1 408"),
                "{seen:?}"
            );
        }
        "body_timeout" => {
            let (polling, _) = bench.polling().await;
            polling.begin_post(100, b"42").await.until_end().await;
            polling.expect_gone().await;
        }
        "keep_alive" => {
            let target = bench.gateway.target("EIO=4&transport=polling");
            let bytes = request("GET", &target, &[], b"");
            let mut exchange = Exchange::begin(bench.gateway.clients, &bytes).await;
            exchange.answer().await;
            assert!(exchange.until_end().await.is_empty());
        }
        "api_body" => {
            let body = json!({"event": "x", "args": ["x".repeat(1000)], "to": {"rooms": []}});
            bench
                .gateway
                .api_post("/v1/emit", &body)
                .await
                .problem(413, "too_large");
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn outside_packets(key: &str, bench: &mut Bench) {
    match key {
        "fragments" => {
            let mut frames = Frames::joined(&bench.gateway).await;
            in_fragments(&mut frames, 5).await;
            frames.expect_close(Some(1008)).await;
        }
        "control_frames" => {
            let mut frames = Frames::joined(&bench.gateway).await;
            let flood = frame(0x80 | opcode::PING, Length::Shortest, b"").repeat(100);
            frames.write(&flood).await;
            while frames
                .next()
                .await
                .is_some_and(|frame| frame.first != 0x80 | opcode::CLOSE)
            {}
        }
        "packets_per_payload" => {
            let (polling, _) = bench.polling().await;
            polling.post(["3"; 5].join(SEPARATOR)).await.is(400, "");
            polling.expect_gone().await;
        }
        "attachments" => ends(bench, &header(4)).await,
        "attachment_timeout" => ends(bench, &header(1)).await,
        "json_depth" => ends(bench, &nested(5)).await,
        "namespaces_per_connection" => {
            let (mut client, _) = bench.socket().await;
            client.connect("/n-1", "").await;
            client.send("40/n-2,").await;
            client
                .expect(r#"44/n-2,{"message":"Too many namespaces"}"#)
                .await;
        }
        "events_per_socket" => {
            let (mut client, _) = bench.socket().await;
            for _ in 0..200 {
                client.send(r#"42["echo"]"#).await;
            }
            let mut answered = 0;
            while client.next().await != Packet::End {
                answered += 1;
            }
            assert!(answered < 200, "nothing was dropped");
            let notice = loop {
                let request = bench.backend.next().await;
                if request.kind() == "disconnect" {
                    break request.body;
                }
            };
            assert_eq!(notice["reason"], "rate limited");
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn outside_calls(key: &str, bench: &mut Bench) {
    match key {
        "opening" => {
            let mut oldest = WebSocket::open(&bench.gateway).await;
            let _second = WebSocket::open(&bench.gateway).await;
            let _third = WebSocket::open(&bench.gateway).await;
            oldest.expect_end().await;
        }
        "held" => {
            bench.backend.forget();
            bench.backend.answer(|_| Reply::Hang);
            let mut late = WebSocket::open(&bench.gateway).await;
            let mut waiting = WebSocket::open(&bench.gateway).await;
            waiting.send("40").await;
            while bench.backend.next().await.kind() != "connect" {}
            late.send("40").await;
            late.expect_end().await;
        }
        "stall_timeout" => {
            let (mut client, _) = bench.socket().await;
            bench.backend.push(Reply::Hang);
            for _ in 0..4 {
                client.send(r#"42["x"]"#).await;
            }
            client.expect_end().await;
        }
        "lane_events" | "lane_bytes" => {
            let (mut client, _) = bench.socket().await;
            for n in 0..100 {
                let text = "x".repeat(100);
                client.send(&format!(r#"42{n}["x","{text}"]"#)).await;
            }
            for n in 0..100 {
                client.expect(&format!("43{n}[]")).await;
            }
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn outside_hub(key: &str, bench: &mut Bench) {
    match key {
        "rooms_per_socket" | "rooms" => {
            let (_client, id) = bench.socket().await;
            let answer = bench.join(&id, &["c", "d", "e"]).await;
            answer.problem(422, "limit");
        }
        "acks" => {
            let (mut client, id) = bench.socket().await;
            let body = json!({"event": "x", "args": [], "to": {"sockets": [id]}, "ack": {"timeout_ms": 30_000}});
            let text = body.to_string();
            let headers = [("content-type", "application/json")];
            let bytes = request("POST", "/v1/emit", &headers, text.as_bytes());
            let _pending = Exchange::begin(bench.gateway.api, &bytes).await;
            client.text().await;
            let answer = bench.gateway.api_post("/v1/emit", &body).await;
            answer.problem(503, "too_many_acks");
        }
        "emit" => {
            let body = json!({"event": "x", "args": ["x".repeat(1000)], "to": {"all": true}});
            bench
                .gateway
                .api_post("/v1/emit", &body)
                .await
                .problem(413, "too_large");
        }
        "outbox" => cut(bench, 30, 1000).await,
        "outbox_frames" => cut(bench, 9, 1).await,
        "outbox_total" => {
            let (fullest, fullest_id) = bench.polling().await;
            let (other, other_id) = bench.polling().await;
            for _ in 0..6 {
                bench.emit(&fullest_id, 10_000).await;
            }
            for _ in 0..5 {
                bench.emit(&other_id, 10_000).await;
            }
            bench.is_gone(&fullest_id).await;
            is_over(&fullest).await;
            assert_eq!(other.poll().await.text().split(SEPARATOR).count(), 5);
        }
        "write_stall" => {
            let (client, id) = bench.socket().await;
            for _ in 0..40 {
                let text = json!(["x".repeat(500_000)]);
                bench
                    .gateway
                    .emit(&json!({"sockets": [id]}), "x", &text)
                    .await;
            }
            bench.is_gone(&id).await;
            drop(client);
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn with_headers(gateway: &Gateway, more: usize) -> u16 {
    let names: Vec<_> = (0..more).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let target = gateway.target("EIO=4&transport=polling");
    ask(gateway.clients, "GET", &target, &headers, "")
        .await
        .status
}

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

/// A packet that ends the connection of its sender.
async fn ends(bench: &Bench, packet: &str) {
    let (mut client, _) = bench.socket().await;
    client.send(packet).await;
    client.expect_end().await;
}

/// A session that does not poll, and gets everything when it does.
async fn kept(bench: &Bench, emits: usize, bytes: usize) {
    let (polling, id) = bench.polling().await;
    for _ in 0..emits {
        bench.emit(&id, bytes).await;
    }
    assert_eq!(polling.poll().await.text().split(SEPARATOR).count(), emits);
    polling.send("1").await;
}

/// The next poll gets the end and nothing else.
async fn is_over(polling: &Polling) {
    let answer = polling.poll().await;
    let text = answer.text();
    assert!(
        matches!(text, "1" | "6\x1e1" | UNKNOWN_SESSION),
        "{answer:?}"
    );
}

/// A session that does not poll, and is cut.
async fn cut(bench: &mut Bench, emits: usize, bytes: usize) {
    let (polling, id) = bench.polling().await;
    for _ in 0..emits {
        bench.emit(&id, bytes).await;
    }
    bench.is_gone(&id).await;
    is_over(&polling).await;
    let notice = loop {
        let request = bench.backend.next().await;
        if request.kind() == "disconnect" && request.socket() == id {
            break request.body;
        }
    };
    assert_eq!(notice["reason"], "slow consumer");
}
