//! The log (operations c6): one line for each step of the process, and nothing of what clients and backends say.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys};
use crate::support::client::Client;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

const CANARY: &str = "canary-8f2e";

#[tokio::test]
async fn nothing_of_payloads_tokens_and_headers_is_logged_at_any_level() {
    let mut backend = Backend::start().await;
    backend.answer(|_| {
        json!({"user": format!("user-{CANARY}"), "state": {"s": CANARY}, "rooms": [format!("room-{CANARY}")],
            "ack": [CANARY], "actions": [{"type": "emit", "event": "x", "args": [CANARY]}]})
    });
    let everything = Keys {
        namespace: "forward = { headers = [\"*\"], query = [\"*\"], pass = [\"cookie\"] }",
        ..Keys::default()
    };
    let config = backend.everything_with(&everything);
    let config = format!("log.level = \"trace\"\nengine.cookie = {{ name = \"io\" }}\n{config}");
    let mut gateway = Gateway::start(&config).await;
    let (query, cookie) = (format!("&token={CANARY}"), format!("session={CANARY}"));
    let authorization = format!("Bearer {CANARY}");
    let headers = [("cookie", &*cookie), ("authorization", &*authorization)];
    let socket = WebSocket::open_with(&gateway, &query, &headers).await;
    let polling = Polling::open_with(&gateway, &query, &headers).await;
    let sid = polling.sid.clone();
    for mut client in [Client::WebSocket(socket), Client::Polling(polling)] {
        let auth = format!(r#"{{"token":"{CANARY}"}}"#);
        client.send(&format!("40{auth}")).await;
        client.text().await;
        client.text().await;
        client.send(&format!(r#"421["event","{CANARY}"]"#)).await;
        client.text().await;
        client.text().await;
        // Unreadable in several ways, each at the cost of the session.
        client.send(&format!(r#"42["event","{CANARY}"#)).await;
        client.expect_end().await;
        for kind in ["connect", "event", "disconnect"] {
            backend.next_of(kind).await;
        }
    }
    let answer = gateway
        .api_with("POST", "/v1/emit", &headers, &format!("{{\"{CANARY}\""))
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    gateway.signal(Signal::TERM);
    gateway.exit().await;
    gateway.log_line(&["stopped"]).await;
    let log = gateway.logs().join("\n");
    assert!(log.contains("webhook"), "the debug lines are there: {log}");
    assert!(!log.contains(CANARY), "{log}");
    assert!(!log.contains(&sid), "{log}");
}

#[tokio::test]
async fn the_start_tells_the_limits_in_force_and_what_is_less_safe() {
    let config = "limits.header_timeout = \"7s\"\ncors.insecure_any_origin = true\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let line = gateway.log_line(&["INFO", "starting"]).await;
    for word in [
        "header_timeout=7s",
        "outbox=1048576",
        "max_connections=",
        "memory_bytes=",
    ] {
        assert!(line.contains(word), "{word} in {line}");
    }
    gateway.log_line(&["WARN", "insecure_any_origin"]).await;
    gateway.log_line(&["WARN", "no [[api.key]]"]).await;
}

#[tokio::test]
async fn every_line_of_the_json_format_is_an_object() {
    let mut gateway = Gateway::start(&format!("log.format = \"json\"\n{ECHO}")).await;
    let (mut client, _) = Client::joined(&gateway).await;
    // The name of an event without a route is logged, once.
    client.send(r#"42["no \"route\" \\ é"]"#).await;
    client.expect_quiet().await;
    gateway.signal(Signal::INT);
    client.expect_end().await;
    gateway.exit().await;
    gateway.log_line(&["stopped"]).await;
    let logs = gateway.logs();
    let lines: Vec<Value> = logs
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
    }
    for message in ["starting", "draining", "stopped"] {
        let found = lines.iter().filter(|line| line["message"] == message);
        assert_eq!(found.count(), 1, "{message} in {lines:#?}");
    }
}
