//! Requests whose end can be read in two ways (operations b4): what another server before us could take for the body of one request is
//! never answered as a second one.

use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::Exchange;

/// The request inside of the body.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

async fn start() -> Gateway {
    // A connection that is kept ends soon, so that everything which is answered has been seen.
    Gateway::start(&format!("limits.keep_alive = \"300ms\"\n{ECHO}")).await
}

/// All that comes back until the connection ends.
async fn answers(gateway: &Gateway, bytes: &str) -> String {
    let mut exchange = Exchange::begin(gateway.clients, bytes.as_bytes()).await;
    String::from_utf8(exchange.until_end().await).unwrap()
}

/// Fails the test unless there is one answer, with this status, and none to the request inside.
async fn is_one(gateway: &Gateway, head: &str, body: &str, status: u16) {
    let got = answers(gateway, &format!("{head}\r\n\r\n{body}")).await;
    assert!(
        got.starts_with(&format!("HTTP/1.1 {status} ")),
        "{head}: {got}"
    );
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{head}: {got}");
}

#[tokio::test]
async fn a_head_that_contradicts_itself_is_refused() {
    let mut gateway = start().await;
    let post = "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n";
    let old = "POST /socket.io/?EIO=4&transport=polling HTTP/1.0\r\nhost: x\r\n";
    let length = INNER.len();
    for head in [
        format!("{post}content-length: 0\r\ncontent-length: {length}"),
        format!("{post}content-length: +{length}"),
        format!("{post}content-length: 0x10"),
        format!("{post}content-length: {length}, {length}"),
        format!("{post}content-length: -1"),
        format!("{post}transfer-encoding: chunked, identity"),
        format!("{post}transfer-encoding: identity"),
        format!("{post}transfer-encoding: xchunked"),
        format!("{old}transfer-encoding: chunked"),
        format!("{post}x: y\r\n content-length: {length}"),
        format!("{post}content-length : {length}"),
        format!("{post}transfer-encoding\x0b: chunked"),
    ] {
        is_one(&gateway, &head, INNER, 400).await;
    }
    gateway.is_well("contradicting heads").await;
}

#[tokio::test]
async fn of_two_framings_the_chunks_count_and_the_length_is_ignored() {
    let gateway = start().await;
    let head =
        "POST /elsewhere HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked";
    let chunk = format!("{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len());
    is_one(&gateway, head, &chunk, 404).await;
}

#[tokio::test]
async fn a_chunk_whose_size_overflows_ends_the_connection() {
    let mut gateway = start().await;
    let head = "POST /elsewhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for size in ["10000000000000000", "-1", "0x5", "5 5", ""] {
        let got = answers(&gateway, &format!("{head}{size}\r\n{INNER}")).await;
        assert!(got.matches("HTTP/1.1 ").count() <= 1, "{size}: {got}");
    }
    gateway.is_well("wrong chunks").await;
}

#[tokio::test]
async fn the_body_of_a_request_that_needs_none_is_no_request() {
    let gateway = start().await;
    let length = format!("content-length: {}", INNER.len());
    for (target, status) in [
        ("/socket.io/?EIO=4&transport=polling", 200),
        ("/socket.io/socket.io.js", 200),
        ("/elsewhere", 404),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{length}");
        is_one(&gateway, &head, INNER, status).await;
    }
}

#[tokio::test]
async fn nothing_behind_an_upgrade_is_a_request() {
    let gateway = start().await;
    let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    // Refused: the connection is closed. Accepted: the rest is frames, and no valid ones.
    is_one(
        &gateway,
        &format!("{head}\r\nsec-websocket-version: 12"),
        INNER,
        400,
    )
    .await;
    let got = {
        let bytes = format!("{head}\r\nsec-websocket-version: 13\r\n\r\n{INNER}");
        let mut exchange = Exchange::begin(gateway.clients, bytes.as_bytes()).await;
        exchange.until_end().await
    };
    let got = String::from_utf8_lossy(&got);
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
    let elsewhere = "GET /elsewhere HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c";
    is_one(&gateway, elsewhere, INNER, 404).await;
}

#[tokio::test]
async fn a_target_that_names_another_server_is_not_fetched() {
    let gateway = start().await;
    for line in [
        "GET http://169.254.169.254/latest HTTP/1.1",
        "CONNECT 169.254.169.254:80 HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let got = answers(&gateway, &format!("{line}\r\nhost: x\r\n\r\n")).await;
        let is_refused = got.is_empty() || got.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{line}: {got}");
    }
}
