//! Bodies of REST requests (contract 9): types, lengths, time, and that a refusal is seen whatever is still on its way.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gateway::{ECHO, Gateway, Setup};
use crate::support::http::{Exchange, request};
use crate::support::wait::within;

const NEWS: &str = r#"{"event":"x","args":[],"to":{"all":true}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// Far more than sockets hold by themselves.
const LARGE: usize = 20 << 20;

fn post(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    request("POST", "/v1/emit", headers, body)
}

#[tokio::test]
async fn a_refusal_is_seen_by_a_caller_that_first_sends_all_of_a_large_body() {
    const KEY: &str = "sgk_0123456789012345678901234567890123456789abc";
    let open = Gateway::start(ECHO).await;
    let config = "[[api.key]]\nname = \"read\"\nsecret = \"env:KEY\"\nscopes = [\"read\"]\n";
    let keyed = Setup::new(&format!("{config}{ECHO}"))
        .env("KEY", KEY)
        .start()
        .await;
    let authorization = format!("Bearer {KEY}");
    let key = ("authorization", authorization.as_str());
    let body = vec![b' '; LARGE];
    for (gateway, method, target, headers, status, code) in [
        (&open, "POST", "/v1/emit", vec![JSON], 413, "too_large"),
        (
            &open,
            "POST",
            "/v1/emit",
            vec![("content-type", "text/plain")],
            415,
            "unsupported_media_type",
        ),
        (
            &open,
            "POST",
            "/v1/emit",
            vec![JSON, ("idempotency-key", "k")],
            400,
            "bad_header",
        ),
        (&open, "POST", "/v1/nothing", vec![JSON], 404, "not_found"),
        (
            &open,
            "PUT",
            "/v1/emit",
            vec![JSON],
            405,
            "method_not_allowed",
        ),
        (
            &keyed,
            "POST",
            "/v1/emit",
            vec![JSON],
            401,
            "unauthenticated",
        ),
        (
            &keyed,
            "POST",
            "/v1/emit",
            vec![JSON, key],
            403,
            "scope_missing",
        ),
    ] {
        let bytes = request(method, target, &headers, &body);
        let mut exchange = Exchange::begin(gateway.api, &bytes).await;
        let answer = exchange.answer().await;
        answer.problem(status, code);
        answer.has("connection", "close");
        assert_eq!(exchange.until_end().await, b"", "{code}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let gateway = Gateway::start(ECHO).await;
    let headers = [JSON, ("content-length", "5000000")];
    let mut exchange = Exchange::begin(gateway.api, &post(&headers, b"{")).await;
    exchange.answer().await.problem(413, "too_large");
}

#[tokio::test]
async fn what_follows_a_refusal_is_thrown_away_only_up_to_a_limit() {
    let mut gateway = Gateway::start(ECHO).await;
    let mut stream = TcpStream::connect(gateway.api).await.unwrap();
    let head = post(&[JSON, ("content-length", "1000000000000")], b"");
    stream.write_all(&head).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    let mut sent = 0;
    within("the end of patience", async {
        while stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
    })
    .await;
    assert!(sent >= 16 << 20, "{sent}");
    assert!(sent <= 128 << 20, "{sent}");
    gateway.is_well("an endless body").await;
}

#[tokio::test]
async fn a_body_in_chunks_is_as_good_as_one_of_a_known_length() {
    let gateway = Gateway::start(&format!("limits.api_body = \"1kB\"\n{ECHO}")).await;
    let head = "POST /v1/emit HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let (first, second) = NEWS.split_at(10);
    let whole = format!("{head}{}{}0\r\n\r\n", chunk(first), chunk(second));
    let mut exchange = Exchange::begin(gateway.api, whole.as_bytes()).await;
    assert_eq!(exchange.answer().await.status, 202);
    // The connection goes on.
    exchange.again(whole.as_bytes()).await;
    assert_eq!(exchange.answer().await.status, 202);
    let spaces = " ".repeat(400);
    let large = format!("{head}{0}{0}{0}", chunk(&spaces));
    exchange.again(large.as_bytes()).await;
    exchange.answer().await.problem(413, "too_large");
}

#[tokio::test]
async fn the_body_may_have_as_many_bytes_as_the_limit_says() {
    let gateway = Gateway::start(&format!("limits.api_body = \"1kB\"\n{ECHO}")).await;
    for (length, status) in [(1_000, 202), (1_001, 413)] {
        let body = format!("{NEWS}{}", " ".repeat(length - NEWS.len()));
        let answer = gateway.api_with("POST", "/v1/emit", &[], &body).await;
        assert_eq!(answer.status, status, "{length}: {answer:?}");
    }
}

#[tokio::test]
async fn who_asks_whether_to_go_on_is_told_before_the_body() {
    let gateway = Gateway::start(ECHO).await;
    let length = NEWS.len().to_string();
    let expect = ("expect", "100-continue");
    let headers = [JSON, expect, ("content-length", &length)];
    let mut exchange = Exchange::begin(gateway.api, &post(&headers, b"")).await;
    assert_eq!(exchange.answer_head().await, 100);
    exchange.again(NEWS.as_bytes()).await;
    assert_eq!(exchange.answer().await.status, 202);
    let headers = [JSON, expect, ("content-length", "5000000")];
    let mut exchange = Exchange::begin(gateway.api, &post(&headers, b"")).await;
    exchange.answer().await.problem(413, "too_large");
    assert_eq!(exchange.until_end().await, b"");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let gateway = Gateway::start(&format!("limits.body_timeout = \"200ms\"\n{ECHO}")).await;
    let headers = [JSON, ("content-length", "100")];
    let mut exchange = Exchange::begin(gateway.api, &post(&headers, b"{\"event\":")).await;
    let answer = exchange.answer().await;
    answer.problem(408, "timeout");
    answer.has("connection", "close");
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_of_its_body_harms_nobody() {
    let mut gateway = Gateway::start(ECHO).await;
    let headers = [JSON, ("content-length", "100")];
    let whole = post(&headers, NEWS.as_bytes());
    for length in (1..whole.len()).step_by(7) {
        Exchange::begin(gateway.api, &whole[..length]).await.reset();
    }
    let mut half = TcpStream::connect(gateway.api).await.unwrap();
    half.write_all(&whole).await.unwrap();
    half.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within("the end", half.read_to_end(&mut rest)).await.ok();
    gateway.is_well("broken bodies").await;
    assert_eq!(
        gateway.api_with("POST", "/v1/emit", &[], NEWS).await.status,
        202
    );
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let gateway = Gateway::start(ECHO).await;
    // As a web page may send it anywhere without asking.
    let mut exchange = Exchange::begin(gateway.api, &post(&[], NEWS.as_bytes())).await;
    exchange
        .answer()
        .await
        .problem(415, "unsupported_media_type");
    let zipped = [JSON, ("content-encoding", "gzip")];
    let answer = gateway.api_with("POST", "/v1/emit", &zipped, NEWS).await;
    answer.problem(415, "unsupported_media_type");
    let plain = [JSON, ("content-encoding", "identity")];
    let answer = gateway.api_with("POST", "/v1/emit", &plain, NEWS).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let gateway = Gateway::start(ECHO).await;
    let news = post(&[JSON], NEWS.as_bytes());
    let mut exchange = Exchange::begin(gateway.api, &news).await;
    assert_eq!(exchange.answer().await.status, 202);
    for (bytes, status) in [
        (post(&[JSON], b"{"), 400),
        (request("GET", "/v1/nothing", &[], b""), 404),
        (request("GET", "/v1/emit", &[], b""), 405),
        (request("GET", "/v1/rooms?limit=0", &[], b""), 422),
        (request("GET", "/v1/rooms", &[], b""), 200),
        (news, 202),
    ] {
        exchange.again(&bytes).await;
        let answer = exchange.answer().await;
        assert_eq!(answer.status, status, "{answer:?}");
        answer.lacks("connection");
    }
}

#[tokio::test]
async fn parameters_where_there_are_none_are_faults() {
    let gateway = Gateway::start(ECHO).await;
    let answer = gateway
        .api_with("POST", "/v1/emit?namespace=/chat", &[], NEWS)
        .await;
    assert_eq!(answer.problem(422, "invalid_request"), ["?namespace"]);
    let answer = gateway.api_get("/v1/nodes?x=1").await;
    assert_eq!(answer.problem(422, "invalid_request"), ["?x"]);
    assert_eq!(
        gateway
            .api_post(
                "/v1/emit?",
                &json!({"event": "x", "args": [], "to": {"all": true}})
            )
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_head_has_the_headers_of_a_get_and_no_body() {
    let gateway = Gateway::start(ECHO).await;
    let mut exchange = Exchange::begin(gateway.api, &request("HEAD", "/v1/rooms", &[], b"")).await;
    assert_eq!(exchange.answer_head().await, 200);
    exchange.again(&request("GET", "/v1/rooms", &[], b"")).await;
    let answer = exchange.answer().await;
    assert_eq!(answer.json()["items"], json!([]), "{answer:?}");
}
