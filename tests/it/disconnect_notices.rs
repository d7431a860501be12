//! The `disconnect` notice (contract 6): one per accepted socket, with the right reason, after everything else, delivered at last.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::frames::{Frames, Length, frame};
use crate::support::gateway::Gateway;
use crate::support::http::{ask, request};
use crate::support::polling::Polling;

async fn with(top: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    (
        Gateway::start(&format!("{top}{}", backend.everything())).await,
        backend,
    )
}

async fn joined(kind: Kind, gateway: &Gateway, backend: &mut Backend) -> Client {
    let mut client = Client::open(kind, gateway).await;
    client.connect("/", "").await;
    backend.next_of("connect").await;
    client
}

async fn polling(gateway: &Gateway, backend: &mut Backend) -> Polling {
    match joined(Kind::Polling, gateway, backend).await {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

async fn expect_reason(backend: &mut Backend, reason: &str, initiator: &str) {
    let body = backend.next_of("disconnect").await.body;
    assert_eq!(
        (&body["reason"], &body["initiator"]),
        (&json!(reason), &json!(initiator)),
        "{body}"
    );
}

#[tokio::test]
async fn the_notice_has_the_body_of_the_contract() {
    let (gateway, mut backend) = with("").await;
    backend.push(json!({"user": "42", "state": {"role": "editor"}, "rooms": ["doc:9"]}));
    let (mut client, id) = Client::joined(&gateway).await;
    let connect = backend.next_of("connect").await;
    backend.push(Reply::status(500));
    client.send(r#"42["fails"]"#).await;
    backend.next_of("event").await;
    client.send("41").await;
    let notice = backend.next_of("disconnect").await;
    assert_eq!(notice.must("sockgate-type"), "disconnect");
    let body = notice.body;
    let mut keys: Vec<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    let expected = [
        "duration_ms",
        "initiator",
        "node",
        "reason",
        "rooms",
        "seq",
        "socket",
        "synthesized",
        "timestamp",
        "type",
        "undelivered",
    ];
    assert_eq!(keys, expected);
    let socket = json!({
        "id": id, "namespace": "/", "connection": connect.body["socket"]["connection"],
        "user": "42", "state": {"role": "editor"},
    });
    assert_eq!(body["socket"], socket);
    let mut rooms: Vec<_> = body["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_str().unwrap())
        .collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["doc:9", "user:42"]);
    assert_eq!(body["reason"], "client namespace disconnect");
    assert_eq!(body["initiator"], "client");
    assert_eq!(body["seq"], 2);
    assert_eq!(body["undelivered"], 1);
    assert_eq!(body["synthesized"], false);
    assert!(body["duration_ms"].is_u64());
}

#[tokio::test]
async fn the_id_of_the_notice_follows_from_the_connect_and_the_socket() {
    use sha2::Digest;
    let (gateway, mut backend) = with("").await;
    let (client, id) = Client::joined(&gateway).await;
    let connect = backend.next_of("connect").await;
    drop(client);
    let notice = backend.next_of("disconnect").await;
    let time: jiff::Timestamp = connect.body["timestamp"].as_str().unwrap().parse().unwrap();
    let digest = sha2::Sha256::digest(id.as_bytes());
    let mut random = [0; 16];
    random[6..].copy_from_slice(&digest[..10]);
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap();
    let ulid = ulid::Ulid::from_parts(milliseconds, u128::from_be_bytes(random));
    assert_eq!(notice.must("webhook-id"), format!("evt_{ulid}"));
}

#[tokio::test]
async fn each_end_by_the_client_has_its_reason() {
    let (gateway, mut backend) = with("").await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        client.send("41").await;
        expect_reason(&mut backend, "client namespace disconnect", "client").await;
    }
    for kind in [Kind::WebSocket, Kind::Upgraded] {
        let client = joined(kind, &gateway, &mut backend).await;
        drop(client);
        expect_reason(&mut backend, "transport close", "client").await;
    }
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway, &mut backend).await;
        client.send("1").await;
        expect_reason(&mut backend, "transport close", "client").await;
    }
    let Client::WebSocket(socket) = joined(Kind::WebSocket, &gateway, &mut backend).await else {
        unreachable!("a WebSocket")
    };
    socket.close().await;
    expect_reason(&mut backend, "transport close", "client").await;
}

#[tokio::test]
async fn each_misuse_of_polling_has_its_reason() {
    let (gateway, mut backend) = with("").await;
    let session = polling(&gateway, &mut backend).await;
    drop(session.begin_poll().await);
    expect_reason(&mut backend, "transport error", "client").await;

    let session = polling(&gateway, &mut backend).await;
    drop(session.begin_post(100, b"42").await);
    expect_reason(&mut backend, "transport error", "client").await;

    let session = polling(&gateway, &mut backend).await;
    let (_a, _b) = tokio::join!(session.poll(), session.poll());
    let body = backend.next_of("disconnect").await.body;
    // The contract's table: a second GET is the conversation's fault.
    assert_eq!(
        (&body["reason"], &body["initiator"]),
        (&json!("forced close"), &json!("gateway"))
    );

    let session = polling(&gateway, &mut backend).await;
    let octets = [("content-type", "application/octet-stream")];
    ask(gateway.clients, "POST", &session.target, &octets, "42[]").await;
    let body = backend.next_of("disconnect").await.body;
    assert_eq!(body["reason"], "transport error", "{body}");
}

#[tokio::test]
async fn each_fault_of_a_packet_has_its_reason() {
    let (gateway, mut backend) = with("").await;
    for kind in EVERY_KIND {
        for (packet, reason) in [
            ("x", "parse error"),
            ("4abc", "parse error"),
            ("42{}", "parse error"),
            ("42[\"connect\"]", "parse error"),
            ("450-[\"x\"]", "parse error"),
            ("4511-[\"x\"]", "parse error"),
            ("40", "forced close"),
            ("42/never,[\"x\"]", "forced close"),
        ] {
            let mut client = joined(kind, &gateway, &mut backend).await;
            client.send(packet).await;
            let body = backend.next_of("disconnect").await.body;
            assert_eq!(body["reason"], reason, "{packet} by {kind:?}");
            assert_eq!(body["initiator"], "gateway", "{packet} by {kind:?}");
        }
    }
}

#[tokio::test]
async fn each_end_by_the_server_has_its_reason() {
    let (gateway, mut backend) = with("").await;
    for (disconnect, reason) in [
        (json!({"type": "disconnect"}), "server namespace disconnect"),
        (
            json!({"type": "disconnect", "close": true}),
            "server namespace disconnect",
        ),
        (
            json!({"type": "disconnect", "reconnect": true}),
            "forced server close",
        ),
    ] {
        for kind in EVERY_KIND {
            let mut client = joined(kind, &gateway, &mut backend).await;
            backend.push(json!({"actions": [disconnect]}));
            client.send(r#"42["go"]"#).await;
            backend.next_of("event").await;
            expect_reason(&mut backend, reason, "server").await;
        }
    }
}

#[tokio::test]
async fn a_missing_pong_is_a_ping_timeout() {
    let timers = "engine.ping_interval = \"300ms\"\nengine.ping_timeout = \"200ms\"\n";
    let (gateway, mut backend) = with(timers).await;
    let _frames = Frames::joined(&gateway).await;
    backend.next_of("connect").await;
    expect_reason(&mut backend, "ping timeout", "client").await;
}

#[tokio::test]
async fn too_large_a_message_is_told() {
    let (gateway, mut backend) = with("engine.max_payload = \"10kB\"\n").await;
    let mut frames = Frames::joined(&gateway).await;
    backend.next_of("connect").await;
    frames
        .write(&frame(0x81, Length::Shortest, &[b'4'; 10_001]))
        .await;
    let body = backend.next_of("disconnect").await.body;
    let reason = body["reason"].as_str().unwrap();
    assert!(
        matches!(reason, "transport error" | "parse error"),
        "{body}"
    );
}

#[tokio::test]
async fn a_drain_is_told_and_every_notice_gets_out() {
    let (mut gateway, mut backend) = with("drain.delay = \"0s\"\ndrain.spread = \"50ms\"\n").await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        clients.push(joined(kind, &gateway, &mut backend).await);
    }
    gateway.signal(Signal::TERM);
    for _ in 0..3 {
        expect_reason(&mut backend, "server shutting down", "gateway").await;
    }
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn leaving_two_namespaces_gives_two_notices() {
    let mut backend = Backend::start().await;
    let namespaces = ["/a", "/b"].map(|name| {
        format!("[[namespace]]\nmatch = {name:?}\n[[namespace.route]]\non = [\"connect\", \"disconnect\"]\nupstream = \"app\"\n")
    });
    let gateway = Gateway::start(&[backend.upstream(), namespaces.concat()].concat()).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    for namespace in ["/a", "/b"] {
        client.connect(namespace, "").await;
        backend.next_of("connect").await;
    }
    drop(client);
    let mut left: Vec<Value> = Vec::new();
    for _ in 0..2 {
        left.push(backend.next_of("disconnect").await.body["socket"]["namespace"].clone());
    }
    left.sort_by_key(Value::to_string);
    assert_eq!(left, ["/a", "/b"]);
    backend.has_no_request();
}

#[tokio::test]
async fn a_notice_is_repeated_until_it_is_taken() {
    let (gateway, mut backend) = with("").await;
    for bad in [
        Reply::status(500),
        Reply::status(401),
        Reply::status(403),
        Reply::status(408),
        Reply::status(425),
        Reply::status(429),
        Reply::status(302),
        Reply::Reset,
        Reply::Close,
    ] {
        let client = joined(Kind::WebSocket, &gateway, &mut backend).await;
        backend.push_for_notice(bad);
        drop(client);
        let (first, second) = (
            backend.next_of("disconnect").await,
            backend.next_of("disconnect").await,
        );
        assert_eq!(first.must("webhook-id"), second.must("webhook-id"));
        assert_eq!(first.raw, second.raw);
        assert_eq!(second.must("sockgate-attempt"), "2");
    }
}

#[tokio::test]
async fn any_success_and_a_refusal_end_the_matter() {
    let (gateway, mut backend) = with("").await;
    for reply in [
        Reply::from(json!({})),
        Reply::status(204),
        Reply::html(),
        Reply::Raw(200, Vec::new(), b"{".to_vec()),
        Reply::status(400),
        Reply::status(404),
        Reply::status(422),
    ] {
        let client = joined(Kind::WebSocket, &gateway, &mut backend).await;
        backend.push_for_notice(reply);
        drop(client);
        backend.next_of("disconnect").await;
    }
    // None of them waits for another attempt, and none has been made.
    let pending = r#"sockgate_webhook_notices_pending{upstream="app"}"#;
    gateway.metric_is(pending, 0.0).await;
    let refused = r#"sockgate_webhook_notices_dropped_total{upstream="app",reason="refused"}"#;
    gateway.metric_is(refused, 3.0).await;
    backend.has_no_request();
}

#[tokio::test]
async fn notices_wait_for_a_backend_that_is_away() {
    let (gateway, mut backend) = with("").await;
    let mut gone = Vec::new();
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        gone.push(client.connect("/", "").await);
        backend.next_of("connect").await;
        clients.push(client);
    }
    backend.stop().await;
    for client in &mut clients {
        client.send("1").await;
    }
    backend.start_again();
    let mut told = Vec::new();
    while told.len() < 3 {
        let notice = backend.next_of("disconnect").await;
        let id = notice.socket().to_owned();
        if !told.contains(&id) {
            told.push(id);
        }
    }
    gone.sort();
    told.sort();
    assert_eq!(gone, told);
}

#[tokio::test]
async fn no_more_notices_are_kept_than_the_limit_and_the_oldest_goes_first() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        upstream: "retention = { age = \"5m\", items = 2, bytes = \"64MiB\" }",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let (client, id) = Client::joined(&gateway).await;
        backend.next_of("connect").await;
        clients.push((client, id));
    }
    backend.stop().await;
    let mut ids = Vec::new();
    for (client, id) in clients {
        let target = format!("/v1/sockets?namespace=/&id={id}");
        drop(client);
        crate::support::wait::eventually("the socket to be gone", async || {
            let answer = gateway.api_get(&target).await;
            (answer.status == 404)
                .then_some(())
                .ok_or_else(|| format!("{answer:?}"))
        })
        .await;
        ids.push(id);
    }
    backend.start_again();
    let first = backend.next_of("disconnect").await;
    let second = backend.next_of("disconnect").await;
    let mut told = [first.socket().to_owned(), second.socket().to_owned()];
    told.sort();
    let mut newest = ids.split_off(4);
    newest.sort();
    assert_eq!(told.as_slice(), newest.as_slice());
}

#[tokio::test]
async fn without_a_route_nobody_is_told() {
    let mut backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/\"\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n",
        backend.upstream()
    );
    let gateway = Gateway::start(&config).await;
    let (client, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    drop(client);
    let (_next, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    backend.has_no_request();
}

#[tokio::test]
async fn a_gateway_that_is_killed_tells_nothing_and_its_clients_come_back() {
    let (mut gateway, mut backend) = with("").await;
    let mut client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    gateway.restart().await;
    client.expect_end().await;
    let target = gateway.target("EIO=4&transport=polling&sid=of-the-old-process");
    let mut exchange =
        crate::support::http::Exchange::begin(gateway.clients, &request("GET", &target, &[], b""))
            .await;
    exchange
        .answer()
        .await
        .is(400, crate::support::polling::UNKNOWN_SESSION);
    joined(Kind::WebSocket, &gateway, &mut backend).await;
}

#[tokio::test]
async fn a_socket_whose_connect_was_never_answered_gets_none() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        namespace: "hold = \"300ms\"",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let mut backend = backend;
    backend.push(Reply::Hang);
    let mut given_up = Client::open(Kind::WebSocket, &gateway).await;
    given_up.send("40").await;
    backend.next_of("connect").await;
    given_up.expect_end().await;
    backend.push(Reply::Hang);
    let mut left = Client::open(Kind::WebSocket, &gateway).await;
    left.send("40").await;
    backend.next_of("connect").await;
    left.send("1").await;
    left.expect_end().await;
    gateway
        .metric_is(r#"sockgate_connects_total{result="undecided"}"#, 2.0)
        .await;
    // Notices are sent as they come: what there was to tell has been told before this one.
    let client = joined(Kind::WebSocket, &gateway, &mut backend).await;
    drop(client);
    backend.next_of("disconnect").await;
    let pending = r#"sockgate_webhook_notices_pending{upstream="app"}"#;
    gateway.metric_is(pending, 0.0).await;
    backend.has_no_request();
}

#[tokio::test]
async fn what_the_gateway_ends_has_its_reason() {
    for (top, reason) in [
        ("limits.events_per_socket = 1\n", "rate limited"),
        ("limits.outbox = \"10kB\"\n", "slow consumer"),
    ] {
        let (gateway, mut backend) = with(top).await;
        let mut client = Client::open(Kind::Polling, &gateway).await;
        let id = client.connect("/", "").await;
        backend.next_of("connect").await;
        if reason == "rate limited" {
            let flood = vec![r#"42["echo"]"#; 100].join("\x1e");
            let Client::Polling(polling) = &client else {
                unreachable!("opened so")
            };
            polling.post(flood).await;
        } else {
            // It does not poll.
            let large = json!(["x".repeat(9_000)]);
            for _ in 0..2 {
                gateway.emit(&json!({"sockets": [id]}), "x", &large).await;
            }
        }
        expect_reason(&mut backend, reason, "gateway").await;
    }
}
