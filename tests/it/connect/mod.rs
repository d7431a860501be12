//! The `connect` question (contract 3): what it carries, what accepts, what refuses, and what is no decision at all.

mod undecided;

use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::Gateway;
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

async fn plain() -> (Gateway, Backend) {
    with("").await
}

/// With more keys of the namespace.
async fn with(keys: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        namespace: keys,
        ..Keys::default()
    });
    (Gateway::start(&config).await, backend)
}

async fn open(gateway: &Gateway) -> Client {
    Client::open(Kind::WebSocket, gateway).await
}

#[tokio::test]
async fn connect_has_the_body_of_the_contract() {
    let (gateway, mut backend) = plain().await;
    let mut clients = Vec::new();
    for (kind, transport) in EVERY_KIND
        .into_iter()
        .zip(["polling", "websocket", "websocket"])
    {
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", r#"{"token":"secret"}"#).await;
        clients.push(client);
        let body = backend.next_of("connect").await.body;
        assert_eq!(body["seq"], 0);
        assert_eq!(body["socket"]["id"], *id);
        assert_eq!(body["socket"]["namespace"], "/");
        assert_eq!(body["socket"].get("user"), None);
        assert_eq!(body["socket"].get("state"), None);
        let expected = json!({
            "auth": {"token": "secret"}, "query": {}, "headers": {}, "ip": "127.0.0.1",
            "transport": transport, "protocol": 4, "recovered": false,
        });
        assert_eq!(body["request"], expected, "{kind:?}");
    }
}

#[tokio::test]
async fn auth_is_an_empty_object_without_payload_and_loses_what_recovery_uses() {
    let (gateway, mut backend) = plain().await;
    for (sent, told) in [
        ("", json!({})),
        ("{}", json!({})),
        (r#"{"pid":"p","offset":"o","token":1}"#, json!({"token": 1})),
    ] {
        open(&gateway).await.connect("/", sent).await;
        let body = backend.next_of("connect").await.body;
        assert_eq!(body["request"]["auth"], told, "{sent}");
        backend.next_of("disconnect").await;
    }
}

#[tokio::test]
async fn headers_and_query_are_told_as_far_as_they_are_forwarded() {
    let (gateway, mut backend) = with(
        "forward = { headers = [\"x-a\", \"cookie\", \"user-agent\"], query = [\"v\", \"w\"], pass = [\"cookie\", \"authorization\"] }\n",
    )
    .await;
    let headers = [
        ("X-A", "1"),
        ("x-a", "2"),
        ("x-b", "hidden"),
        ("Cookie", "a=1"),
        ("cookie", "b=2"),
        ("User-Agent", "test"),
        ("Authorization", "Bearer token"),
    ];
    let polling = Polling::open_with(
        &gateway,
        "&v=1&v=3&w=%C3%A9%20x+y&hidden=1&t=abc&b64=1",
        &headers,
    )
    .await;
    polling.send("40").await;
    let request = backend.next_of("connect").await;
    let told = &request.body["request"];
    let expected = json!({"x-a": "1, 2", "cookie": "a=1; b=2", "user-agent": "test"});
    assert_eq!(told["headers"], expected);
    assert_eq!(told["query"]["v"], "3", "the last of repeated ones");
    assert!(
        told["query"]["w"].as_str().unwrap().starts_with("é x"),
        "{told}"
    );
    assert_eq!(told["query"].as_object().unwrap().len(), 2, "{told}");
    assert_eq!(request.must("cookie"), "a=1; b=2");
    assert_eq!(request.must("authorization"), "Bearer token");
    // Passed headers go with `connect` only.
    polling.send(r#"42["x"]"#).await;
    let event = backend.next_of("event").await;
    assert_eq!(
        (event.header("cookie"), event.header("authorization")),
        (None, None)
    );
}

#[tokio::test]
async fn with_a_star_everything_is_told_but_the_session() {
    let (gateway, mut backend) = with("forward = { headers = [\"*\"], query = [\"*\"] }\n").await;
    let polling = Polling::open_with(&gateway, "&v=1&t=abc&b64=1&j=0&sid=", &[("x-a", "1")]).await;
    polling.send("40").await;
    let told = backend.next_of("connect").await.body["request"].clone();
    assert_eq!(
        told["query"],
        json!({"EIO": "4", "transport": "polling", "v": "1"})
    );
    assert_eq!(told["headers"]["x-a"], "1");
    assert!(!told.to_string().contains(&polling.sid), "{told}");
}

#[tokio::test]
async fn the_gateways_own_cookie_is_cut_from_what_is_forwarded() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        namespace: "forward = { headers = [\"cookie\"], pass = [\"cookie\"] }\n",
        ..Keys::default()
    });
    let gateway = Gateway::start(&format!("engine.cookie = {{ name = \"io\" }}\n{config}")).await;
    let mut backend = backend;
    for (sent, left) in [
        ("a=1; io=secret; b=2", Some("a=1; b=2")),
        ("io=secret", None),
        ("xio=1; iox=2", Some("xio=1; iox=2")),
    ] {
        let polling = Polling::open_with(&gateway, "", &[("cookie", sent)]).await;
        polling.send("40").await;
        let request = backend.next_of("connect").await;
        let told = request.body["request"]["headers"].get("cookie");
        let told = told.and_then(Value::as_str).filter(|text| !text.is_empty());
        assert_eq!(told, left, "{sent}");
        let passed = request.header("cookie").filter(|text| !text.is_empty());
        assert_eq!(passed, left, "{sent}");
    }
}

#[tokio::test]
async fn any_success_without_reject_lets_the_socket_in() {
    let (gateway, backend) = plain().await;
    for reply in [
        Reply::from(json!({})),
        Reply::status(200),
        Reply::status(204),
        Reply::status_json(201, &json!({"unknown": 1})),
        json!({"ack": ["ignored"]}).into(),
    ] {
        backend.push(reply);
        open(&gateway).await.connect("/", "").await;
    }
}

#[tokio::test]
async fn user_state_rooms_and_actions_apply_in_order_after_the_connect_packet() {
    let (gateway, mut backend) = plain().await;
    backend.push(json!({
        "user": 42, "state": {"role": "editor"}, "rooms": ["doc:9", "tenant:acme"],
        "actions": [
            {"type": "emit", "event": "welcome", "args": [{"motd": "hi"}]},
            {"type": "emit", "event": "to room", "args": [], "to": {"rooms": ["doc:9"]}},
            {"type": "emit", "event": "to user", "args": [], "to": {"users": ["42"]}},
        ],
    }));
    let mut client = open(&gateway).await;
    let id = client.connect("/", "").await;
    client.expect(r#"42["welcome",{"motd":"hi"}]"#).await;
    client.expect(r#"42["to room"]"#).await;
    client.expect(r#"42["to user"]"#).await;
    backend.next_of("connect").await;
    client.send(r#"42["x"]"#).await;
    let socket = backend.next_of("event").await.body["socket"].clone();
    assert_eq!(
        (&socket["user"], &socket["state"]),
        (&json!("42"), &json!({"role": "editor"}))
    );
    let answer = gateway
        .api_get(&format!("/v1/sockets?namespace=/&id={id}"))
        .await;
    let rooms = answer.json()["items"][0]["rooms"].clone();
    assert_eq!(rooms, json!(["doc:9", "tenant:acme", "user:42"]));
}

#[tokio::test]
async fn a_disconnect_among_the_actions_ends_the_socket_after_what_stands_before_it() {
    let (gateway, backend) = plain().await;
    backend.push(json!({"actions": [
        {"type": "emit", "event": "bye", "args": []},
        {"type": "disconnect"},
        {"type": "emit", "event": "never", "args": []},
    ]}));
    let mut client = open(&gateway).await;
    client.connect("/", "").await;
    client.expect(r#"42["bye"]"#).await;
    client.expect("41").await;
    client.connect("/", "").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_message_and_data() {
    let (gateway, backend) = plain().await;
    let reject =
        json!({"reject": {"message": "not authorized", "data": {"code": "TOKEN_EXPIRED"}}});
    let full = r#"44{"message":"not authorized","data":{"code":"TOKEN_EXPIRED"}}"#;
    let unauthorized = r#"44{"message":"unauthorized"}"#;
    for (reply, told) in [
        (Reply::from(reject.clone()), full),
        (Reply::status_json(401, &reject), full),
        (Reply::status_json(403, &reject), full),
        (Reply::status_json(404, &reject), full),
        (Reply::status_json(422, &reject), full),
        (
            json!({"reject": {"message": "no"}, "user": "1", "rooms": ["x"]}).into(),
            r#"44{"message":"no"}"#,
        ),
        (Reply::status(401), unauthorized),
        (Reply::status(403), unauthorized),
        (
            Reply::status_json(401, &json!({"error": "secret detail"})),
            unauthorized,
        ),
        (
            Reply::Raw(403, Vec::new(), b"<html>an ingress</html>".to_vec()),
            unauthorized,
        ),
        (
            json!({"reject": {"message": "x".repeat(201)}}).into(),
            unauthorized,
        ),
        (
            json!({"reject": {"message": "no", "data": "x".repeat(5000)}}).into(),
            unauthorized,
        ),
    ] {
        backend.push(reply);
        let mut client = open(&gateway).await;
        client.send("40").await;
        client.expect(told).await;
        // The connection stays, and may try again.
        client.connect("/", "").await;
    }
}

#[tokio::test]
async fn a_refused_socket_gets_no_disconnect_notice() {
    let (gateway, mut backend) = plain().await;
    backend.push(json!({"reject": {"message": "no"}}));
    let mut client = open(&gateway).await;
    client.send("40").await;
    client.expect(r#"44{"message":"no"}"#).await;
    backend.next_of("connect").await;
    drop(client);
    // What comes next is about somebody else.
    let (_other, id) = Client::joined(&gateway).await;
    assert_eq!(backend.next_of("connect").await.socket(), id);
}

#[tokio::test]
async fn events_wait_behind_the_connect_and_keep_their_order() {
    let (gateway, mut backend) = plain().await;
    let (release, reply) =
        Reply::held(json!({"actions": [{"type": "emit", "event": "welcome", "args": []}]}));
    backend.push(reply);
    let mut client = open(&gateway).await;
    client.send("40").await;
    backend.next_of("connect").await;
    for n in 0..5 {
        client.send(&format!(r#"42{n}["early",{n}]"#)).await;
    }
    client.send(r#"42["echo","edge rules too"]"#).await;
    backend.has_no_request();
    release.go();
    client.expect_connected("/").await;
    client.expect(r#"42["welcome"]"#).await;
    for n in 0..5 {
        client.expect(&format!("43{n}[]")).await;
        assert_eq!(backend.next_of("event").await.body["args"], json!([n]));
    }
    client.expect(r#"42["echo","edge rules too"]"#).await;
}

#[tokio::test]
async fn events_behind_a_refused_connect_are_dropped() {
    let (gateway, mut backend) = plain().await;
    let (release, reply) = Reply::held(json!({"reject": {"message": "no"}}));
    backend.push(reply);
    let mut client = open(&gateway).await;
    client.send("40").await;
    client.send(r#"421["early"]"#).await;
    release.go();
    client.expect(r#"44{"message":"no"}"#).await;
    backend.next_of("connect").await;
    client.connect("/", "").await;
    backend.next_of("connect").await;
    client.expect_quiet().await;
    backend.has_no_request();
}

#[tokio::test]
async fn a_second_connect_while_the_first_is_undecided_closes_the_connection() {
    let (gateway, mut backend) = plain().await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    let mut client = open(&gateway).await;
    client.send("40").await;
    backend.next_of("connect").await;
    client.send("40").await;
    client.expect_end().await;
    release.go();
    let notice = backend.next_of("disconnect").await;
    assert_eq!(notice.body["reason"], "forced close");
    backend.has_no_request();
}

#[tokio::test]
async fn a_client_that_left_before_the_answer_is_given_back_once() {
    let (gateway, mut backend) = plain().await;
    let (mut witness, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    let (release, reply) = Reply::held(json!({
        "rooms": ["r"],
        "actions": [
            {"type": "emit", "event": "joined", "args": [], "to": {"all": true}},
            {"type": "emit", "event": "for itself", "args": []},
        ],
    }));
    backend.push(reply);
    let mut client = open(&gateway).await;
    client.send("40").await;
    let connect = backend.next_of("connect").await;
    drop(client);
    // The gateway has seen the end: it knows of one socket less than connections were made.
    release.go();
    witness.expect(r#"42["joined"]"#).await;
    let notice = backend.next_of("disconnect").await;
    assert_eq!(notice.socket(), connect.socket());
    witness.expect_quiet().await;
    backend.has_no_request();
}

#[tokio::test]
async fn a_socket_ends_at_its_expiry_by_a_transport_close() {
    let (gateway, mut backend) = plain().await;
    let soon = jiff::Timestamp::now() + jiff::Span::new().milliseconds(700);
    backend.push(json!({"expires_at": soon.to_string()}));
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("40").await;
    assert!(matches!(socket.receive().await, Packet::Text(text) if text.starts_with("40{")));
    assert_eq!(socket.receive().await, Packet::End, "no DISCONNECT packet");
    backend.next_of("connect").await;
    let notice = backend.next_of("disconnect").await.body;
    assert_eq!(
        (&notice["reason"], &notice["initiator"]),
        (&json!("expired"), &json!("server"))
    );
}

#[tokio::test]
async fn two_namespaces_are_asked_apart_and_share_the_connection() {
    let mut backend = Backend::start().await;
    let namespaces = ["/a", "/b"].map(|name| {
        format!("[[namespace]]\nmatch = {name:?}\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n")
    });
    let config = [backend.upstream(), namespaces.concat()].concat();
    let gateway = Gateway::start(&config).await;
    let mut client = open(&gateway).await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    client.send("40/a,").await;
    let a = backend.next_of("connect").await.body;
    // The slow one does not delay its neighbour.
    client.connect("/b", "").await;
    let b = backend.next_of("connect").await.body;
    assert_eq!(a["socket"]["connection"], b["socket"]["connection"]);
    assert_ne!(a["socket"]["id"], b["socket"]["id"]);
    release.go();
    client.expect_connected("/a").await;
}

#[tokio::test]
async fn more_forwarded_headers_than_4_kib_are_refused_at_the_handshake() {
    let (gateway, _backend) = with("forward = { headers = [\"*\"] }\n").await;
    let long = "x".repeat(4200);
    let target = gateway.target("EIO=4&transport=polling");
    let answer =
        crate::support::http::ask(gateway.clients, "GET", &target, &[("x-long", &long)], "").await;
    assert_eq!(answer.status, 431, "{answer:?}");
}

#[tokio::test]
async fn the_address_of_the_client_is_told_through_a_trusted_proxy_only() {
    for (trusted, told) in [
        (
            "server.trusted_proxies = [\"127.0.0.0/8\"]\n",
            "203.0.113.7",
        ),
        ("", "127.0.0.1"),
    ] {
        let mut backend = Backend::start().await;
        let gateway = Gateway::start(&format!("{trusted}{}", backend.everything())).await;
        let forwarded = [("x-forwarded-for", "198.51.100.1, 203.0.113.7")];
        let polling = Polling::open_with(&gateway, "", &forwarded).await;
        polling.send("40").await;
        assert_eq!(backend.next_of("connect").await.body["request"]["ip"], told);
    }
}
