//! Origins (contract 10, Origins) and the CORS headers (protocol 1.11).

use crate::support::frames::UPGRADE;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Answer, Exchange, ask, request};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

const FORBIDDEN: &str = r#"{"code":4,"message":"Forbidden"}"#;
const APP: (&str, &str) = ("origin", "https://app.example");
const LISTED: &str = "cors.origins = [\"https://app.example\"]\n";

async fn open(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let target = gateway.target("EIO=4&transport=polling");
    ask(gateway.clients, "GET", &target, headers, "").await
}

async fn preflight(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    // Whatever the session is: the preflight comes before everything else.
    let target = gateway.target("EIO=4&transport=polling&sid=nobody");
    ask(gateway.clients, "OPTIONS", &target, headers, "").await
}

async fn websocket(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let headers = [&UPGRADE[..], headers].concat();
    let bytes = request(
        "GET",
        &gateway.target("EIO=4&transport=websocket"),
        &headers,
        b"",
    );
    Exchange::begin(gateway.clients, &bytes)
        .await
        .answer()
        .await
}

fn has_no_cors_header(answer: &Answer) {
    let found = answer
        .headers
        .iter()
        .find(|(name, _)| name.to_ascii_lowercase().starts_with("access-control-"));
    assert_eq!(found, None, "{answer:?}");
}

fn varies_by_origin(answer: &Answer) {
    let vary = answer
        .header("vary")
        .unwrap_or_default()
        .to_ascii_lowercase();
    assert!(
        vary.split(',').any(|name| name.trim() == "origin"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_foreign_origin_is_refused_on_every_way_in() {
    let gateway = Gateway::start(ECHO).await;
    let evil = [("origin", "https://evil.example")];
    let answer = open(&gateway, &evil).await;
    answer
        .is(403, FORBIDDEN)
        .has("content-type", "application/json");
    has_no_cors_header(&answer);
    let polling = Polling::open(&gateway).await;
    let answer = polling.poll_with(&evil).await;
    answer.is(403, FORBIDDEN);
    has_no_cors_header(&answer);
    let answer = ask(gateway.clients, "POST", &polling.target, &evil, "40").await;
    answer.is(403, FORBIDDEN);
    has_no_cors_header(&answer);
    let answer = preflight(&gateway, &evil).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    has_no_cors_header(&answer);
    let answer = websocket(&gateway, &evil).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    has_no_cors_header(&answer);
    // The refused POST joined nothing, and the session lives.
    polling.send("40").await;
    assert!(polling.poll().await.text().starts_with("40{"));
}

#[tokio::test]
async fn without_an_origin_everybody_is_let_in_and_no_cors_header_is_sent() {
    let gateway = Gateway::start(ECHO).await;
    let answer = open(&gateway, &[]).await;
    assert_eq!(answer.status, 200);
    has_no_cors_header(&answer);
    assert_eq!(websocket(&gateway, &[]).await.status, 101);
}

#[tokio::test]
async fn the_own_authority_is_let_in_whatever_the_scheme() {
    let gateway = Gateway::start(ECHO).await;
    for origin in [
        "http://chat.example:8080",
        "https://chat.example:8080",
        "https://CHAT.example:8080",
    ] {
        let headers = [("host", "chat.example:8080"), ("origin", origin)];
        assert_eq!(open(&gateway, &headers).await.status, 200, "{origin}");
        assert_eq!(websocket(&gateway, &headers).await.status, 101, "{origin}");
    }
    for origin in [
        "http://chat.example:8081",
        "http://chat.example",
        "http://evil.chat.example:8080",
        "null",
    ] {
        let headers = [("host", "chat.example:8080"), ("origin", origin)];
        open(&gateway, &headers).await.is(403, FORBIDDEN);
        assert_eq!(websocket(&gateway, &headers).await.status, 403, "{origin}");
    }
}

#[tokio::test]
async fn a_default_port_may_be_written_or_left_out() {
    let gateway = Gateway::start(ECHO).await;
    for (host, origin) in [
        ("chat.example", "https://chat.example"),
        ("chat.example:443", "https://chat.example"),
        ("chat.example:80", "http://chat.example"),
    ] {
        let headers = [("host", host), ("origin", origin)];
        assert_eq!(
            open(&gateway, &headers).await.status,
            200,
            "{host} {origin}"
        );
    }
}

#[tokio::test]
async fn a_forwarded_host_counts_only_from_a_trusted_proxy() {
    let headers = [
        ("host", "10.0.0.7:3000"),
        ("x-forwarded-host", "chat.example"),
        ("origin", "https://chat.example"),
    ];
    let trusting = format!("server.trusted_proxies = [\"127.0.0.0/8\"]\n{ECHO}");
    let gateway = Gateway::start(&trusting).await;
    assert_eq!(open(&gateway, &headers).await.status, 200);
    let gateway = Gateway::start(ECHO).await;
    open(&gateway, &headers).await.is(403, FORBIDDEN);
}

#[tokio::test]
async fn a_listed_origin_is_told_so_on_every_answer() {
    let gateway = Gateway::start(&format!("{LISTED}{ECHO}")).await;
    let told = |answer: &Answer| {
        answer.has("access-control-allow-origin", APP.1);
        answer.lacks("access-control-allow-credentials");
        varies_by_origin(answer);
    };
    told(&open(&gateway, &[APP]).await);
    let polling = Polling::open_with(&gateway, "", &[APP]).await;
    let headers = [APP, ("content-type", "text/plain")];
    told(&ask(gateway.clients, "POST", &polling.target, &headers, "40").await);
    told(&polling.poll_with(&[APP]).await);
    // On errors too.
    let target = gateway.target("EIO=4&transport=polling&sid=nobody");
    let answer = ask(gateway.clients, "GET", &target, &[APP], "").await;
    assert_eq!(answer.status, 400);
    told(&answer);
    // And on the 101.
    let answer = websocket(&gateway, &[APP]).await;
    assert_eq!(answer.status, 101);
    told(&answer);
}

#[tokio::test]
async fn patterns_and_opaque_origins_are_compared_exactly() {
    let gateway = Gateway::start(&format!(
        "cors.origins = [\"https://*.example.com\", \"capacitor://localhost\", \"null\", \"http://localhost:8080\"]\n{ECHO}"
    ))
    .await;
    for origin in [
        "https://a.example.com",
        "https://a.b.example.com",
        "capacitor://localhost",
        "null",
        "http://localhost:8080",
    ] {
        let answer = open(&gateway, &[("origin", origin)]).await;
        assert_eq!(answer.status, 200, "{origin}: {answer:?}");
        answer.has("access-control-allow-origin", origin);
    }
    for origin in [
        "https://example.com",
        "https://evil-example.com",
        "https://a.example.com.evil.net",
        "http://a.example.com",
        "https://a.example.com:8443",
        "capacitor://localhost:1",
        "http://localhost:8081",
        "https://evil.net/.example.com",
    ] {
        let answer = open(&gateway, &[("host", "gw"), ("origin", origin)]).await;
        assert_eq!((answer.status, answer.text()), (403, FORBIDDEN), "{origin}");
        has_no_cors_header(&answer);
    }
}

#[tokio::test]
async fn a_preflight_tells_methods_headers_and_age() {
    let gateway = Gateway::start(&format!("{LISTED}{ECHO}")).await;
    let asked = [
        APP,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-a, x-b"),
    ];
    let answer = preflight(&gateway, &asked).await;
    answer.is(204, "");
    answer.has("access-control-allow-origin", APP.1);
    answer.has("access-control-allow-methods", "GET,POST");
    answer.has("access-control-allow-headers", "x-a, x-b");
    answer.has("access-control-max-age", "600");
    answer.lacks("access-control-allow-credentials");
    let varies: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("vary"))
        .map(|(_, value)| value.to_ascii_lowercase())
        .collect();
    let varies = varies.join(", ");
    assert!(
        varies.contains("access-control-request-headers"),
        "{varies}"
    );
}

#[tokio::test]
async fn credentials_and_listed_headers_are_told() {
    let gateway = Gateway::start(&format!(
        "{LISTED}cors.credentials = true\ncors.headers = [\"x-a\"]\ncors.max_age = \"5s\"\n{ECHO}"
    ))
    .await;
    let answer = preflight(&gateway, &[APP, ("access-control-request-headers", "x-b")]).await;
    answer.is(204, "");
    answer.has("access-control-allow-credentials", "true");
    answer.has("access-control-allow-headers", "x-a");
    answer.has("access-control-max-age", "5");
    let answer = open(&gateway, &[APP]).await;
    answer.has("access-control-allow-credentials", "true");
}

#[tokio::test]
async fn any_origin_is_reflected_where_the_operator_says_insecure() {
    let gateway = Gateway::start(&format!("cors.insecure_any_origin = true\n{ECHO}")).await;
    for origin in ["https://evil.example", "null"] {
        let answer = open(&gateway, &[("origin", origin)]).await;
        assert_eq!(answer.status, 200);
        answer.has("access-control-allow-origin", origin);
        varies_by_origin(&answer);
    }
    let headers = [("origin", "https://evil.example")];
    let socket = WebSocket::open_with(&gateway, "", &headers).await;
    assert_eq!(socket.response.status(), 101);
}

#[tokio::test]
async fn the_first_refusal_of_an_origin_is_logged_once_with_the_line_to_add() {
    let gateway = Gateway::start(ECHO).await;
    for _ in 0..3 {
        open(&gateway, &[("origin", "https://evil.example")])
            .await
            .is(403, FORBIDDEN);
    }
    let line = gateway.log_line(&["https://evil.example"]).await;
    assert!(line.contains("origins"), "{line}");
    let lines = gateway.logs();
    let count = lines
        .iter()
        .filter(|l| l.contains("https://evil.example"))
        .count();
    assert_eq!(count, 1, "{lines:#?}");
}

#[tokio::test]
async fn an_origin_with_control_characters_is_refused() {
    let mut gateway = Gateway::start(ECHO).await;
    let answer = open(&gateway, &[("origin", "http://a\tb")]).await;
    assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    gateway.is_well("an odd origin").await;
}
