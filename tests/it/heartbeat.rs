//! Ping and pong (protocol 1.8): the gateway asks, the client answers, and who does not is gone.

use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::frames::{Frames, opcode};
use crate::support::gateway::{ECHO, Gateway, QUICK_ECHO};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

#[tokio::test]
async fn a_ping_comes_after_each_pong_for_as_long_as_the_client_answers() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("40").await;
    assert!(matches!(socket.receive().await, Packet::Text(text) if text.starts_with("40{")));
    for _ in 0..6 {
        socket.expect("2").await;
        socket.send("3").await;
    }
}

#[tokio::test]
async fn an_upgraded_session_is_pinged_on_its_websocket() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut client = Client::open(Kind::Upgraded, &gateway).await;
    client.connect("/", "").await;
    let Client::WebSocket(mut socket) = client else {
        unreachable!("upgraded")
    };
    for _ in 0..3 {
        socket.expect("2").await;
        socket.send("3").await;
    }
}

#[tokio::test]
async fn a_ping_from_the_client_ends_the_session() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        for ping in ["2", "2probe", "2anything"] {
            let mut client = Client::open(kind, &gateway).await;
            client.connect("/", "").await;
            client.send(ping).await;
            client.expect_end().await;
        }
    }
}

#[tokio::test]
async fn pongs_that_nobody_asked_for_are_harmless() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        for _ in 0..100 {
            client.send("3").await;
        }
        client.send("3anything").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_silent_websocket_gets_an_empty_close_frame() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.expect_close(None).await;
}

#[tokio::test]
async fn a_pending_poll_gets_the_close_when_the_pong_does_not_come() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let polling = Polling::open(&gateway).await;
    polling.send("40").await;
    assert!(polling.poll().await.text().starts_with("40{"));
    polling.poll().await.is(200, "2");
    polling.poll().await.is(200, "1");
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_session_that_never_sends_a_second_request_is_gone() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    Polling::open(&gateway).await.expect_gone().await;
}

#[tokio::test]
async fn traffic_does_not_replace_the_pong_for_ever() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("40").await;
    assert!(matches!(socket.receive().await, Packet::Text(text) if text.starts_with("40{")));
    socket.send(r#"42["echo"]"#).await;
    let mut pings = 0;
    loop {
        match socket.receive().await {
            Packet::End => break,
            Packet::Text(text) if text == "2" => pings += 1,
            // Always something on its way, and never a pong.
            _ => socket.send(r#"42["echo"]"#).await,
        }
    }
    assert_eq!(pings, 1);
}

#[tokio::test]
async fn a_websocket_ping_frame_is_answered_and_is_no_pong_of_engine_io() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.message(opcode::PING, b"hello").await;
    frames.expect_frame(0x80 | opcode::PONG, b"hello").await;
    frames.expect_close(None).await;
}
