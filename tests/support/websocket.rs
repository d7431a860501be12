//! A WebSocket client by tungstenite, whose strictness is a second opinion on every frame that the gateway sends.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::Packet;
use super::gateway::Gateway;
use super::wait::within;

/// A WebSocket connection.
pub(crate) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// The 101.
    pub(crate) response: Response,
    /// The open packet's document; null where there was none (upgrade).
    pub(crate) handshake: Value,
    /// Close code, once the peer has closed with one.
    pub(crate) close_code: Option<u16>,
}

impl WebSocket {
    /// Opens a session by WebSocket alone.
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        Self::open_with(gateway, "", &[]).await
    }

    /// Opens a session with more query (`&v=3`) and headers.
    pub(crate) async fn open_with(
        gateway: &Gateway,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let target = gateway.target(&format!("EIO=4&transport=websocket{query}"));
        let mut socket = Self::connect(gateway.clients, &target, headers)
            .await
            .unwrap();
        let Packet::Text(open) = socket.receive().await else {
            panic!("no open packet");
        };
        let document = open.strip_prefix('0').expect("an open packet");
        socket.handshake = serde_json::from_str(document).expect("a JSON document");
        socket
    }

    /// The WebSocket of a polling session; it gets no open packet.
    pub(crate) async fn of_session(gateway: &Gateway, sid: &str) -> Self {
        let target = gateway.target(&format!("EIO=4&transport=websocket&sid={sid}"));
        Self::connect(gateway.clients, &target, &[]).await.unwrap()
    }

    /// Connects to any target.
    pub(crate) async fn connect(
        to: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let url = format!("ws://{to}{target}");
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true).unwrap();
        let config = WebSocketConfig::default();
        let connecting = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (stream, response) = within("a WebSocket handshake", connecting).await?;
        Ok(Self {
            stream,
            response,
            handshake: Value::Null,
            close_code: None,
        })
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &str) {
        // A peer that has closed already is seen by whoever reads.
        self.stream.send(Message::text(text)).await.ok();
    }

    /// Sends a binary frame.
    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.ok();
    }

    /// The next packet, Engine.IO pings included.
    pub(crate) async fn receive(&mut self) -> Packet {
        loop {
            return match within("a WebSocket message", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => Packet::Text(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => Packet::Binary(bytes.to_vec()),
                Some(Ok(Message::Close(frame))) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                    // Reading on answers the close.
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_))) | None => {
                    Packet::End
                }
                Some(Err(Error::Protocol(error)))
                    if error.to_string().contains("closing handshake") =>
                {
                    Packet::End
                }
                Some(Err(error)) => panic!("the gateway sent something wrong: {error}"),
            };
        }
    }

    /// Fails the test unless exactly this text comes next.
    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.receive().await, Packet::text(text));
    }

    /// Fails the test unless the connection ends next (but for pings); the close code.
    pub(crate) async fn expect_end(&mut self) -> Option<u16> {
        loop {
            match self.receive().await {
                Packet::End => return self.close_code,
                packet => assert_eq!(packet, Packet::text("2"), "before the end"),
            }
        }
    }

    /// Closes as browsers do.
    pub(crate) async fn close(mut self) {
        within("a WebSocket close", self.stream.close(None))
            .await
            .unwrap();
        while self.receive().await != Packet::End {}
    }
}
