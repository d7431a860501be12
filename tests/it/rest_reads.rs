//! Reads over REST (contract 9): namespaces, rooms, sockets, nodes, upstreams, and walks that give everything exactly once.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::backend::{Backend, Keys};
use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::polling::Polling;
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

const NODES: &str = r#"{"expected":1,"answered":1}"#;

async fn read(gateway: &Gateway, target: &str) -> Value {
    let answer = gateway.api_get(target).await;
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    answer.has("content-type", "application/json");
    answer.json()
}

fn nodes() -> Value {
    NODES.parse().unwrap()
}

/// Walks all pages.
async fn walk(gateway: &Gateway, target: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut page = read(gateway, target).await;
    loop {
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next"].as_str() else {
            assert_eq!(page["next"], Value::Null);
            return items;
        };
        page = read(gateway, &format!("{target}&cursor={cursor}")).await;
    }
}

#[tokio::test]
async fn namespaces_are_those_with_sockets() {
    let gateway = Gateway::start(&format!(
        "{ECHO}[[namespace]]\nmatch = \"/room-*\"\nauth = \"none\"\n"
    ))
    .await;
    let body = read(&gateway, "/v1/namespaces").await;
    assert_eq!(body, json!({"items": [], "next": null, "nodes": nodes()}));
    let (mut a, _) = Client::joined(&gateway).await;
    let (_b, _) = Client::joined(&gateway).await;
    a.connect("/room-1", "").await;
    let body = read(&gateway, "/v1/namespaces").await;
    let expected = json!([
        {"name": "/", "match": "/", "sockets": 2},
        {"name": "/room-1", "match": "/room-*", "sockets": 1},
    ]);
    assert_eq!(body["items"], expected);
    a.send("41/room-1,").await;
    eventually("the namespace that was left to be gone", async || {
        let body = read(&gateway, "/v1/namespaces").await;
        let only = body["items"] == json!([{"name": "/", "match": "/", "sockets": 2}]);
        only.then_some(()).ok_or_else(|| body.to_string())
    })
    .await;
}

#[tokio::test]
async fn rooms_are_sorted_counted_and_filtered_by_prefix() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        clients.push((client, id));
    }
    gateway
        .actions(&json!([
            {"type": "join", "rooms": ["doc:10", "doc:9", "chat:é", "a"], "to": {"sockets": [clients[0].1]}},
            {"type": "join", "rooms": ["doc:9"], "to": {"sockets": [clients[1].1, clients[2].1]}},
        ]))
        .await;
    let body = read(&gateway, "/v1/rooms?namespace=/").await;
    let room = |name: &str, sockets: u64| json!({"name": name, "sockets": sockets});
    assert_eq!(
        body,
        json!({"items": [room("a", 1), room("chat:é", 1), room("doc:10", 1), room("doc:9", 3)], "next": null, "nodes": nodes()})
    );
    let body = read(&gateway, "/v1/rooms?namespace=%2F&prefix=doc:").await;
    assert_eq!(body["items"], json!([room("doc:10", 1), room("doc:9", 3)]));
    let body = read(&gateway, "/v1/rooms?prefix=none:").await;
    assert_eq!(body["items"], json!([]));
}

#[tokio::test]
async fn a_walk_over_rooms_gives_each_exactly_once_over_changes() {
    let gateway = Gateway::start(ECHO).await;
    let (_client, id) = Client::joined(&gateway).await;
    let (_other, other) = Client::joined(&gateway).await;
    let names: Vec<_> = (0..50).map(|n| format!("r{n:03}")).collect();
    let join = |rooms: &[String], id: &str| json!([{"type": "join", "rooms": rooms, "to": {"sockets": [id]}}]);
    gateway.actions(&join(&names, &id)).await;
    let mut seen = Vec::new();
    let mut page = read(&gateway, "/v1/rooms?namespace=/&limit=7").await;
    for change in 0.. {
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(items.iter().map(|i| i["name"].as_str().unwrap().to_owned()));
        // Rooms come and go during the walk.
        gateway
            .actions(&join(
                &[format!("q{change}"), format!("r01{change}x")],
                &other,
            ))
            .await;
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        page = read(
            &gateway,
            &format!("/v1/rooms?namespace=/&limit=7&cursor={cursor}"),
        )
        .await;
    }
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "something twice: {seen:?}");
    for name in &names {
        assert!(unique.contains(name), "{name} is missing");
    }
}

#[tokio::test]
async fn a_socket_is_told_with_all_its_facts() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    for (kind, transport) in EVERY_KIND
        .into_iter()
        .zip(["polling", "websocket", "websocket"])
    {
        backend.push(json!({"user": "42", "state": {"role": "editor"}, "rooms": ["doc:9"]}));
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        let body = read(&gateway, &format!("/v1/sockets?namespace=/&id={id}")).await;
        assert_eq!((&body["next"], &body["nodes"]), (&Value::Null, &nodes()));
        assert_eq!(body["items"].as_array().unwrap().len(), 1);
        let item = &body["items"][0];
        let mut keys: Vec<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        let expected = [
            "connected_at",
            "connection",
            "expires_at",
            "id",
            "last_seen",
            "namespace",
            "node",
            "queue",
            "rooms",
            "state",
            "transport",
            "user",
            "version",
        ];
        assert_eq!(keys, expected);
        assert_eq!(item["id"], *id);
        assert_eq!(item["namespace"], "/");
        assert_eq!(item["user"], "42");
        assert_eq!(item["state"], json!({"role": "editor"}));
        assert_eq!(item["rooms"], json!(["doc:9", "user:42"]));
        assert_eq!(item["transport"], transport);
        assert_eq!(item["expires_at"], Value::Null);
        assert_eq!(item["queue"], json!({"messages": 0, "bytes": 0}));
        for time in ["connected_at", "last_seen"] {
            let text = item[time].as_str().unwrap();
            assert_eq!(text.len(), "2026-11-24T22:00:00.123Z".len(), "{text}");
        }
        client.send("41").await;
        client.connect("/", "").await;
    }
}

#[tokio::test]
async fn sockets_are_filtered_by_room_and_user() {
    let backend = Backend::start().await;
    backend.answer(|request| json!({"user": request.body["request"]["auth"]["user"]}));
    let gateway = Gateway::start(&backend.everything()).await;
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for user in ["1", "1", "2"] {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        ids.push(
            client
                .connect("/", &format!(r#"{{"user":"{user}"}}"#))
                .await,
        );
        clients.push(client);
    }
    gateway
        .actions(&json!([{"type": "join", "rooms": ["r"], "to": {"sockets": [ids[1], ids[2]]}}]))
        .await;
    let found = async |query: &str| {
        let items = walk(&gateway, &format!("/v1/sockets?namespace=/&{query}")).await;
        let found: BTreeSet<String> = items
            .iter()
            .map(|i| i["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found.len(), items.len());
        found
    };
    let set = |ns: &[usize]| ns.iter().map(|n| ids[*n].clone()).collect::<BTreeSet<_>>();
    assert_eq!(found("limit=1").await, set(&[0, 1, 2]));
    assert_eq!(found("user=1").await, set(&[0, 1]));
    assert_eq!(found("room=r").await, set(&[1, 2]));
    assert_eq!(found("room=r&user=1").await, set(&[1]));
    assert_eq!(found("room=none").await, set(&[]));
    assert_eq!(found("user=3").await, set(&[]));
}

#[tokio::test]
async fn a_walk_over_sockets_gives_each_exactly_once_over_changes() {
    let gateway = Gateway::start(ECHO).await;
    let mut stay = Vec::new();
    for n in 0..30 {
        let mut client = Client::open(EVERY_KIND[n % 3], &gateway).await;
        let id = client.connect("/", "").await;
        stay.push((client, id));
    }
    let mut seen = Vec::new();
    let mut page = read(&gateway, "/v1/sockets?namespace=/&limit=4").await;
    loop {
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        seen.extend(items.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        let (mut passing, _) = Client::joined(&gateway).await;
        passing.send("41").await;
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        page = read(
            &gateway,
            &format!("/v1/sockets?namespace=/&limit=4&cursor={cursor}"),
        )
        .await;
    }
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "something twice");
    for (_, id) in &stay {
        assert!(unique.contains(id), "{id} is missing");
    }
}

#[tokio::test]
async fn an_unknown_socket_and_an_unknown_namespace_are_404() {
    let gateway = Gateway::start(&format!(
        "{ECHO}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\n"
    ))
    .await;
    let (mut client, _) = Client::joined(&gateway).await;
    let other = client.connect("/other", "").await;
    for id in ["AAAAAAAAAAAAAAAAAAAA", &other] {
        let target = format!("/v1/sockets?namespace=/&id={id}");
        gateway
            .api_get(&target)
            .await
            .problem(404, "unknown_socket");
    }
    for target in [
        "/v1/sockets?namespace=/nowhere",
        "/v1/rooms?namespace=/nowhere",
    ] {
        gateway
            .api_get(target)
            .await
            .problem(404, "unknown_namespace");
    }
}

#[tokio::test]
async fn wrong_parameters_are_told() {
    let gateway = Gateway::start(ECHO).await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "cursor=no%20cursor",
        "unknown=1",
        "rooom=r",
    ] {
        let answer = gateway
            .api_get(&format!("/v1/sockets?namespace=/&{query}"))
            .await;
        let (name, _) = query.split_once('=').unwrap();
        let told = answer.problem(422, "invalid_request");
        assert_eq!(told, [format!("?{name}")], "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn the_handshake_is_told_on_demand_and_only_what_is_forwarded() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        namespace: "forward = { headers = [\"x-a\", \"cookie\"], query = [\"v\"] }",
        ..Keys::default()
    });
    let gateway = Gateway::start(&config).await;
    let headers = [("x-a", "1"), ("x-b", "2"), ("cookie", "secret=canary")];
    let polling = Polling::open_with(&gateway, "&v=3&w=4", &headers).await;
    polling.send(r#"40{"token":"canary"}"#).await;
    let answer = polling.poll().await;
    let id: Value = serde_json::from_str(answer.text().strip_prefix("40").unwrap()).unwrap();
    let id = id["sid"].as_str().unwrap();
    let body = read(
        &gateway,
        &format!("/v1/sockets?namespace=/&id={id}&fields=handshake"),
    )
    .await;
    let handshake = &body["items"][0]["handshake"];
    assert_eq!(handshake["ip"], "127.0.0.1", "{body}");
    assert_eq!(handshake["headers"], json!({"x-a": "1"}), "{body}");
    assert_eq!(handshake["query"], json!({"v": "3"}), "{body}");
    assert!(!body.to_string().contains("canary"), "{body}");
    assert!(!body.to_string().contains(&polling.sid), "{body}");
}

#[tokio::test]
async fn nodes_and_upstreams_tell_their_state() {
    let backend = Backend::start().await;
    let gateway =
        Gateway::start(&format!("server.node = \"gw-1\"\n{}", backend.everything())).await;
    let (_client, id) = Client::joined(&gateway).await;
    let body = read(&gateway, "/v1/nodes").await;
    let node = &body["items"][0];
    assert_eq!(node["name"], "gw-1");
    assert!(id.starts_with(node["tag"].as_str().unwrap()), "{node}");
    assert_eq!(node["connections"], 1, "{node}");
    assert_eq!(node["state"], "ready");
    assert!(node["shards"].as_u64().unwrap() >= 1);
    assert!(node["version"].is_string() && node["started_at"].is_string());
    let body = read(&gateway, "/v1/upstreams").await;
    let expected =
        json!([{"name": "app", "state": "up", "in_flight": 0, "waiting": 0, "last_error": null}]);
    assert_eq!(body["items"], expected);
}

#[tokio::test]
async fn the_queue_of_a_socket_that_does_not_poll_is_told() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = Client::open(Kind::Polling, &gateway).await;
    let id = client.connect("/", "").await;
    for n in 0..3 {
        gateway
            .emit(&json!({"sockets": [id]}), "x", &json!([n]))
            .await;
    }
    let body = read(&gateway, &format!("/v1/sockets?namespace=/&id={id}")).await;
    let queue = &body["items"][0]["queue"];
    assert_eq!(queue["messages"], 3, "{body}");
    assert!(queue["bytes"].as_u64().unwrap() >= 3 * 9, "{body}");
}

#[tokio::test]
async fn endpoints_of_later_releases_are_not_found() {
    let gateway = Gateway::start(ECHO).await;
    for (method, target) in [
        ("POST", "/v1/users/query"),
        ("GET", "/v1/config"),
        ("PATCH", "/v1/sockets?namespace=/&id=AAAAAAAAAAAAAAAAAAAA"),
    ] {
        let body = if method == "GET" { "" } else { "{}" };
        let answer = gateway.api_with(method, target, &[], body).await;
        assert!(
            matches!(answer.status, 404 | 405),
            "{method} {target}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn the_openapi_document_is_served_and_names_every_endpoint() {
    let gateway = Gateway::start(ECHO).await;
    let document = read(&gateway, "/v1/openapi.json").await;
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    let paths = document["paths"].as_object().unwrap();
    for endpoint in [
        "/v1/emit",
        "/v1/actions",
        "/v1/join",
        "/v1/leave",
        "/v1/disconnect",
        "/v1/namespaces",
        "/v1/rooms",
        "/v1/sockets",
        "/v1/nodes",
        "/v1/upstreams",
    ] {
        let short = endpoint.strip_prefix("/v1").unwrap();
        assert!(
            paths.contains_key(endpoint) || paths.contains_key(short),
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn a_handshake_shows_a_namespace_nothing_that_only_another_is_told() {
    let config = |name: &str, forward: &str| {
        format!("[[namespace]]\nmatch = \"{name}\"\nauth = \"none\"\nforward = {forward}\n")
    };
    let gateway = Gateway::start(&format!(
        "{}{}{}",
        config("/a", "{ headers = [\"x-a\"], query = [\"a\"] }"),
        config("/b", "{ headers = [\"x-b\"], query = [\"b\"] }"),
        config("/none", "{}"),
    ))
    .await;
    let headers = [("x-a", "1"), ("x-b", "2")];
    let socket = WebSocket::open_with(&gateway, "&a=3&b=4", &headers).await;
    let mut client = Client::WebSocket(socket);
    for (namespace, headers, query) in [
        ("/a", json!({"x-a": "1"}), json!({"a": "3"})),
        ("/b", json!({"x-b": "2"}), json!({"b": "4"})),
        ("/none", json!({}), json!({})),
    ] {
        let id = client.connect(namespace, "").await;
        let target = format!("/v1/sockets?namespace={namespace}&id={id}&fields=handshake");
        let handshake = read(&gateway, &target).await["items"][0]["handshake"].clone();
        assert_eq!(handshake["headers"], headers, "{namespace}");
        assert_eq!(handshake["query"], query, "{namespace}");
    }
}

#[tokio::test]
async fn a_backend_that_is_away_is_told_with_its_last_error() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything_with(&Keys {
        upstream: "breaker = { min_requests = 1 }",
        ..Keys::default()
    }))
    .await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.stop().await;
    client.send(r#"42["x"]"#).await;
    eventually("an upstream that is down", async || {
        let body = read(&gateway, "/v1/upstreams").await;
        let upstream = &body["items"][0];
        let told = upstream["last_error"]
            .as_str()
            .is_some_and(|e| !e.is_empty());
        let down = upstream["state"] != "up";
        (told && down).then_some(()).ok_or_else(|| body.to_string())
    })
    .await;
}

#[tokio::test]
async fn the_api_answers_until_the_end_of_a_drain() {
    let gateway = Gateway::start(&format!("drain.delay = \"5s\"\n{ECHO}")).await;
    let (mut client, id) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    gateway.log_line(&["draining"]).await;
    let body = read(&gateway, "/v1/nodes").await;
    assert_eq!(body["items"][0]["state"], "draining", "{body}");
    gateway
        .emit(&json!({"sockets": [id]}), "bye", &json!([]))
        .await;
    client.expect(r#"42["bye"]"#).await;
}
