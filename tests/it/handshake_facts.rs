//! What a `connect` tells of the request that opened the connection (contract 2, 3), and what never leaves the gateway.

use serde_json::json;

use crate::support::backend::{Backend, Keys};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::http::{Exchange, ask, request};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn forwarding(forward: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    let config = backend.everything_with(&Keys {
        namespace: &format!("forward = {{ {forward} }}\n"),
        ..Keys::default()
    });
    (Gateway::start(&config).await, backend)
}

#[tokio::test]
async fn a_header_that_is_no_utf8_is_dropped_and_the_others_are_told() {
    let (gateway, mut backend) = forwarding("headers = [\"x-a\", \"x-b\"]").await;
    let target = gateway.target("EIO=4&transport=polling");
    let mut bytes =
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nx-b: fine\r\nx-a: ").into_bytes();
    bytes.extend(b"\xff\xfe\r\n\r\n");
    let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
    let answer = exchange.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let open: serde_json::Value = serde_json::from_str(&answer.text()[1..]).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let target = gateway.target(&format!("EIO=4&transport=polling&sid={sid}"));
    exchange.again(&request("POST", &target, &[], b"40")).await;
    exchange.answer().await.is(200, "ok");
    let told = backend.next_of("connect").await.body;
    assert_eq!(told["request"]["headers"], json!({"x-b": "fine"}));
}

#[tokio::test]
async fn more_forwarded_headers_than_4_kib_are_refused_on_every_transport() {
    let (gateway, mut backend) = forwarding("headers = [\"x-long\"], pass = [\"x-more\"]").await;
    // Name and value count, and what is passed as well as what is forwarded.
    let value = |name: &str, total: usize| "x".repeat(total - name.len());
    let fits = [
        ("x-long", value("x-long", 2048)),
        ("x-more", value("x-more", 2048)),
    ];
    let fits = fits.each_ref().map(|(name, value)| (*name, value.as_str()));
    let polling = Polling::open_with(&gateway, "", &fits).await;
    polling.send("40").await;
    let told = backend.next_of("connect").await;
    assert_eq!(told.must("x-more").len(), 2042);
    let more = value("x-more", 2049);
    let over = [fits[0], ("x-more", more.as_str())];
    let target = gateway.target("EIO=4&transport=polling");
    let answer = ask(gateway.clients, "GET", &target, &over, "").await;
    assert_eq!(answer.status, 431, "{answer:?}");
    let target = gateway.target("EIO=4&transport=websocket");
    let headers = [&UPGRADE[..], &over[..]].concat();
    let answer = ask(gateway.clients, "GET", &target, &headers, "").await;
    assert_eq!(answer.status, 431, "{answer:?}");
}

#[tokio::test]
async fn the_forwarded_query_counts_with_the_headers() {
    let (gateway, mut backend) =
        forwarding("headers = [\"x-long\"], query = [\"token\", \"v\"]").await;
    let header = "x".repeat(2048 - "x-long".len());
    let header = [("x-long", &*header)];
    let token = |total: usize| format!("&token={}", "t".repeat(total - "token".len()));
    // What is not wanted counts nothing, nor what a later one replaces.
    let unwanted = format!("&w={}&v={}&v=", "w".repeat(3000), "v".repeat(3000));
    let fits = token(2048 - "v".len()) + &unwanted;
    let polling = Polling::open_with(&gateway, &fits, &header).await;
    polling.send("40").await;
    let told = backend.next_of("connect").await.body;
    let query = &told["request"]["query"];
    assert_eq!(query["token"].as_str().map(str::len), Some(2042));
    assert_eq!(query["v"], "");
    for transport in ["polling", "websocket"] {
        let target = gateway.target(&format!("EIO=4&transport={transport}{}", token(2049)));
        let headers = [&UPGRADE[..], &header[..]].concat();
        let headers = match transport {
            "polling" => &header[..],
            _ => &headers[..],
        };
        let answer = ask(gateway.clients, "GET", &target, headers, "").await;
        assert_eq!(answer.status, 431, "{transport}: {answer:?}");
    }
}

#[tokio::test]
async fn the_secret_of_the_session_is_in_no_webhook() {
    let (gateway, mut backend) =
        forwarding("headers = [\"*\"], query = [\"*\"], pass = [\"cookie\"]").await;
    let polling = Polling::open(&gateway).await;
    // The requests that follow bear it in their target; a browser also tells the page it is on.
    let mut socket = WebSocket::of_session(&gateway, &polling.sid).await;
    socket.send("2probe").await;
    socket.expect("3probe").await;
    socket.send("5").await;
    let sid = polling.sid.clone();
    let mut client = Client::WebSocket(socket);
    client.connect("/", "").await;
    client.send(r#"421["x"]"#).await;
    client.expect("431[]").await;
    client.send("41").await;
    for kind in ["connect", "event", "disconnect"] {
        let request = backend.next_of(kind).await;
        let told = format!("{:?}{}", request.headers, request.body);
        assert!(!told.contains(&sid), "{kind}: {told}");
        // Nor the part of it that is its own: the node's tag is in both.
        assert!(!told.contains(&sid[6..]), "{kind}: {told}");
    }
}
