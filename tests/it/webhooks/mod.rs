//! Webhooks as a backend sees them (contract 2, 4, 8): headers, signature, body, and what a reply does.

mod failures;
mod protection;

use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND};
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
