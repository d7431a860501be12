//! Acknowledgements in both directions (protocol 3.4, contract 4 and 9).

use serde_json::{Value, json};

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Answer, Exchange, request};

const RULES: &str = r#"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace.route]]
event = "ok"
reply = "ok"
[[namespace.route]]
event = "nothing"
drop = true
"#;

async fn joined(kind: Kind, gateway: &Gateway) -> Client {
    let mut client = Client::open(kind, gateway).await;
    client.connect("/", "").await;
    client
}

#[tokio::test]
async fn an_edge_rule_acknowledges_once_with_the_right_id() {
    let gateway = Gateway::start(RULES).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        for id in ["0", "1", "7", "1", "456", "9007199254740991"] {
            client.send(&format!(r#"42{id}["echo",1,"two",[3]]"#)).await;
            client.expect(&format!(r#"43{id}[1,"two",[3]]"#)).await;
        }
        client.send(r#"425["ok",1,2]"#).await;
        client.expect("435[]").await;
        client.send(r#"426["nothing"]"#).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn an_ack_of_nothing_is_an_empty_array() {
    let gateway = Gateway::start(RULES).await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"423["echo"]"#).await;
    client.expect("433[]").await;
}

#[tokio::test]
async fn an_ack_id_beyond_2_to_the_53_closes_the_connection() {
    let gateway = Gateway::start(RULES).await;
    for id in [
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551616",
        &"9".repeat(1000),
    ] {
        let mut client = joined(Kind::WebSocket, &gateway).await;
        client.send(&format!(r#"42{id}["echo"]"#)).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn an_ack_that_nobody_awaits_is_ignored() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        for ack in ["430[]", r#"4399["late"]"#, "439007199254740991[1,2,3]"] {
            client.send(ack).await;
        }
        client
            .send_binary(r#"461-5[{"_placeholder":true,"num":0}]"#, &[b"x"])
            .await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_malformed_ack_closes_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    for wrong in ["43abc[]", "431{}", "431\"x\"", "43-1[]", "431[1"] {
        let mut client = joined(Kind::WebSocket, &gateway).await;
        client.send(wrong).await;
        assert_eq!(client.next().await, Packet::End, "{wrong}");
    }
}

// From the backend to clients: REST emit with `ack`.

/// An emit with `ack`, on its way.
async fn asking(gateway: &Gateway, body: &Value) -> Exchange {
    let body = body.to_string();
    let headers = [("content-type", "application/json")];
    let bytes = request("POST", "/v1/emit", &headers, body.as_bytes());
    Exchange::begin(gateway.api, &bytes).await
}

fn confirm(ack: &Value) -> Value {
    json!({"event": "confirm", "args": ["delete?"], "to": {"all": true}, "ack": ack})
}

/// The id of the `confirm` that must come next.
async fn asked(client: &mut Client) -> String {
    let text = client.text().await;
    let id = text
        .strip_prefix("42")
        .and_then(|t| t.strip_suffix(r#"["confirm","delete?"]"#));
    let id = id.unwrap_or_else(|| panic!("{text} is no confirm"));
    assert!(id.parse::<u64>().is_ok_and(|id| id < 1 << 53), "{text}");
    id.to_owned()
}

fn result(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let id = body["id"].as_str().expect("an id");
    assert!(id.starts_with("em_"), "{id}");
    body
}

#[tokio::test]
async fn an_emit_with_ack_gathers_every_answer() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let id = client.connect("/", "").await;
        clients.push((client, id));
    }
    let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 10_000}))).await;
    for (n, (client, _)) in clients.iter_mut().enumerate() {
        let id = asked(client).await;
        client
            .send(&format!(r#"43{id}[{n},"all arguments"]"#))
            .await;
    }
    let body = result(&call.answer().await);
    assert_eq!(body["sockets"], 3, "{body}");
    assert_eq!(body["complete"], true, "{body}");
    assert_eq!(body["missing"], json!([]), "{body}");
    assert_eq!(body["missing_count"], 0, "{body}");
    assert_eq!(
        body["nodes"],
        json!({"expected": 1, "answered": 1}),
        "{body}"
    );
    let acks = body["acks"].as_array().unwrap();
    assert_eq!(acks.len(), 3, "{body}");
    for (n, (_, id)) in clients.iter().enumerate() {
        let ack = acks
            .iter()
            .find(|ack| ack["socket"] == **id)
            .expect("each socket's ack");
        assert_eq!(ack["args"], json!([n, "all arguments"]));
    }
}

#[tokio::test]
async fn one_broadcast_carries_one_ack_id_for_all() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let mut first = asking(&gateway, &confirm(&json!({}))).await;
    let (id_a, id_b) = (asked(&mut a).await, asked(&mut b).await);
    assert_eq!(id_a, id_b);
    for client in [&mut a, &mut b] {
        client.send(&format!("43{id_a}[]")).await;
    }
    result(&first.answer().await);
    let mut second = asking(&gateway, &confirm(&json!({}))).await;
    let next = asked(&mut a).await;
    assert_ne!(next, id_a, "an id of its own for each emit");
    asked(&mut b).await;
    for client in [&mut a, &mut b] {
        client.send(&format!("43{next}[]")).await;
    }
    result(&second.answer().await);
}

#[tokio::test]
async fn nobody_to_ask_is_complete_at_once() {
    let gateway = Gateway::start(ECHO).await;
    let body = json!({"event": "confirm", "args": [], "to": {"rooms": ["empty"]}, "ack": {}});
    let body = result(&gateway.api_post("/v1/emit", &body).await);
    assert_eq!(
        (&body["complete"], &body["sockets"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(body["acks"], json!([]));
}

#[tokio::test]
async fn a_timeout_is_no_error_and_names_who_is_missing() {
    let gateway = Gateway::start(ECHO).await;
    let (mut quick, quick_id) = Client::joined(&gateway).await;
    let (mut silent, silent_id) = Client::joined(&gateway).await;
    let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 300}))).await;
    let id = asked(&mut quick).await;
    asked(&mut silent).await;
    quick.send(&format!("43{id}[true]")).await;
    let body = result(&call.answer().await);
    assert_eq!(body["complete"], false, "{body}");
    assert_eq!(body["acks"][0]["socket"], *quick_id, "{body}");
    assert_eq!(body["missing"], json!([silent_id]), "{body}");
    assert_eq!(body["missing_count"], 1, "{body}");
    // The late answer harms nobody.
    silent.send(&format!("43{id}[true]")).await;
    silent.expect_quiet().await;
}

#[tokio::test]
async fn a_socket_that_leaves_is_missing_at_once() {
    let gateway = Gateway::start(ECHO).await;
    for way in ["41", "drop"] {
        let (mut client, socket) = Client::joined(&gateway).await;
        let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 30_000}))).await;
        asked(&mut client).await;
        match way {
            "drop" => drop(client),
            packet => client.send(packet).await,
        }
        // Long before its 30 s are over: the deadline of the tests is shorter.
        let body = result(&call.answer().await);
        assert_eq!(body["complete"], false, "{way}: {body}");
        assert_eq!(body["missing"], json!([socket]), "{way}: {body}");
    }
}

#[tokio::test]
async fn the_first_answer_is_enough_where_the_caller_says_so() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, a_id) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let ack = json!({"timeout_ms": 30_000, "first": true});
    let mut call = asking(&gateway, &confirm(&ack)).await;
    let id = asked(&mut a).await;
    asked(&mut b).await;
    a.send(&format!(r#"43{id}["mine"]"#)).await;
    let body = result(&call.answer().await);
    assert_eq!(body["complete"], true, "{body}");
    assert_eq!(body["acks"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["acks"][0]["socket"], *a_id, "{body}");
}

#[tokio::test]
async fn so_many_answers_as_the_caller_wants_are_enough() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::joined(&gateway).await.0);
    }
    let ack = json!({"timeout_ms": 30_000, "max": 2});
    let mut call = asking(&gateway, &confirm(&ack)).await;
    for client in &mut clients {
        let id = asked(client).await;
        client.send(&format!("43{id}[]")).await;
    }
    let body = result(&call.answer().await);
    assert_eq!(body["complete"], true, "{body}");
    assert_eq!(body["acks"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(body["sockets"], 3, "{body}");
}

#[tokio::test]
async fn of_two_answers_of_one_socket_the_first_counts() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 10_000}))).await;
    let id = asked(&mut a).await;
    asked(&mut b).await;
    a.send(&format!("43{id}[1]")).await;
    a.send(&format!("43{id}[2]")).await;
    a.expect_quiet().await;
    b.send(&format!("43{id}[3]")).await;
    let body = result(&call.answer().await);
    assert_eq!(body["complete"], true, "{body}");
    let acks: Vec<_> = body["acks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["args"])
        .collect();
    assert_eq!(acks, [&json!([1]), &json!([3])], "{body}");
}

#[tokio::test]
async fn nobody_answers_for_another() {
    let gateway = Gateway::start(ECHO).await;
    let (mut asked_one, id) = Client::joined(&gateway).await;
    let (mut liar, _) = Client::joined(&gateway).await;
    let body = json!({"event": "confirm", "args": ["delete?"], "to": {"sockets": [id]}, "ack": {"timeout_ms": 10_000}});
    let mut call = asking(&gateway, &body).await;
    let ack = asked(&mut asked_one).await;
    liar.send(&format!(r#"43{ack}["lie"]"#)).await;
    liar.expect_quiet().await;
    asked_one.send(&format!(r#"43{ack}["truth"]"#)).await;
    let body = result(&call.answer().await);
    assert_eq!(body["acks"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["acks"][0]["args"], json!(["truth"]), "{body}");
}

#[tokio::test]
async fn a_binary_answer_arrives_as_attachments_of_the_whole_body() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        let socket = client.connect("/", "").await;
        let mut body = confirm(&json!({"timeout_ms": 10_000}));
        // Those of earlier rounds are still there.
        body["to"] = json!({"sockets": [socket]});
        let mut call = asking(&gateway, &body).await;
        let id = asked(&mut client).await;
        let text = format!(r#"461-{id}[{{"file":{{"_placeholder":true,"num":0}}}}]"#);
        client.send_binary(&text, &[&[1, 2, 3, 4]]).await;
        let body = result(&call.answer().await);
        let num = &body["acks"][0]["args"][0]["file"]["num"];
        let num = usize::try_from(num.as_u64().expect("a placeholder")).unwrap();
        assert_eq!(body["attachments"][num], "AQIDBA==", "{body}");
    }
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_forgotten() {
    let mut gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let call = asking(&gateway, &confirm(&json!({"timeout_ms": 30_000}))).await;
    let id = asked(&mut client).await;
    drop(call);
    client.send(&format!("43{id}[]")).await;
    client.expect_quiet().await;
    gateway.is_well("a caller that left").await;
}

#[tokio::test]
async fn a_backend_may_ask_its_own_client_inside_an_event() {
    // If acks waited for the lane, this would be a dead-lock until the deadline.
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.next_of("connect").await;
    let (release, reply) = Reply::held(json!({"ack": ["done"]}));
    backend.push(reply);
    client.send(r#"428["ask me"]"#).await;
    backend.next_of("event").await;
    let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 4000}))).await;
    let id = asked(&mut client).await;
    client.send(&format!("43{id}[\"yes\"]")).await;
    let body = result(&call.answer().await);
    assert_eq!(body["acks"][0]["args"], json!(["yes"]), "{body}");
    release.go();
    client.expect(r#"438["done"]"#).await;
}

#[tokio::test]
async fn answers_beyond_4_mib_are_left_out_and_that_is_told() {
    let gateway = Gateway::start(ECHO).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::joined(&gateway).await.0);
    }
    let mut call = asking(&gateway, &confirm(&json!({"timeout_ms": 10_000}))).await;
    let large = "x".repeat(900_000);
    for client in &mut clients {
        let id = asked(client).await;
        client.send(&format!(r#"43{id}["{large}"]"#)).await;
    }
    let body = result(&call.answer().await);
    assert_eq!(body["truncated"], true);
    assert_eq!(body["acks"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&body["sockets"], &body["complete"]),
        (&json!(6), &json!(true))
    );
    assert_eq!(body["missing_count"], 0, "they did answer");
}

#[tokio::test]
async fn whom_a_volatile_packet_does_not_reach_is_not_asked() {
    let gateway = Gateway::start(ECHO).await;
    let mut polling = joined(Kind::Polling, &gateway).await;
    let (mut socket, id) = Client::joined(&gateway).await;
    let mut body = confirm(&json!({"timeout_ms": 10_000}));
    body["volatile"] = json!(true);
    let mut call = asking(&gateway, &body).await;
    let ack = asked(&mut socket).await;
    socket.send(&format!("43{ack}[]")).await;
    let body = result(&call.answer().await);
    assert_eq!(
        (&body["sockets"], &body["complete"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(body["acks"][0]["socket"], *id, "{body}");
    polling.expect_quiet().await;
}

#[tokio::test]
async fn when_enough_have_answered_the_others_are_missing() {
    let gateway = Gateway::start(ECHO).await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, b_id) = Client::joined(&gateway).await;
    let ack = json!({"timeout_ms": 30_000, "max": 1});
    let mut call = asking(&gateway, &confirm(&ack)).await;
    let id = asked(&mut a).await;
    asked(&mut b).await;
    a.send(&format!("43{id}[]")).await;
    let body = result(&call.answer().await);
    assert_eq!(body["missing"], json!([b_id]), "{body}");
    // The late answer harms nobody.
    b.send(&format!("43{id}[]")).await;
    b.expect_quiet().await;
}
