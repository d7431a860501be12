//! A Socket.IO client over either transport, for promises that hold on both.

use super::gateway::Gateway;
use super::polling::{Polling, SEPARATOR};
use super::wait::within;
use super::websocket::WebSocket;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An Engine.IO packet from the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Digit and data.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The session is over.
    End,
}

impl Packet {
    /// A text packet.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Polling,
    WebSocket,
    /// Opened by polling, and then upgraded.
    Upgraded,
}

/// Both transports and the way between.
pub(crate) const EVERY_KIND: [Kind; 3] = [Kind::Polling, Kind::WebSocket, Kind::Upgraded];

/// A client session.
#[expect(clippy::large_enum_variant, reason = "a test has a handful of them")]
pub(crate) enum Client {
    /// By polling.
    Polling(Polling),
    /// By WebSocket.
    WebSocket(WebSocket),
}

impl Client {
    /// Opens a session.
    pub(crate) async fn open(kind: Kind, gateway: &Gateway) -> Self {
        match kind {
            Kind::Polling => Self::Polling(Polling::open(gateway).await),
            Kind::WebSocket => Self::WebSocket(WebSocket::open(gateway).await),
            Kind::Upgraded => {
                let polling = Polling::open(gateway).await;
                let mut socket = WebSocket::of_session(gateway, &polling.sid).await;
                socket.send("2probe").await;
                socket.expect("3probe").await;
                socket.send("5").await;
                Self::WebSocket(socket)
            }
        }
    }

    /// A WebSocket client that has joined `/`; its socket id.
    pub(crate) async fn joined(gateway: &Gateway) -> (Self, String) {
        let mut client = Self::open(Kind::WebSocket, gateway).await;
        let id = client.connect("/", "").await;
        (client, id)
    }

    /// Sends a text packet.
    pub(crate) async fn send(&mut self, text: &str) {
        match self {
            Self::Polling(polling) => polling.send(text).await,
            Self::WebSocket(socket) => socket.send(text).await,
        }
    }

    /// Sends a text packet and its attachments, by polling in one payload.
    pub(crate) async fn send_binary(&mut self, text: &str, attachments: &[&[u8]]) {
        match self {
            Self::Polling(polling) => {
                let mut payload = text.to_owned();
                for bytes in attachments {
                    payload.push_str(SEPARATOR);
                    payload.push('b');
                    payload.push_str(&STANDARD.encode(bytes));
                }
                polling.send(payload).await;
            }
            Self::WebSocket(socket) => {
                socket.send(text).await;
                for bytes in attachments {
                    socket.send_binary(bytes).await;
                }
            }
        }
    }

    /// The next packet; pings are answered and skipped.
    pub(crate) async fn next(&mut self) -> Packet {
        loop {
            let packet = match self {
                Self::Polling(polling) => polling.receive().await,
                Self::WebSocket(socket) => socket.receive().await,
            };
            if packet != Packet::text("2") {
                return packet;
            }
            // The session may be over by now; the next packet tells.
            match self {
                Self::Polling(polling) => drop(polling.post("3").await),
                Self::WebSocket(socket) => socket.send("3").await,
            }
        }
    }

    /// Fails the test unless exactly this text comes next, but for pings.
    pub(crate) async fn expect(&mut self, text: &str) {
        let what = format!("{text} on {self}");
        let packet = within(what, self.next()).await;
        assert_eq!(packet, Packet::text(text), "on {self}");
    }

    /// Fails the test unless exactly these bytes come next, but for pings.
    pub(crate) async fn expect_binary(&mut self, bytes: &[u8]) {
        assert_eq!(
            self.next().await,
            Packet::Binary(bytes.to_vec()),
            "on {self}"
        );
    }

    /// The next text; fails the test on anything else.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Packet::Text(text) => text,
            other => panic!("{other:?} instead of a text on {self}"),
        }
    }

    /// Fails the test unless the session ends next, but for pings.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, Packet::End, "on {self}");
    }

    /// Joins a namespace; the socket id. `auth` is the JSON of the CONNECT, or empty.
    pub(crate) async fn connect(&mut self, namespace: &str, auth: &str) -> String {
        let prefix = prefix(namespace);
        self.send(&format!("40{prefix}{auth}")).await;
        self.expect_connected(namespace).await
    }

    /// The socket id of the CONNECT answer that must come next.
    pub(crate) async fn expect_connected(&mut self, namespace: &str) -> String {
        let prefix = prefix(namespace);
        let answer = self.text().await;
        let document = answer
            .strip_prefix(&format!("40{prefix}"))
            .unwrap_or_else(|| panic!("{answer} is no answer to CONNECT of {namespace}"));
        let document: Value = serde_json::from_str(document).expect("a JSON document");
        document["sid"].as_str().expect("a socket id").to_owned()
    }

    /// Fails the test unless the gateway answers an echo: all that was sent before has been dealt with, and nothing else came.
    pub(crate) async fn expect_quiet(&mut self) {
        self.send(r#"42["echo","quiet?"]"#).await;
        self.expect(r#"42["echo","quiet?"]"#).await;
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Polling(_) => "polling",
            Self::WebSocket(_) => "WebSocket",
        })
    }
}

/// A namespace as it stands in a packet.
fn prefix(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    }
}
