//! Keys of the REST API (contract 9): who may do what, where, and what a stranger is told.

use serde_json::json;

use crate::support::client::{Client, Kind};
use crate::support::gateway::{ECHO, Gateway, Setup};
use crate::support::http::Answer;

const ADMIN: &str = "sgk_admin_0123456789abcdef0123456789abcdef0123456789";
const EMIT: &str = "sgk_emit_0123456789abcdef0123456789abcdef00123456789";
const READ: &str = "sgk_read_0123456789abcdef0123456789abcdef00123456789";
const SHOP: &str = "sgk_shop_0123456789abcdef0123456789abcdef00123456789";

const KEYS: &str = r#"
[[api.key]]
name = "admin"
secret = "env:ADMIN_KEY"
scopes = ["admin"]
[[api.key]]
name = "emit"
secret = "env:EMIT_KEY"
scopes = ["emit"]
[[api.key]]
name = "read"
secret = "env:READ_KEY"
scopes = ["read"]
[[api.key]]
name = "shop"
secret = "env:SHOP_KEY"
scopes = ["emit", "rooms", "disconnect", "read"]
namespaces = ["/orders", "/shop-*"]
[[namespace]]
match = "/orders"
auth = "none"
[[namespace]]
match = "/shop-*"
auth = "none"
"#;

async fn with_keys() -> Gateway {
    Setup::new(&format!("{KEYS}{ECHO}"))
        .env("ADMIN_KEY", ADMIN)
        .env("EMIT_KEY", EMIT)
        .env("READ_KEY", READ)
        .env("SHOP_KEY", SHOP)
        .start()
        .await
}

async fn call(gateway: &Gateway, key: &str, method: &str, target: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    gateway.api_with(method, target, &headers, body).await
}

const NEWS: &str = r#"{"event":"x","args":[],"to":{"all":true}}"#;

#[tokio::test]
async fn without_keys_the_api_on_loopback_is_open_and_the_log_says_so() {
    let gateway = Gateway::start(ECHO).await;
    assert_eq!(
        gateway.api_with("POST", "/v1/emit", &[], NEWS).await.status,
        202
    );
    gateway.log_line(&["WARN", "API", "key"]).await;
}

#[tokio::test]
async fn with_any_key_every_request_needs_one_and_a_stranger_learns_nothing() {
    let gateway = with_keys().await;
    let mut bodies = Vec::new();
    let wrong = format!("Bearer {}x", &ADMIN[..ADMIN.len() - 1]);
    let bare = ADMIN.to_owned();
    let basic = "Basic YTpi".to_owned();
    for authorization in [
        None,
        Some(wrong),
        Some("Bearer ".to_owned()),
        Some(bare),
        Some(basic),
    ] {
        for (method, target, body) in [
            ("POST", "/v1/emit", NEWS),
            ("POST", "/v1/emit", "{"),
            ("GET", "/v1/namespaces", ""),
            ("GET", "/v1/openapi.json", ""),
            ("GET", "/v1/nothing", ""),
        ] {
            let headers: Vec<_> = authorization
                .iter()
                .map(|a| ("authorization", a.as_str()))
                .collect();
            let answer = gateway.api_with(method, target, &headers, body).await;
            answer.problem(401, "unauthenticated");
            let mut body = answer.json();
            body["request_id"].take();
            bodies.push(body);
        }
        if bodies.len() >= 15 {
            break;
        }
    }
    assert!(
        bodies.windows(2).all(|pair| pair[0] == pair[1]),
        "{bodies:#?}"
    );
    assert_eq!(
        call(&gateway, ADMIN, "POST", "/v1/emit", NEWS).await.status,
        202
    );
}

#[tokio::test]
async fn each_scope_allows_its_part() {
    let gateway = with_keys().await;
    let join = r#"{"rooms":["a"],"to":{"all":true}}"#;
    let end = r#"{"to":{"users":["nobody"]}}"#;
    for (key, method, target, body, status) in [
        (EMIT, "POST", "/v1/emit", NEWS, 202),
        (EMIT, "POST", "/v1/join", join, 403),
        (EMIT, "POST", "/v1/disconnect", end, 403),
        (EMIT, "GET", "/v1/rooms?namespace=/", "", 403),
        (EMIT, "GET", "/v1/upstreams", "", 403),
        (READ, "POST", "/v1/emit", NEWS, 403),
        (READ, "GET", "/v1/rooms?namespace=/", "", 200),
        (READ, "GET", "/v1/namespaces", "", 200),
        (READ, "GET", "/v1/nodes", "", 200),
        (READ, "GET", "/v1/openapi.json", "", 200),
        (READ, "GET", "/v1/upstreams", "", 403),
        (ADMIN, "POST", "/v1/emit", NEWS, 202),
        (ADMIN, "POST", "/v1/join", join, 202),
        (ADMIN, "POST", "/v1/disconnect", end, 202),
        (ADMIN, "GET", "/v1/rooms?namespace=/", "", 200),
        (ADMIN, "GET", "/v1/upstreams", "", 200),
    ] {
        let answer = call(&gateway, key, method, target, body).await;
        assert_eq!(answer.status, status, "{key} {method} {target}: {answer:?}");
        if status == 403 {
            answer.problem(403, "scope_missing");
        }
    }
}

#[tokio::test]
async fn actions_are_allowed_one_by_one() {
    let gateway = with_keys().await;
    let body = json!({"actions": [
        {"type": "emit", "event": "x", "args": [], "to": {"all": true}},
        {"type": "join", "rooms": ["a"], "to": {"all": true}},
        {"type": "disconnect", "to": {"users": ["nobody"]}},
        {"type": "state", "set": 1, "to": {"sockets": []}},
    ]});
    let statuses = async |key: &str| {
        let answer = call(&gateway, key, "POST", "/v1/actions", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.json()["results"].clone();
        results
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["status"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(EMIT).await, [202, 403, 403, 403]);
    assert_eq!(statuses(ADMIN).await, [202, 202, 202, 202]);
}

#[tokio::test]
async fn a_key_with_a_list_of_namespaces_touches_no_other() {
    let gateway = with_keys().await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.connect("/orders", "").await;
    let emit = |namespace: &str| {
        json!({"namespace": namespace, "event": "x", "args": [], "to": {"all": true}}).to_string()
    };
    for (namespace, status) in [
        ("/orders", 202),
        ("/shop-1", 202),
        ("/", 403),
        ("/ordersx", 403),
    ] {
        let answer = call(&gateway, SHOP, "POST", "/v1/emit", &emit(namespace)).await;
        assert_eq!(answer.status, status, "{namespace}: {answer:?}");
        if status == 403 {
            answer.problem(403, "namespace_forbidden");
        }
    }
    client.expect(r#"42/orders,["x"]"#).await;
    client.expect_quiet().await;
    let answer = call(&gateway, SHOP, "GET", "/v1/sockets?namespace=/", "").await;
    answer.problem(403, "namespace_forbidden");
    // Reads over all namespaces show only its own.
    let answer = call(&gateway, SHOP, "GET", "/v1/namespaces", "").await;
    let names: Vec<_> = answer.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["name"].clone())
        .collect();
    assert_eq!(names, ["/orders"], "{answer:?}");
}

#[tokio::test]
async fn closing_a_connection_needs_a_key_for_all_its_namespaces() {
    let gateway = with_keys().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let order = client.connect("/orders", "").await;
    let body =
        json!({"namespace": "/orders", "to": {"sockets": [order]}, "close": true}).to_string();
    call(&gateway, SHOP, "POST", "/v1/disconnect", &body)
        .await
        .problem(403, "namespace_forbidden");
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_key_may_be_known_by_its_sha256() {
    use sha2::Digest;
    use std::fmt::Write;
    let mut hex = String::new();
    for byte in sha2::Sha256::digest(ADMIN) {
        write!(hex, "{byte:02x}").unwrap();
    }
    let config =
        format!("[[api.key]]\nname = \"a\"\nsha256 = \"{hex}\"\nscopes = [\"admin\"]\n{ECHO}");
    let gateway = Gateway::start(&config).await;
    assert_eq!(
        call(&gateway, ADMIN, "POST", "/v1/emit", NEWS).await.status,
        202
    );
    call(&gateway, EMIT, "POST", "/v1/emit", NEWS)
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn after_twenty_wrong_keys_a_minute_further_wrong_ones_are_429_and_right_ones_pass() {
    let gateway = with_keys().await;
    let mut statuses = Vec::new();
    for n in 0..25 {
        let answer = call(
            &gateway,
            &format!("sgk_wrong_{n}"),
            "GET",
            "/v1/namespaces",
            "",
        )
        .await;
        statuses.push(answer.status);
        if answer.status == 429 {
            answer.problem(429, "rate_limited");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
    }
    assert_eq!(statuses[..20], [401; 20]);
    assert_eq!(statuses[20..], [429; 5]);
    assert_eq!(
        call(&gateway, READ, "GET", "/v1/namespaces", "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn keys_are_nowhere_in_the_log() {
    let gateway = with_keys().await;
    call(&gateway, ADMIN, "POST", "/v1/emit", NEWS).await;
    call(&gateway, "sgk_wrong_canary", "POST", "/v1/emit", NEWS).await;
    for line in gateway.logs() {
        assert!(
            !line.contains("0123456789abcdef") && !line.contains("canary"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn without_keys_a_web_page_cannot_reach_the_api_by_a_name_of_its_own() {
    let gateway = Gateway::start(ECHO).await;
    for host in [
        "evil.example",
        "evil.example:3001",
        "localhost.evil.example",
    ] {
        for (method, target, body) in [("GET", "/v1/sockets", ""), ("POST", "/v1/emit", NEWS)] {
            let answer = gateway
                .api_with(method, target, &[("host", host)], body)
                .await;
            answer.problem(401, "unauthenticated");
        }
    }
    for host in ["localhost:3001", "127.0.0.1", "[::1]:3001"] {
        let headers = [("host", host)];
        let answer = gateway.api_with("GET", "/v1/sockets", &headers, "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
    // A key proves more than a name.
    let gateway = with_keys().await;
    let authorization = format!("Bearer {READ}");
    let headers = [
        ("host", "gateway.internal"),
        ("authorization", &authorization),
    ];
    let answer = gateway.api_with("GET", "/v1/sockets", &headers, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_walk_over_namespaces_shows_only_those_of_the_key() {
    let config = KEYS.replace("\"/shop-*\"]", "\"/shop-*1\"]");
    let gateway = Setup::new(&format!("{config}{ECHO}"))
        .env("ADMIN_KEY", ADMIN)
        .env("EMIT_KEY", EMIT)
        .env("READ_KEY", READ)
        .env("SHOP_KEY", SHOP)
        .start()
        .await;
    let mut clients = Vec::new();
    for n in 10..35 {
        let mut client = Client::open(Kind::WebSocket, &gateway).await;
        client.connect(&format!("/shop-{n}"), "").await;
        clients.push(client);
    }
    let mut names = Vec::new();
    let mut target = "/v1/namespaces?limit=1".to_owned();
    loop {
        let page = call(&gateway, SHOP, "GET", &target, "").await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 1);
        names.extend(items.iter().map(|item| item["name"].clone()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        target = format!("/v1/namespaces?limit=1&cursor={next}");
    }
    assert_eq!(names, ["/shop-11", "/shop-21", "/shop-31"]);
}

#[tokio::test]
async fn an_expiry_needs_the_scope_of_a_disconnect_and_a_state_the_highest() {
    let gateway = with_keys().await;
    let (mut client, _) = Client::joined(&gateway).await;
    let order = client.connect("/orders", "").await;
    let to = json!({"sockets": [order]});
    let body = json!({"namespace": "/orders", "actions": [
        {"type": "expire", "at": null, "to": to},
        {"type": "state", "set": 1, "to": to},
        {"type": "leave", "rooms": ["a"], "to": to},
        {"type": "leave", "rooms": ["a"], "to": {"all": true}, "namespace": "/"},
    ]});
    for (key, statuses) in [
        (SHOP, [202, 403, 202, 403]),
        (EMIT, [403, 403, 403, 403]),
        (ADMIN, [202, 202, 202, 202]),
    ] {
        let answer = call(&gateway, key, "POST", "/v1/actions", &body.to_string()).await;
        let results = answer.json()["results"].clone();
        let told: Vec<_> = results
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["status"])
            .collect();
        assert_eq!(told, statuses, "{key}: {results}");
    }
    client.expect_quiet().await;
}
