//! What the author of a backend reads when a request is wrong (contract 9): where it is wrong, and what would be right.

use serde_json::{Value, json};

use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::Answer;

/// The detail of the error at this place.
#[track_caller]
fn detail<'a>(body: &'a Value, pointer: &str) -> &'a str {
    let errors = body["errors"].as_array().expect("errors");
    let found = errors.iter().find(|error| error["pointer"] == pointer);
    let found = found.unwrap_or_else(|| panic!("nothing at {pointer}: {body}"));
    found["detail"].as_str().expect("a detail")
}

async fn emit(gateway: &Gateway, body: &str) -> Answer {
    gateway.api_with("POST", "/v1/emit", &[], body).await
}

#[tokio::test]
async fn each_wrong_field_is_told_what_would_be_right() {
    let gateway = Gateway::start(ECHO).await;
    let whole = |field: &str, value: Value| {
        let mut body = json!({"event": "x", "args": [], "to": {"all": true}});
        body[field] = value;
        body
    };
    for (body, pointer, right) in [
        (json!({}), "/event", "required"),
        (json!({}), "/to", r#"{"all":true}"#),
        (whole("to", json!("lobby")), "/to", r#"{"rooms":["a"]}"#),
        (whole("to", json!(["lobby"])), "/to", r#"{"rooms":["a"]}"#),
        (whole("to", json!(null)), "/to", "not null"),
        (whole("to", json!({})), "/to", "empty list"),
        (whole("to", json!({"rooms": "a"})), "/to/rooms", "a list"),
        (whole("to", json!({"room": ["a"]})), "/to/room", "'rooms'"),
        (whole("to", json!({"all": 1})), "/to/all", "true"),
        (
            whole("to", json!({"sockets": ["a"]})),
            "/to/sockets/0",
            "20 characters",
        ),
        (
            whole("to", json!({"users": [true]})),
            "/to/users/0",
            "a string or an integer",
        ),
        (whole("except", json!("a")), "/except", r#"{"rooms":["a"]}"#),
        (whole("args", json!("a")), "/args", "a list"),
        (whole("args", json!(null)), "/args", "not null"),
        (whole("ack", json!(true)), "/ack", r#"{"timeout_ms":5000}"#),
        (
            whole("ack", json!({"timeout": 5})),
            "/ack/timeout",
            "'timeout_ms'",
        ),
        (
            whole("ack", json!({"timeout_ms": "5s"})),
            "/ack/timeout_ms",
            "from 1 to 30000",
        ),
        (
            whole("volatile", json!("yes")),
            "/volatile",
            "true or false",
        ),
        (whole("namespace", json!("chat")), "/namespace", "'/'"),
        (whole("rooms", json!(["a"])), "/rooms", "to"),
        (whole("event", json!("connect")), "/event", "reserved"),
    ] {
        let answer = emit(&gateway, &body.to_string()).await;
        answer.problem(422, "invalid_request");
        let told = answer.json();
        let told = detail(&told, pointer);
        assert!(told.contains(right), "{body}: {told}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_told_with_its_place() {
    let gateway = Gateway::start(ECHO).await;
    for (body, told) in [
        ("", "the body is empty"),
        ("  \n", "the body is empty"),
        (r#"{"event":"x",}"#, "line 1 column 14"),
        ("{\n'event':'x'}", "line 2 column 1"),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = gateway.api_with("POST", "/v1/emit", &headers, body).await;
        answer.problem(400, "malformed_json");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(told), "{body}: {detail}");
    }
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_a_fault() {
    let gateway = Gateway::start(ECHO).await;
    let twice = r#"{"event":"x","args":[],"to":{"rooms":["a"]},"to":{"all":true}}"#;
    let answer = emit(&gateway, twice).await;
    assert_eq!(answer.problem(422, "invalid_request"), ["/to"]);
    let inside = r#"{"event":"x","args":[],"to":{"rooms":["a"],"rooms":["b"]}}"#;
    let answer = emit(&gateway, inside).await;
    assert_eq!(answer.problem(422, "invalid_request"), ["/to/rooms"]);
}

#[tokio::test]
async fn whoever_is_lost_is_told_the_way() {
    let gateway = Gateway::start(ECHO).await;
    let told = async |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        let answer = gateway.api_with(method, target, headers, body).await;
        let body = answer.json();
        let detail = body["detail"].as_str().expect("a detail").to_owned();
        (answer.status, detail)
    };
    let (status, detail) = told("POST", "/v1/emmit", &[], "{}").await;
    assert!(
        status == 404 && detail.contains("/v1/openapi.json"),
        "{detail}"
    );
    let (status, detail) = told("PUT", "/v1/emit", &[], "{}").await;
    assert!(status == 405 && detail.contains("POST"), "{detail}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (status, detail) = told("POST", "/v1/emit", &form, "{}").await;
    assert!(
        status == 415 && detail.contains("application/json"),
        "{detail}"
    );
    let foreign = [("host", "evil.example")];
    let (status, detail) = told("GET", "/v1/nodes", &foreign, "").await;
    assert!(status == 401 && detail.contains("localhost"), "{detail}");
}

#[tokio::test]
async fn every_answer_bears_the_id_that_the_log_tells() {
    let gateway = Gateway::start(ECHO).await;
    for (method, target, body) in [
        ("POST", "/v1/emit", "{}"),
        ("GET", "/v1/nothing", ""),
        ("GET", "/v1/nodes", ""),
    ] {
        let answer = gateway.api_with(method, target, &[], body).await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id.starts_with("req_"), "{id}");
        let status = format!("status={}", answer.status);
        gateway.log_line(&["api", &id, &status]).await;
    }
}
