//! `connect`: TCP, the WebSocket handshake, the open packet, CONNECT and its answer; at most 64 clients on their way at once.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Pass};
use crate::client::Crowd;
use crate::meter::Meter;
use crate::server::Server;

pub(super) fn run(case: &Case, server: &Server) -> Result<Pass> {
    let mut crowd = Crowd::new(server.clients)?;
    crowd.open(case.clients.div_ceil(10))?;
    crowd.rest(Duration::from_millis(100))?;
    let meter = Meter::start(server.pid())?;
    crowd.open(case.clients)?;
    let spent = meter.stop()?;
    crowd.expect_quiet()?;
    let figure = spent.micros_per(case.operations);
    Ok(Pass::new(figure, case.operations, spent))
}
