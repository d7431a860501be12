//! `rest-broadcast`: what a broadcast costs more when a REST request causes it than when a client's event does.
//!
//! Both are measured in turns in the same process, so that what changes slowly on the machine changes both. Beside the
//! difference stand the whole cost of a call, of a delivery, and of a call that reaches nobody.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::broadcast::{Broadcast, Sender};
use super::{Case, Pass};
use crate::client::{Crowd, Script};
use crate::latency::Latencies;
use crate::meter::{Meter, Spent};
use crate::server::Server;
use crate::sockets::Table;

/// Turns of each kind.
const TURNS: u64 = 20;
/// Calls that reach nobody, for every call that reaches somebody.
const TO_NOBODY: u64 = 10;

pub(super) fn run(case: &Case, server: &Server) -> Result<Pass> {
    let api = server.api.context("a server without a REST API")?;
    let mut crowd = case.crowd(server)?;
    let caller = crowd.http(api)?;
    let to_all = |argument: &str| emit(api, argument, r#"{"all":true}"#);
    let rest = Sender::over_rest(caller, case.bytes, to_all);
    let mut rest = Broadcast::new(case.clients, vec![rest]);
    let mut event = Broadcast::new(case.clients, vec![Sender::client(0, case.bytes)]);
    let each = case.operations.div_ceil(TURNS);
    let (mut by_rest, mut by_event) = (Spent::default(), Spent::default());
    let mut latencies = Latencies::with_capacity(0);
    for turn in 0..=TURNS {
        let of_event = broadcast(&mut crowd, server, &mut event, each)?;
        let of_rest = broadcast(&mut crowd, server, &mut rest, each)?;
        // The first turn is the warm-up.
        if turn > 0 {
            by_event = by_event.and(of_event);
            by_rest = by_rest.and(of_rest);
            latencies.append(&mut rest.latencies);
        }
    }
    let calls = each * TURNS;
    let mut nobody = ToNobody::new(caller, emit(api, "x", r#"{"rooms":["nobody"]}"#));
    let to_nobody = nobody.run(&mut crowd, server, calls * TO_NOBODY)?;
    crowd.expect_quiet()?;
    let (per_call, per_event) = (by_rest.micros_per(calls), by_event.micros_per(calls));
    let mut pass = Pass::new(per_call - per_event, calls, by_rest).with_latency(&mut latencies);
    pass.more = vec![
        ("micros_per_call", per_call),
        ("micros_per_delivery", per_call / case.clients as f64),
        ("micros_per_event", per_event),
        (
            "micros_per_call_to_nobody",
            to_nobody.micros_per(calls * TO_NOBODY),
        ),
    ];
    Ok(pass)
}

fn broadcast(
    crowd: &mut Crowd,
    server: &Server,
    script: &mut Broadcast,
    rounds: u64,
) -> Result<Spent> {
    let meter = Meter::start(server.pid())?;
    script.begin(crowd.table(), rounds)?;
    crowd.run(script)?;
    meter.stop()
}

fn emit(api: SocketAddr, argument: &str, to: &str) -> String {
    let body = format!(r#"{{"event":"say","args":["{argument}"],"to":{to}}}"#);
    format!(
        "POST /v1/emit HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One call after the other, which nobody gets.
struct ToNobody {
    connection: usize,
    request: String,
    left: u64,
}

impl ToNobody {
    fn new(connection: usize, request: String) -> Self {
        Self {
            connection,
            request,
            left: 0,
        }
    }

    fn run(&mut self, crowd: &mut Crowd, server: &Server, calls: u64) -> Result<Spent> {
        ensure!(calls > 0, "no calls");
        self.left = calls;
        let meter = Meter::start(server.pid())?;
        crowd
            .table()
            .send(self.connection, self.request.as_bytes())?;
        crowd.run(self)?;
        meter.stop()
    }
}

impl Script for ToNobody {
    fn response(&mut self, table: &mut Table, who: usize, status: u16, body: &[u8]) -> Result<()> {
        if status / 100 != 2 {
            bail!("connection {who} got {status} {}", body.escape_ascii());
        }
        self.left -= 1;
        if self.left == 0 {
            return Ok(());
        }
        table.send(who, self.request.as_bytes())
    }

    fn is_done(&self) -> bool {
        self.left == 0
    }

    fn progress(&self) -> String {
        format!("{} responses are missing", self.left)
    }
}
