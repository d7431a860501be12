//! `limit`: a server without any protocol, which shows what the kernel alone costs.
//!
//! One thread, raw epoll, a table of connections. It sends what a Socket.IO server would send in the scenarios of this package,
//! byte for byte or of the same length, so that the clients are the same; but it parses nothing that it does not have to, checks
//! nothing, and encodes nothing twice:
//!
//! - an HTTP request gets the 101 and the open packet in one `send`, ready-made; whatever comes next but an event gets the answer
//!   to CONNECT, ready-made too;
//! - `echo` is answered with one `send` of its own bytes behind `43`;
//! - `say` becomes one frame, and every connection gets it by one `send`;
//! - pings go to everybody at once.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::sockets::{Handler, Sockets, Table};
use crate::websocket::{self, ACCEPT, Kind};

/// Ends the head of an HTTP request.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// An event that all get.
const SAY: &[u8] = br#"42["say","#;
/// What begins an event.
const EVENT: &[u8] = b"42";
/// What comes before the arguments in an event that its sender gets back.
const ECHO: &[u8] = br#"["echo","#;

/// Serves until it is killed.
pub fn serve(ping_interval: Option<Duration>) -> Result<()> {
    let mut sockets = Sockets::new()?;
    println!("clients http://{}/\nready", sockets.listen()?);
    let mut limit = Limit::new();
    let mut next_ping = ping_interval.map(|interval| Instant::now() + interval);
    loop {
        let wait = next_ping.map_or(Duration::from_secs(1), |at| {
            at.saturating_duration_since(Instant::now())
        });
        sockets.turn(&mut limit, wait)?;
        if let (Some(interval), Some(at)) = (ping_interval, next_ping)
            && Instant::now() >= at
        {
            limit.ping(&mut sockets.table)?;
            next_ping = Some(at + interval);
        }
    }
}

struct Limit {
    /// Whether the connection with this number is a WebSocket.
    upgraded: Vec<bool>,
    members: Vec<usize>,
    opening: Vec<u8>,
    joined: Vec<u8>,
    ping: Vec<u8>,
}

impl Limit {
    fn new() -> Self {
        let mut opening = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
        );
        let open = r#"0{"sid":"AAAAAAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let mut bytes = std::mem::take(&mut opening).into_bytes();
        bytes.extend(websocket::unmasked(open.as_bytes()));
        Self {
            upgraded: Vec::new(),
            members: Vec::new(),
            opening: bytes,
            joined: websocket::unmasked(br#"40{"sid":"AAAAAAAAAAAAAAAAAAAA"}"#),
            ping: websocket::unmasked(b"2"),
        }
    }

    fn ping(&self, table: &mut Table) -> Result<()> {
        self.members
            .iter()
            .try_for_each(|&who| table.send(who, &self.ping))
    }

    fn packet(&mut self, table: &mut Table, who: usize, text: &[u8]) -> Result<()> {
        if text.starts_with(SAY) {
            let frame = websocket::unmasked(text);
            return self
                .members
                .iter()
                .try_for_each(|&to| table.send(to, &frame));
        }
        if text.starts_with(EVENT) {
            let id = text.iter().position(|&b| b == b'[').unwrap_or(text.len());
            let mut answer = Vec::with_capacity(text.len());
            answer.extend_from_slice(b"43");
            answer.extend_from_slice(&text[EVENT.len()..=id]);
            answer.extend_from_slice(&text[id + ECHO.len()..]);
            return table.send(who, &websocket::unmasked(&answer));
        }
        if text == b"40" {
            self.members.push(who);
            return table.send(who, &self.joined);
        }
        Ok(())
    }
}

impl Handler for Limit {
    fn accepted(&mut self, _: &mut Table, who: usize) -> Result<()> {
        if self.upgraded.len() <= who {
            self.upgraded.resize(who + 1, false);
        }
        self.upgraded[who] = false;
        Ok(())
    }

    fn received(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<usize> {
        if !self.upgraded[who] {
            if !bytes.ends_with(HEAD_END) {
                return Ok(0);
            }
            self.upgraded[who] = true;
            table.send(who, &self.opening)?;
            return Ok(bytes.len());
        }
        let mut used = 0;
        while let Some(frame) = websocket::decode(&bytes[used..])? {
            if frame.kind == Kind::Text {
                self.packet(table, who, frame.payload)?;
            }
            used += frame.used;
        }
        Ok(used)
    }

    fn closed(&mut self, who: usize) -> Result<()> {
        self.members.retain(|&member| member != who);
        Ok(())
    }
}
