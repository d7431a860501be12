//! A WebSocket client that writes and reads single frames, right or wrong.

use serde_json::Value;
use tokio::net::TcpSocket;

use super::gateway::Gateway;
use super::http::{Exchange, request};
use super::wait::within;

/// Opcodes of RFC 6455.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// A WebSocket connection by hand.
pub(crate) struct Frames {
    /// The id of its socket, once `/` is joined.
    pub(crate) socket: String,
    exchange: Exchange,
}

/// A frame from the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The first byte: FIN, reserved bits, opcode.
    pub(crate) first: u8,
    /// The payload.
    pub(crate) payload: Vec<u8>,
}

/// The headers of a WebSocket handshake, with the key of RFC 6455's example.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// How a client announces a frame's length.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// The shortest form that holds it.
    Shortest,
    /// Something else than what follows.
    Announced(u64),
}

/// A masked client frame.
pub(crate) fn frame(first: u8, length: Length, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    const MASKED: u8 = 0x80;
    const MEDIUM: u8 = 126;
    const LONG: u8 = 127;
    let mut bytes = vec![first];
    let announced = match length {
        Length::Announced(length) => length,
        Length::Shortest => payload.len() as u64,
    };
    match announced {
        0..126 => bytes.push(MASKED + u8::try_from(announced).unwrap()),
        126..0x1_0000 => {
            bytes.push(MASKED + MEDIUM);
            bytes.extend(u16::try_from(announced).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(MASKED + LONG);
            bytes.extend(announced.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    bytes
}

fn handshake(gateway: &Gateway) -> Vec<u8> {
    let target = gateway.target("EIO=4&transport=websocket");
    request("GET", &target, &UPGRADE, b"")
}

impl Frames {
    /// Opens a session and reads its open packet.
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        let exchange = Exchange::begin(gateway.clients, &handshake(gateway)).await;
        Self::opened(exchange).await
    }

    async fn opened(mut exchange: Exchange) -> Self {
        let response = exchange.answer().await;
        assert_eq!(response.status, 101, "{response:?}");
        let mut frames = Self {
            socket: String::new(),
            exchange,
        };
        let open = frames.next().await.expect("an open packet");
        assert_eq!(open.payload.first(), Some(&b'0'), "{open:?}");
        frames
    }

    /// [`Frames::open`], and the namespace `/` is joined.
    pub(crate) async fn joined(gateway: &Gateway) -> Self {
        Self::open(gateway).await.join().await
    }

    /// [`Frames::joined`] over a connection for which the kernels on both sides keep as little as they can.
    pub(crate) async fn joined_with_small_buffers(gateway: &Gateway) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What the gateway's kernel keeps grows with the length of a segment, which on loopback is 64 KiB.
        socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let stream = within("a connection", socket.connect(gateway.clients)).await;
        let mut exchange = Exchange::over(stream.unwrap());
        exchange.again(&handshake(gateway)).await;
        Self::opened(exchange).await.join().await
    }

    async fn join(mut self) -> Self {
        self.text("40").await;
        let answer = self.next().await.expect("an answer to CONNECT");
        let document = answer.payload.strip_prefix(b"40");
        let document: Value = serde_json::from_slice(document.unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        document["sid"]
            .as_str()
            .expect("a socket id")
            .clone_into(&mut self.socket);
        self
    }

    /// Writes any bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.exchange.again(bytes).await;
    }

    /// Writes bytes that the peer may refuse to take to the end.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        use tokio::io::AsyncWriteExt;
        self.exchange.stream.write_all(bytes).await.is_ok()
    }

    /// Writes a whole message in one frame.
    pub(crate) async fn message(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&frame(0x80 | opcode, Length::Shortest, payload))
            .await;
    }

    /// Writes a text message.
    pub(crate) async fn text(&mut self, text: &str) {
        self.message(opcode::TEXT, text.as_bytes()).await;
    }

    /// Writes a fragment: a frame without FIN.
    pub(crate) async fn fragment(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&frame(opcode, Length::Shortest, payload)).await;
    }

    /// The next frame; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.read()).await
    }

    /// [`Frames::next`] without a deadline.
    pub(crate) async fn read(&mut self) -> Option<Frame> {
        let head = self.exchange.take(2).await.ok()?;
        assert_eq!(head[1] & 0x80, 0, "a server frame is not masked");
        let length = match head[1] {
            126 => {
                let bytes = self.exchange.take(2).await.ok()?;
                usize::from(u16::from_be_bytes(bytes.try_into().unwrap()))
            }
            127 => {
                let bytes = self.exchange.take(8).await.ok()?;
                usize::try_from(u64::from_be_bytes(bytes.try_into().unwrap())).unwrap()
            }
            short => usize::from(short),
        };
        let shortest = match length {
            0..126 => length,
            126..0x1_0000 => 126,
            _ => 127,
        };
        assert_eq!(
            usize::from(head[1]),
            shortest,
            "the shortest form of {length}"
        );
        let payload = self.exchange.take(length).await.ok()?;
        let first = head[0];
        Some(Frame { first, payload })
    }

    /// Fails the test unless exactly this text comes next, in one frame.
    pub(crate) async fn expect(&mut self, text: &str) {
        self.expect_frame(0x80 | opcode::TEXT, text.as_bytes())
            .await;
    }

    /// Fails the test unless exactly this frame comes next; Engine.IO pings are skipped.
    pub(crate) async fn expect_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = loop {
            let frame = self.next().await.expect("a frame, not the end");
            if frame.payload != b"2" {
                break frame;
            }
        };
        let shown = String::from_utf8_lossy(&frame.payload[..frame.payload.len().min(200)]);
        assert!(
            frame.first == first && frame.payload == payload,
            "got {:#x} {shown:?}",
            frame.first
        );
    }

    /// Fails the test unless a close frame comes next, with this code (`None`: an empty one), and after our own nothing.
    pub(crate) async fn expect_close(&mut self, code: Option<u16>) {
        let frame = loop {
            let frame = self.next().await.expect("a close frame, not the bare end");
            if frame.payload != b"2" {
                break frame;
            }
        };
        assert_eq!(frame.first, 0x80 | opcode::CLOSE, "{frame:?}");
        let got = frame.payload.first_chunk().map(|b| u16::from_be_bytes(*b));
        assert_eq!(got, code, "{frame:?}");
        // The peer may have gone already.
        self.try_write(&self::frame(0x80 | opcode::CLOSE, Length::Shortest, &[]))
            .await;
        self.expect_end().await;
    }

    /// Fails the test unless the connection is over without another frame.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None, "something after the end");
    }
}
