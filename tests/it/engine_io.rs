//! Every case of the official Engine.IO 4 conformance suite (protocol 8.1), in Socket.IO packets: `40`, then `42["echo",…]`
//! which an edge rule answers.

use serde_json::Value;

use crate::support::client::{Client, Kind, Packet};
use crate::support::gateway::{Gateway, QUICK_ECHO};
use crate::support::http::ask;
use crate::support::polling::{Polling, SEPARATOR, UNKNOWN_SESSION, packets};
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

async fn gateway() -> Gateway {
    Gateway::start(QUICK_ECHO).await
}

/// A polling session that has joined `/`.
async fn joined(gateway: &Gateway) -> Polling {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    match client {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

fn has_the_five_keys(handshake: &Value, upgrades: &Value) {
    let keys: Vec<_> = handshake.as_object().unwrap().keys().collect();
    let mut sorted = keys.clone();
    sorted.sort();
    let five = [
        "maxPayload",
        "pingInterval",
        "pingTimeout",
        "sid",
        "upgrades",
    ];
    assert_eq!(sorted, five);
    assert_eq!(handshake["upgrades"], *upgrades);
    assert_eq!(handshake["pingInterval"], 300);
    assert_eq!(handshake["pingTimeout"], 200);
    assert_eq!(handshake["maxPayload"], 1_000_000);
}

#[tokio::test]
async fn polling_opens_a_session_with_exactly_five_keys() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    has_the_five_keys(&polling.handshake, &serde_json::json!(["websocket"]));
}

#[tokio::test]
async fn a_websocket_opens_a_session_with_exactly_five_keys() {
    let gateway = gateway().await;
    let socket = WebSocket::open(&gateway).await;
    has_the_five_keys(&socket.handshake, &serde_json::json!([]));
}

#[tokio::test]
async fn polling_with_a_missing_or_wrong_revision_is_refused() {
    let gateway = gateway().await;
    assert_eq!(gateway.get("transport=polling").await.status, 400);
    assert_eq!(gateway.get("EIO=abc&transport=polling").await.status, 400);
}

#[tokio::test]
async fn polling_with_a_missing_or_wrong_transport_is_refused() {
    let gateway = gateway().await;
    assert_eq!(gateway.get("EIO=4").await.status, 400);
    assert_eq!(gateway.get("EIO=4&transport=abc").await.status, 400);
}

#[tokio::test]
async fn polling_with_another_method_is_refused_without_a_session() {
    let gateway = gateway().await;
    let target = gateway.target("EIO=4&transport=polling");
    for method in ["POST", "PUT"] {
        let answer = ask(gateway.clients, method, &target, &[], "").await;
        assert_eq!(answer.status, 400, "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn a_websocket_with_a_wrong_revision_or_transport_is_refused() {
    let gateway = gateway().await;
    for query in [
        "transport=websocket",
        "EIO=abc&transport=websocket",
        "EIO=4",
        "EIO=4&transport=abc",
    ] {
        let refused = WebSocket::connect(gateway.clients, &gateway.target(query), &[]).await;
        assert!(refused.is_err(), "{query} was accepted");
    }
}

#[tokio::test]
async fn polling_carries_one_text_packet() {
    let gateway = gateway().await;
    let polling = joined(&gateway).await;
    polling.post(r#"42["echo","hello"]"#).await.is(200, "ok");
    polling.poll().await.is(200, r#"42["echo","hello"]"#);
}

#[tokio::test]
async fn polling_returns_several_packets_in_one_body() {
    let gateway = gateway().await;
    let polling = joined(&gateway).await;
    let packet = |n| format!(r#"42["echo","test{n}"]"#);
    let payload = [packet(1), packet(2), packet(3)].join(SEPARATOR);
    polling.post(&payload).await.is(200, "ok");
    polling.poll().await.is(200, &payload);
}

#[tokio::test]
async fn polling_carries_text_and_binary_in_one_body() {
    let gateway = gateway().await;
    let polling = joined(&gateway).await;
    let text = r#"42["echo","hello"]"#;
    let binary = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let payload = [text, binary, "bAQIDBA=="].join(SEPARATOR);
    polling.post(&payload).await.is(200, "ok");
    polling.poll().await.is(200, &payload);
}

#[tokio::test]
async fn an_invalid_packet_ends_a_polling_session() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    polling.post("abc").await;
    assert_eq!(polling.poll().await.status, 400);
}

#[tokio::test]
async fn of_two_polls_one_is_refused_and_the_session_ends() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    let (first, second) = tokio::join!(polling.poll(), polling.poll());
    let (held, refused) = if first.status == 200 {
        (first, second)
    } else {
        (second, first)
    };
    held.is(200, "1");
    refused.is(400, "");
    assert_eq!(polling.poll().await.status, 400);
}

#[tokio::test]
async fn a_cancelled_poll_ends_the_session() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    drop(polling.begin_poll().await);
    // Whether the gateway sees the end before this request or the request as a second poll: refused.
    assert_eq!(polling.poll().await.status, 400);
}

#[tokio::test]
async fn a_websocket_carries_text_and_binary_unchanged() {
    let gateway = gateway().await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"42["echo","hello"]"#).await;
    client.expect(r#"42["echo","hello"]"#).await;
    let text = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    client.send_binary(text, &[&[1, 2, 3, 4]]).await;
    client.expect(text).await;
    client.expect_binary(&[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn an_invalid_packet_closes_a_websocket() {
    let gateway = gateway().await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("abc").await;
    socket.expect_end().await;
}

#[tokio::test]
async fn pings_over_polling_come_one_by_one() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    for _ in 0..3 {
        polling.poll().await.is(200, "2");
        polling.post("3").await.is(200, "ok");
    }
}

#[tokio::test]
async fn a_silent_polling_session_ends() {
    let gateway = gateway().await;
    let polling = Polling::open(&gateway).await;
    polling.expect_gone().await;
}

#[tokio::test]
async fn pings_over_websocket_come_one_by_one() {
    let gateway = gateway().await;
    let mut socket = WebSocket::open(&gateway).await;
    for _ in 0..3 {
        assert_eq!(socket.receive().await, Packet::text("2"));
        socket.send("3").await;
    }
}

#[tokio::test]
async fn a_silent_websocket_is_closed() {
    let gateway = gateway().await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.expect("2").await;
    assert_eq!(socket.receive().await, Packet::End);
}

#[tokio::test]
async fn a_poll_is_released_with_a_noop_when_the_client_closes() {
    let gateway = gateway().await;
    // Two connections: now and then the POST is handled before the GET, which then finds no session.
    eventually("a poll that was there before the close", async || {
        let polling = Polling::open(&gateway).await;
        let mut pending = polling.begin_poll().await;
        polling.post("1").await.is(200, "ok");
        let answer = pending.answer().await;
        assert_eq!(polling.poll().await.status, 400);
        if answer.status == 400 {
            answer.is(400, UNKNOWN_SESSION);
            return Err("the close overtook the poll".to_owned());
        }
        answer.is(200, "6");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_close_packet_closes_a_websocket() {
    let gateway = gateway().await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("1").await;
    assert_eq!(socket.receive().await, Packet::End);
}

/// A polling session and its WebSocket, probed and not yet upgraded.
async fn probed(gateway: &Gateway) -> (Polling, WebSocket) {
    let polling = joined(gateway).await;
    let mut socket = WebSocket::of_session(gateway, &polling.sid).await;
    socket.send("2probe").await;
    socket.expect("3probe").await;
    (polling, socket)
}

#[tokio::test]
async fn a_polling_session_upgrades_to_websocket() {
    let gateway = gateway().await;
    let (polling, mut socket) = probed(&gateway).await;
    polling.poll().await.is(200, "6");
    socket.send("5").await;
    socket.send(r#"42["echo","hello"]"#).await;
    socket.expect(r#"42["echo","hello"]"#).await;
}

#[tokio::test]
async fn polling_is_refused_after_the_upgrade() {
    let gateway = gateway().await;
    let (polling, mut socket) = probed(&gateway).await;
    socket.send("5").await;
    socket.send(r#"42["echo","before"]"#).await;
    socket.expect(r#"42["echo","before"]"#).await;
    assert_eq!(polling.poll().await.status, 400);
    socket.send(r#"42["echo","hello"]"#).await;
    socket.expect(r#"42["echo","hello"]"#).await;
}

#[tokio::test]
async fn a_second_websocket_of_an_upgraded_session_is_closed() {
    let gateway = gateway().await;
    let (polling, mut socket) = probed(&gateway).await;
    socket.send("5").await;
    let mut second = WebSocket::of_session(&gateway, &polling.sid).await;
    assert_eq!(second.receive().await, Packet::End);
    socket.send(r#"42["echo","hello"]"#).await;
    socket.expect(r#"42["echo","hello"]"#).await;
}

#[test]
fn payloads_are_read_as_the_suite_reads_them() {
    let read = packets("4hello\x1ebAQIDBA==\x1e6");
    assert_eq!(
        read,
        [Packet::text("4hello"), Packet::Binary(vec![1, 2, 3, 4])]
    );
}
