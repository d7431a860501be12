//! Refusals of the Engine.IO endpoint (protocol 1.1, 1.2): their order, their exact bodies, and the exact bytes before a 101.

use crate::support::frames::UPGRADE;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Answer, Exchange, ask, get, request};
use crate::support::polling::{Polling, UNKNOWN_SESSION};
use crate::support::websocket::WebSocket;

const UNKNOWN_TRANSPORT: &str = r#"{"code":0,"message":"Transport unknown"}"#;
const BAD_METHOD: &str = r#"{"code":2,"message":"Bad handshake method"}"#;
const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;
const UNSUPPORTED: &str = r#"{"code":5,"message":"Unsupported protocol version"}"#;

fn is_error(answer: &Answer, body: &str) {
    answer.is(400, body);
    answer.has("content-type", "application/json");
}

#[tokio::test]
async fn each_fault_of_a_plain_request_has_its_code_and_body() {
    let gateway = Gateway::start(ECHO).await;
    for (query, body) in [
        ("EIO=4", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=abc", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=webtransport", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=__proto__", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=Polling", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=polling&sid=nobody", UNKNOWN_SESSION),
        ("EIO=4&transport=polling&sid=__proto__", UNKNOWN_SESSION),
        ("EIO=4&transport=websocket", BAD_REQUEST),
        ("transport=polling", UNSUPPORTED),
        ("EIO=3&transport=polling", UNSUPPORTED),
        ("EIO=5&transport=polling", UNSUPPORTED),
        ("EIO=04&transport=polling", UNSUPPORTED),
        ("EIO=&transport=polling", UNSUPPORTED),
    ] {
        let answer = gateway.get(query).await;
        assert_eq!(answer.text(), body, "{query}");
        is_error(&answer, body);
    }
}

#[tokio::test]
async fn a_handshake_by_another_method_is_a_bad_method() {
    let gateway = Gateway::start(ECHO).await;
    let target = gateway.target("EIO=4&transport=polling");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(gateway.clients, method, &target, &[], "").await;
        is_error(&answer, BAD_METHOD);
    }
}

#[tokio::test]
async fn of_several_faults_the_first_in_the_protocols_order_is_told() {
    let gateway = Gateway::start(ECHO).await;
    // The transport before everything else.
    let answer = gateway.get("EIO=3&transport=abc&sid=nobody").await;
    is_error(&answer, UNKNOWN_TRANSPORT);
    // An unknown session before a wrong revision.
    let answer = gateway.get("EIO=3&transport=polling&sid=nobody").await;
    is_error(&answer, UNKNOWN_SESSION);
    // And before the method.
    let target = gateway.target("EIO=4&transport=polling&sid=nobody");
    let answer = ask(gateway.clients, "PUT", &target, &[], "").await;
    is_error(&answer, UNKNOWN_SESSION);
    // The method before the revision.
    let target = gateway.target("EIO=3&transport=polling");
    let answer = ask(gateway.clients, "POST", &target, &[], "").await;
    is_error(&answer, BAD_METHOD);
    // A WebSocket transport by plain request before the revision.
    let answer = gateway.get("EIO=3&transport=websocket").await;
    is_error(&answer, BAD_REQUEST);
}

#[tokio::test]
async fn a_session_keeps_its_transport_and_revision() {
    let gateway = Gateway::start(ECHO).await;
    let polling = Polling::open(&gateway).await;
    let sid = &polling.sid;
    for query in [
        format!("EIO=4&transport=websocket&sid={sid}"),
        format!("EIO=3&transport=polling&sid={sid}"),
        format!("transport=polling&sid={sid}"),
    ] {
        is_error(&gateway.get(&query).await, BAD_REQUEST);
    }
    // It is none the worse for it.
    polling.send("40").await;
    assert!(polling.poll().await.text().starts_with("40{"));
}

#[tokio::test]
async fn another_method_with_a_known_session_is_refused_and_harms_it_not() {
    let gateway = Gateway::start(ECHO).await;
    let polling = Polling::open(&gateway).await;
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = ask(gateway.clients, method, &polling.target, &[], "").await;
        assert!(
            matches!(answer.status, 400 | 405 | 500),
            "{method}: {answer:?}"
        );
    }
    polling.send("40").await;
    assert!(polling.poll().await.text().starts_with("40{"));
}

#[tokio::test]
async fn an_empty_sid_opens_a_new_session() {
    let gateway = Gateway::start(ECHO).await;
    let answer = gateway.get("EIO=4&transport=polling&sid=").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().starts_with("0{\"sid\":"));
}

#[tokio::test]
async fn the_last_of_repeated_parameters_counts() {
    let gateway = Gateway::start(ECHO).await;
    let answer = gateway
        .get("EIO=3&EIO=4&transport=abc&transport=polling")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn odd_queries_are_answered_and_harm_nobody() {
    let mut gateway = Gateway::start(ECHO).await;
    let long = "a".repeat(8_000);
    for query in [
        "EIO=4&transport=polling&sid=%00",
        "EIO=4&transport=polling&sid=%FF%FE",
        "EIO=4&transport=polling&sid=%",
        "EIO=4&transport=polling&sid=%zz",
        "&&&===&EIO&transport",
        &format!("EIO=4&transport=polling&sid={long}"),
    ] {
        let answer = gateway.get(query).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    gateway.is_well("odd queries").await;
}

#[tokio::test]
async fn the_path_is_served_with_and_without_its_slash_and_below() {
    let gateway = Gateway::start(ECHO).await;
    for path in ["/socket.io/", "/socket.io", "/socket.io/anything/else"] {
        let target = format!("{path}?EIO=4&transport=polling");
        let answer = get(gateway.clients, &target).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn another_path_is_404_with_one_line_that_names_the_right_one() {
    let gateway =
        Gateway::start("server.path = \"/live/\"\n[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n")
            .await;
    for target in [
        "/",
        "/index.html",
        "/socket.io/?EIO=4&transport=polling",
        "/v1/emit",
        "/metrics",
    ] {
        let answer = get(gateway.clients, target).await;
        assert_eq!(answer.status, 404, "{target}: {answer:?}");
        assert!(answer.text().contains("/live/"), "{target}: {answer:?}");
        assert_eq!(answer.text().trim_end().lines().count(), 1);
    }
    let answer = get(gateway.clients, "/live/?EIO=4&transport=polling").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn refused_upgrade(gateway: &Gateway, query: &str, headers: &[(&str, &str)]) -> String {
    let bytes = request("GET", &gateway.target(query), headers, b"");
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    // Until the end: the connection must be closed after the answer.
    String::from_utf8(exchange.until_end().await).unwrap()
}

#[tokio::test]
async fn a_refused_websocket_gets_these_very_bytes() {
    let gateway = Gateway::start(ECHO).await;
    for (query, message) in [
        ("EIO=4", "Transport unknown"),
        ("EIO=4&transport=abc", "Transport unknown"),
        ("EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
        ("transport=websocket", "Unsupported protocol version"),
    ] {
        let got = refused_upgrade(&gateway, query, &UPGRADE).await;
        let length = message.len();
        let expected = format!(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: {length}\r\n\r\n{message}"
        );
        // Names of headers are the same in any case, and so is their order.
        assert_eq!(head_of(&got), head_of(&expected), "{query}: {got}");
        assert!(
            got.ends_with(&format!("\r\n\r\n{message}")),
            "{query}: {got}"
        );
    }
}

/// Status line and headers in lower case, sorted, `date` left out.
fn head_of(answer: &str) -> Vec<String> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines: Vec<_> = head.split("\r\n").map(str::to_ascii_lowercase).collect();
    lines.retain(|line| !line.starts_with("date:"));
    lines.sort();
    lines
}

#[tokio::test]
async fn an_upgrade_request_for_polling_is_refused_before_the_101() {
    let gateway = Gateway::start(ECHO).await;
    let got = refused_upgrade(&gateway, "EIO=4&transport=polling", &UPGRADE).await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
}

#[tokio::test]
async fn a_websocket_without_a_right_key_is_refused() {
    let gateway = Gateway::start(ECHO).await;
    let message = "Missing or invalid Sec-WebSocket-Key header";
    for key in [None, Some("short"), Some("not base64 at all!!!!!!==")] {
        let mut headers = UPGRADE[..3].to_vec();
        headers.extend(key.map(|key| ("Sec-WebSocket-Key", key)));
        let got = refused_upgrade(&gateway, "EIO=4&transport=websocket", &headers).await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{key:?}: {got}");
        assert!(got.ends_with(message), "{key:?}: {got}");
    }
}

#[tokio::test]
async fn a_websocket_of_another_version_is_refused() {
    let gateway = Gateway::start(ECHO).await;
    let mut headers = UPGRADE;
    headers[2].1 = "12";
    let got = refused_upgrade(&gateway, "EIO=4&transport=websocket", &headers).await;
    assert!(got.starts_with("HTTP/1.1 4"), "{got}");
}

#[tokio::test]
async fn an_upgrade_on_another_path_ends_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    let bytes = request("GET", "/elsewhere?EIO=4&transport=websocket", &UPGRADE, b"");
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    let got = String::from_utf8(exchange.until_end().await).unwrap();
    assert!(!got.contains("101"), "{got}");
}

#[tokio::test]
async fn a_disabled_websocket_is_an_unknown_transport() {
    let gateway = Gateway::start(&format!("engine.transports = [\"polling\"]\n{ECHO}")).await;
    let bytes = request(
        "GET",
        &gateway.target("EIO=4&transport=websocket"),
        &UPGRADE,
        b"",
    );
    let answer = Exchange::begin(gateway.clients, &bytes)
        .await
        .answer()
        .await;
    is_error(&answer, UNKNOWN_TRANSPORT);
    let polling = Polling::open(&gateway).await;
    assert_eq!(polling.handshake["upgrades"], serde_json::json!([]));
}

#[tokio::test]
async fn a_disabled_polling_is_an_unknown_transport() {
    let gateway = Gateway::start(&format!("engine.transports = [\"websocket\"]\n{ECHO}")).await;
    is_error(
        &gateway.get("EIO=4&transport=polling").await,
        UNKNOWN_TRANSPORT,
    );
    WebSocket::open(&gateway).await;
}

#[tokio::test]
async fn without_upgrades_the_handshake_offers_none() {
    let gateway = Gateway::start(&format!("engine.allow_upgrades = false\n{ECHO}")).await;
    let polling = Polling::open(&gateway).await;
    assert_eq!(polling.handshake["upgrades"], serde_json::json!([]));
}

#[tokio::test]
async fn a_reset_at_every_byte_of_a_handshake_harms_nobody() {
    let mut gateway = Gateway::start(ECHO).await;
    let whole = request(
        "GET",
        &gateway.target("EIO=4&transport=websocket"),
        &UPGRADE,
        b"",
    );
    for length in 1..=whole.len() {
        Exchange::begin(gateway.clients, &whole[..length])
            .await
            .reset();
    }
    gateway.is_well("resets").await;
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let mut gateway = Gateway::start(ECHO).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for listener in [gateway.clients, gateway.api, gateway.admin] {
        let mut exchange = Exchange::begin(listener, preface).await;
        let said = exchange.until_end().await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    gateway.is_well("a preface of HTTP/2").await;
}
