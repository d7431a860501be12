//! The checklist of easy mistakes (protocol 10): one test for each line that applies, named by its number and its words. The lines
//! about old clients, recovery, msgpack and the bus wait for those.

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::frames::{Frames, opcode};
use crate::support::gateway::{ECHO, Gateway, QUICK_ECHO};
use crate::support::http::ask;
use crate::support::polling::{Polling, SEPARATOR, UNKNOWN_SESSION};
use crate::support::websocket::WebSocket;

const TWO: &str = r#"
[[namespace]]
match = "/"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace]]
match = "/custom"
auth = "none"
[[namespace.route]]
event = "echo"
reply = "echo"
"#;

async fn polling(gateway: &Gateway) -> Polling {
    let mut client = Client::open(Kind::Polling, gateway).await;
    client.connect("/", "").await;
    match client {
        Client::Polling(polling) => polling,
        Client::WebSocket(_) => unreachable!("opened by polling"),
    }
}

/// A backend that takes the first argument of each event as its list of actions.
async fn obedient(more: &str) -> (Gateway, Backend) {
    let backend = Backend::start().await;
    backend.answer_events(|request| json!({"actions": request.body["args"][0]}));
    let gateway = Gateway::start(&format!("{}{more}", backend.everything())).await;
    (gateway, backend)
}

#[tokio::test]
async fn line_1_errors_follow_the_order_and_carry_the_exact_json() {
    let gateway = Gateway::start(ECHO).await;
    let transport = r#"{"code":0,"message":"Transport unknown"}"#;
    gateway
        .get("EIO=3&transport=x&sid=nobody")
        .await
        .is(400, transport);
    gateway
        .get("EIO=3&transport=polling&sid=nobody")
        .await
        .is(400, UNKNOWN_SESSION);
    let revision = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    gateway
        .get("EIO=3&transport=polling")
        .await
        .is(400, revision);
}

#[tokio::test]
async fn line_2_the_handshake_has_its_five_keys_and_a_websocket_offers_no_upgrade() {
    let gateway = Gateway::start(ECHO).await;
    let by_polling = Polling::open(&gateway).await.handshake;
    let by_websocket = WebSocket::open(&gateway).await.handshake;
    for (document, upgrades) in [
        (&by_polling, json!(["websocket"])),
        (&by_websocket, json!([])),
    ] {
        let mut keys: Vec<_> = document.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "maxPayload",
                "pingInterval",
                "pingTimeout",
                "sid",
                "upgrades"
            ]
        );
        assert_eq!(document["upgrades"], upgrades);
    }
}

#[tokio::test]
async fn line_3_the_server_pings_and_a_ping_from_the_client_is_no_way_to_start() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.expect("2").await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("2").await;
    assert_eq!(socket.receive().await, Packet::End);
}

#[tokio::test]
async fn line_4_packets_do_not_replace_the_pong_for_ever() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    let mut socket = WebSocket::open(&gateway).await;
    socket.send("40").await;
    loop {
        match socket.receive().await {
            Packet::End => break,
            _ => socket.send(r#"42["echo"]"#).await,
        }
    }
}

#[tokio::test]
async fn line_5_a_binary_frame_has_no_type_byte() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    let header = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    frames.text(header).await;
    frames.message(opcode::BINARY, &[4, 1, 2]).await;
    frames.expect(header).await;
    frames.expect_frame(0x80 | opcode::BINARY, &[4, 1, 2]).await;
}

#[tokio::test]
async fn line_6_an_upgrade_releases_the_poll_flushes_late_takes_posts_and_may_fail() {
    let gateway = Gateway::start(ECHO).await;
    let session = polling(&gateway).await;
    let mut failing = WebSocket::of_session(&gateway, &session.sid).await;
    failing.send("2nonsense").await;
    assert_eq!(failing.receive().await, Packet::End);
    let mut socket = WebSocket::of_session(&gateway, &session.sid).await;
    socket.send("2probe").await;
    socket.expect("3probe").await;
    session.poll().await.is(200, "6");
    session.send(r#"42["echo","by post"]"#).await;
    socket.send("5").await;
    socket.expect(r#"42["echo","by post"]"#).await;
}

#[tokio::test]
async fn line_7_the_poll_of_a_closing_session_is_never_empty() {
    let (gateway, _backend) = obedient("").await;
    let session = polling(&gateway).await;
    let mut pending = session.begin_poll().await;
    session
        .send(r#"42["do",[{"type":"disconnect","reconnect":true}]]"#)
        .await;
    // The second where the close has overtaken the poll.
    let answer = pending.answer().await;
    assert!(matches!(answer.text(), "1" | "6\x1e1"), "{answer:?}");
}

#[tokio::test]
async fn line_8_a_413_leaves_the_session_and_a_success_says_ok() {
    let gateway = Gateway::start(&format!("engine.max_payload = \"1kB\"\n{ECHO}")).await;
    let session = polling(&gateway).await;
    session.post("x".repeat(1001)).await.is(413, "");
    session.post(r#"42["echo",1]"#).await.is(200, "ok");
    session.poll().await.is(200, r#"42["echo",1]"#);
}

#[tokio::test]
async fn line_9_a_close_packet_ends_a_websocket_and_close_frames_have_no_code() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    frames.text("1").await;
    frames.expect_close(None).await;
}

#[tokio::test]
async fn line_10_an_aborted_poll_ends_the_session_and_leaves_no_ghost() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&backend.everything()).await;
    let session = polling(&gateway).await;
    let connect = backend.next_of("connect").await;
    // The poll is held once its POST has been answered by the backend and the answer has come.
    let mut pending = session.begin_poll().await;
    session.send(r#"421["x"]"#).await;
    pending.answer().await.is(200, "431[]");
    backend.next_of("event").await;
    drop(session.begin_poll().await);
    // Long before the ping interval and timeout of 45 s.
    let notice = backend.next_of("disconnect").await;
    assert_eq!(notice.socket(), connect.socket());
    assert_eq!(notice.body["reason"], "transport error");
}

#[tokio::test]
async fn line_11_an_empty_sid_is_a_new_session() {
    let gateway = Gateway::start(ECHO).await;
    let answer = gateway.get("EIO=4&transport=polling&sid=").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn line_12_errors_have_cors_headers_and_a_preflight_comes_before_the_session() {
    let gateway = Gateway::start(&format!("cors.origins = [\"https://a.example\"]\n{ECHO}")).await;
    let target = gateway.target("EIO=4&transport=polling&sid=nobody");
    let origin = [("origin", "https://a.example")];
    let answer = ask(gateway.clients, "GET", &target, &origin, "").await;
    answer.is(400, UNKNOWN_SESSION);
    answer.has("access-control-allow-origin", "https://a.example");
    let answer = ask(gateway.clients, "OPTIONS", &target, &origin, "").await;
    answer.is(204, "");
    answer.has("access-control-allow-origin", "https://a.example");
}

#[tokio::test]
async fn line_13_a_socket_id_is_not_the_secret_of_the_session() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = Client::open(Kind::Polling, &gateway).await;
    let id = client.connect("/", "").await;
    let Client::Polling(session) = client else {
        unreachable!("opened by polling")
    };
    assert_ne!(id, session.sid);
    // Nor does it open anything.
    let answer = gateway
        .get(&format!("EIO=4&transport=polling&sid={id}"))
        .await;
    answer.is(400, UNKNOWN_SESSION);
}

#[tokio::test]
async fn line_14_a_connect_is_answered_with_a_sid() {
    let gateway = Gateway::start(ECHO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.send("40").await;
        let text = client.text().await;
        let document: Value = serde_json::from_str(text.strip_prefix("40").unwrap()).unwrap();
        assert!(document["sid"].is_string(), "{text}");
    }
}

#[tokio::test]
async fn line_15_a_refused_connect_does_not_close_the_connection() {
    let gateway = Gateway::start(ECHO).await;
    let mut client = Client::open(Kind::WebSocket, &gateway).await;
    client.send("40/nowhere,").await;
    client
        .expect(r#"44/nowhere,{"message":"Invalid namespace"}"#)
        .await;
    client.connect("/", "").await;
}

#[tokio::test]
async fn line_16_the_json_of_users_keeps_its_text() {
    let gateway = Gateway::start(ECHO).await;
    let (mut client, _) = Client::joined(&gateway).await;
    let text = r#"42["echo",{"b":1.0,"a":12345678901234567890,"b":1e2},"\u00e9"]"#;
    client.send(text).await;
    client.expect(text).await;
}

#[tokio::test]
async fn line_17_header_and_attachments_are_one_unit_whatever_the_namespace() {
    let gateway = Gateway::start(TWO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.connect("/", "").await;
        client.connect("/custom", "").await;
        for n in 0..50_u8 {
            let prefix = if n % 2 == 0 { "" } else { "/custom," };
            let text = format!(r#"451-{prefix}["echo",{{"_placeholder":true,"num":0}}]"#);
            client.send_binary(&text, &[&[n]]).await;
        }
        // Each namespace keeps its own order; between them any is right.
        let mut next = [0_u8, 1];
        for _ in 0..50 {
            let which = usize::from(client.text().await.contains("/custom"));
            client.expect_binary(&[next[which]]).await;
            next[which] += 2;
        }
    }
}

#[tokio::test]
async fn line_18_wrong_counts_and_reserved_names_are_refused() {
    let gateway = Gateway::start(&format!("limits.attachment_timeout = \"200ms\"\n{ECHO}")).await;
    for packet in [
        "450-[\"x\"]",
        "4511-[\"x\"]",
        "42[\"disconnect\"]",
        "451-[\"never sent\"]",
    ] {
        let (mut client, _) = Client::joined(&gateway).await;
        client.send(packet).await;
        assert_eq!(client.next().await, Packet::End, "{packet}");
    }
}

#[tokio::test]
async fn line_19_an_unknown_namespace_closes_but_not_the_natural_race() {
    let custom = "[[namespace]]\nmatch = \"/custom\"\nauth = \"none\"\n";
    let (gateway, _backend) = obedient(custom).await;
    let (mut client, _) = Client::joined(&gateway).await;
    client.send(r#"42/custom,["x"]"#).await;
    client.expect_end().await;
    // The server ends the socket while the client's next event is on its way.
    let (mut client, _) = Client::joined(&gateway).await;
    client.connect("/custom", "").await;
    client.send(r#"42["do",[{"type":"disconnect"}]]"#).await;
    client.send(r#"42["do",[]]"#).await;
    client.expect("41").await;
    client.send(r#"42["do",[]]"#).await;
    client.connect("/", "").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn line_20_an_ack_comes_once_and_is_an_array() {
    let (gateway, backend) = obedient("").await;
    let (mut client, _) = Client::joined(&gateway).await;
    backend.push(json!({"ack": ["once"], "actions": []}));
    client.send(r#"425["x"]"#).await;
    client.expect(r#"435["once"]"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn line_21_the_end_of_the_process_sends_no_disconnect_packet() {
    let gateway = Gateway::start(ECHO).await;
    let mut frames = Frames::joined(&gateway).await;
    gateway.signal(rustix::process::Signal::INT);
    frames.expect_close(None).await;
}

#[tokio::test]
async fn line_22_except_wins_over_the_union_and_two_rooms_are_one_copy() {
    let (gateway, _backend) = obedient("").await;
    let (mut a, _) = Client::joined(&gateway).await;
    let (mut b, _) = Client::joined(&gateway).await;
    for client in [&mut a, &mut b] {
        client
            .send(r#"421["do",[{"type":"join","rooms":["r","s"]}]]"#)
            .await;
        client.expect("431[]").await;
    }
    let emit = json!([{"type": "emit", "event": "x", "args": [], "to": {"rooms": ["r", "s"]}, "except": {"self": true}}]);
    a.send(&format!(r#"42["do",{emit}]"#)).await;
    b.expect(r#"42["x"]"#).await;
    a.expect_quiet().await;
    b.expect_quiet().await;
}

#[tokio::test]
async fn line_30_socket_ids_have_twenty_characters() {
    let gateway = Gateway::start(ECHO).await;
    let (_client, id) = Client::joined(&gateway).await;
    assert_eq!(id.len(), 20);
}

#[tokio::test]
async fn several_packets_of_a_payload_are_read_in_order() {
    let gateway = Gateway::start(ECHO).await;
    let session = Polling::open(&gateway).await;
    let payload = ["40", r#"42["echo",1]"#, r#"421["echo",2]"#].join(SEPARATOR);
    session.send(payload).await;
    let answer = session.poll().await;
    let mut packets = answer.text().split(SEPARATOR);
    assert!(
        packets
            .next()
            .is_some_and(|packet| packet.starts_with("40{"))
    );
    assert_eq!(packets.collect::<Vec<_>>(), [r#"42["echo",1]"#, "431[2]"]);
}
