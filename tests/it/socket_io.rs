//! Every case of the official Socket.IO 5 conformance suite (protocol 8.3), over polling, WebSocket and an upgraded session, with
//! a backend that emits `auth` on each connection, answers `message` by `message-back` and acknowledges `message-with-ack`.

use serde_json::{Value, json};

use crate::support::backend::{Backend, Request};
use crate::support::client::{Client, EVERY_KIND, Kind, Packet};
use crate::support::gateway::{Gateway, QUICK_ECHO, Setup};
use crate::support::polling::Polling;
use crate::support::websocket::WebSocket;

/// The gateway of the suite and its backend, both alive as long as the test.
async fn under_test() -> (Gateway, Backend) {
    let backend = Backend::start().await;
    backend.answer(conformance);
    let namespaces = ["/", "/custom"].map(|name| {
        format!(
            "[[namespace]]\nmatch = {name:?}\n[[namespace.route]]\non = \"connect\"\nupstream = \"app\"\n\
             [[namespace.route]]\nevent = \"*\"\nupstream = \"app\"\n"
        )
    });
    let timers = "engine.ping_interval = \"300ms\"\nengine.ping_timeout = \"200ms\"\nsocket.connect_timeout = \"1s\"\n";
    let config = [timers, &backend.upstream(), &namespaces[0], &namespaces[1]].concat();
    (Gateway::start(&config).await, backend)
}

fn conformance(request: &Request) -> Value {
    let body = &request.body;
    let mut reply = match (request.kind(), request.event()) {
        ("connect", _) => json!({"actions": [
            {"type": "emit", "event": "auth", "args": [body["request"]["auth"]]}
        ]}),
        ("event", "message") => json!({"actions": [
            {"type": "emit", "event": "message-back", "args": body["args"]}
        ]}),
        ("event", "message-with-ack") => json!({"ack": body["args"]}),
        other => panic!("unexpected webhook {other:?}"),
    };
    if let Some(attachments) = body.get("attachments") {
        reply["attachments"] = attachments.clone();
    }
    reply
}

/// A client that has joined `/` and seen its `auth`.
async fn joined(kind: Kind, gateway: &Gateway) -> Client {
    let mut client = Client::open(kind, gateway).await;
    client.connect("/", "").await;
    client.expect(r#"42["auth",{}]"#).await;
    client
}

#[tokio::test]
async fn connect_answers_with_only_the_sid_and_the_auth_reaches_the_backend() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        for (connect, answer, auth) in [
            ("40", "40", r#"42["auth",{}]"#),
            (
                r#"40{"token":"123"}"#,
                "40",
                r#"42["auth",{"token":"123"}]"#,
            ),
            ("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#),
            (
                r#"40/custom,{"token":"abc"}"#,
                "40/custom,",
                r#"42/custom,["auth",{"token":"abc"}]"#,
            ),
        ] {
            let mut client = Client::open(kind, &gateway).await;
            client.send(connect).await;
            let text = client.text().await;
            let document = text.strip_prefix(answer).expect("an answer to CONNECT");
            let document: Value = serde_json::from_str(document).unwrap();
            assert_eq!(document.as_object().unwrap().len(), 1, "{kind:?} {text}");
            assert!(document["sid"].is_string(), "{kind:?} {text}");
            client.expect(auth).await;
        }
    }
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_by_name() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.send("40/random").await;
        client
            .expect(r#"44/random,{"message":"Invalid namespace"}"#)
            .await;
    }
}

#[tokio::test]
async fn an_invalid_first_packet_closes_the_connection() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.send("4abc").await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_connection_without_connect_is_closed() {
    let gateway = Gateway::start(QUICK_ECHO).await;
    for kind in EVERY_KIND {
        let mut client = Client::open(kind, &gateway).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn the_connection_stays_after_leaving_the_main_namespace() {
    let (gateway, _backend) = under_test().await;
    let mut client = joined(Kind::WebSocket, &gateway).await;
    client.send("41").await;
    let Client::WebSocket(mut socket) = client else {
        unreachable!("a WebSocket")
    };
    // Nothing but pings, and they are answered, for longer than a connection without a namespace would live.
    for _ in 0..5 {
        socket.expect("2").await;
        socket.send("3").await;
    }
}

#[tokio::test]
async fn leaving_one_namespace_leaves_the_other_alone() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        client.connect("/custom", "").await;
        client.expect(r#"42/custom,["auth",{}]"#).await;
        client.send("41/custom").await;
        client
            .send(r#"42["message","message to main namespace"]"#)
            .await;
        client
            .expect(r#"42["message-back","message to main namespace"]"#)
            .await;
    }
}

#[tokio::test]
async fn text_arguments_come_back_unchanged() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        client.send(r#"42["message",1,"2",{"3":[true]}]"#).await;
        client
            .expect(r#"42["message-back",1,"2",{"3":[true]}]"#)
            .await;
    }
}

const TWO: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;

#[tokio::test]
async fn binary_arguments_come_back_unchanged() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        let sent = format!(r#"452-["message",{TWO}]"#);
        client.send_binary(&sent, &[&[1, 2, 3], &[4, 5, 6]]).await;
        client
            .expect(&format!(r#"452-["message-back",{TWO}]"#))
            .await;
        client.expect_binary(&[1, 2, 3]).await;
        client.expect_binary(&[4, 5, 6]).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_carries_the_arguments() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        client
            .send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#)
            .await;
        client.expect(r#"43456[1,"2",{"3":[false]}]"#).await;
    }
}

#[tokio::test]
async fn a_binary_acknowledgement_carries_the_buffers() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        let mut client = joined(kind, &gateway).await;
        let sent = format!(r#"452-789["message-with-ack",{TWO}]"#);
        client.send_binary(&sent, &[&[1, 2, 3], &[4, 5, 6]]).await;
        client.expect(&format!("462-789[{TWO}]")).await;
        client.expect_binary(&[1, 2, 3]).await;
        client.expect_binary(&[4, 5, 6]).await;
    }
}

#[tokio::test]
async fn an_invalid_packet_closes_the_connection() {
    let (gateway, _backend) = under_test().await;
    for kind in EVERY_KIND {
        for invalid in [
            "4abc",
            "42{}",
            r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
        ] {
            let mut client = joined(kind, &gateway).await;
            client.send(invalid).await;
            client.expect_end().await;
        }
    }
}

// The suite's own Engine.IO part, with the gateway of this file.

#[tokio::test]
async fn a_second_websocket_of_the_session_is_closed() {
    let (gateway, _backend) = under_test().await;
    let polling = Polling::open(&gateway).await;
    let mut first = WebSocket::of_session(&gateway, &polling.sid).await;
    first.send("2probe").await;
    first.expect("3probe").await;
    first.send("5").await;
    let mut second = WebSocket::of_session(&gateway, &polling.sid).await;
    assert_eq!(second.receive().await, Packet::End);
    let mut first = Client::WebSocket(first);
    first.connect("/", "").await;
    first.expect(r#"42["auth",{}]"#).await;
}

#[tokio::test]
async fn a_session_upgrades_without_another_poll() {
    let gateway = Setup::new(QUICK_ECHO).start().await;
    let mut client = Client::open(Kind::Upgraded, &gateway).await;
    client.connect("/", "").await;
    client.expect_quiet().await;
}
