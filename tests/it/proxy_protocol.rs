//! `server.proxy_protocol`: the address in the PROXY header counts as the client's, and without a header nobody is let in.

use crate::support::backend::{Backend, Keys};
use crate::support::client::Kind;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, request};

const REJECTED: &str = r#"sockgate_connections_rejected_total{reason="proxy"}"#;

fn v1(ip: &str) -> Vec<u8> {
    format!("PROXY TCP4 {ip} 10.0.0.1 4711 80\r\n").into_bytes()
}

fn v2(ip: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(ip);
    bytes.extend([10, 0, 0, 1, 0x12, 0x67, 0, 80]);
    bytes
}

fn handshake(gateway: &Gateway) -> Vec<u8> {
    request("GET", &gateway.target("EIO=4&transport=polling"), &[], b"")
}

async fn behind_proxy() -> Gateway {
    Gateway::start(&format!("server.proxy_protocol = true\n{ECHO}")).await
}

/// Opens a session and joins over one connection, and returns the address that the backend is told.
async fn told(
    gateway: &Gateway,
    backend: &mut Backend,
    header: &[u8],
    more: &[(&str, &str)],
) -> String {
    let mut first = header.to_vec();
    let target = gateway.target("EIO=4&transport=polling");
    first.extend(request("GET", &target, more, b""));
    let mut exchange = Exchange::begin(gateway.clients, &first).await;
    let answer = exchange.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let open: serde_json::Value = serde_json::from_str(&answer.text()[1..]).unwrap();
    let target = gateway.target(&format!(
        "EIO=4&transport=polling&sid={}",
        open["sid"].as_str().unwrap()
    ));
    exchange.again(&request("POST", &target, &[], b"40")).await;
    exchange.answer().await.is(200, "ok");
    let connect = backend.next_of("connect").await;
    connect.body["request"]["ip"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_address_of_the_header_is_the_clients() {
    let mut backend = Backend::start().await;
    let config = backend.everything_with(&Keys::default());
    let trusted = "server.proxy_protocol = true\nserver.trusted_proxies = [\"198.51.100.0/24\"]\n";
    let gateway = Gateway::start(&format!("{trusted}{config}")).await;
    let own: &[(&str, &str)] = &[];
    assert_eq!(
        told(&gateway, &mut backend, &v1("203.0.113.7"), own).await,
        "203.0.113.7"
    );
    assert_eq!(
        told(&gateway, &mut backend, &v2([203, 0, 113, 8]), own).await,
        "203.0.113.8"
    );
    // A load balancer's own connections keep their address.
    assert_eq!(
        told(&gateway, &mut backend, b"PROXY UNKNOWN\r\n", own).await,
        "127.0.0.1"
    );
    // The header's address is the peer that is trusted, or not, with the addresses that it forwards.
    let forwarded = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(
        told(&gateway, &mut backend, &v1("198.51.100.1"), &forwarded).await,
        "192.0.2.1"
    );
    assert_eq!(
        told(&gateway, &mut backend, &v1("203.0.113.7"), &forwarded).await,
        "203.0.113.7"
    );
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_with_the_request() {
    let gateway = behind_proxy().await;
    let mut whole = v2([203, 0, 113, 7]);
    whole.extend(handshake(&gateway));
    let mut exchange = Exchange::begin(gateway.clients, &whole).await;
    assert_eq!(exchange.answer().await.status, 200);
    let header = v1("203.0.113.7");
    let mut exchange = Exchange::begin(gateway.clients, &header[..1]).await;
    for byte in &header[1..] {
        exchange.again(&[*byte]).await;
    }
    exchange.again(&handshake(&gateway)).await;
    assert_eq!(exchange.answer().await.status, 200);
}

#[tokio::test]
async fn a_websocket_behind_a_header_works() {
    let gateway = behind_proxy().await;
    let mut bytes = v1("203.0.113.7");
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let target = gateway.target("EIO=4&transport=websocket");
    bytes.extend(request("GET", &target, &headers, b""));
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    assert_eq!(exchange.answer().await.status, 101);
    let open = exchange.take(6).await.unwrap();
    assert_eq!(open[0], 0x81, "{open:?}");
    gateway
        .metric_is(r#"sockgate_connections{transport="websocket"}"#, 1.0)
        .await;
}

#[tokio::test]
async fn without_a_header_nobody_is_let_in() {
    let gateway = behind_proxy().await;
    let mut too_long = b"\r\n\r\n\0\r\nQUIT\n\x20\0\xff\xff".to_vec();
    too_long.extend([0; 1000]);
    let bad = [
        handshake(&gateway),
        b"PROXY TCP4 nonsense\r\n".to_vec(),
        too_long,
        // Silence: the time for a header is over at some moment.
        Vec::new(),
        b"PROXY TCP4 203.0.113.7".to_vec(),
    ];
    for (refused, bytes) in (1u8..).zip(&bad) {
        let mut exchange = Exchange::begin(gateway.clients, bytes).await;
        assert_eq!(exchange.until_end().await, b"", "{bytes:?}");
        gateway.metric_is(REJECTED, f64::from(refused)).await;
    }
    let mut good = v1("203.0.113.7");
    good.extend(handshake(&gateway));
    let mut exchange = Exchange::begin(gateway.clients, &good).await;
    assert_eq!(exchange.answer().await.status, 200);
}

#[tokio::test]
async fn connections_are_counted_by_the_address_of_the_header() {
    let config = "server.proxy_protocol = true\nlimits.connections_per_address = 2\n";
    let gateway = Gateway::start(&format!("{config}{ECHO}")).await;
    let dial = async |ip: &str| {
        let mut bytes = v1(ip);
        bytes.extend(handshake(&gateway));
        let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
        let answer = exchange.answer_or_end().await.map(|answer| answer.status);
        (exchange, answer.ok())
    };
    let (_first, one) = dial("203.0.113.7").await;
    let (_second, two) = dial("203.0.113.7").await;
    assert_eq!((one, two), (Some(200), Some(200)));
    assert_eq!(dial("203.0.113.7").await.1, None);
    assert_eq!(dial("203.0.113.8").await.1, Some(200));
    gateway
        .metric_is(
            r#"sockgate_connections_rejected_total{reason="ip_limit"}"#,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn where_it_is_off_a_header_is_no_request() {
    let gateway = Gateway::start(ECHO).await;
    let mut bytes = v1("203.0.113.7");
    bytes.extend(handshake(&gateway));
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    let answer = exchange.until_end().await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    drop(exchange);
    gateway
        .metric_is(r#"sockgate_parse_errors_total{layer="http"}"#, 1.0)
        .await;
    let client = crate::support::client::Client::open(Kind::WebSocket, &gateway).await;
    drop(client);
}
