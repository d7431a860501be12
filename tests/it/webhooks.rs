//! Webhooks as a backend sees them (contract 2, 4, 8): headers, signature, body, reply, retries, and protection of the backend.

use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply, Request};
use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::gateway::{Gateway, Setup};

async fn plain() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    (Gateway::start(&backend.everything()).await, backend)
}

/// With more keys of the route for events.
async fn with_route(keys: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    (
        Gateway::start(&format!("{}{keys}", backend.everything())).await,
        backend,
    )
}

/// A client that has joined, its `connect` taken out of the way.
async fn joined(gateway: &Gateway, backend: &mut Backend) -> Client {
    let (client, _) = Client::joined(gateway).await;
    backend.next_of("connect").await;
    client
}

fn is_ulid(text: &str) -> bool {
    let crockford = |c: char| c.is_ascii_digit() || (c.is_ascii_uppercase() && !"ILOU".contains(c));
    text.len() == 26 && text.chars().all(crockford)
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_webhook_has_the_headers_of_the_contract() {
    let (gateway, mut backend) = plain().await;
    let (_client, _) = Client::joined(&gateway).await;
    let request = backend.next_of("connect").await;
    assert_eq!(request.line, "POST /sockgate");
    assert_eq!(request.must("content-type"), "application/json");
    assert!(request.must("user-agent").starts_with("sockgate/"));
    assert_eq!(request.must("accept-encoding"), "identity");
    let id = request.must("webhook-id");
    assert!(id.strip_prefix("evt_").is_some_and(is_ulid), "{id}");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let time: u64 = request.must("webhook-timestamp").parse().unwrap();
    assert!(now.abs_diff(time) <= 60, "{time} at {now}");
    assert_eq!(request.must("sockgate-type"), "connect");
    assert_eq!(request.must("sockgate-attempt"), "1");
    let left: u64 = request.must("sockgate-timeout-ms").parse().unwrap();
    assert!((1..=5000).contains(&left), "{left}");
    let trace: Vec<_> = request.must("traceparent").split('-').collect();
    let lengths: Vec<_> = trace.iter().map(|part| part.len()).collect();
    assert_eq!(lengths, [2, 32, 16, 2], "{trace:?}");
    let hex = |part: &&str| {
        part.chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    };
    assert!(trace.iter().all(hex), "{trace:?}");
}

const NEW: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OLD: &str = "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZCBzZWNyZXQ=";

#[tokio::test]
async fn every_secret_signs_id_timestamp_and_body() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "secrets = [\"env:NEW_SECRET\", \"env:OLD_SECRET\"]\n",
        ..Keys::default()
    });
    let setup = Setup::new(&config)
        .env("NEW_SECRET", NEW)
        .env("OLD_SECRET", OLD);
    let gateway = setup.start().await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"42["x",{"text":"héllo"}]"#).await;
    for kind in ["connect", "event"] {
        let request = backend.next_of(kind).await;
        assert!(request.is_signed_with(NEW), "{request:?}");
        assert!(request.is_signed_with(OLD), "{request:?}");
        let other = format!("whsec_{}", "QUFB".repeat(10));
        assert!(!request.is_signed_with(&other));
        // One byte changed, and another time: the signature does not hold.
        let mut forged = request.clone();
        *forged.raw.last_mut().unwrap() ^= 1;
        assert!(!forged.is_signed_with(NEW));
        let mut forged = request.clone();
        let time = forged
            .headers
            .iter_mut()
            .find(|(name, _)| name == "webhook-timestamp");
        "1700000000".clone_into(&mut time.unwrap().1);
        assert!(!forged.is_signed_with(NEW));
    }
}

#[tokio::test]
async fn the_secret_is_nowhere_in_the_log() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "secrets = [\"env:NEW_SECRET\"]\n",
        ..Keys::default()
    });
    let gateway = Setup::new(&config).env("NEW_SECRET", NEW).start().await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"421["x","the payload canary"]"#).await;
    client.expect("431[]").await;
    for line in gateway.logs() {
        assert!(!line.contains("MDEyMzQ1Njc4"), "{line}");
        assert!(!line.contains("canary"), "{line}");
    }
}

#[tokio::test]
async fn an_event_has_the_body_of_the_contract() {
    let (gateway, mut backend) = plain().await;
    let (mut client, id) = Client::joined(&gateway).await;
    let connect = backend.next_of("connect").await;
    client
        .send(r#"42["message",1,"two",{"three":[true]}]"#)
        .await;
    let body = backend.next_of("event").await.body;
    let expected = [
        "ack",
        "args",
        "event",
        "node",
        "seq",
        "socket",
        "timestamp",
        "type",
    ];
    assert_eq!(keys(&body), expected);
    assert_eq!(body["event"], "message");
    assert_eq!(body["args"], json!([1, "two", {"three": [true]}]));
    assert_eq!(body["ack"], false);
    assert_eq!(body["seq"], 1);
    assert_eq!(body["node"], connect.body["node"]);
    let time = body["timestamp"].as_str().unwrap();
    assert_eq!(time.len(), "2026-11-24T22:00:05.001Z".len(), "{time}");
    assert!(time.ends_with('Z'), "{time}");
    let socket = &body["socket"];
    assert_eq!(keys(socket), ["connection", "id", "namespace"]);
    assert_eq!(socket["id"], *id);
    assert_eq!(socket["namespace"], "/");
    assert_eq!(socket["connection"], connect.body["socket"]["connection"]);
    let connection = socket["connection"].as_str().unwrap();
    assert!(
        connection.starts_with("c.") && connection.len() == 18,
        "{connection}"
    );
}

#[tokio::test]
async fn arguments_reach_the_backend_as_the_client_wrote_them() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    let args = r#"1.0,{"b":1,"a":2,"b":3},123456789012345678901234567890,"\u00e9\/","é😀""#;
    client.send(&format!(r#"42["x",{args}]"#)).await;
    let raw = backend.next_of("event").await.raw;
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains(&format!(r#""args":[{args}]"#)), "{raw}");
}

#[tokio::test]
async fn a_reply_reaches_the_client_as_the_backend_wrote_it() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let args = r#"1.0,{"b":1,"a":2},123456789012345678901234567890,"\u00e9\/é""#;
    let reply = format!(
        r#"{{"ack":[{args}],"actions":[{{"type":"emit","event":"back","args":[{args}]}}]}}"#
    );
    backend.push(Reply::Raw(200, Vec::new(), reply.into_bytes()));
    client.send(r#"421["x"]"#).await;
    client.expect(&format!("431[{args}]")).await;
    client.expect(&format!(r#"42["back",{args}]"#)).await;
}

#[tokio::test]
async fn binary_travels_as_attachments_both_ways() {
    let (gateway, mut backend) = plain().await;
    backend.answer_events(|request| {
        let args = request.body["args"].clone();
        json!({
            "ack": args,
            "actions": [{"type": "emit", "event": "back", "args": args}],
            "attachments": request.body["attachments"],
        })
    });
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        backend.next_of("connect").await;
        let upload = r#"452-7["upload","a.png",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        client.send_binary(upload, &[b"one", &[0, 255, 128]]).await;
        let body = backend.next_of("event").await.body;
        assert_eq!(body["attachments"], json!(["b25l", "AP+A"]));
        assert_eq!(body["args"][1], json!({"_placeholder": true, "num": 0}));
        assert_eq!(body["ack"], true);
        let both = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        client.expect(&format!(r#"462-7["a.png",{both}]"#)).await;
        client.expect_binary(b"one").await;
        client.expect_binary(&[0, 255, 128]).await;
        client
            .expect(&format!(r#"452-["back","a.png",{both}]"#))
            .await;
        client.expect_binary(b"one").await;
        client.expect_binary(&[0, 255, 128]).await;
        client.send("41").await;
        backend.next_of("disconnect").await;
    }
}

#[tokio::test]
async fn placeholders_of_a_reply_are_renumbered_per_packet_and_are_plain_data_without_attachments()
{
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let hole = |num: u64| json!({"_placeholder": true, "num": num});
    backend.push(json!({
        "attachments": ["b25l", "dHdv", "dGhyZWU="],
        "actions": [
            {"type": "emit", "event": "a", "args": [hole(2), hole(0), hole(2)]},
            {"type": "emit", "event": "b", "args": [hole(1)]},
            {"type": "emit", "event": "c", "args": [1]},
        ],
    }));
    client.send(r#"42["x"]"#).await;
    let first = r#"{"_placeholder":true,"num":0}"#;
    let second = r#"{"_placeholder":true,"num":1}"#;
    client
        .expect(&format!(r#"452-["a",{first},{second},{first}]"#))
        .await;
    client.expect_binary(b"three").await;
    client.expect_binary(b"one").await;
    client.expect(&format!(r#"451-["b",{first}]"#)).await;
    client.expect_binary(b"two").await;
    client.expect(r#"42["c",1]"#).await;
    backend.push(json!({"ack": [hole(7)]}));
    client.send(r#"421["x"]"#).await;
    client.expect(r#"431[{"_placeholder":true,"num":7}]"#).await;
}

#[tokio::test]
async fn a_numeric_event_name_is_told_as_text() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    client.send("42[7,1]").await;
    let body = backend.next_of("event").await.body;
    assert_eq!((&body["event"], &body["args"]), (&json!("7"), &json!([1])));
}

#[tokio::test]
async fn every_success_acknowledges_whoever_asked() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let text = |content_type: &str, body: &str| {
        let headers = vec![("content-type", content_type.to_owned())];
        Reply::Raw(200, headers, body.as_bytes().to_vec())
    };
    for (reply, ack) in [
        (Reply::from(json!({"ack": [1, "two"]})), r#"[1,"two"]"#),
        (json!({"ack": []}).into(), "[]"),
        (json!({}).into(), "[]"),
        (Reply::status(200), "[]"),
        (Reply::status(204), "[]"),
        (
            Reply::status_json(201, &json!({"ack": ["created"]})),
            r#"["created"]"#,
        ),
        (text("text/plain", r#"{"ack":["plain"]}"#), r#"["plain"]"#),
        (
            json!({"ack": ["x"], "unknown": {"field": 1}}).into(),
            r#"["x"]"#,
        ),
        (
            json!({"ack": ["x"], "rooms": ["ignored"], "reject": {"message": "ignored"}}).into(),
            r#"["x"]"#,
        ),
    ] {
        backend.push(reply);
        client.send(r#"425["x"]"#).await;
        client.expect(&format!("435{ack}")).await;
    }
    // Who did not ask gets none.
    backend.push(json!({"ack": ["unasked"]}));
    client.send(r#"42["x"]"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn without_auto_ack_only_the_backend_acknowledges() {
    let (gateway, backend) = with_route("auto_ack = false\n").await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"421["x"]"#).await;
    client.expect_quiet().await;
    backend.push(json!({"ack": ["explicit"]}));
    client.send(r#"422["x"]"#).await;
    client.expect(r#"432["explicit"]"#).await;
}

#[tokio::test]
async fn the_ack_goes_before_the_actions_unless_it_stands_among_them() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let emit = |n: u64| json!({"type": "emit", "event": "n", "args": [n]});
    backend.push(json!({"actions": [emit(1), emit(2)], "ack": ["first"]}));
    client.send(r#"421["x"]"#).await;
    for expected in [r#"431["first"]"#, r#"42["n",1]"#, r#"42["n",2]"#] {
        client.expect(expected).await;
    }
    let ack = json!({"type": "ack", "args": ["between"]});
    backend.push(json!({"actions": [emit(1), ack, emit(2)]}));
    client.send(r#"422["x"]"#).await;
    for expected in [r#"42["n",1]"#, r#"432["between"]"#, r#"42["n",2]"#] {
        client.expect(expected).await;
    }
}

#[tokio::test]
async fn user_and_state_of_a_reply_are_told_with_the_next_call() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    let mut next = async |reply: Value| {
        backend.push(reply);
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
        backend.next_of("event").await.body["socket"].clone()
    };
    next(json!({"user": "42", "state": {"b": 1, "a": [2]}})).await;
    let socket = next(json!({"user": 7})).await;
    assert_eq!(
        (&socket["user"], &socket["state"]),
        (&json!("42"), &json!({"b": 1, "a": [2]}))
    );
    let socket = next(json!({"state": null, "user": null})).await;
    assert_eq!(
        (&socket["user"], &socket["state"]),
        (&json!("7"), &json!({"b": 1, "a": [2]}))
    );
    let socket = next(json!({})).await;
    assert_eq!(keys(&socket), ["connection", "id", "namespace"]);
}

#[tokio::test]
async fn seq_counts_what_has_a_route_and_nothing_else() {
    let mut backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n\
         [[namespace.route]]\nevent = \"dropped\"\ndrop = true\n[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n\
         [[namespace.route]]\nevent = \"a*\"\nupstream = \"app\"\n\
         [[namespace]]\nmatch = \"/open\"\nauth = \"none\"\n[[namespace.route]]\nevent = \"*\"\nupstream = \"app\"\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    assert_eq!(backend.next_of("connect").await.body["seq"], 0);
    for event in ["a1", "dropped", "echo", "unrouted", "a2"] {
        client.send(&format!(r#"42["{event}"]"#)).await;
    }
    for (event, seq) in [("a1", 1), ("a2", 2)] {
        let request = backend.next_of("event").await;
        assert_eq!(
            (request.event(), &request.body["seq"]),
            (event, &json!(seq))
        );
    }
    client.expect(r#"42["echo"]"#).await;
    client.connect("/open", "").await;
    client.send(r#"42/open,["first"]"#).await;
    assert_eq!(backend.next_of("event").await.body["seq"], 0);
}

#[tokio::test]
async fn an_unrouted_event_is_logged_once_with_the_route_to_add() {
    let gateway = Gateway::start("[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n").await;
    let (mut client, _) = Client::joined(&gateway).await;
    for _ in 0..3 {
        client.send(r#"421["forgotten"]"#).await;
    }
    client.expect_quiet().await;
    let line = gateway.log_line(&["forgotten"]).await;
    assert!(line.contains("route"), "{line}");
    let logs = gateway.logs();
    assert_eq!(
        logs.iter().filter(|l| l.contains("forgotten")).count(),
        1,
        "{logs:#?}"
    );
}

// Failures.

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

// Protection of the backend.

#[tokio::test]
async fn an_upstream_is_never_asked_more_at_once_than_its_limit() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "concurrency = { max = 2, queue = 1000 }\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(joined(&gateway, &mut backend).await);
    }
    backend.answer_events(|_| {
        Reply::Late(
            std::time::Duration::from_millis(20),
            Box::new(json!({}).into()),
        )
    });
    for client in &mut clients {
        client.send(r#"421["x"]"#).await;
    }
    for client in &mut clients {
        client.expect("431[]").await;
    }
    assert_eq!(backend.most_in_flight(), 2);
}

#[tokio::test]
async fn a_failing_upstream_is_left_alone_for_a_while_and_then_tried() {
    let mut backend = Backend::start().await;
    let breaker =
        "breaker = { window = \"10s\", min_requests = 4, failure_ratio = 0.5, open = \"2s\" }";
    let config = backend.everything_with(&Keys {
        upstream: breaker,
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut client = joined(&gateway, &mut backend).await;
    backend.answer_events(|_| Reply::status(500));
    let mut seen = 0;
    // Far more events than the breaker lets through: it must have opened by then.
    for _ in 0..40 {
        client.send(r#"42["x"]"#).await;
    }
    client.expect_quiet().await;
    while let Ok(request) =
        tokio::time::timeout(std::time::Duration::from_millis(200), backend.next()).await
    {
        assert_eq!(request.event(), "x");
        seen += 1;
    }
    assert!((3..40).contains(&seen), "{seen} requests came through");
    // It closes again by itself once the backend is well.
    backend.answer_events(|_| json!({"ack": ["well"]}));
    crate::support::wait::eventually("the breaker to close", async || {
        client.send(r#"421["x"]"#).await;
        client.send(r#"42["echo","no ack before this"]"#).await;
        match client.text().await.as_str() {
            r#"431["well"]"# => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn connections_to_the_backend_are_reused() {
    let (gateway, mut backend) = plain().await;
    let mut client = joined(&gateway, &mut backend).await;
    let before = backend.connections();
    for _ in 0..20 {
        client.send(r#"421["x"]"#).await;
        client.expect("431[]").await;
    }
    assert!(
        backend.connections() <= before + 1,
        "{} then {}",
        before,
        backend.connections()
    );
}

#[tokio::test]
async fn the_headers_of_an_upstream_go_with_every_webhook() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "headers = { authorization = \"env:APP_BASIC\", x-team = \"chat\" }\n",
        ..Keys::default()
    });
    let gateway = Setup::new(&config)
        .env("APP_BASIC", "Basic YTpi")
        .start()
        .await;
    let (_client, _) = Client::joined(&gateway).await;
    let request = backend.next_of("connect").await;
    assert_eq!(request.must("authorization"), "Basic YTpi");
    assert_eq!(request.must("x-team"), "chat");
}

#[tokio::test]
async fn the_first_matching_route_decides() {
    let (mut a, mut b) = (Backend::start().await, Backend::start().await);
    let config = format!(
        "{}[[upstream]]\nname = \"other\"\nurl = \"{}\"\n[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n\
         [[namespace.route]]\nevent = [\"msg:*\", \"exact\"]\nupstream = \"app\"\n\
         [[namespace.route]]\nevent = \"*\"\nupstream = \"other\"\n",
        a.upstream(),
        b.url()
    );
    let gateway = Gateway::start(&config).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.connect("/", "").await;
    for (event, first) in [
        ("msg:1", true),
        ("exact", true),
        ("msg:", false),
        ("exactly", false),
        ("", false),
        ("xmsg:1", false),
    ] {
        client.send(&format!(r#"42["{event}"]"#)).await;
        let backend = if first { &mut a } else { &mut b };
        assert_eq!(backend.next_of("event").await.event(), event);
    }
}
