//! Just outside of each limit: what comes has the named outcome.

use super::{
    Bench, Subject, body_of, handshake, header, in_fragments, nested, packet_of, question, subject,
    with_head, with_headers,
};
use crate::support::backend::Reply;
use crate::support::client::Packet;
use crate::support::frames::{Frames, Length, frame, opcode};
use crate::support::http::{Exchange, request};
use crate::support::polling::{Polling, SEPARATOR, UNKNOWN_SESSION};
use crate::support::websocket::WebSocket;

const OVERLOAD: &str =
    r#"sockgate_connections_closed_total{transport="websocket",reason="overload"}"#;

pub(super) async fn outside(key: &str, bench: &mut Bench) {
    match subject(key) {
        Subject::Http => http(key, bench).await,
        Subject::Packets => packets(key, bench).await,
        Subject::Calls => calls(key, bench).await,
        Subject::Hub => hub(key, bench).await,
    }
}

async fn http(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "connections_per_address" => {
            let _second = WebSocket::open(gateway).await;
            let _third = WebSocket::open(gateway).await;
            assert!(!bench.is_served().await);
        }
        "accept_rate" => {
            let bytes = handshake(gateway);
            let mut dials = Vec::new();
            for _ in 0..50 {
                dials.push(Exchange::begin(gateway.clients, &bytes).await);
            }
            let mut refused = 0;
            for mut dial in dials {
                refused += u32::from(dial.answer_or_end().await.is_err());
            }
            assert!(
                refused > 0,
                "all of 50 connections were served at 5 per second"
            );
        }
        "headers" => assert_eq!(with_headers(gateway, 9).await, 431),
        "header_bytes" => assert_eq!(with_head(gateway, 8_400).await, 431),
        "header_timeout" => {
            let half = b"GET /socket.io/?EIO=4 HTTP/1.1\r\nhost: ";
            let mut exchange = Exchange::begin(gateway.clients, half).await;
            assert_eq!(exchange.until_end().await, b"");
        }
        "body_timeout" => {
            let (polling, _) = bench.polling().await;
            let seen = polling.begin_post(100, b"42").await.until_end().await;
            assert!(seen.starts_with(b"HTTP/1.1 408"), "{seen:?}");
            polling.expect_gone().await;
        }
        "keep_alive" => {
            let bytes = handshake(gateway);
            let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
            assert_eq!(exchange.answer().await.status, 200);
            assert_eq!(exchange.until_end().await, b"");
        }
        "api_body" => {
            let answer = gateway.api_post("/v1/emit", &body_of(1001)).await;
            answer.problem(413, "too_large");
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn packets(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "fragments" => {
            let mut frames = Frames::joined(gateway).await;
            in_fragments(&mut frames, 5).await;
            frames.expect_close(Some(1008)).await;
        }
        "control_frames" => {
            let mut frames = Frames::joined(gateway).await;
            let flood = frame(0x80 | opcode::PING, Length::Shortest, b"").repeat(100);
            frames.write(&flood).await;
            let close = loop {
                let frame = frames
                    .next()
                    .await
                    .expect("a close frame, not the bare end");
                if frame.first != 0x80 | opcode::PONG {
                    break frame;
                }
            };
            assert_eq!(close.first, 0x80 | opcode::CLOSE, "{close:?}");
            assert_eq!(close.payload.first_chunk(), Some(&1008_u16.to_be_bytes()));
        }
        "packets_per_payload" => {
            let (polling, _) = bench.polling().await;
            polling.post(["3"; 5].join(SEPARATOR)).await.is(400, "");
            polling.expect_gone().await;
        }
        "attachments" => ends(bench, &header(4)).await,
        "attachment_timeout" => ends(bench, &header(1)).await,
        "json_depth" => ends(bench, &nested(5)).await,
        "namespaces_per_connection" => {
            let (mut client, _) = bench.socket().await;
            client.connect("/n-1", "").await;
            client.send("40/n-2,").await;
            client
                .expect(r#"44/n-2,{"message":"Too many namespaces"}"#)
                .await;
            client.expect_quiet().await;
        }
        "events_per_socket" => {
            let (mut client, id) = bench.socket().await;
            for _ in 0..200 {
                client.send(r#"42["echo"]"#).await;
            }
            let mut answered = 0;
            while client.next().await != Packet::End {
                answered += 1;
            }
            assert!(answered < 200, "nothing was dropped");
            assert_eq!(bench.reason(&id).await, "rate limited");
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn calls(key: &str, bench: &mut Bench) {
    match key {
        "opening" => {
            let mut oldest = WebSocket::open(&bench.gateway).await;
            let _second = WebSocket::open(&bench.gateway).await;
            let _third = WebSocket::open(&bench.gateway).await;
            oldest.expect_end().await;
            bench.gateway.metric_is(OVERLOAD, 1.0).await;
        }
        "held" => {
            bench.backend.forget();
            bench.backend.answer(|_| Reply::Hang);
            let mut late = WebSocket::open(&bench.gateway).await;
            let mut waiting = WebSocket::open(&bench.gateway).await;
            waiting.send("40").await;
            while bench.backend.next().await.kind() != "connect" {}
            late.send("40").await;
            late.expect_end().await;
            bench.gateway.metric_is(OVERLOAD, 1.0).await;
        }
        "stall_timeout" => {
            // The counter has the reason; the notice waits behind the call that hangs.
            let (mut client, _) = bench.socket().await;
            bench.backend.push(Reply::Hang);
            for _ in 0..4 {
                client.send(r#"42["x"]"#).await;
            }
            client.expect_end().await;
        }
        "lane_events" | "lane_bytes" => {
            let (mut client, _) = bench.socket().await;
            for n in 0..100 {
                let text = "x".repeat(100);
                client.send(&format!(r#"42{n}["x","{text}"]"#)).await;
            }
            for n in 0..100 {
                client.expect(&format!("43{n}[]")).await;
            }
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn hub(key: &str, bench: &mut Bench) {
    match key {
        "rooms_per_socket" | "rooms" => {
            let (_client, id) = bench.socket().await;
            let answer = bench.join(&id, &["c", "d", "e"]).await;
            answer.problem(422, "limit");
        }
        "acks" => {
            let (mut client, id) = bench.socket().await;
            let body = question(&id);
            let text = body.to_string();
            let headers = [("content-type", "application/json")];
            let bytes = request("POST", "/v1/emit", &headers, text.as_bytes());
            let _pending = Exchange::begin(bench.gateway.api, &bytes).await;
            client.text().await;
            let answer = bench.gateway.api_post("/v1/emit", &body).await;
            answer.problem(503, "too_many_acks");
            // The second question was not put.
            client.expect_quiet().await;
        }
        "emit" => {
            let answer = bench.gateway.api_post("/v1/emit", &packet_of(1001)).await;
            answer.problem(413, "too_large");
        }
        "outbox" => cut(bench, 10, 1000).await,
        "outbox_frames" => cut(bench, 9, 1).await,
        "outbox_total" => {
            let (fullest, fullest_id) = bench.polling().await;
            let (other, other_id) = bench.polling().await;
            for _ in 0..6 {
                bench.emit(&fullest_id, 10_000).await;
            }
            for _ in 0..4 {
                bench.emit(&other_id, 10_000).await;
            }
            bench.is_gone(&fullest_id).await;
            is_over(&fullest).await;
            assert_eq!(bench.reason(&fullest_id).await, "slow consumer");
            assert_eq!(other.poll().await.text().split(SEPARATOR).count(), 4);
        }
        "write_stall" => {
            let (client, id) = bench.socket().await;
            for _ in 0..40 {
                bench.emit(&id, 500_000).await;
            }
            bench.is_gone(&id).await;
            assert_eq!(bench.reason(&id).await, "slow consumer");
            drop(client);
        }
        other => unreachable!("{other} is of another group"),
    }
}

/// A packet that ends the connection of its sender.
async fn ends(bench: &mut Bench, packet: &str) {
    let (mut client, id) = bench.socket().await;
    client.send(packet).await;
    client.expect_end().await;
    assert_eq!(bench.reason(&id).await, "parse error");
}

/// The next poll gets the end and nothing else.
async fn is_over(polling: &Polling) {
    let answer = polling.poll().await;
    let text = answer.text();
    assert!(
        matches!(text, "1" | "6\x1e1" | UNKNOWN_SESSION),
        "{answer:?}"
    );
}

/// A session that does not poll, and is cut.
async fn cut(bench: &mut Bench, emits: usize, bytes: usize) {
    let (polling, id) = bench.polling().await;
    for _ in 0..emits {
        bench.emit(&id, bytes).await;
    }
    bench.is_gone(&id).await;
    is_over(&polling).await;
    assert_eq!(bench.reason(&id).await, "slow consumer");
}
