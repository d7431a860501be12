//! An Engine.IO session over polling: every request and answer is in the test's hand.

use std::collections::VecDeque;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::client::Packet;
use super::gateway::Gateway;
use super::http::{Answer, Exchange, ask, get, request};
use super::wait::eventually;

/// A polling session.
pub(crate) struct Polling {
    /// Bearer secret of the session.
    pub(crate) sid: String,
    /// The open packet's document.
    pub(crate) handshake: Value,
    /// Request target of the session.
    pub(crate) target: String,
    at: SocketAddr,
    arrived: VecDeque<Packet>,
}

/// The body of an answer about a session that is not there.
pub(crate) const UNKNOWN_SESSION: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// What separates packets in a payload.
pub(crate) const SEPARATOR: &str = "\x1e";

impl Polling {
    /// Opens a session.
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        Self::open_with(gateway, "", &[]).await
    }

    /// Opens a session with more query (`&v=3`) and headers.
    pub(crate) async fn open_with(
        gateway: &Gateway,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let target = gateway.target(&format!("EIO=4&transport=polling{query}"));
        let answer = ask(gateway.clients, "GET", &target, headers, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let document = answer.text().strip_prefix('0').expect("an open packet");
        let handshake: Value = serde_json::from_str(document).expect("a JSON document");
        let sid = handshake["sid"].as_str().expect("a sid").to_owned();
        Self {
            target: gateway.target(&format!("EIO=4&transport=polling&sid={sid}")),
            sid,
            handshake,
            at: gateway.clients,
            arrived: VecDeque::new(),
        }
    }

    /// One GET, held by the gateway until there is something.
    pub(crate) async fn poll(&self) -> Answer {
        get(self.at, &self.target).await
    }

    /// One GET with headers.
    pub(crate) async fn poll_with(&self, headers: &[(&str, &str)]) -> Answer {
        ask(self.at, "GET", &self.target, headers, "").await
    }

    /// Sends a GET and does not await its answer; dropping the exchange aborts it.
    pub(crate) async fn begin_poll(&self) -> Exchange {
        Exchange::begin(self.at, &request("GET", &self.target, &[], b"")).await
    }

    /// One POST of a payload, with the content type that browsers send.
    pub(crate) async fn post(&self, payload: impl AsRef<[u8]>) -> Answer {
        let headers = [("content-type", "text/plain;charset=UTF-8")];
        ask(self.at, "POST", &self.target, &headers, payload).await
    }

    /// [`Polling::post`] that must be answered `ok`.
    pub(crate) async fn send(&self, payload: impl AsRef<[u8]>) {
        self.post(payload).await.is(200, "ok");
    }

    /// Begins a POST that announces `length` bytes and writes only `part`.
    pub(crate) async fn begin_post(&self, length: usize, part: &[u8]) -> Exchange {
        let length = length.to_string();
        let headers = [("content-length", length.as_str())];
        Exchange::begin(self.at, &request("POST", &self.target, &headers, part)).await
    }

    /// Awaits that the gateway does not know the session any more. Looks by a request of another revision, which is refused either
    /// way (a known session comes first in the order of faults) and does not touch the session.
    pub(crate) async fn expect_gone(&self) {
        let look = self.target.replace("EIO=4", "EIO=3");
        eventually("the end of a polling session", async || {
            let answer = get(self.at, &look).await;
            let gone = answer.body == UNKNOWN_SESSION.as_bytes();
            gone.then_some(()).ok_or_else(|| format!("{answer:?}"))
        })
        .await;
        self.poll().await.is(400, UNKNOWN_SESSION);
    }

    /// The next packet, polling as often as needed; `End` when the session is over.
    pub(crate) async fn receive(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.arrived.pop_front() {
                return packet;
            }
            let answer = self.poll().await;
            if answer.status != 200 {
                return Packet::End;
            }
            self.arrived.extend(packets(answer.text()));
        }
    }
}

/// The packets of a payload, noops left out.
pub(crate) fn packets(payload: &str) -> Vec<Packet> {
    let packets = payload.split(SEPARATOR).filter(|text| *text != "6");
    let read = |text: &str| match text.strip_prefix('b') {
        Some(base64) => Packet::Binary(STANDARD.decode(base64).expect("base64 of a packet")),
        None if text == "1" => Packet::End,
        None => Packet::Text(text.to_owned()),
    };
    packets.map(read).collect()
}
