//! What is refused of `POST /v1/emit` (contract 9): every fault at once, each with its place, and nothing sent.

use serde_json::json;

use crate::support::client::Client;
use crate::support::gateway::{ECHO, Gateway};

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once_with_its_pointer() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let all = json!({"all": true});
    for (body, pointers) in [
        (json!({}), vec!["/event", "/to"]),
        (json!({"event": "x", "to": all, "args": {}}), vec!["/args"]),
        (json!({"event": 7, "args": [], "to": all}), vec!["/event"]),
        (json!({"event": "", "args": [], "to": all}), vec!["/event"]),
        (
            json!({"event": "connect", "args": [], "to": all}),
            vec!["/event"],
        ),
        (
            json!({"event": "disconnecting", "args": [], "to": all}),
            vec!["/event"],
        ),
        (
            json!({"event": "x".repeat(201), "args": [], "to": all}),
            vec!["/event"],
        ),
        (
            json!({"event": "a\nb", "args": [], "to": all}),
            vec!["/event"],
        ),
        (json!({"event": "x", "args": [], "to": {}}), vec!["/to"]),
        (json!({"event": "x", "args": [], "to": []}), vec!["/to"]),
        (json!({"event": "x", "args": [], "to": "all"}), vec!["/to"]),
        (json!({"event": "x", "args": [], "to": null}), vec!["/to"]),
        (
            json!({"event": "x", "args": [], "to": {"all": false}}),
            vec!["/to/all"],
        ),
        (
            json!({"event": "x", "args": [], "to": {"self": true}}),
            vec!["/to/self"],
        ),
        (
            json!({"event": "x", "args": [], "to": {"room": ["a"]}}),
            vec!["/to/room"],
        ),
        (
            json!({"event": "x", "args": [], "to": {"rooms": "a"}}),
            vec!["/to/rooms"],
        ),
        (
            json!({"event": "x", "args": [], "to": {"rooms": [1]}}),
            vec!["/to/rooms/0"],
        ),
        (
            json!({"event": "x", "args": [], "to": {"rooms": ["a", ""]}}),
            vec!["/to/rooms/1"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "except": {"all": true}}),
            vec!["/except/all"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "exept": {"rooms": ["a"]}}),
            vec!["/exept"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "volatile": "yes"}),
            vec!["/volatile"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "namespace": "chat"}),
            vec!["/namespace"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "ack": {"timeout_ms": 0}}),
            vec!["/ack/timeout_ms"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "ack": {"timeout_ms": 30_001}}),
            vec!["/ack/timeout_ms"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "ack": {"max": 0}}),
            vec!["/ack/max"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "ack": {"max": 1001}}),
            vec!["/ack/max"],
        ),
        (
            json!({"event": "x", "args": [], "to": all, "attachments": ["!"]}),
            vec!["/attachments/0"],
        ),
        (
            json!({"event": "connect", "args": 1, "to": {"romms": []}, "except": {"self": true}}),
            vec!["/args", "/event", "/except/self", "/to/romms"],
        ),
    ] {
        let answer = gateway.api_post("/v1/emit", &body).await;
        let mut told = answer.problem(422, "invalid_request");
        told.sort();
        told.dedup();
        assert_eq!(told, pointers, "{body}: {}", answer.text());
    }
    // A broadcast never came of a typo.
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_fault_names_the_nearest_known_field() {
    let gateway = Gateway::start(ECHO).await;
    let body = json!({"event": "x", "args": [], "to": {"romms": ["a"]}});
    let answer = gateway.api_post("/v1/emit", &body).await;
    answer.problem(422, "invalid_request");
    let detail = answer.json()["errors"][0]["detail"].to_string();
    assert!(detail.contains("rooms"), "{detail}");
}

#[tokio::test]
async fn a_placeholder_outside_the_attachments_is_a_fault() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    for num in [json!(1), json!(-1), json!(0.5), json!("0")] {
        let hole = json!({"_placeholder": true, "num": num});
        let body =
            json!({"event": "x", "args": [hole], "attachments": ["AAAA"], "to": {"all": true}});
        gateway
            .api_post("/v1/emit", &body)
            .await
            .problem(422, "invalid_request");
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn eleven_attachments_are_refused_because_clients_would_drop_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let body = |count: u64| {
        let args: Vec<_> = (0..count)
            .map(|num| json!({"_placeholder": true, "num": num}))
            .collect();
        let bytes: Vec<_> = (0..count).map(|_| "AAAA").collect();
        json!({"event": "x", "args": args, "attachments": bytes, "to": {"all": true}})
    };
    assert_eq!(gateway.api_post("/v1/emit", &body(10)).await.status, 202);
    assert!(client.text().await.starts_with("4510-[\"x\""));
    for _ in 0..10 {
        client.expect_binary(&[0, 0, 0]).await;
    }
    gateway
        .api_post("/v1/emit", &body(11))
        .await
        .problem(422, "invalid_request");
    client.expect_quiet().await;
}

#[tokio::test]
async fn what_comes_with_a_later_release_is_not_available_yet() {
    let gateway = Gateway::start(ECHO).await;
    let base = json!({"event": "x", "args": [], "to": {"all": true}});
    for (field, value) in [("ttl_ms", json!(5)), ("conflate", json!("key"))] {
        let mut body = base.clone();
        body[field] = value;
        let answer = gateway.api_post("/v1/emit", &body).await;
        assert_eq!(answer.problem(422, "not_available"), [format!("/{field}")]);
    }
    let mut body = base.clone();
    body["namespace"] = json!("*");
    gateway
        .api_post("/v1/emit", &body)
        .await
        .problem(422, "not_available");
    // Where something else is wrong too, that is told.
    let mut body = base.clone();
    body["ttl_ms"] = json!(5);
    body["to"] = json!({});
    gateway
        .api_post("/v1/emit", &body)
        .await
        .problem(422, "invalid_request");
    let key = [("idempotency-key", "abc")];
    let answer = gateway
        .api_with("POST", "/v1/emit", &key, &base.to_string())
        .await;
    answer.problem(400, "bad_header");
}

#[tokio::test]
async fn what_is_no_json_and_what_is_no_json_type_is_told_apart() {
    let gateway = Gateway::start(ECHO).await;
    for body in ["{", "{}x", "\"", "{\"a\":01}", "\u{feff}{}"] {
        let answer = gateway.api_with("POST", "/v1/emit", &[], body).await;
        answer.problem(400, "malformed_json");
    }
    for body in ["[]", "1", "null", "\"x\""] {
        let answer = gateway.api_with("POST", "/v1/emit", &[], body).await;
        answer.problem(422, "invalid_request");
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/msgpack",
    ] {
        let answer = gateway
            .api_with("POST", "/v1/emit", &[("content-type", kind)], "{}")
            .await;
        answer.problem(415, "unsupported_media_type");
    }
    let headers = [("content-type", "application/json; charset=utf-8")];
    let body = r#"{"event":"x","args":[],"to":{"all":true}}"#;
    assert_eq!(
        gateway
            .api_with("POST", "/v1/emit", &headers, body)
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let gateway = Gateway::start(&format!(
        "limits.api_body = \"100kB\"\nlimits.emit = \"10kB\"\n{ECHO}"
    ))
    .await;
    let (mut client, _) = Client::joined(&gateway).await;
    let body =
        |length: usize| json!({"event": "x", "args": ["x".repeat(length)], "to": {"all": true}});
    assert_eq!(gateway.api_post("/v1/emit", &body(9_000)).await.status, 202);
    assert_eq!(client.text().await.len(), 9_000 + r#"42["x",""]"#.len());
    gateway
        .api_post("/v1/emit", &body(11_000))
        .await
        .problem(413, "too_large");
    gateway
        .api_post("/v1/emit", &body(110_000))
        .await
        .problem(413, "too_large");
    client.expect_quiet().await;
}

#[tokio::test]
async fn deeper_json_than_64_levels_is_refused() {
    let mut gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    for depth in [100, 10_000, 1_000_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"event":"x","args":[{nested}],"to":{{"all":true}}}}"#);
        let answer = gateway.api_with("POST", "/v1/emit", &[], &body).await;
        assert!(matches!(answer.status, 400 | 422), "{depth}: {answer:?}");
    }
    client.expect_quiet().await;
    gateway.is_well("deep JSON").await;
}

#[tokio::test]
async fn other_methods_and_paths_are_told() {
    let gateway = Gateway::start(ECHO).await;
    for path in [
        "/v1/emit",
        "/v1/actions",
        "/v1/join",
        "/v1/leave",
        "/v1/disconnect",
    ] {
        let answer = gateway.api_get(path).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"), "{answer:?}");
    }
    let answer = gateway.api_post("/v1/rooms", &json!({})).await;
    answer.problem(405, "method_not_allowed");
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/emit",
        "/v1/emit/",
        "/v1/nothing",
        "/socket.io/",
    ] {
        gateway.api_get(path).await.problem(404, "not_found");
    }
}
