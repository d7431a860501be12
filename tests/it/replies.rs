//! Replies of a backend (contract 3, 4, 7, 14): what each field does, what makes the whole a bad reply, and what is told about one.

use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::gateway::Gateway;

async fn plain() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    (Gateway::start(&backend.everything()).await, backend)
}

/// 200 with this text and type.
fn typed(content_type: &str, body: &str) -> Reply {
    let headers = vec![("content-type", content_type.to_owned())];
    Reply::Raw(200, headers, body.as_bytes().to_vec())
}

/// Sends an event that is answered so; the next one is answered well, and nothing comes of the first.
async fn is_bad(client: &mut Client, backend: &Backend, reply: impl Into<Reply>) {
    backend.push(reply);
    client.send(r#"421["x"]"#).await;
    client.send(r#"422["next"]"#).await;
    client.expect("432[]").await;
}

fn lines(gateway: &Gateway, word: &str) -> Vec<String> {
    let lines = gateway.logs().into_iter();
    lines.filter(|line| line.contains(word)).collect()
}

#[tokio::test]
async fn a_reply_of_a_type_that_is_not_there_yet_is_a_bad_reply() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    // Each could be taken for JSON by its bytes, and would do something else than what was meant.
    for (content_type, body) in [
        ("application/x-ndjson", r#"{"type":"ack","args":[1]}"#),
        ("Application/X-NDJSON; charset=utf-8", "{}"),
        ("application/msgpack", r#"{"ack":[1]}"#),
    ] {
        is_bad(&mut client, &backend, typed(content_type, body)).await;
    }
    gateway
        .log_line(&["bad reply", "application/x-ndjson", "not yet available"])
        .await;
    // An empty body is `{}` whatever it calls itself, and any other name is JSON.
    for (content_type, body, ack) in [
        ("application/msgpack", "", "[]"),
        ("application/octet-stream", r#"{"ack":[1]}"#, "[1]"),
        ("text/html; charset=utf-8", r#"{"ack":[1]}"#, "[1]"),
    ] {
        backend.push(typed(content_type, body));
        client.send(r#"423["x"]"#).await;
        client.expect(&format!("433{ack}")).await;
    }
}

#[tokio::test]
async fn a_connect_is_not_decided_by_a_reply_of_a_type_that_is_not_there_yet() {
    let (gateway, mut backend) = plain().await;
    backend.push(typed("application/msgpack", "{}"));
    let (_client, _) = Client::joined(&gateway).await;
    let first = backend.next_of("connect").await;
    let second = backend.next_of("connect").await;
    assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
}

#[tokio::test]
async fn fields_of_later_are_a_bad_reply_with_their_pointer_in_the_log() {
    let (gateway, backend) = plain().await;
    backend.push(json!({"cache_ttl": 30}));
    let (mut client, _) = Client::joined(&gateway).await;
    let emit = |field: &str, value: Value| {
        let mut action = json!({"type": "emit", "event": "x", "args": []});
        action[field] = value;
        json!({"ack": [1], "actions": [action]})
    };
    for reply in [
        emit("ttl_ms", json!(5)),
        emit("conflate", json!("key")),
        emit("namespace", json!("*")),
    ] {
        is_bad(&mut client, &backend, reply).await;
    }
    for pointer in [
        "/cache_ttl",
        "/actions/0/ttl_ms",
        "/actions/0/conflate",
        "/actions/0/namespace",
    ] {
        gateway
            .log_line(&["bad reply", pointer, "not yet available"])
            .await;
    }
}

#[tokio::test]
async fn each_cause_of_a_bad_reply_is_logged_once_and_each_is_a_failure() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "max_reply = \"10kB\"\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    for _ in 0..3 {
        is_bad(&mut client, &backend, json!({"ack": "the canary"})).await;
        is_bad(&mut client, &backend, json!({"actions": {}})).await;
        is_bad(&mut client, &backend, Reply::huge(20_000)).await;
        is_bad(&mut client, &backend, Reply::html()).await;
    }
    for cause in [
        "/ack: must be a list",
        "/actions: must be a list",
        "the body is larger than `max_reply`",
        "the body is not valid JSON",
    ] {
        gateway.log_line(&["bad reply", cause]).await;
        assert_eq!(lines(&gateway, cause).len(), 1, "{:#?}", gateway.logs());
    }
    assert_eq!(lines(&gateway, "canary"), [""; 0]);
    let counter = r#"sockgate_webhook_requests_total{route="/:*",code="bad_reply"}"#;
    gateway.metric_is(counter, 12.0).await;
    backend.forget();
    client.send("41").await;
    let notice = backend.next_of("disconnect").await.body;
    assert_eq!(notice["undelivered"], 12, "{notice}");
}

#[tokio::test]
async fn what_libraries_write_for_nothing_is_told_as_null() {
    let (gateway, backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    for field in ["ack", "actions", "attachments"] {
        is_bad(&mut client, &backend, json!({field: null})).await;
        let told = format!("/{field}: must be a list, not null");
        gateway.log_line(&["bad reply", &told]).await;
    }
}

#[tokio::test]
async fn the_state_is_kept_verbatim_and_never_sent_to_clients() {
    let (gateway, mut backend) = plain().await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    let state = r#"{"b":1.0,"a":[123456789012345678901234567890,"\u00e9\/é"]}"#;
    let reply = format!(r#"{{"state":{state}}}"#);
    backend.push(Reply::Raw(200, Vec::new(), reply.into_bytes()));
    client.send(r#"421["x"]"#).await;
    client.expect("431[]").await;
    backend.next_of("event").await;
    client.send(r#"422["x"]"#).await;
    client.expect("432[]").await;
    let raw = String::from_utf8(backend.next_of("event").await.raw).unwrap();
    assert!(raw.contains(&format!(r#""state":{state}"#)), "{raw}");
    client.expect_quiet().await;
    // Up to 16 KiB, and not a byte more.
    let longest = "x".repeat((16 << 10) - 2);
    backend.push(json!({"state": longest, "ack": ["kept"]}));
    client.send(r#"423["x"]"#).await;
    client.expect(r#"433["kept"]"#).await;
    is_bad(
        &mut client,
        &backend,
        json!({"state": format!("{longest}x")}),
    )
    .await;
}

#[tokio::test]
async fn an_expiry_in_the_past_ends_the_socket_now() {
    let (gateway, mut backend) = plain().await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        backend.next_of("connect").await;
        backend.push(json!({"ack": ["bye"], "expires_at": "2001-01-01T00:00:00Z"}));
        client.send(r#"421["x"]"#).await;
        client.expect(r#"431["bye"]"#).await;
        client.expect_end().await;
        backend.next_of("event").await;
        let notice = backend.next_of("disconnect").await.body;
        assert_eq!(
            (&notice["reason"], &notice["initiator"]),
            (&json!("expired"), &json!("server"))
        );
    }
}

#[tokio::test]
async fn an_expiry_can_be_put_off_and_taken_back() {
    let (gateway, backend) = plain().await;
    let soon = |milliseconds: i64| {
        let at = jiff::Timestamp::now() + jiff::Span::new().milliseconds(milliseconds);
        json!({"expires_at": at.to_string()})
    };
    let mut others = Vec::new();
    for change in [json!({"expires_at": null}), soon(1500)] {
        backend.push(soon(500));
        let (mut client, _) = Client::joined(&gateway).await;
        backend.push(change);
        client.send(r#"421["stay"]"#).await;
        client.expect("431[]").await;
        others.push(client);
    }
    // When this one has ended, the first time of the others is over as well.
    backend.push(soon(700));
    let (mut goes, _) = Client::joined(&gateway).await;
    goes.expect_end().await;
    for client in &mut others {
        client.expect_quiet().await;
    }
    others[1].expect_end().await;
    others[0].expect_quiet().await;
}

#[tokio::test]
async fn an_ack_in_the_reply_to_a_connect_is_ignored() {
    let (gateway, backend) = plain().await;
    let ack = json!({"type": "ack", "args": ["ignored"]});
    let welcome = json!({"type": "emit", "event": "welcome", "args": []});
    backend.push(json!({"ack": "ignored", "actions": [ack, welcome, ack]}));
    let (mut client, _) = Client::joined(&gateway).await;
    client.expect(r#"42["welcome"]"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn beside_a_reject_nothing_is_looked_at() {
    let (gateway, mut backend) = plain().await;
    backend.push(json!({
        "reject": {"message": "no"}, "rooms": 7, "user": {}, "actions": "all", "cache_ttl": 30,
    }));
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40").await;
    client.expect(r#"44{"message":"no"}"#).await;
    backend.next_of("connect").await;
    client.connect("/", "").await;
    assert_eq!(
        backend.next_of("connect").await.must("sockgate-attempt"),
        "1"
    );
}

#[tokio::test]
async fn a_rejection_in_our_words_is_counted_apart() {
    let (gateway, backend) = plain().await;
    let long = json!({"reject": {"message": "x".repeat(201)}});
    let right = json!({"reject": {"message": "x".repeat(200)}});
    for (reply, told) in [
        (Reply::status(401), "unauthorized".to_owned()),
        (Reply::html_403(), "unauthorized".to_owned()),
        (long.into(), "unauthorized".to_owned()),
        (right.into(), "x".repeat(200)),
    ] {
        backend.push(reply);
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.send("40").await;
        client.expect(&format!(r#"44{{"message":"{told}"}}"#)).await;
    }
    for (reason, count) in [("missing", 2.0), ("too_long", 1.0)] {
        let labels = format!(r#"{{reason="{reason}"}}"#);
        let name = format!("sockgate_webhook_rejects_reworded_total{labels}");
        gateway.metric_is(&name, count).await;
    }
    gateway
        .metric_is(r#"sockgate_connects_total{result="refused"}"#, 4.0)
        .await;
}

#[tokio::test]
async fn another_namespace_needs_an_audience_without_self_and_has_its_own_rooms_of_users() {
    let backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\nuser_room = \"member/{{user}}\"\n\
         [[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n",
        backend.everything()
    );
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let other = client.connect("/other", "").await;
    let emit = |to: Option<Value>| {
        let mut action = json!({"type": "emit", "event": "x", "args": [], "namespace": "/other"});
        if let Some(to) = to {
            action["to"] = to;
        }
        json!({"actions": [action]})
    };
    is_bad(&mut client, &backend, emit(None)).await;
    is_bad(&mut client, &backend, emit(Some(json!({"self": true})))).await;
    let join = json!([{"type": "join", "rooms": ["member/7"], "namespace": "/other", "to": {"sockets": [other]}}]);
    gateway.actions(&join).await;
    backend.push(emit(Some(json!({"users": ["7"]}))));
    client.send(r#"423["x"]"#).await;
    client.expect("433[]").await;
    client.expect(r#"42/other,["x"]"#).await;
    // By the template of the socket's own namespace it would be another room.
    backend.push(emit(Some(json!({"rooms": ["user:7"]}))));
    client.send(r#"424["x"]"#).await;
    client.expect("434[]").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn limits_on_actions_are_limits_on_the_whole_reply() {
    let backend = Backend::start().await;
    let config = format!("limits.emit = \"1kB\"\n{}", backend.everything());
    let gateway = Gateway::start(&config).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let emit = |bytes: usize| {
        let text = "x".repeat(bytes - r#"42["n",""]"#.len());
        json!({"type": "emit", "event": "n", "args": [text]})
    };
    backend.push(json!({"actions": [emit(1000)]}));
    client.send(r#"421["x"]"#).await;
    client.expect("431[]").await;
    assert_eq!(client.text().await.len(), 1000);
    let small = emit(100);
    is_bad(
        &mut client,
        &backend,
        json!({"actions": [small, emit(1001)]}),
    )
    .await;
    // The limit is on what clients get, attachments included.
    let hole = json!({"_placeholder": true, "num": 0});
    let binary = json!({"type": "emit", "event": "n", "args": [hole]});
    let bytes = json!(["AAAA".repeat(333)]);
    let reply = json!({"actions": [binary], "attachments": bytes});
    is_bad(&mut client, &backend, reply).await;
    let leave = json!({"type": "leave", "rooms": []});
    backend.push(json!({"actions": vec![leave.clone(); 1000], "ack": ["all"]}));
    client.send(r#"423["x"]"#).await;
    client.expect(r#"433["all"]"#).await;
    is_bad(&mut client, &backend, json!({"actions": vec![leave; 1001]})).await;
}

#[tokio::test]
async fn a_reply_to_a_notice_does_nothing() {
    let (gateway, mut backend) = plain().await;
    let (mut witness, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    backend.push_for_notice(json!({
        "actions": [{"type": "emit", "event": "left", "args": [], "to": {"all": true}}],
    }));
    let (client, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    drop(client);
    backend.next_of("disconnect").await;
    // The backend answers on the same connection or another: either way the reply has been written when this event is answered.
    for n in 0..20 {
        witness.send(&format!(r#"42{n}["x"]"#)).await;
        witness.expect(&format!("43{n}[]")).await;
    }
    let pending = r#"sockgate_webhook_notices_pending{upstream="app"}"#;
    gateway.metric_is(pending, 0.0).await;
    witness.expect_quiet().await;
}
