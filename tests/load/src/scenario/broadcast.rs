//! `broadcast` and `four-at-once`: a client's event goes to every client, its sender included.
//!
//! One at a time: the sender waits until everybody has got it. Four at once: four senders, each of which does so. A delivery is
//! compared byte by byte with what its sender sent; that nobody misses one, gets one twice, or sees another order than the
//! others, is checked with every delivery.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::{Case, Pass};
use crate::client::Script;
use crate::digits::{self, FIRST};
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::server::Server;
use crate::sockets::Table;
use crate::websocket;

pub(super) fn run(case: &Case, server: &Server, at_once: usize) -> Result<Pass> {
    ensure!(at_once <= case.clients, "not enough clients");
    let mut crowd = case.crowd(server)?;
    let senders = (0..at_once).map(|who| Sender::client(who, case.bytes));
    let mut script = Broadcast::new(case.clients, senders.collect());
    let rounds = case
        .operations
        .div_ceil(case.clients as u64)
        .max(at_once as u64);
    script.begin(crowd.table(), rounds.div_ceil(10))?;
    crowd.run(&mut script)?;
    let meter = Meter::start(server.pid())?;
    script.begin(crowd.table(), rounds)?;
    crowd.run(&mut script)?;
    let spent = meter.stop()?;
    crowd.expect_quiet()?;
    let deliveries = rounds * case.clients as u64;
    let pass = Pass::new(spent.micros_per(deliveries), deliveries, spent);
    Ok(pass.with_latency(&mut script.latencies))
}

/// Who causes broadcasts, one at a time.
#[derive(Debug)]
pub(super) struct Sender {
    connection: usize,
    sent: Vec<u8>,
    sent_digits: usize,
    expected: Vec<u8>,
    expected_digits: usize,
    /// Whether a response must come, too.
    is_answered: bool,
    number: u32,
    /// Clients that have not got the present one.
    missing: usize,
    answer_missing: bool,
    /// Whether the first client has got the present one.
    is_placed: bool,
    sent_at: Instant,
}

impl Sender {
    /// A client that emits.
    pub(super) fn client(who: usize, bytes: usize) -> Self {
        let event = event(&argument(who, bytes));
        Self::new(
            who,
            websocket::masked(format!("42{event}").as_bytes()),
            &event,
            false,
        )
    }

    /// Somebody who sends HTTP requests; `request` makes one of an argument.
    pub(super) fn over_rest(
        connection: usize,
        bytes: usize,
        request: impl Fn(&str) -> String,
    ) -> Self {
        let argument = argument(connection, bytes);
        Self::new(
            connection,
            request(&argument).into_bytes(),
            &event(&argument),
            true,
        )
    }

    fn new(connection: usize, sent: Vec<u8>, event: &str, is_answered: bool) -> Self {
        let expected = format!("42{event}").into_bytes();
        Self {
            connection,
            sent_digits: digits::place(&sent),
            sent,
            expected_digits: digits::place(&expected),
            expected,
            is_answered,
            number: FIRST,
            missing: 0,
            answer_missing: false,
            is_placed: true,
            sent_at: Instant::now(),
        }
    }

    fn is_through(&self) -> bool {
        self.missing == 0 && !self.answer_missing
    }
}

fn argument(sender: usize, bytes: usize) -> String {
    digits::argument(&format!("sender {sender} message #######"), bytes)
}

fn event(argument: &str) -> String {
    format!(r#"["say","{argument}"]"#)
}

/// Senders, and clients that all must get what they send, in one order.
#[derive(Debug)]
pub(super) struct Broadcast {
    senders: Vec<Sender>,
    /// How many messages each client has got since the beginning.
    positions: Vec<usize>,
    /// Whose messages they were; the client that is ahead says it.
    order: Vec<usize>,
    to_send: u64,
    under_way: usize,
    pub(super) latencies: Latencies,
}

impl Broadcast {
    pub(super) fn new(clients: usize, senders: Vec<Sender>) -> Self {
        Self {
            senders,
            positions: vec![0; clients],
            order: Vec::new(),
            to_send: 0,
            under_way: 0,
            latencies: Latencies::with_capacity(0),
        }
    }

    /// So many broadcasts from now on.
    pub(super) fn begin(&mut self, table: &mut Table, rounds: u64) -> Result<()> {
        self.to_send = rounds;
        self.order.clear();
        self.positions.fill(0);
        self.latencies.clear();
        (0..self.senders.len()).try_for_each(|sender| self.send(table, sender))
    }

    fn send(&mut self, table: &mut Table, sender: usize) -> Result<()> {
        if self.to_send == 0 {
            return Ok(());
        }
        self.to_send -= 1;
        self.under_way += 1;
        let sender = &mut self.senders[sender];
        sender.number += 1;
        sender.missing = self.positions.len();
        sender.answer_missing = sender.is_answered;
        sender.is_placed = false;
        digits::write(&mut sender.sent, sender.sent_digits, sender.number);
        digits::write(&mut sender.expected, sender.expected_digits, sender.number);
        sender.sent_at = Instant::now();
        table.send(sender.connection, &sender.sent)
    }

    fn settle(&mut self, table: &mut Table, index: usize) -> Result<()> {
        let sender = &self.senders[index];
        if !sender.is_through() {
            return Ok(());
        }
        self.latencies.push(sender.sent_at.elapsed());
        self.under_way -= 1;
        self.send(table, index)
    }

    /// Whose message a client must get now.
    fn next_for(&mut self, who: usize, text: &[u8]) -> Result<usize> {
        let position = self.positions[who];
        if let Some(&sender) = self.order.get(position) {
            return Ok(sender);
        }
        let mut unplaced = self
            .senders
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.is_placed);
        let Some((sender, _)) = unplaced.find(|(_, s)| s.expected == text) else {
            bail!(
                "client {who} got what nobody has sent, or once more: {}",
                text.escape_ascii()
            );
        };
        self.senders[sender].is_placed = true;
        self.order.push(sender);
        Ok(sender)
    }
}

impl Script for Broadcast {
    fn message(&mut self, table: &mut Table, who: usize, text: &[u8]) -> Result<()> {
        let index = self.next_for(who, text)?;
        let sender = &mut self.senders[index];
        ensure!(
            text == sender.expected,
            "client {who} got {} instead of {}",
            text.escape_ascii(),
            sender.expected.escape_ascii()
        );
        self.positions[who] += 1;
        sender.missing -= 1;
        self.settle(table, index)
    }

    fn response(&mut self, table: &mut Table, who: usize, status: u16, body: &[u8]) -> Result<()> {
        let mut senders = self.senders.iter();
        let index = senders.position(|s| s.connection == who && s.answer_missing);
        let Some(index) = index.filter(|_| status / 100 == 2) else {
            bail!("connection {who} got {status} {}", body.escape_ascii());
        };
        self.senders[index].answer_missing = false;
        self.settle(table, index)
    }

    fn is_done(&self) -> bool {
        self.to_send == 0 && self.under_way == 0
    }

    fn progress(&self) -> String {
        let missing: usize = self.senders.iter().map(|s| s.missing).sum();
        format!(
            "{missing} deliveries are missing, and {} broadcasts",
            self.to_send
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::sockets::Sockets;

    /// Two senders, each with one broadcast under way to two clients.
    fn under_way() -> (Sockets, Broadcast, Vec<Vec<u8>>) {
        let mut sockets = Sockets::new().unwrap();
        let to = sockets.listen().unwrap();
        let senders = (0..2).map(|_| sockets.table.connect(to).unwrap());
        let senders = senders.map(|who| Sender::client(who, 32)).collect();
        let mut script = Broadcast::new(2, senders);
        script.begin(&mut sockets.table, 2).unwrap();
        let texts = script.senders.iter().map(|s| s.expected.clone()).collect();
        (sockets, script, texts)
    }

    #[test]
    fn a_run_is_done_when_everybody_has_got_everything() {
        let (mut sockets, mut script, texts) = under_way();
        for (who, text) in [(0, 1), (1, 1), (1, 0), (0, 0)] {
            assert!(!script.is_done());
            script
                .message(&mut sockets.table, who, &texts[text])
                .unwrap();
        }
        assert!(script.is_done());
    }

    #[test]
    fn another_order_is_an_error() {
        let (mut sockets, mut script, texts) = under_way();
        script.message(&mut sockets.table, 0, &texts[1]).unwrap();
        script
            .message(&mut sockets.table, 1, &texts[0])
            .unwrap_err();
    }

    #[test]
    fn a_repetition_is_an_error() {
        let (mut sockets, mut script, texts) = under_way();
        script.message(&mut sockets.table, 0, &texts[0]).unwrap();
        script
            .message(&mut sockets.table, 0, &texts[0])
            .unwrap_err();
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let (mut sockets, mut script, mut texts) = under_way();
        script.message(&mut sockets.table, 0, &texts[0]).unwrap();
        *texts[0].last_mut().unwrap() = b'}';
        script
            .message(&mut sockets.table, 1, &texts[0])
            .unwrap_err();
    }
}
