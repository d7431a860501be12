//! `echo` and `webhook`: every client has one event under way, with an acknowledgement asked; as soon as that is here it sends the next.
//!
//! In `echo` the gateway answers, in `webhook` a backend with the same answer. Every answer is compared with what was sent, byte by byte: it is the client's own, it is the next one, and it is complete.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::closed_loop::ClosedLoop;
use super::{Case, Pass};
use crate::client::Script;
use crate::digits::{self, FIRST};
use crate::meter::Meter;
use crate::server::Server;
use crate::sockets::Table;
use crate::websocket;

/// Stands for a number.
const MARK: &str = "#######";

pub(super) fn run(case: &Case, server: &Server, event: &str) -> Result<Pass> {
    let mut crowd = case.crowd(server)?;
    let mut echo = Echo::new(case, event);
    echo.begin(crowd.table(), case.operations.div_ceil(10))?;
    crowd.run(&mut echo)?;
    let meter = Meter::start(server.pid())?;
    echo.begin(crowd.table(), case.operations)?;
    crowd.run(&mut echo)?;
    let spent = meter.stop()?;
    crowd.expect_quiet()?;
    let pass = Pass::new(spent.micros_per(case.operations), case.operations, spent);
    Ok(echo.operations.report(pass))
}

/// A template with the numbers of a client and of its message, each once.
struct Template {
    text: Vec<u8>,
    client: usize,
    message: Vec<usize>,
}

impl Template {
    fn new(mut text: Vec<u8>) -> Self {
        let mut places = Vec::new();
        while text.windows(MARK.len()).any(|w| w == MARK.as_bytes()) {
            let place = digits::place(&text);
            digits::write(&mut text, place, 0);
            places.push(place);
        }
        Self {
            client: places.remove(1),
            message: places,
            text,
        }
    }

    fn fill(&mut self, client: u32, message: u32) -> &[u8] {
        digits::write(&mut self.text, self.client, client);
        for &place in &self.message {
            digits::write(&mut self.text, place, message);
        }
        &self.text
    }
}

struct Echo {
    sent: Template,
    expected: Template,
    clients: Vec<Client>,
    operations: ClosedLoop,
}

struct Client {
    message: u32,
    waits: bool,
    sent_at: Instant,
}

impl Echo {
    fn new(case: &Case, event: &str) -> Self {
        let argument = digits::argument(&format!("client {MARK} message {MARK}"), case.bytes);
        let sent = format!(r#"42{MARK}["{event}","{argument}"]"#);
        let expected = format!(r#"43{MARK}["{argument}"]"#);
        let sent_at = Instant::now();
        let clients = (0..case.clients).map(|_| Client {
            message: FIRST,
            waits: false,
            sent_at,
        });
        Self {
            sent: Template::new(websocket::masked(sent.as_bytes())),
            expected: Template::new(expected.into_bytes()),
            clients: clients.collect(),
            operations: ClosedLoop::new(case),
        }
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
        client.waits = true;
        client.sent_at = Instant::now();
        table.send(who, self.sent.fill(number(who), client.message))
    }
}

fn number(who: usize) -> u32 {
    u32::try_from(who).expect("clients are counted in thousands")
}

impl Script for Echo {
    fn message(&mut self, table: &mut Table, who: usize, text: &[u8]) -> Result<()> {
        let client = &mut self.clients[who];
        let expected = self.expected.fill(number(who), client.message);
        ensure!(
            client.waits && text == expected,
            "client {who} got {} instead of {}",
            text.escape_ascii(),
            expected.escape_ascii()
        );
        client.waits = false;
        self.operations.answered(client.sent_at);
        self.send(table, who)
    }

    fn is_done(&self) -> bool {
        self.operations.awaited() == 0
    }

    fn progress(&self) -> String {
        format!("{} echoes are missing", self.operations.awaited())
    }
}
