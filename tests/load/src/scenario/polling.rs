//! `polling` and `polling-in-turn`: echoes with acknowledgement over HTTP long-polling, two requests each.
//!
//! `polling` does as official clients do: a GET waits on one connection while the POST goes over another. `polling-in-turn` takes
//! one connection, sends the POST, then the GET, which is answered at once; it is the cheapest that polling can be.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::closed_loop::ClosedLoop;
use super::{Case, Pass};
use crate::client::{Crowd, Script};
use crate::digits::{self, FIRST};
use crate::meter::Meter;
use crate::server::Server;
use crate::sockets::Table;

/// Which request goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The GET, on a connection of its own.
    GetWaits,
    /// The POST; the GET follows its response on the same connection.
    InTurn,
}

pub(super) fn run(case: &Case, server: &Server, order: Order) -> Result<Pass> {
    let mut crowd = Crowd::new(server.clients)?;
    let mut polling = Polling::new(case, order, server.clients);
    for _ in 0..case.clients {
        let get = crowd.http(server.clients)?;
        let post = match order {
            Order::GetWaits => crowd.http(server.clients)?,
            Order::InTurn => get,
        };
        polling.handshake(crowd.table(), get, post)?;
    }
    crowd.run(&mut polling)?;
    polling.begin(crowd.table(), case.operations.div_ceil(10))?;
    crowd.run(&mut polling)?;
    let meter = Meter::start(server.pid())?;
    polling.begin(crowd.table(), case.operations)?;
    crowd.run(&mut polling)?;
    let spent = meter.stop()?;
    crowd.expect_quiet()?;
    let pass = Pass::new(spent.micros_per(case.operations), case.operations, spent);
    Ok(polling.operations.report(pass))
}

struct Polling {
    order: Order,
    server: SocketAddr,
    argument: String,
    clients: Vec<Client>,
    /// Clients by connection.
    owners: Vec<usize>,
    expected: Vec<u8>,
    /// Where its numbers are: the id, and the one in the argument.
    expected_digits: [usize; 2],
    joining: usize,
    operations: ClosedLoop,
}

struct Client {
    get: usize,
    post: usize,
    get_request: Vec<u8>,
    post_request: Vec<u8>,
    post_digits: [usize; 2],
    stage: Stage,
    ok_missing: bool,
    packet_missing: bool,
    message: u32,
    sent_at: Instant,
}

/// What a client is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The open packet is awaited.
    Opening,
    /// The `ok` to CONNECT is awaited.
    Connecting,
    /// The answer to CONNECT is awaited.
    Joining,
    /// Echoes.
    Joined,
}

impl Polling {
    fn new(case: &Case, order: Order, server: SocketAddr) -> Self {
        let argument = digits::argument("message #######", case.bytes);
        let mut expected = format!(r#"43#######["{argument}"]"#).into_bytes();
        Self {
            order,
            server,
            argument,
            clients: Vec::new(),
            owners: Vec::new(),
            expected_digits: two_places(&mut expected),
            expected,
            joining: 0,
            operations: ClosedLoop::new(case),
        }
    }

    fn handshake(&mut self, table: &mut Table, get: usize, post: usize) -> Result<()> {
        self.owners.resize(post + 1, self.clients.len());
        self.joining += 1;
        let get_request = get_request(self.server, "");
        table.send(get, &get_request)?;
        self.clients.push(Client {
            get,
            post,
            get_request,
            post_request: Vec::new(),
            post_digits: [0; 2],
            stage: Stage::Opening,
            ok_missing: false,
            packet_missing: false,
            message: FIRST,
            sent_at: Instant::now(),
        });
        Ok(())
    }

    /// So many echoes from now on.
    fn begin(&mut self, table: &mut Table, operations: u64) -> Result<()> {
        self.operations.restart(operations);
        (0..self.clients.len()).try_for_each(|who| self.send(table, who))
    }

    fn send(&mut self, table: &mut Table, who: usize) -> Result<()> {
        if !self.operations.next() {
            return Ok(());
        }
        let client = &mut self.clients[who];
        client.message += 1;
        client.ok_missing = true;
        client.packet_missing = true;
        for place in client.post_digits {
            digits::write(&mut client.post_request, place, client.message);
        }
        client.sent_at = Instant::now();
        if self.order == Order::GetWaits {
            table.send(client.get, &client.get_request)?;
        }
        table.send(client.post, &client.post_request)
    }

    /// Until it has joined.
    fn join(&mut self, table: &mut Table, who: usize, body: &[u8]) -> Result<()> {
        let client = &mut self.clients[who];
        match client.stage {
            Stage::Opening => {
                let open = body.strip_prefix(b"0").context("no open packet")?;
                let open: serde_json::Value = serde_json::from_slice(open)?;
                let sid = open["sid"].as_str().context("no sid")?;
                client.get_request = get_request(self.server, sid);
                let event = format!(r#"42#######["echo","{}"]"#, self.argument);
                client.post_request = post_request(self.server, sid, &event);
                client.post_digits = two_places(&mut client.post_request);
                client.stage = Stage::Connecting;
                table.send(client.post, &post_request(self.server, sid, "40"))
            }
            Stage::Connecting => {
                ensure!(body == b"ok", "no ok: {}", body.escape_ascii());
                client.stage = Stage::Joining;
                table.send(client.get, &client.get_request)
            }
            _ => {
                let joined = body.starts_with(br#"40{"sid":""#);
                ensure!(joined, "refused in the namespace: {}", body.escape_ascii());
                client.stage = Stage::Joined;
                self.joining -= 1;
                Ok(())
            }
        }
    }

    fn packet(&mut self, who: usize, body: &[u8]) -> Result<()> {
        let client = &mut self.clients[who];
        for place in self.expected_digits {
            digits::write(&mut self.expected, place, client.message);
        }
        ensure!(
            body == self.expected,
            "client {who} got {} instead of {}",
            body.escape_ascii(),
            self.expected.escape_ascii()
        );
        client.packet_missing = false;
        Ok(())
    }
}

impl Script for Polling {
    fn response(
        &mut self,
        table: &mut Table,
        connection: usize,
        status: u16,
        body: &[u8],
    ) -> Result<()> {
        ensure!(status == 200, "{status} {}", body.escape_ascii());
        let who = self.owners[connection];
        let client = &mut self.clients[who];
        if client.stage != Stage::Joined {
            return self.join(table, who, body);
        }
        if client.ok_missing && body == b"ok" {
            client.ok_missing = false;
            if self.order == Order::InTurn {
                return table.send(client.get, &client.get_request);
            }
        } else if client.packet_missing {
            self.packet(who, body)?;
        } else {
            bail!(
                "client {who} got more than it asked for: {}",
                body.escape_ascii()
            );
        }
        let client = &self.clients[who];
        if client.ok_missing || client.packet_missing {
            return Ok(());
        }
        self.operations.answered(client.sent_at);
        self.send(table, who)
    }

    fn is_done(&self) -> bool {
        self.joining == 0 && self.operations.awaited() == 0
    }

    fn progress(&self) -> String {
        format!(
            "{} clients have not joined, {} echoes are missing",
            self.joining,
            self.operations.awaited()
        )
    }
}

/// Where the two numbers are.
fn two_places(text: &mut [u8]) -> [usize; 2] {
    let first = digits::place(text);
    digits::write(text, first, 0);
    let second = digits::place(text);
    digits::write(text, second, 0);
    [first, second]
}

fn path(sid: &str) -> String {
    let sid = if sid.is_empty() {
        String::new()
    } else {
        format!("&sid={sid}")
    };
    format!("/socket.io/?EIO=4&transport=polling{sid}")
}

fn get_request(server: SocketAddr, sid: &str) -> Vec<u8> {
    format!("GET {} HTTP/1.1\r\nHost: {server}\r\n\r\n", path(sid)).into_bytes()
}

fn post_request(server: SocketAddr, sid: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {} HTTP/1.1\r\nHost: {server}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        path(sid),
        body.len()
    )
    .into_bytes()
}
