//! [`Crowd`]: many Socket.IO clients, driven by a [`Script`].
//!
//! The crowd opens connections, answers pings, and takes frames and responses apart. What a client says and expects is the
//! script's. A connection that the server ends, or a frame that nobody expects, ends the run with an error.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::http;
use crate::sockets::{Handler, Sockets, Table};
use crate::websocket::{self, ACCEPT, KEY, Kind};

/// Clients that are on their way into the namespace at once.
const OPENING: usize = 64;
/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// How long nothing may arrive after the last thing expected.
const QUIET: Duration = Duration::from_millis(50);

/// What the clients of a crowd do once they have joined.
pub trait Script {
    /// A message on a joined WebSocket: an Engine.IO packet other than a ping.
    fn message(&mut self, _table: &mut Table, who: usize, text: &[u8]) -> Result<()> {
        bail!(
            "client {who} got an unexpected message: {}",
            text.escape_ascii()
        )
    }

    /// A response on a connection of [`Crowd::http`].
    fn response(&mut self, _table: &mut Table, who: usize, status: u16, body: &[u8]) -> Result<()> {
        bail!(
            "connection {who} got an unexpected response: {status} {}",
            body.escape_ascii()
        )
    }

    /// Whether all that was expected has arrived.
    fn is_done(&self) -> bool;

    /// What has arrived so far, in words, for the error of a run that takes too long.
    fn progress(&self) -> String;
}

/// A script in which nothing may happen.
struct Silence;

impl Script for Silence {
    fn is_done(&self) -> bool {
        false
    }

    fn progress(&self) -> String {
        String::from("nothing is expected")
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The WebSocket handshake is sent.
    Upgrading,
    /// The first packet of Engine.IO is awaited.
    Opening,
    /// The answer to CONNECT is awaited.
    Joining,
    /// A member of the namespace.
    Joined,
    /// Plain HTTP.
    Http,
}

#[derive(Debug)]
struct State {
    stages: Vec<Stage>,
    joined: usize,
    pings: u64,
    join: Vec<u8>,
    pong: Vec<u8>,
}

/// Many clients of one server. Those over WebSocket are numbered from 0 where they are opened first.
pub struct Crowd {
    sockets: Sockets,
    state: State,
    server: SocketAddr,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self {
            sockets: Sockets::new()?,
            state: State {
                stages: Vec::new(),
                joined: 0,
                pings: 0,
                join: websocket::masked(b"40"),
                pong: websocket::masked(b"3"),
            },
            server,
        })
    }

    /// The connections.
    pub fn table(&mut self) -> &mut Table {
        &mut self.sockets.table
    }

    /// Pings that were answered.
    pub fn pings(&self) -> u64 {
        self.state.pings
    }

    /// So many more clients over WebSocket; returns when all have joined the namespace `/`.
    pub fn open(&mut self, count: usize) -> Result<()> {
        let handshake = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            self.server
        );
        let target = self.state.joined + count;
        let mut started = self.state.joined;
        let end = Instant::now() + DEADLINE;
        while self.state.joined < target {
            while started < target && started - self.state.joined < OPENING {
                self.start(self.server, Stage::Upgrading, handshake.as_bytes())?;
                started += 1;
            }
            self.turn(&mut Silence)?;
            ensure!(
                Instant::now() < end,
                "{} of {target} clients have joined within {DEADLINE:?}",
                self.state.joined
            );
        }
        Ok(())
    }

    /// A connection for HTTP requests; its number.
    pub fn http(&mut self, to: SocketAddr) -> Result<usize> {
        self.start(to, Stage::Http, b"")
    }

    fn start(&mut self, to: SocketAddr, stage: Stage, first: &[u8]) -> Result<usize> {
        let who = self.sockets.table.connect(to)?;
        debug_assert_eq!(who, self.state.stages.len(), "no number is used twice");
        self.state.stages.push(stage);
        if !first.is_empty() {
            self.sockets.table.send(who, first)?;
        }
        Ok(who)
    }

    /// Until the script is done.
    pub fn run(&mut self, script: &mut impl Script) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        while !script.is_done() {
            self.turn(script)?;
            ensure!(
                Instant::now() < end,
                "after {DEADLINE:?}: {}",
                script.progress()
            );
        }
        Ok(())
    }

    /// Pings are answered, and nothing else may arrive.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn_within(&mut Silence, left)?;
        }
        Ok(())
    }

    /// Fails where something arrives that was not expected.
    pub fn expect_quiet(&mut self) -> Result<()> {
        self.rest(QUIET).context("after all that was expected")
    }

    fn turn(&mut self, script: &mut impl Script) -> Result<()> {
        self.turn_within(script, Duration::from_millis(100))
    }

    fn turn_within(&mut self, script: &mut impl Script, wait: Duration) -> Result<()> {
        let Self { sockets, state, .. } = self;
        sockets.turn(&mut Talk { state, script }, wait)
    }
}

/// The crowd and its script as what the connections belong to.
struct Talk<'a, S> {
    state: &'a mut State,
    script: &'a mut S,
}

impl<S: Script> Handler for Talk<'_, S> {
    fn received(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let taken = match self.state.stages[who] {
                Stage::Http | Stage::Upgrading => self.response(table, who, rest)?,
                _ => self.frame(table, who, rest)?,
            };
            match taken {
                Some(taken) => used += taken,
                None => return Ok(used),
            }
        }
    }

    fn closed(&mut self, who: usize) -> Result<()> {
        bail!("the server has closed connection {who}")
    }
}

impl<S: Script> Talk<'_, S> {
    fn response(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(response) = http::response(bytes)? else {
            return Ok(None);
        };
        if self.state.stages[who] == Stage::Http {
            self.script
                .response(table, who, response.status, response.body)?;
        } else {
            ensure!(
                response.status == 101,
                "no WebSocket: {}",
                bytes.escape_ascii()
            );
            ensure!(
                response.accept == ACCEPT.as_bytes(),
                "a wrong Sec-WebSocket-Accept"
            );
            self.state.stages[who] = Stage::Opening;
        }
        Ok(Some(response.used))
    }

    fn frame(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = websocket::decode(bytes)? else {
            return Ok(None);
        };
        ensure!(
            frame.kind == Kind::Text,
            "the server says goodbye to client {who}"
        );
        let text = frame.payload;
        if text == b"2" {
            self.state.pings += 1;
            table.send(who, &self.state.pong)?;
            return Ok(Some(frame.used));
        }
        match self.state.stages[who] {
            Stage::Joined => self.script.message(table, who, text)?,
            Stage::Opening => {
                ensure!(
                    text.starts_with(b"0{"),
                    "no open packet: {}",
                    text.escape_ascii()
                );
                table.send(who, &self.state.join)?;
                self.state.stages[who] = Stage::Joining;
            }
            _ => {
                let joined = text.starts_with(br#"40{"sid":""#);
                ensure!(joined, "refused in the namespace: {}", text.escape_ascii());
                self.state.stages[who] = Stage::Joined;
                self.state.joined += 1;
            }
        }
        Ok(Some(frame.used))
    }
}
