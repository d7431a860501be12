//! Just inside of each limit: all is well.

use serde_json::json;

use super::{
    Bench, Subject, body_of, echo, handshake, header, in_fragments, nested, packet_of, question,
    subject, with_head, with_headers,
};
use crate::support::backend::Reply;
use crate::support::client::Packet;
use crate::support::frames::{Frames, opcode};
use crate::support::http::Exchange;
use crate::support::polling::SEPARATOR;
use crate::support::websocket::WebSocket;

pub(super) async fn inside(key: &str, bench: &mut Bench) {
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
            // With the honest client's these are three.
            let (mut second, _) = bench.socket().await;
            let (mut third, _) = bench.socket().await;
            second.expect_quiet().await;
            third.expect_quiet().await;
            drop((second, third));
            gateway
                .metric_is("sockgate_listener_connections", 1.0)
                .await;
        }
        "accept_rate" => {
            // The honest client was the first of five.
            for _ in 0..4 {
                assert!(bench.is_served().await);
            }
        }
        "headers" => assert_eq!(with_headers(gateway, 8).await, 200),
        "header_bytes" => assert_eq!(with_head(gateway, 8_000).await, 200),
        "header_timeout" => {
            let bytes = handshake(gateway);
            let (one, other) = bytes.split_at(bytes.len() / 2);
            let mut exchange = Exchange::begin(gateway.clients, one).await;
            exchange.again(other).await;
            assert_eq!(exchange.answer().await.status, 200);
        }
        "body_timeout" => {
            let (polling, _) = bench.polling().await;
            let body = echo(20);
            let (one, other) = body.as_bytes().split_at(10);
            let mut exchange = polling.begin_post(20, one).await;
            exchange.again(other).await;
            exchange.answer().await.is(200, "ok");
            polling.send("1").await;
        }
        "keep_alive" => {
            let bytes = handshake(gateway);
            let mut exchange = Exchange::begin(gateway.clients, &bytes).await;
            assert_eq!(exchange.answer().await.status, 200);
            exchange.again(&bytes).await;
            assert_eq!(exchange.answer().await.status, 200);
        }
        "api_body" => {
            let answer = gateway.api_post("/v1/emit", &body_of(1000)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn packets(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "fragments" => {
            let mut frames = Frames::joined(gateway).await;
            in_fragments(&mut frames, 4).await;
            frames.expect(r#"42["echo",11]"#).await;
        }
        "control_frames" => {
            // The burst is that of five seconds.
            let mut frames = Frames::joined(gateway).await;
            for _ in 0..5 {
                frames.message(opcode::PING, b"x").await;
                frames.expect_frame(0x80 | opcode::PONG, b"x").await;
            }
        }
        "packets_per_payload" => {
            let (polling, _) = bench.polling().await;
            polling.send(["3"; 4].join(SEPARATOR)).await;
            polling.send(echo(20)).await;
        }
        "attachments" => {
            let (mut client, _) = bench.socket().await;
            client.send_binary(&header(3), &[b"a", b"b", b"c"]).await;
            client.expect(&header(3)).await;
            for bytes in [b"a", b"b", b"c"] {
                client.expect_binary(bytes).await;
            }
        }
        "attachment_timeout" => {
            let (mut client, _) = bench.socket().await;
            client.send_binary(&header(1), &[b"a"]).await;
            client.expect(&header(1)).await;
            client.expect_binary(b"a").await;
        }
        "json_depth" => {
            let (mut client, _) = bench.socket().await;
            client.send(&nested(4)).await;
            client.expect(&nested(4)).await;
        }
        "namespaces_per_connection" => {
            bench.socket().await.0.connect("/n-1", "").await;
        }
        "events_per_socket" => {
            let (mut client, _) = bench.socket().await;
            for _ in 0..5 {
                client.expect_quiet().await;
            }
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn calls(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "opening" => {
            let mut first = WebSocket::open(gateway).await;
            let second = WebSocket::open(gateway).await;
            gateway.metric_is("sockgate_connections_opening", 2.0).await;
            first.send("40").await;
            assert!(matches!(first.receive().await, Packet::Text(text) if text.starts_with("40{")));
            second.close().await;
            gateway.metric_is("sockgate_connections_opening", 0.0).await;
        }
        "held" => drop(bench.socket().await),
        "stall_timeout" => {
            // The lane is full, but not for so long.
            let (mut client, _) = bench.socket().await;
            let full = "sockgate_lanes_full_total";
            let before = gateway.metric(full).await;
            let (release, reply) = Reply::held(json!({}));
            bench.backend.push(reply);
            for n in 1..4 {
                client.send(&format!(r#"42{n}["x"]"#)).await;
            }
            gateway.metric_is(full, before + 1.0).await;
            release.go();
            for n in 1..4 {
                client.expect(&format!("43{n}[]")).await;
            }
        }
        "lane_events" | "lane_bytes" => {
            let (mut client, _) = bench.socket().await;
            let text = "x".repeat(990);
            for _ in 0..3 {
                client.send(&format!(r#"421["x","{text}"]"#)).await;
                client.expect("431[]").await;
            }
        }
        other => unreachable!("{other} is of another group"),
    }
}

async fn hub(key: &str, bench: &mut Bench) {
    let gateway = &bench.gateway;
    match key {
        "rooms_per_socket" | "rooms" => {
            let (client, id) = bench.socket().await;
            assert_eq!(bench.join(&id, &["a", "b"]).await.status, 202);
            gateway.metric_is("sockgate_rooms", 2.0).await;
            drop(client);
            gateway.metric_is("sockgate_rooms", 0.0).await;
        }
        "acks" => {
            let (mut client, id) = bench.socket().await;
            let answering = async {
                let asked = client.text().await;
                let number = asked.trim_start_matches("42").trim_end_matches(r#"["x"]"#);
                client.send(&format!("43{number}[]")).await;
            };
            let body = question(&id);
            let (answer, ()) = tokio::join!(gateway.api_post("/v1/emit", &body), answering);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["complete"], true, "{answer:?}");
        }
        "emit" => {
            let answer = gateway.api_post("/v1/emit", &packet_of(1000)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            assert_eq!(bench.honest.text().await.len(), 1000);
        }
        // Each takes 14 bytes more.
        "outbox" => kept(bench, &[(9, 1000)]).await,
        "outbox_frames" => kept(bench, &[(8, 1)]).await,
        "outbox_total" => kept(bench, &[(5, 10_000), (4, 10_000)]).await,
        "write_stall" => {
            let (mut client, id) = bench.socket().await;
            let reading = async {
                for _ in 0..20 {
                    assert!(client.text().await.len() > 500_000);
                }
            };
            let sending = async {
                for _ in 0..20 {
                    bench.emit(&id, 500_000).await;
                }
            };
            tokio::join!(reading, sending);
        }
        other => unreachable!("{other} is of another group"),
    }
}

/// Sessions that do not poll while so many packets of so many bytes come, and get everything when they do.
async fn kept(bench: &Bench, sessions: &[(usize, usize)]) {
    let mut waiting = Vec::new();
    for (emits, bytes) in sessions {
        let (polling, id) = bench.polling().await;
        for _ in 0..*emits {
            bench.emit(&id, *bytes).await;
        }
        waiting.push((polling, *emits));
    }
    for (polling, emits) in waiting {
        assert_eq!(polling.poll().await.text().split(SEPARATOR).count(), emits);
        polling.send("1").await;
    }
}
