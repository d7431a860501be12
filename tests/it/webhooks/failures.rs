//! What is no success (contract 4, 8): what the client sees, what is tried again, and what is logged.

use serde_json::json;

use super::{joined, plain, with_route};
use crate::support::backend::{Backend, Keys, Reply, Request};
use crate::support::client::Client;
use crate::support::gateway::Gateway;

#[tokio::test]
async fn a_failure_is_no_ack_and_no_action_and_the_socket_stays() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    let body = json!({"ack": ["not for you"], "actions": [{"type": "disconnect"}]});
    for status in [
        400, 401, 403, 404, 409, 418, 422, 500, 501, 502, 504, 301, 302, 304, 307,
    ] {
        backend.push(Reply::status_json(status, &body));
        client.send(r#"421["x"]"#).await;
        client.expect_quiet().await;
        backend.next_of("event").await;
        // Not retried: the next request is the next event.
        client.send(r#"422["next"]"#).await;
        client.expect("432[]").await;
        assert_eq!(
            backend.next_of("event").await.event(),
            "next",
            "after {status}"
        );
    }
}

#[tokio::test]
async fn an_idempotent_call_is_repeated_with_the_same_id_and_bytes() {
    let (gateway, mut backend) = with_route("idempotent = true\n").await;
    let mut client = joined(&gateway, &mut backend).await;
    for bad in [
        Reply::status(500),
        Reply::status(502),
        Reply::status(503),
        Reply::status(504),
        Reply::HalfBody,
        Reply::Reset,
        Reply::Close,
    ] {
        backend.push(bad);
        backend.push(json!({"ack": ["second"]}));
        client.send(r#"421["x",1.0]"#).await;
        client.expect(r#"431["second"]"#).await;
        let first = backend.next_of("event").await;
        let second = backend.next_of("event").await;
        assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
        assert_eq!(first.raw, second.raw);
        let attempt = |r: &Request| r.must("sockgate-attempt").parse::<u32>().unwrap();
        assert!(attempt(&second) > attempt(&first));
        let left = |r: &Request| r.must("sockgate-timeout-ms").parse::<u32>().unwrap();
        assert!(left(&second) <= left(&first));
        backend.has_no_request();
    }
}

#[tokio::test]
async fn there_are_at_most_two_retries() {
    let (gateway, mut backend) = with_route("idempotent = true\n").await;
    let mut client = joined(&gateway, &mut backend).await;
    for _ in 0..3 {
        backend.push(Reply::status(503));
    }
    client.send(r#"421["x"]"#).await;
    client.send(r#"422["next"]"#).await;
    client.expect("432[]").await;
    for attempt in ["1", "2", "3"] {
        let request = backend.next_of("event").await;
        assert_eq!(
            (request.event(), request.must("sockgate-attempt")),
            ("x", attempt)
        );
    }
    assert_eq!(backend.next_of("event").await.event(), "next");
    backend.has_no_request();
}

#[tokio::test]
async fn a_backend_that_says_when_to_come_back_is_asked_again() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    for status in [429, 503] {
        let headers = vec![("retry-after", "1".to_owned())];
        backend.push(Reply::Raw(status, headers, Vec::new()));
        backend.push(json!({"ack": ["later"]}));
        client.send(r#"421["x"]"#).await;
        client.expect(r#"431["later"]"#).await;
        let (first, second) = (backend.next().await, backend.next().await);
        assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
    }
    // Longer than what is left: a failure.
    let headers = vec![("retry-after", "3600".to_owned())];
    backend.push(Reply::Raw(503, headers, Vec::new()));
    client.send(r#"421["x"]"#).await;
    client.send(r#"422["next"]"#).await;
    client.expect("432[]").await;
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_within_the_deadline() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    backend.stop().await;
    client.send(r#"421["lost"]"#).await;
    // Behind it in the lane, so answered only after its failure.
    client.send(r#"42["also lost"]"#).await;
    client.expect_quiet().await;
    backend.start_again();
    crate::support::wait::eventually("an event that reaches the backend again", async || {
        client.send(r#"42["x"]"#).await;
        let request = tokio::time::timeout(std::time::Duration::from_millis(500), backend.next());
        request.await.map_err(|_| "nothing".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_is_replaced_at_once() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    // The connection has been used for `connect`; it ends before the first byte of an answer.
    backend.push(Reply::Close);
    backend.push(json!({"ack": ["fresh"]}));
    client.send(r#"421["x"]"#).await;
    client.expect(r#"431["fresh"]"#).await;
    let (first, second) = (backend.next().await, backend.next().await);
    assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let (gateway, mut backend) = plain().await;
    let mut elsewhere = Backend::start().await;
    let mut client = joined(&gateway, &mut backend).await;
    for status in [301, 302, 303, 307, 308] {
        let headers = vec![("location", elsewhere.url())];
        backend.push(Reply::Raw(status, headers, Vec::new()));
        client.send(r#"421["x"]"#).await;
        client.send(r#"422["next"]"#).await;
        client.expect("432[]").await;
    }
    elsewhere.has_no_request();
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_silent_backend_is_given_up_after_the_timeout() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "timeout = \"300ms\"\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    for bad in [Reply::Hang, Reply::Drip] {
        backend.push(bad);
        client.send(r#"421["x"]"#).await;
        client.send(r#"422["next"]"#).await;
        client.expect("432[]").await;
    }
}

#[tokio::test]
async fn the_deadline_of_a_route_bounds_all_attempts() {
    let (gateway, backend) = with_route("deadline = \"300ms\"\nidempotent = true\n").await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.push(Reply::Hang);
    client.send(r#"421["x"]"#).await;
    client.send(r#"422["next"]"#).await;
    client.expect("432[]").await;
}

#[tokio::test]
async fn a_bad_reply_applies_nothing_and_is_logged_once_without_its_payload() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let canary = "the canary in the payload";
    let good = json!({"type": "emit", "event": "good", "args": [canary]});
    let wrong_actions = [
        json!({"type": "emit", "event": "x", "args": [], "too": {"all": true}}),
        json!({"type": "emmit", "event": "x", "args": []}),
        json!({"type": "emit", "event": "connect", "args": []}),
        json!({"type": "emit", "event": "x", "args": {}}),
        json!({"type": "emit", "args": []}),
        json!({"type": "emit", "event": "x", "args": [], "to": {}}),
        json!({"type": "emit", "event": "x", "args": [], "to": {"all": false}}),
        json!({"type": "emit", "event": "x", "args": [], "to": {"all": true, "rooms": []}}),
        json!({"type": "emit", "event": "x", "args": [], "to": {"self": "yes"}}),
        json!({"type": "emit", "event": "x", "args": [], "to": {"room": ["a"]}}),
        json!({"type": "emit", "event": "x", "args": [], "except": {"all": true}}),
        json!({"type": "join", "rooms": [1]}),
        json!({"type": "join"}),
        json!({"type": "disconnect", "reconnect": true, "close": true}),
        json!({"type": "emit", "event": "x", "args": [], "ack": {}}),
        json!({"type": "emit", "event": "x", "args": [], "namespace": "/nowhere"}),
        json!({"type": "emit", "event": "x", "args": [], "ttl_ms": 5}),
        json!({"type": "state"}),
        json!({"type": "expire", "at": "tomorrow"}),
        json!("emit"),
    ];
    for wrong in &wrong_actions {
        backend.push(json!({"ack": [canary], "state": {"a": 1}, "actions": [good, wrong]}));
        client.send(r#"421["x"]"#).await;
        client.send(r#"422["next"]"#).await;
        // Neither the ack nor the good action before the wrong one.
        client.expect("432[]").await;
    }
    for wrong in [
        json!({"ack": "not a list"}),
        json!({"ack": ["a"], "actions": [{"type": "ack", "args": []}]}),
        json!({"actions": [{"type": "ack", "args": []}, {"type": "ack", "args": []}]}),
        json!({"actions": {}}),
        json!({"user": ""}),
        json!({"user": "x".repeat(129)}),
        json!({"user": true}),
        json!({"user": "a\nb"}),
        json!({"state": "x".repeat(17 << 10)}),
        json!({"expires_at": "never"}),
        json!({"ack": [{"_placeholder": true, "num": 1}], "attachments": ["AAAA"]}),
        json!({"ack": [], "attachments": ["not base64!"]}),
        json!([]),
        json!("x"),
        json!(null),
    ] {
        backend.push(wrong.clone());
        client.send(r#"421["x"]"#).await;
        client.send(r#"422["next"]"#).await;
        client.expect("432[]").await;
    }
    for body in [
        "{",
        "<html>",
        "{\"ack\":[1]} trailing",
        "\u{feff}{}",
        "{\"ack\":[01]}",
    ] {
        backend.push(Reply::Raw(200, Vec::new(), body.as_bytes().to_vec()));
        client.send(r#"421["x"]"#).await;
        client.send(r#"422["next"]"#).await;
        client.expect("432[]").await;
    }
    let line = gateway.log_line(&["/actions/1"]).await;
    assert!(!line.contains(canary), "{line}");
    let logs = gateway.logs();
    assert!(!logs.iter().any(|line| line.contains(canary)), "{logs:#?}");
}

#[tokio::test]
async fn a_reply_larger_than_the_limit_is_a_bad_reply() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "max_reply = \"10kB\"\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.push(Reply::huge(9_000));
    client.send(r#"421["x"]"#).await;
    assert_eq!(client.text().await.len(), 9_000 + r#"431[""]"#.len());
    backend.push(Reply::huge(11_000));
    client.send(r#"421["x"]"#).await;
    client.send(r#"422["next"]"#).await;
    client.expect("432[]").await;
}
