//! How sessions end (protocol 1.10): on the wire, on both transports, by either side, and when the process ends.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::client::{Client, Kind, Packet};
use crate::support::frames::{Frames, Length, frame, opcode};
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::Exchange;
use crate::support::polling::Polling;
use crate::support::wait::eventually;
use crate::support::websocket::WebSocket;

/// What a poll gets that comes to a session which is closing.
const OVERTAKEN: &str = "6\x1e1";

/// A backend that answers any event with its first argument as the list of actions.
async fn obedient() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    backend.answer_events(|request| json!({"actions": request.body["args"][0]}));
    (Gateway::start(&backend.everything()).await, backend)
}

async fn joined(gateway: &Gateway) -> Polling {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    match client {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

fn order(actions: &Value) -> String {
    format!(r#"42["do",{actions}]"#)
}

fn bye_and(disconnect: &Value) -> String {
    order(&json!([{"type": "emit", "event": "bye", "args": []}, disconnect]))
}

#[tokio::test]
async fn a_closed_websocket_gets_an_empty_close_frame_after_what_was_queued() {
    let (gateway, _backend) = obedient().await;
    let mut frames = Frames::joined(&gateway).await;
    let close = json!({"type": "disconnect", "close": true});
    frames.text(&bye_and(&close)).await;
    frames.expect(r#"42["bye"]"#).await;
    frames.expect("41").await;
    frames.expect_close(None).await;
}

#[tokio::test]
async fn a_transport_close_sends_no_disconnect_packet() {
    let (gateway, _backend) = obedient().await;
    let mut frames = Frames::joined(&gateway).await;
    let close = json!({"type": "disconnect", "reconnect": true});
    frames.text(&bye_and(&close)).await;
    frames.expect(r#"42["bye"]"#).await;
    frames.expect_close(None).await;
}

#[tokio::test]
async fn a_disconnect_without_close_leaves_the_connection() {
    let (gateway, _backend) = obedient().await;
    let (mut client, first) = Client::joined(&gateway).await;
    client.send(&order(&json!([{"type": "disconnect"}]))).await;
    client.expect("41").await;
    let second = client.connect("/", "").await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_pending_poll_gets_the_close_packet() {
    let (gateway, _backend) = obedient().await;
    let close = json!([{"type": "disconnect", "reconnect": true}]);
    // Two connections: now and then the POST is handled before the GET.
    Box::pin(eventually(
        "a poll that was there before the close",
        async || {
            let polling = joined(&gateway).await;
            let mut pending = polling.begin_poll().await;
            polling.send(order(&close)).await;
            let answer = pending.answer().await;
            polling.expect_gone().await;
            if answer.text() == OVERTAKEN {
                return Err("the close overtook the poll".to_owned());
            }
            answer.is(200, "1");
            Ok(())
        },
    ))
    .await;
}

#[tokio::test]
async fn a_pending_poll_gets_what_is_queued_and_the_next_one_the_close() {
    let (gateway, _backend) = obedient().await;
    let polling = joined(&gateway).await;
    let mut pending = polling.begin_poll().await;
    let close = json!([{"type": "disconnect", "close": true}]);
    polling.send(order(&close)).await;
    pending.answer().await.is(200, "41");
    ends_with_a_close_packet(&polling).await;
}

#[tokio::test]
async fn without_a_pending_poll_the_next_ones_get_the_rest_and_the_close() {
    let (gateway, mut backend) = obedient().await;
    let polling = joined(&gateway).await;
    let close = json!([{"type": "disconnect", "close": true}]);
    polling.send(order(&close)).await;
    backend.next_of("connect").await;
    backend.next_of("event").await;
    polling.poll().await.is(200, "41");
    ends_with_a_close_packet(&polling).await;
}

/// The next poll gets the close, after a noop or alone, and then nothing is left.
async fn ends_with_a_close_packet(polling: &Polling) {
    let answer = polling.poll().await;
    assert!(matches!(answer.text(), OVERTAKEN | "1"), "{answer:?}");
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_client_closes_a_polling_session_by_a_packet() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    polling.post("1").await.is(200, "ok");
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_close_packet_on_a_websocket_ends_it_at_once() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.text("1").await;
    frames.expect_close(None).await;
}

#[tokio::test]
async fn a_close_frame_is_answered_and_the_connection_ends() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.write(&frame(0x88, Length::Shortest, &[])).await;
    let answer = frames.next().await.expect("a close frame");
    assert_eq!(answer.first, 0x80 | opcode::CLOSE);
    frames.expect_end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let gateway = Gateway::start(
        "[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"\n",
    )
    .await;
    let (client, id) = Client::joined(&gateway).await;
    let target = format!("/v1/sockets?namespace=/&id={id}");
    assert_eq!(gateway.api_get(&target).await.status, 200);
    drop(client);
    eventually("the socket to be gone", async || {
        let answer = gateway.api_get(&target).await;
        (answer.status == 404)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
}

/// A WebSocket and a pending poll, both joined.
async fn both(gateway: &Gateway) -> (Frames, Polling, Exchange) {
    let frames = Frames::joined(gateway).await;
    let polling = joined(gateway).await;
    let pending = polling.begin_poll().await;
    // The poll is there once the gateway has answered something that was sent after it.
    let (mut other, _) = Client::joined(gateway).await;
    other.expect_quiet().await;
    (frames, polling, pending)
}

#[tokio::test]
async fn sigint_closes_transports_without_disconnect_packets_and_exits_with_0() {
    let mut gateway = Gateway::start(ECHO).await;
    let (mut frames, _polling, mut pending) = both(&gateway).await;
    gateway.signal(Signal::INT);
    let answer = pending.answer().await;
    assert!(matches!(answer.text(), OVERTAKEN | "1"), "{answer:?}");
    frames.expect_close(None).await;
    assert_eq!(gateway.exit().await.code(), Some(0));
}

const QUICK_DRAIN: &str =
    "drain.delay = \"0s\"\ndrain.spread = \"100ms\"\ndrain.hard_stop = \"5s\"\n";

#[tokio::test]
async fn sigterm_closes_transports_without_disconnect_packets_and_exits_with_0() {
    let mut gateway = Gateway::start(&format!("{QUICK_DRAIN}{ECHO}")).await;
    let (mut frames, _polling, mut pending) = both(&gateway).await;
    gateway.signal(Signal::TERM);
    let answer = pending.answer().await;
    assert!(matches!(answer.text(), OVERTAKEN | "1"), "{answer:?}");
    frames.expect_close(None).await;
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn without_sessions_a_drain_ends_early() {
    let slow = "drain.delay = \"0s\"\ndrain.spread = \"60s\"\ndrain.hard_stop = \"120s\"\n";
    let mut gateway = Gateway::start(&format!("{slow}{ECHO}")).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn during_the_delay_of_a_drain_clients_are_still_served() {
    let slow = "drain.delay = \"60s\"\ndrain.spread = \"1s\"\ndrain.hard_stop = \"120s\"\n";
    let mut gateway = Gateway::start(&format!("{slow}{ECHO}")).await;
    let (mut client, _) = Client::joined(&gateway).await;
    gateway.signal(Signal::TERM);
    eventually("readyz to refuse", async || {
        let answer = crate::support::http::get(gateway.admin, "/readyz").await;
        (answer.status == 503)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
    client.expect_quiet().await;
    let (mut late, _) = Client::joined(&gateway).await;
    late.expect_quiet().await;
    // A second signal stops at once.
    gateway.signal(Signal::TERM);
    client.expect_end().await;
    gateway.exit().await;
}

#[tokio::test]
async fn new_handshakes_get_503_after_the_delay_of_a_drain() {
    let slow = "drain.delay = \"0s\"\ndrain.spread = \"60s\"\ndrain.hard_stop = \"120s\"\n";
    let gateway = Gateway::start(&format!("{slow}{ECHO}")).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(WebSocket::open(&gateway).await);
    }
    gateway.signal(Signal::TERM);
    eventually("handshakes to be refused", async || {
        let answer = gateway.get("EIO=4&transport=polling").await;
        (answer.status == 503)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    })
    .await;
    drop(clients);
}

#[tokio::test]
async fn a_polling_session_may_be_closed_while_its_post_is_answered() {
    let (gateway, _backend) = obedient().await;
    let mut client = Client::open(Kind::Polling, &gateway).await;
    client.connect("/", "").await;
    client
        .send(&order(&json!([{"type": "disconnect", "close": true}])))
        .await;
    client.expect("41").await;
    assert_eq!(client.next().await, Packet::End);
}
