//! The way from polling to WebSocket (protocol 1.9): probe, noops, flush, and every way in which it can fail.

use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::client::{Client, Kind, Packet};
use crate::support::frames::UPGRADE;
use crate::support::gateway::{ECHO, Gateway};
use crate::support::http::{Exchange, request};
use crate::support::polling::{Polling, SEPARATOR};
use crate::support::websocket::WebSocket;

fn echo(argument: impl std::fmt::Display) -> String {
    format!(r#"42["echo",{argument}]"#)
}

async fn joined(gateway: &Gateway) -> Polling {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    match client {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

async fn probe(gateway: &Gateway, polling: &Polling) -> WebSocket {
    let mut socket = WebSocket::of_session(gateway, &polling.sid).await;
    socket.send("2probe").await;
    // The very first message: an upgrade gets no open packet.
    socket.expect("3probe").await;
    socket
}

/// The session is alive on polling.
async fn polls_on(polling: &Polling) {
    polling.send(echo("\"still here\"")).await;
    loop {
        let answer = polling.poll().await;
        if answer.text() != "6" {
            answer.is(200, &echo("\"still here\""));
            return;
        }
    }
}

#[tokio::test]
async fn a_pending_poll_is_released_by_the_probe() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut pending = polling.begin_poll().await;
    let _socket = probe(&gateway, &polling).await;
    pending.answer().await.is(200, "6");
}

#[tokio::test]
async fn every_poll_during_the_upgrade_is_released() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let _socket = probe(&gateway, &polling).await;
    for _ in 0..3 {
        polling.poll().await.is(200, "6");
    }
}

#[tokio::test]
async fn polling_works_until_the_upgrade_packet() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    for n in 0..3 {
        polling.send(echo(n)).await;
        let answer = loop {
            let answer = polling.poll().await;
            if answer.text() != "6" {
                break answer;
            }
        };
        answer.is(200, &echo(n));
    }
    // Nothing of it has come by WebSocket: the next message there is the echo sent there.
    socket.send("5").await;
    socket.send(&echo("\"upgraded\"")).await;
    socket.expect(&echo("\"upgraded\"")).await;
}

#[tokio::test]
async fn what_waits_is_flushed_on_the_websocket_in_order_after_the_upgrade_packet() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    let waiting: Vec<_> = (0..40).map(echo).collect();
    polling.send(waiting.join(SEPARATOR)).await;
    socket.send("5").await;
    socket.send(&echo(40)).await;
    for n in 0..=40 {
        socket.expect(&echo(n)).await;
    }
}

#[tokio::test]
async fn a_poll_pending_at_the_upgrade_packet_is_released() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    let mut pending = polling.begin_poll().await;
    socket.send("5").await;
    let answer = pending.answer().await;
    // A noop if it was there before the packet, a transport mismatch if it came after.
    match answer.status {
        200 => answer.is(200, "6"),
        _ => answer.is(400, r#"{"code":3,"message":"Bad request"}"#),
    };
    socket.send(&echo(1)).await;
    socket.expect(&echo(1)).await;
}

#[tokio::test]
async fn after_the_upgrade_polling_is_a_bad_request() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    socket.send("5").await;
    socket.send(&echo(1)).await;
    socket.expect(&echo(1)).await;
    let bad = r#"{"code":3,"message":"Bad request"}"#;
    polling.poll().await.is(400, bad);
    polling.post(echo(2)).await.is(400, bad);
    socket.send(&echo(3)).await;
    socket.expect(&echo(3)).await;
}

#[tokio::test]
async fn anything_but_a_probe_closes_that_websocket_and_leaves_the_session() {
    let gateway = Gateway::start(ECHO).await;
    for wrong in ["2", "2wrong", "3probe", "4hello", "0", "x", ""] {
        let polling = joined(&gateway).await;
        let mut socket = WebSocket::of_session(&gateway, &polling.sid).await;
        socket.send(wrong).await;
        assert_eq!(socket.receive().await, Packet::End, "{wrong:?}");
        polls_on(&polling).await;
    }
}

#[tokio::test]
async fn a_message_instead_of_the_upgrade_packet_closes_that_websocket_only() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    socket.send(&echo(1)).await;
    assert_eq!(socket.receive().await, Packet::End);
    polls_on(&polling).await;
}

#[tokio::test]
async fn an_upgrade_that_is_not_finished_in_time_is_given_up_and_may_be_tried_again() {
    let gateway = Gateway::start(&format!("engine.upgrade_timeout = \"200ms\"\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let mut silent = WebSocket::of_session(&gateway, &polling.sid).await;
    assert_eq!(silent.receive().await, Packet::End, "without a probe");
    let mut socket = probe(&gateway, &polling).await;
    assert_eq!(socket.receive().await, Packet::End, "after the probe");
    polls_on(&polling).await;
    let mut again = probe(&gateway, &polling).await;
    again.send("5").await;
    again.send(&echo(1)).await;
    again.expect(&echo(1)).await;
}

#[tokio::test]
async fn a_websocket_that_dies_while_probing_leaves_the_session() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    drop(probe(&gateway, &polling).await);
    polls_on(&polling).await;
    probe(&gateway, &polling).await.close().await;
    polls_on(&polling).await;
}

#[tokio::test]
async fn the_end_of_the_session_closes_the_probing_websocket() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut socket = probe(&gateway, &polling).await;
    polling.send("1").await;
    assert_eq!(socket.receive().await, Packet::End);
    polling.expect_gone().await;
}

#[tokio::test]
async fn a_second_probing_websocket_is_closed_and_the_first_goes_on() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    let mut first = probe(&gateway, &polling).await;
    let mut second = WebSocket::of_session(&gateway, &polling.sid).await;
    assert_eq!(second.receive().await, Packet::End);
    first.send("5").await;
    first.send(&echo(1)).await;
    first.expect(&echo(1)).await;
}

#[tokio::test]
async fn a_websocket_session_takes_no_second_websocket() {
    let gateway = Gateway::start(ECHO).await;
    let mut socket = WebSocket::open(&gateway).await;
    let sid = socket.handshake["sid"].as_str().unwrap().to_owned();
    let target = gateway.target(&format!("EIO=4&transport=websocket&sid={sid}"));
    // Refused, or accepted and closed.
    if let Ok(mut second) = WebSocket::connect(gateway.clients, &target, &[]).await {
        assert_eq!(second.receive().await, Packet::End);
    }
    socket.send("40").await;
    assert!(matches!(socket.receive().await, Packet::Text(text) if text.starts_with("40{")));
}

#[tokio::test]
async fn an_upgrade_by_another_revision_is_refused_and_the_session_lives() {
    let gateway = Gateway::start(ECHO).await;
    let polling = joined(&gateway).await;
    for revision in ["EIO=3&", "EIO=04&", ""] {
        let query = format!("{revision}transport=websocket&sid={}", polling.sid);
        let bytes = request("GET", &gateway.target(&query), &UPGRADE, b"");
        let answer = Exchange::begin(gateway.clients, &bytes)
            .await
            .answer()
            .await;
        answer.is(400, "Bad request");
    }
    polls_on(&polling).await;
}

#[tokio::test]
async fn an_upgrade_where_none_is_allowed_does_not_harm_the_session() {
    let gateway = Gateway::start(&format!("engine.allow_upgrades = false\n{ECHO}")).await;
    let polling = joined(&gateway).await;
    let target = gateway.target(&format!("EIO=4&transport=websocket&sid={}", polling.sid));
    // Refused or closed: the gateway may choose.
    if let Ok(mut socket) = WebSocket::connect(gateway.clients, &target, &[]).await {
        socket.send("nonsense").await;
        assert_eq!(socket.receive().await, Packet::End);
    }
    polls_on(&polling).await;
}

#[tokio::test]
async fn nothing_is_lost_repeated_or_reordered_by_an_upgrade() {
    let gateway = Gateway::start(ECHO).await;
    for round in 0..20 {
        let polling = joined(&gateway).await;
        let mut seen = Vec::new();
        let mut pending = polling.begin_poll().await;
        for n in 0..round {
            polling.send(echo(n)).await;
        }
        let mut socket = probe(&gateway, &polling).await;
        seen.push(pending.answer().await.text().to_owned());
        for n in round..2 * round {
            polling.send(echo(n)).await;
        }
        socket.send("5").await;
        for n in 2 * round..=3 * round {
            socket.send(&echo(n)).await;
        }
        while seen.last() != Some(&echo(3 * round)) {
            match socket.receive().await {
                Packet::Text(text) => seen.push(text),
                other => panic!("{other:?} after {seen:?}"),
            }
        }
        let seen = seen.join(SEPARATOR);
        let seen: Vec<_> = seen.split(SEPARATOR).filter(|text| *text != "6").collect();
        let sent: Vec<_> = (0..=3 * round).map(echo).collect();
        assert_eq!(seen, sent, "round {round}");
    }
}

#[tokio::test]
async fn a_body_that_waits_for_its_lane_goes_on_beside_an_upgrade() {
    const EVENTS: usize = 10;
    let mut backend = Backend::start().await;
    let config = format!("limits.lane_events = 2\n{}", backend.everything());
    let gateway = Gateway::start(&config).await;
    let polling = joined(&gateway).await;
    backend.next_of("connect").await;
    let (release, reply) = Reply::held(json!({}));
    backend.push(reply);
    let events: Vec<_> = (0..EVENTS).map(|n| format!(r#"42["n",{n}]"#)).collect();
    let body = events.join(SEPARATOR);
    let mut post = polling.begin_post(body.len(), body.as_bytes()).await;
    gateway.metric_is("sockgate_lanes_full_total", 1.0).await;
    let _socket = probe(&gateway, &polling).await;
    release.go();
    post.answer().await.is(200, "ok");
    for n in 0..EVENTS {
        assert_eq!(backend.next_of("event").await.body["args"], json!([n]));
    }
}

#[tokio::test]
async fn a_poll_that_is_aborted_at_the_upgrade_packet_leaves_no_connection_behind() {
    let gateway = Gateway::start(ECHO).await;
    for _ in 0..30 {
        let polling = joined(&gateway).await;
        let mut socket = probe(&gateway, &polling).await;
        let pending = polling.begin_poll().await;
        socket.send("5").await;
        drop(pending);
    }
    gateway
        .metric_is("sockgate_listener_connections", 0.0)
        .await;
}
