//! `POST /v1/actions`, `/v1/join`, `/v1/leave`, `/v1/disconnect` (contract 7, 9), and actions in the replies of a backend.

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};

async fn joined(kind: Kind, gateway: &Gateway) -> (Client, String) {
    let mut client = Client::open(kind, gateway).await;
    let id = client.connect("/", "").await;
    (client, id)
}

/// What the API tells about a socket.
async fn socket(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway
        .api_get(&format!("/v1/sockets?namespace=/&id={id}"))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"][0].clone()
}

#[tokio::test]
async fn actions_run_in_order_and_each_has_its_result() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let (mut client, id) = joined(kind, &gateway).await;
        let to = json!({"sockets": [id]});
        let room = json!({"rooms": ["doc:9"]});
        gateway
            .actions(&json!([
                {"type": "emit", "event": "n", "args": [0], "to": room},
                {"type": "join", "rooms": ["doc:9"], "to": to},
                {"type": "emit", "event": "n", "args": [1], "to": room},
                {"type": "leave", "rooms": ["doc:9"], "to": to},
                {"type": "emit", "event": "n", "args": [2], "to": room},
                {"type": "emit", "event": "n", "args": [3], "to": to},
                {"type": "disconnect", "to": to},
                {"type": "emit", "event": "n", "args": [4], "to": to},
            ]))
            .await;
        client.expect(r#"42["n",1]"#).await;
        client.expect(r#"42["n",3]"#).await;
        client.expect("41").await;
        client.connect("/", "").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_wrong_action_has_its_problem_and_the_others_run() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let emit = |n: u64| json!({"type": "emit", "event": "n", "args": [n], "to": {"all": true}});
    let body = json!({"actions": [
        emit(1),
        {"type": "emit", "event": "connect", "args": [], "to": {"all": true}},
        emit(2),
        {"type": "join", "rooms": ["a"]},
        {"type": "ack", "args": []},
        {"type": "disconnect", "to": {"users": ["13"]}},
    ]});
    let answer = gateway.api_post("/v1/actions", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].clone();
    let statuses: Vec<_> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [202, 422, 202, 422, 422, 202], "{results}");
    let problem = &results[1]["problem"];
    assert_eq!(problem["code"], "invalid_request", "{results}");
    assert_eq!(problem["type"], "urn:sockgate:problem:invalid-request");
    assert_eq!(problem["errors"][0]["pointer"], "/actions/1/event");
    assert_eq!(
        results[3]["problem"]["errors"][0]["pointer"],
        "/actions/3/to"
    );
    client.expect(r#"42["n",1]"#).await;
    client.expect(r#"42["n",2]"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn stop_on_error_ends_the_list_there() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let emit = |n: u64| json!({"type": "emit", "event": "n", "args": [n], "to": {"all": true}});
    let body = json!({"stop_on_error": true, "actions": [emit(1), {"type": "nonsense"}, emit(2)]});
    let answer = gateway.api_post("/v1/actions", &body).await;
    assert_eq!(
        answer.json()["results"].as_array().unwrap().len(),
        2,
        "{answer:?}"
    );
    client.expect(r#"42["n",1]"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn what_is_no_list_of_actions_is_refused_as_a_whole() {
    let gateway = Gateway::start(ECHO).await;
    let many: Vec<_> = (0..1001)
        .map(|_| json!({"type": "leave", "rooms": [], "to": {"all": true}}))
        .collect();
    for body in [
        json!({}),
        json!({"actions": {}}),
        json!({"actions": [], "unknown": 1}),
        json!([]),
        json!({"actions": many}),
    ] {
        gateway
            .api_post("/v1/actions", &body)
            .await
            .problem(422, "invalid_request");
    }
    let answer = gateway
        .api_post("/v1/actions", &json!({"actions": []}))
        .await;
    assert_eq!(answer.json(), json!({"results": []}), "{answer:?}");
    let answer = gateway
        .api_post("/v1/actions", &json!({"actions": many[..1000]}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.head);
}

#[tokio::test]
async fn the_namespace_of_the_body_is_that_of_every_action_without_its_own() {
    let gateway = Gateway::start(&format!(
        "{ECHO}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\n"
    ))
    .await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.connect("/other", "").await;
    let body = json!({"namespace": "/other", "actions": [
        {"type": "emit", "event": "a", "args": [], "to": {"all": true}},
        {"type": "emit", "event": "b", "args": [], "to": {"all": true}, "namespace": "/"},
    ]});
    assert_eq!(gateway.api_post("/v1/actions", &body).await.status, 200);
    client.expect(r#"42/other,["a"]"#).await;
    client.expect(r#"42["b"]"#).await;
}

#[tokio::test]
async fn join_and_leave_have_endpoints_that_report_how_many_were_touched() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, id) = Client::joined(&gateway).await;
    let (_other, _) = Client::joined(&gateway).await;
    let body = json!({"rooms": ["a", "b"], "to": {"sockets": [id]}});
    let answer = gateway.api_post("/v1/join", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.json()["id"].is_string());
    assert_eq!(socket(&gateway, &id).await["rooms"], json!(["a", "b"]));
    let body = json!({"rooms": ["a"], "to": {"all": true}, "report": true});
    let answer = gateway.api_post("/v1/leave", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["sockets"], 2, "{answer:?}");
    assert_eq!(
        answer.json()["nodes"],
        json!({"expected": 1, "answered": 1})
    );
    assert_eq!(socket(&gateway, &id).await["rooms"], json!(["b"]));
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_disconnect_ends_the_namespace_the_connection_or_the_transport() {
    let gateway = Gateway::start(&format!(
        "{ECHO}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\n"
    ))
    .await;
    for kind in EVERY_KIND {
        let (mut client, id) = joined(kind, &gateway).await;
        client.connect("/other", "").await;
        let to = json!({"sockets": [id]});
        let answer = gateway
            .api_post("/v1/disconnect", &json!({"to": to, "report": true}))
            .await;
        assert_eq!(answer.json()["sockets"], 1, "{answer:?}");
        client.expect("41").await;
        let id = client.connect("/", "").await;
        let body = json!({"to": {"sockets": [id]}, "close": true});
        assert_eq!(gateway.api_post("/v1/disconnect", &body).await.status, 202);
        let mut packets = [client.next().await, client.next().await];
        packets.sort_by_key(|packet| format!("{packet:?}"));
        assert_eq!(
            packets,
            [Packet::text("41"), Packet::text("41/other,")],
            "{kind:?}"
        );
        client.expect_end().await;

        let (mut client, id) = joined(kind, &gateway).await;
        client.connect("/other", "").await;
        let body = json!({"to": {"sockets": [id]}, "reconnect": true});
        assert_eq!(gateway.api_post("/v1/disconnect", &body).await.status, 202);
        client.expect_end().await;
    }
    let body = json!({"to": {"all": true}, "reconnect": true, "close": true});
    gateway
        .api_post("/v1/disconnect", &body)
        .await
        .problem(422, "invalid_request");
}

#[tokio::test]
async fn the_reason_of_a_disconnect_is_in_the_log() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let (mut client, id) = Client::joined(&gateway).await;
    let body = json!({"to": {"sockets": [id]}, "reason": "banned by hand"});
    assert_eq!(gateway.api_post("/v1/disconnect", &body).await.status, 202);
    client.expect("41").await;
    gateway.log_line(&["banned by hand", "sockets=1"]).await;
    backend.answer_events(
        |_| json!({"actions": [{"type": "disconnect", "reason": "banned by reply"}]}),
    );
    let id = client.connect("/", "").await;
    client.send(r#"42["x"]"#).await;
    client.expect("41").await;
    gateway.log_line(&["banned by reply", &id]).await;
}

#[tokio::test]
async fn the_implicit_room_is_never_joined_left_or_listed() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, b_id) = Client::joined(&gateway).await;
    for endpoint in ["/v1/join", "/v1/leave"] {
        let body = json!({"rooms": [a_id], "to": {"sockets": [b_id]}});
        let status = gateway.api_post(endpoint, &body).await.status;
        assert!(matches!(status, 202 | 422), "{endpoint}: {status}");
    }
    gateway
        .emit(&json!({"rooms": [a_id]}), "x", &json!([]))
        .await;
    a.expect(r#"42["x"]"#).await;
    b.expect_quiet().await;
    assert_eq!(socket(&gateway, &a_id).await["rooms"], json!([]));
    assert_eq!(socket(&gateway, &b_id).await["rooms"], json!([]));
}

#[tokio::test]
async fn state_and_expiry_can_be_set_from_outside() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let (mut client, id) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    let before = socket(&gateway, &id).await["version"].as_u64().unwrap();
    let to = json!({"sockets": [id]});
    gateway
        .actions(&json!([{"type": "state", "set": {"b": 1, "a": 2}, "to": to}]))
        .await;
    client.send(r#"42["x"]"#).await;
    let event = backend.next_of("event").await;
    assert_eq!(event.body["socket"]["state"], json!({"b": 1, "a": 2}));
    let far = "2099-01-01T00:00:00Z";
    gateway
        .actions(&json!([{"type": "expire", "at": far, "to": to}]))
        .await;
    let told = socket(&gateway, &id).await;
    assert!(
        told["expires_at"]
            .as_str()
            .unwrap()
            .starts_with("2099-01-01T00:00:00"),
        "{told}"
    );
    assert!(told["version"].as_u64().unwrap() > before, "{told}");
    gateway
        .actions(&json!([{"type": "expire", "at": null, "to": to}]))
        .await;
    assert_eq!(socket(&gateway, &id).await["expires_at"], Value::Null);
    gateway
        .actions(&json!([{"type": "expire", "at": "2001-01-01T00:00:00Z", "to": to}]))
        .await;
    client.expect_end().await;
    assert_eq!(
        backend.next_of("disconnect").await.body["reason"],
        "expired"
    );
}

#[tokio::test]
async fn more_rooms_than_a_socket_may_have_leave_it_out() {
    let gateway = Gateway::start(&format!("limits.rooms_per_socket = 3\n{ECHO}")).await;
    let (_client, id) = Client::joined(&gateway).await;
    let join = async |rooms: Value| {
        let body = json!({"rooms": rooms, "to": {"sockets": [id]}});
        gateway.api_post("/v1/join", &body).await
    };
    assert_eq!(join(json!(["a", "b", "c"])).await.status, 202);
    assert_eq!(join(json!(["a"])).await.status, 202, "it is in it already");
    join(json!(["d"])).await.problem(422, "limit");
    assert_eq!(socket(&gateway, &id).await["rooms"], json!(["a", "b", "c"]));
    // Somebody else can join: no error.
    let (_other, _) = Client::joined(&gateway).await;
    let body = json!({"rooms": ["d"], "to": {"all": true}, "report": true});
    let answer = gateway.api_post("/v1/join", &body).await;
    assert_eq!(
        (answer.status, &answer.json()["sockets"]),
        (200, &json!(1)),
        "{answer:?}"
    );
}

// In replies.

async fn obedient() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    backend.answer_events(|request| json!({"actions": request.body["args"]}));
    (Gateway::start(&backend.everything()).await, backend)
}

#[tokio::test]
async fn in_a_reply_the_audience_is_the_socket_itself_unless_said_otherwise() {
    let (gateway, _backend) = obedient().await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let emit = |n: u64, rest: &str| format!(r#"{{"type":"emit","event":"n","args":[{n}]{rest}}}"#);
    let actions = [
        emit(1, ""),
        emit(2, r#","to":{"all":true}"#),
        emit(3, r#","to":{"all":true},"except":{"self":true}"#),
        emit(4, r#","to":{"self":true,"rooms":["none"]}"#),
        emit(5, &format!(r#","to":{{"sockets":["{a_id}"]}}"#)),
        r#"{"type":"join","rooms":["r"]}"#.to_owned(),
        emit(6, r#","to":{"rooms":["r"]}"#),
        r#"{"type":"leave","rooms":["r"]}"#.to_owned(),
        emit(7, r#","to":{"rooms":["r"]}"#),
    ];
    a.send(&format!(r#"42["do",{}]"#, actions.join(","))).await;
    for n in [1, 2, 4, 5, 6] {
        a.expect(&format!(r#"42["n",{n}]"#)).await;
    }
    a.expect_quiet().await;
    b.expect(r#"42["n",2]"#).await;
    b.expect(r#"42["n",3]"#).await;
    b.expect_quiet().await;
}

#[tokio::test]
async fn setting_a_user_moves_the_socket_into_the_users_room() {
    let backend = Backend::start().await;
    let config = backend.everything_with(&crate::support::backend::Keys {
        namespace: "user_room = \"u/{user}/x\"",
        ..Default::default()
    });
    let gateway = Gateway::start(&config).await;
    backend.answer_events(|request| json!({"user": request.body["args"][0]}));
    let (mut client, id) = Client::joined(&gateway).await;
    for (user, rooms) in [
        (json!("42"), json!(["u/42/x"])),
        (json!("7"), json!(["u/7/x"])),
        (Value::Null, json!([])),
        (json!(0), json!(["u/0/x"])),
    ] {
        client.send(&format!(r#"421["login",{user}]"#)).await;
        client.expect("431[]").await;
        assert_eq!(socket(&gateway, &id).await["rooms"], rooms);
    }
    gateway
        .emit(&json!({"users": ["0"]}), "x", &json!([]))
        .await;
    client.expect(r#"42["x"]"#).await;
    gateway
        .emit(&json!({"users": ["7"]}), "x", &json!([]))
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_reply_may_act_in_another_namespace() {
    let backend = Backend::start().await;
    let config = format!(
        "{}[[namespace]]\nmatch = \"/other\"\nauth = \"none\"\n",
        backend.everything()
    );
    let gateway = Gateway::start(&config).await;
    backend.answer_events(|_| {
        json!({"actions": [{"type": "emit", "event": "x", "args": [], "namespace": "/other", "to": {"all": true}}]})
    });
    let (mut client, _) = Client::joined(&gateway).await;
    client.connect("/other", "").await;
    client.send(r#"42["go"]"#).await;
    client.expect(r#"42/other,["x"]"#).await;
}

#[tokio::test]
async fn a_reply_is_seen_after_what_the_same_backend_did_before_it() {
    let (gateway, mut backend) = obedient().await;
    let (mut client, id) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    for n in 0..30 {
        let reply = json!({"actions": [{"type": "emit", "event": "reply", "args": [n]}]});
        let (release, reply) = crate::support::backend::Reply::held(reply);
        backend.push(reply);
        client.send(r#"42["go"]"#).await;
        backend.next_of("event").await;
        gateway
            .emit(&json!({"sockets": [id]}), "rest", &json!([n]))
            .await;
        release.go();
        client.expect(&format!(r#"42["rest",{n}]"#)).await;
        client.expect(&format!(r#"42["reply",{n}]"#)).await;
    }
}

#[tokio::test]
async fn each_action_is_refused_with_the_code_of_its_own_fault() {
    let gateway = Gateway::start(&format!("limits.emit = \"1kB\"\n{ECHO}")).await;
    let (mut client, id) = Client::joined(&gateway).await;
    let emit = |field: &str, value: Value| {
        let mut action = json!({"type": "emit", "event": "n", "args": [], "to": {"all": true}});
        action[field] = value;
        action
    };
    let cases = [
        (
            emit("args", json!(["x".repeat(2000)])),
            413,
            "too_large",
            "/args",
        ),
        (
            emit("namespace", json!("/nowhere")),
            404,
            "unknown_namespace",
            "/namespace",
        ),
        (
            emit("namespace", json!("*")),
            422,
            "not_available",
            "/namespace",
        ),
        (emit("ttl_ms", json!(5)), 422, "not_available", "/ttl_ms"),
        (emit("ack", json!({})), 422, "invalid_request", "/ack"),
        (json!({"type": "emmit"}), 422, "invalid_request", "/type"),
        (
            json!({"type": "state", "set": 1, "to": {"rooms": ["a"]}}),
            422,
            "invalid_request",
            "/to/rooms",
        ),
        (
            json!({"type": "expire", "at": 1_732_485_600, "to": {"sockets": [id]}}),
            422,
            "invalid_request",
            "/at",
        ),
    ];
    let actions: Vec<_> = cases.iter().map(|(action, ..)| action.clone()).collect();
    let answer = gateway
        .api_post("/v1/actions", &json!({"actions": actions}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].clone();
    for (n, (action, status, code, field)) in cases.iter().enumerate() {
        let result = &results[n];
        assert_eq!(result["status"], *status, "{action}: {result}");
        assert_eq!(result["problem"]["status"], *status, "{action}: {result}");
        assert_eq!(result["problem"]["code"], *code, "{action}: {result}");
        let pointer = format!("/actions/{n}{field}");
        assert_eq!(
            result["problem"]["errors"][0]["pointer"], *pointer,
            "{result}"
        );
        assert_eq!(
            result["problem"].get("request_id"),
            None,
            "the answer has one"
        );
    }
    client.expect_quiet().await;
}
