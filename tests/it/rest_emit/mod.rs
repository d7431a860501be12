//! `POST /v1/emit` (contract 7, 9): audiences, what arrives, what is refused, and what a success means.

mod faults;

use serde_json::{Value, json};

use crate::support::client::{Client, EVERY_KIND, Kind};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, request};

/// Puts sockets into rooms.
async fn join(gateway: &Gateway, socket: &str, rooms: &[&str]) {
    let join = json!([{"type": "join", "rooms": rooms, "to": {"sockets": [socket]}}]);
    gateway.actions(&join).await;
}

async fn joined(kind: Kind, gateway: &Gateway) -> (Client, String) {
    let mut client = Client::open(kind, gateway).await;
    let id = client.connect("/", "").await;
    (client, id)
}

#[tokio::test]
async fn an_emit_to_all_reaches_every_socket_of_the_namespace_on_every_transport() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        clients.push(joined(kind, &gateway).await.0);
    }
    gateway
        .emit(
            &json!({"all": true}),
            "news",
            &json!([1, "two", {"three": null}]),
        )
        .await;
    for client in &mut clients {
        client.expect(r#"42["news",1,"two",{"three":null}]"#).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_success_has_an_id_and_with_report_a_count() {
    let gateway = Gateway::start(ECHO).await;
    let (_a, _) = Client::joined(&gateway).await;
    let (_b, _) = Client::joined(&gateway).await;
    let body = json!({"event": "x", "args": [], "to": {"all": true}});
    let answer = gateway.api_post("/v1/emit", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.json()["id"].as_str().unwrap().starts_with("em_"));
    assert_eq!(answer.json().as_object().unwrap().len(), 1);
    let body = json!({"event": "x", "args": [], "to": {"all": true}, "report": true});
    let answer = gateway.api_post("/v1/emit", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = answer.json();
    assert_eq!(report["sockets"], 2, "{report}");
    assert_eq!(report["nodes"], json!({"expected": 1, "answered": 1}));
}

#[tokio::test]
async fn each_audience_reaches_exactly_its_sockets_and_each_once() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(joined(EVERY_KIND[n % 3], &gateway).await);
    }
    let ids: Vec<String> = clients.iter().map(|(_, id)| id.clone()).collect();
    join(&gateway, &ids[0], &["a", "both"]).await;
    join(&gateway, &ids[1], &["b", "both"]).await;
    join(&gateway, &ids[2], &["user:7"]).await;
    for (to, except, reached) in [
        (json!({"all": true}), Value::Null, vec![0, 1, 2, 3]),
        (json!({"rooms": ["a"]}), Value::Null, vec![0]),
        (json!({"rooms": ["a", "b"]}), Value::Null, vec![0, 1]),
        (json!({"rooms": ["a", "both"]}), Value::Null, vec![0, 1]),
        (json!({"users": ["7"]}), Value::Null, vec![2]),
        (json!({"sockets": [ids[3]]}), Value::Null, vec![3]),
        (json!({"rooms": [ids[3]]}), Value::Null, vec![3]),
        (
            json!({"rooms": ["a"], "users": ["7"], "sockets": [ids[0], ids[3]]}),
            Value::Null,
            vec![0, 2, 3],
        ),
        (json!({"all": true}), json!({"rooms": ["both"]}), vec![2, 3]),
        (
            json!({"all": true}),
            json!({"sockets": [ids[0]], "users": ["7"]}),
            vec![1, 3],
        ),
        (
            json!({"rooms": ["a", "b"]}),
            json!({"rooms": ["b"]}),
            vec![0],
        ),
        (
            json!({"sockets": [ids[0]]}),
            json!({"sockets": [ids[0]]}),
            vec![],
        ),
        (json!({"rooms": []}), Value::Null, vec![]),
        (
            json!({"rooms": [], "users": [], "sockets": []}),
            Value::Null,
            vec![],
        ),
        (json!({"rooms": ["nobody"]}), Value::Null, vec![]),
        (
            json!({"sockets": ["AAAAAAAAAAAAAAAAAAAA"]}),
            Value::Null,
            vec![],
        ),
    ] {
        let mut body = json!({"event": "x", "args": [], "to": to, "report": true});
        if !except.is_null() {
            body["except"] = except.clone();
        }
        let answer = gateway.api_post("/v1/emit", &body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        assert_eq!(answer.json()["sockets"], reached.len(), "{body}");
        for (n, (client, _)) in clients.iter_mut().enumerate() {
            if reached.contains(&n) {
                client.expect(r#"42["x"]"#).await;
            }
            client.expect_quiet().await;
        }
    }
}

#[tokio::test]
async fn a_namespace_is_apart_from_every_other() {
    let gateway = Gateway::start(&format!(
        "{ECHO}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\n"
    ))
    .await;
    let (mut client, _) = Client::joined(&gateway).await;
    let other = client.connect("/other", "").await;
    let emit = async |body: Value| {
        let answer = gateway.api_post("/v1/emit", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    emit(json!({"namespace": "/other", "event": "x", "args": [1], "to": {"all": true}})).await;
    client.expect(r#"42/other,["x",1]"#).await;
    emit(json!({"event": "x", "args": [2], "to": {"all": true}})).await;
    client.expect(r#"42["x",2]"#).await;
    // A socket of another namespace is not reached.
    emit(json!({"event": "x", "args": [3], "to": {"sockets": [other]}})).await;
    client.expect_quiet().await;
    let body = json!({"namespace": "/nowhere", "event": "x", "args": [], "to": {"all": true}});
    gateway
        .api_post("/v1/emit", &body)
        .await
        .problem(404, "unknown_namespace");
}

#[tokio::test]
async fn arguments_arrive_as_they_were_written() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let args = r#"1.0,-0,1E5,{"b":1,"a":2,"b":3},123456789012345678901234567890,"\u00e9\/é😀",{"_placeholder":true,"num":5}"#;
    let body = format!(r#"{{"event":"x","args":[{args}],"to":{{"all":true}}}}"#);
    let answer = gateway.api_with("POST", "/v1/emit", &[], &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    client.expect(&format!(r#"42["x",{args}]"#)).await;
}

#[tokio::test]
async fn bytes_arrive_as_attachments_on_every_transport() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let (mut client, id) = joined(kind, &gateway).await;
        let hole = |num: u64| json!({"_placeholder": true, "num": num});
        let body = json!({
            "event": "x", "args": [hole(1), {"deep": [hole(0)]}, hole(1)],
            "attachments": ["AQIDBA==", "b25l", "unused++"], "to": {"sockets": [id]},
        });
        let answer = gateway.api_post("/v1/emit", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let first = r#"{"_placeholder":true,"num":0}"#;
        let second = r#"{"_placeholder":true,"num":1}"#;
        client
            .expect(&format!(
                r#"452-["x",{first},{{"deep":[{second}]}},{first}]"#
            ))
            .await;
        client.expect_binary(b"one").await;
        client.expect_binary(&[1, 2, 3, 4]).await;
    }
}

#[tokio::test]
async fn the_request_id_and_trace_of_the_caller_come_back() {
    let gateway = Gateway::start(ECHO).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("x-request-id", "mine-1"), ("traceparent", trace)];
    let answer = gateway.api_with("POST", "/v1/emit", &headers, "{}").await;
    answer.problem(422, "invalid_request");
    answer
        .has("x-request-id", "mine-1")
        .has("traceparent", trace);
    assert_eq!(answer.json()["request_id"], "mine-1");
    let answer = gateway.api_with("POST", "/v1/emit", &[], "{}").await;
    let own = answer
        .header("x-request-id")
        .expect("a request id")
        .to_owned();
    assert_eq!(answer.json()["request_id"], *own);
}

#[tokio::test]
async fn a_success_means_applied_on_this_node() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND.into_iter().cycle().take(9) {
        clients.push(joined(kind, &gateway).await);
    }
    for round in 0..20 {
        let room = format!("r{round}");
        for (_, id) in &clients {
            join(&gateway, id, &[&room]).await;
        }
        gateway
            .emit(&json!({"rooms": [room]}), "x", &json!([round]))
            .await;
        for (client, _) in &mut clients {
            client.expect(&format!(r#"42["x",{round}]"#)).await;
        }
    }
}

#[tokio::test]
async fn emits_of_one_caller_arrive_in_order() {
    const EMITS: usize = 300;
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        clients.push(joined(kind, &gateway).await.0);
    }
    for n in 0..EMITS {
        gateway.emit(&json!({"all": true}), "x", &json!([n])).await;
    }
    for client in &mut clients {
        for n in 0..EMITS {
            client.expect(&format!(r#"42["x",{n}]"#)).await;
        }
    }
}

#[tokio::test]
async fn a_volatile_emit_reaches_who_can_take_it_now() {
    let gateway = Gateway::start(ECHO).await;
    let (mut socket, _) = joined(Kind::WebSocket, &gateway).await;
    let (mut polling, _) = joined(Kind::Polling, &gateway).await;
    let body = json!({"event": "x", "args": [], "to": {"all": true}, "volatile": true});
    // The polling session has no open GET: it loses this one.
    assert_eq!(gateway.api_post("/v1/emit", &body).await.status, 202);
    socket.expect(r#"42["x"]"#).await;
    polling.expect_quiet().await;
}

#[tokio::test]
async fn a_socket_that_left_is_reached_no_more() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let (mut client, id) = joined(kind, &gateway).await;
        client.send("41").await;
        client.connect("/", "").await;
        gateway
            .emit(&json!({"sockets": [id]}), "x", &json!([]))
            .await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn more_names_than_a_thousand_in_a_list_are_refused() {
    let gateway = Gateway::start(ECHO).await;
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let body = |count| json!({"event": "x", "args": [], "to": {"rooms": names(count)}});
    assert_eq!(gateway.api_post("/v1/emit", &body(1000)).await.status, 202);
    let answer = gateway.api_post("/v1/emit", &body(1001)).await;
    assert_eq!(answer.problem(422, "invalid_request"), ["/to/rooms"]);
}

#[tokio::test]
async fn the_api_is_not_on_the_listener_of_the_clients() {
    let gateway = Gateway::start(ECHO).await;
    let body = r#"{"event":"x","args":[],"to":{"all":true}}"#;
    for target in ["/v1/emit", "/socket.io/v1/emit"] {
        let headers = [("content-type", "application/json")];
        let answer =
            crate::support::http::ask(gateway.clients, "POST", target, &headers, body).await;
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    gateway.emit(&json!({"all": true}), "x", &json!([])).await;
    client.expect(r#"42["x"]"#).await;
    gateway.api_post("/v1/emit", &json!({})).await;
    gateway.api_get("/v1/a/made/up/path").await;
    let body = json!({"event": "ask", "args": [], "to": {"all": true}, "ack": {}});
    let headers = [("content-type", "application/json")];
    let bytes = request("POST", "/v1/emit", &headers, body.to_string().as_bytes());
    let call = Exchange::begin(gateway.api, &bytes).await;
    assert!(client.text().await.ends_with(r#"["ask"]"#));
    drop(call);
    for (labels, count) in [
        (r#"op="emit",code="202""#, 1.0),
        (r#"op="emit",code="422""#, 1.0),
        (r#"op="emit",code="499""#, 1.0),
        (r#"op="other",code="404""#, 1.0),
    ] {
        let name = format!("sockgate_api_requests_total{{{labels}}}");
        gateway.metric_is(&name, count).await;
    }
    let name = r#"sockgate_api_duration_seconds_count{op="emit"}"#;
    gateway.metric_is(name, 3.0).await;
}
